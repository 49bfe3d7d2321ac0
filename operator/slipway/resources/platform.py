"""What the platform team decided: images, store, node pools. Part of no revision hash: an upgrade moves nothing."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ..api.base import ItemName, Value


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

    namespace: str = "slipway-system"  # the operator's own; imports run here
    cluster_name: str = "default"
    runner_image: str = "slipway-runner"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    store: StoreSettings = StoreSettings(url="http://slipway-store:5000")
    default_registry: DefaultRegistry | None = None
    default_pool: str = "cpu"
    pools: tuple[PoolSettings, ...] = (PoolSettings(name="cpu"),)

    def pool(self, name: str | None) -> PoolSettings | None:
        """The pool of that name, or the default one; None if there is none."""
        wanted = name or self.default_pool
        return next((pool for pool in self.pools if pool.name == wanted), None)


Manifest = Mapping[str, Any]
