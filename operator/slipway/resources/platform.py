"""What the platform team decided: images, store, node pools. Part of no revision hash: an upgrade moves nothing."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ..api.base import ItemName, Value
from ..api.modelregistry import CABundle
from ..api.tasks import DataAccess


class Toleration(Value):
    """A toleration, as in a pod."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class PoolSettings(Value):
    """A node pool: how pods get there and what they reserve."""

    name: ItemName
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    runtime_class_name: str = ""  # of a sandbox such as gVisor or Kata Containers
    host_users: bool = True  # False: users of the pod are nobody on the node
    resources: dict[str, dict[str, str | int]] = Field(default_factory=dict)  # of each validation step
    serving_resources: dict[str, dict[str, str | int]] = Field(default_factory=dict)  # unless the model sets its own


class DefaultRegistry(Value):
    """The ModelRegistry of models that name none."""

    name: str
    namespace: str


class StoreSettings(Value):
    """The artifact store."""

    url: str


class Platform(Value):
    """Settings that shape manifests."""

    namespace: str = Field("slipway-system", description="The operator's own namespace; imports run here.")
    cluster_name: str = Field(min_length=1, description="Name of the cluster, as the registry's tags spell it.")
    runner_image: str = Field("slipway-runner", description="Image of the pods that import, validate and serve.")
    image_pull_policy: str = Field("IfNotPresent", description="When nodes pull that image.")
    image_pull_secrets: tuple[str, ...] = Field((), description="Pull secrets, in each pod's own namespace.")
    store: StoreSettings = Field(
        StoreSettings(url="http://slipway-store:5000"), description="The artifact store, as every pod reaches it."
    )
    ca_bundle: CABundle | None = Field(
        None, description="ConfigMap with certificates that pods trust beside the public ones, in each pod's namespace."
    )
    data: DataAccess = Field(
        DataAccess(), description="Which hosts evaluation data may be read from over http(s) and S3."
    )
    default_registry: DefaultRegistry | None = Field(None, description="ModelRegistry of models that name none.")
    default_pool: str = Field("cpu", description="Pool of models that name none.")
    pools: tuple[PoolSettings, ...] = Field((PoolSettings(name="cpu"),), description="The node pools.")

    def pool(self, name: str | None) -> PoolSettings | None:
        """The pool of that name, or the default one; None if there is none."""
        wanted = name or self.default_pool
        return next((pool for pool in self.pools if pool.name == wanted), None)


Manifest = Mapping[str, Any]
