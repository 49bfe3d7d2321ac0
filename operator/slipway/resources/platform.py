"""What the platform team decided: images, store, node pools. Part of no revision hash: an upgrade moves nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from ..api import tasks
from ..api.base import ItemName, Size, Value
from ..api.connection import CABundle
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
    max_validations: int | None = None  # at the same time on this pool; None: as many as on all


class DefaultRegistry(Value):
    """The ModelRegistry of models that name none."""

    name: str
    namespace: str


class StoreSettings(Value):
    """The artifact store: what pods read from, and what imports push to."""

    url: str
    push_url: str | None = None  # default: the same
    push_secret: str | None = None  # in the operator's namespace, with username and password; none: it asks for none

    def for_imports(self) -> tasks.Store:
        """The side that imports push to."""
        return tasks.Store(url=self.push_url or self.url)


_IMPORT_RESOURCES: dict[str, dict[str, str | int]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}


class ValidationSettings(Value):
    """Limits of validations."""

    max_concurrent: int = Field(16, ge=1, description="How many run at the same time, on all pools together.")


class ImportSettings(Value):
    """How large a model may be, and what the pods that import reserve."""

    max_concurrent: int = Field(4, ge=1, description="How many run at the same time.")
    max_model_size: Size = "20Gi"
    resources: dict[str, dict[str, str | int]] = Field(default_factory=lambda: dict(_IMPORT_RESOURCES))


_ENVIRONMENT_RESOURCES: dict[str, dict[str, str | int]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "2Gi"},
}


class IndexSettings(Value):
    """A package index, as pip knows them; a path may follow the host, and no credential may be in it."""

    name: ItemName
    url: Annotated[str, Field(max_length=1024, pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$")]


class EnvironmentSettings(Value):
    """Where the packages come from that models were trained with."""

    indexes: Annotated[tuple[IndexSettings, ...], Field(max_length=8)] = ()  # empty: models run in the image's
    secret: str = ""  # in the operator's namespace: <name of an index>.username and .password
    proxy: str = ""
    unstated: Literal["Image", "Refuse"] = "Refuse"  # what becomes of models that state nothing of their packages
    max_size: Size = "8Gi"
    python_minor: Literal["Exact", "Nearest"] = "Exact"  # where a model states one that there is no image for
    resources: dict[str, dict[str, str | int]] = Field(default_factory=lambda: dict(_ENVIRONMENT_RESOURCES))


class Environment(NamedTuple):
    """What a version runs in."""

    packages: str | None = None  # digest; None: those of the image
    python: str | None = None  # minor version, which names the image; None: the runner image's own


IMAGE = Environment()  # the runner image and its packages


EventType = Literal[
    "dev.slipway.condition.changed",
    "dev.slipway.modelversion.refused",
    "dev.slipway.modelversion.released",
    "dev.slipway.modelversion.rolledback",
]


class EventTarget(Value):
    """Who is told of changed conditions. What signs the events is no setting: it is read from a file."""

    name: ItemName
    url: Annotated[str, Field(max_length=1024, pattern=r"^https?://[^/?#@\s]+(/[^#\s]*)?$")]
    types: tuple[EventType, ...] = ()  # empty: all


class EventSettings(Value):
    """Whom the operator tells of changed conditions, and where they may be."""

    allowed_hosts: tuple[str, ...] = ()  # may be of the cluster, in a range that data.deniedCidrs names, or plain http
    targets: Annotated[tuple[EventTarget, ...], Field(max_length=8)] = ()


class Platform(Value):
    """Settings that shape manifests."""

    namespace: str = Field("slipway-system", description="The operator's own namespace; imports run here.")
    cluster_name: str = Field(min_length=1, description="Name of the cluster, as the registry's tags spell it.")
    runner_image: str = Field("slipway-runner", description="Image of the pods that import, validate and serve.")
    runtimes: dict[Annotated[str, Field(pattern=r"^3\.[0-9]{1,2}$")], Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict, description="Runner images with other minor versions of Python, such as `3.13`, by these."
    )
    image_pull_policy: str = Field("IfNotPresent", description="When nodes pull that image.")
    image_pull_secrets: tuple[str, ...] = Field((), description="Pull secrets, in each pod's own namespace.")
    store: StoreSettings = Field(
        StoreSettings(url="http://slipway-store:5000"), description="The artifact store, as every pod reaches it."
    )
    imports: ImportSettings = Field(ImportSettings(), description="What an import may take, and what it reserves.")
    environments: EnvironmentSettings = Field(
        EnvironmentSettings(), description="Package indexes for models that the runner image cannot run."
    )
    scratch_size: Size = Field("1Gi", description="Space for temporary files (/tmp) in each pod that Slipway makes.")
    ca_bundle: CABundle | None = Field(
        None, description="ConfigMap with certificates that pods trust beside the public ones, in each pod's namespace."
    )
    data: DataAccess = Field(
        DataAccess(), description="Which hosts evaluation data may be read from over http(s) and S3."
    )
    events: EventSettings = Field(EventSettings(), description="Who is told of changed conditions.")
    default_registry: DefaultRegistry | None = Field(None, description="ModelRegistry of models that name none.")
    registry_namespaces: tuple[str, ...] = Field(
        (), description="Where ModelRegistries keep credentials, and may have the operator's token; empty: `namespace`."
    )
    implicit_models: bool = Field(
        True, description="Whether a ModelVersion without a RegisteredModel gets an implicit one, which has no gates."
    )
    default_pool: str = Field("cpu", description="Pool of models that name none.")
    validations: ValidationSettings = Field(ValidationSettings(), description="Limits of validations.")
    freeze: str = Field("", description="Why no rollout starts anywhere; empty: rollouts start.")
    pools: tuple[PoolSettings, ...] = Field((PoolSettings(name="cpu"),), description="The node pools.")

    @property
    def refuses_unstated(self) -> bool | None:
        """Whether models are refused that state nothing of their packages; as a task has it."""
        return self.environments.unstated == "Refuse" or None

    def pool(self, name: str | None) -> PoolSettings | None:
        """The pool of that name, or the default one; None if there is none."""
        wanted = name or self.default_pool
        return next((pool for pool in self.pools if pool.name == wanted), None)

    def image(self, python: str | None) -> str | None:
        """The runner image with that minor version of Python; None if there is none."""
        return self.runtimes.get(python) if python else self.runner_image

    def on(self, python: str | None) -> "Platform":
        """The same, with that image as the runner image. KeyError if there is none: the core refuses before."""
        return self.model_copy(update={"runner_image": self.runtimes[python]}) if python else self


Manifest = Mapping[str, Any]
