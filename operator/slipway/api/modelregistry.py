"""ModelRegistry: an MLflow server, how to reach it, and who may use it."""

import itertools
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Duration, LabelValue, Namespace, Time, Value, exactly_one, rules
from .condition import ObjectStatus
from .connection import MLflow, SecretRef
from .meta import Meta

RegistryStage = Literal["None", "Staging", "Production", "Archived"]


class Backend(Value):
    """Which registry it is: exactly one of the members."""

    model_config = rules(exactly_one("mlflow"))

    mlflow: Annotated[MLflow | None, Field(description="An MLflow server.")] = None


class LabelSelector(Value):
    """Labels that an object must carry, all of them."""

    match_labels: Annotated[
        dict[str, LabelValue],
        Field(min_length=1, max_length=16, description="Label keys and the values that they must have."),
    ]


ModelPattern = Annotated[str, Field(min_length=1, max_length=256)]


class AllowedNamespaces(Value):
    """Which namespaces may use this registry; its own always may."""

    selector: Annotated[LabelSelector, Field(description="Labels of the namespaces that may use it.")]
    models: Annotated[
        tuple[ModelPattern, ...],
        Field(
            max_length=64,
            description="Names of the registered models that they may use, in which `*` stands for any characters, "
            "such as `fraud-*`; default: all.",
        ),
    ] = ()


class RegistryLabels(Value):
    """What the registry is told about a version in one stage."""

    stage: Annotated[RegistryStage | None, Field(description="MLflow stage to set.")] = None
    alias: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern=r"^[A-Za-z_][\w-]*$",
            description="MLflow alias that follows the version.",
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!self.matches('^(?i)(latest|v[0-9]+)$')",
                        "message": "'latest' and 'v<number>' are reserved by MLflow; choose another alias",
                    }
                ]
            },
        ),
    ] = None


def _apart(one: str, other: str, label: str) -> tuple[str, str]:
    """The rule that two of Slipway's stages share no label: one would be taken for the other."""
    both = f"has(self.{one}) && has(self.{other}) && has(self.{one}.{label}) && has(self.{other}.{label})"
    same = f"self.{one}.{label} == self.{other}.{label}" + (f" && self.{one}.stage != 'None'" * (label == "stage"))
    return f"!({both} && {same})", f"{one} and {other} must not have the same {label}"


NO_PRODUCTION = "Production needs a stage or an alias: nothing else could ask for it, or show what serves"


class Stages(Value):
    """Which stage and alias each of Slipway's stages becomes in the registry."""

    model_config = rules(
        *(
            _apart(one, other, label)
            for one, other in (("Staging", "Production"), ("Staging", "Archived"), ("Production", "Archived"))
            for label in ("stage", "alias")
        ),
        (
            "!has(self.Production) || has(self.Production.alias) || "
            "(has(self.Production.stage) && self.Production.stage != 'None')",
            NO_PRODUCTION,
        ),
    )

    staging: Annotated[RegistryLabels, Field(alias="Staging", description="For a version in Staging.")] = (
        RegistryLabels(stage="Staging", alias="challenger")
    )
    production: Annotated[RegistryLabels, Field(alias="Production", description="For the version in Production.")] = (
        RegistryLabels(stage="Production", alias="champion")
    )
    archived: Annotated[RegistryLabels, Field(alias="Archived", description="For a version that was replaced.")] = (
        RegistryLabels(stage="Archived")
    )

    @model_validator(mode="after")
    def _are_labels(self) -> Self:
        """Objects that were stored before the rules were there keep none of them."""
        if self.production.stage in (None, "None") and self.production.alias is None:
            raise ValueError(NO_PRODUCTION)
        for label in ("stage", "alias"):
            there = {"Staging": self.staging, "Production": self.production, "Archived": self.archived}
            named = {name: getattr(one, label) for name, one in there.items()}
            for name, other in itertools.combinations(named, 2):
                if named[name] == named[other] and named[name] not in (None, "None"):
                    raise ValueError(f"{name} and {other} must not have the same {label}")
        return self


class Webhook(Value):
    """Deliveries of the registry that say at once that something has changed; what they say is not believed."""

    secret_ref: Annotated[
        SecretRef,
        Field(
            description="A Secret with the key `secret`, at least 16 characters, beside the ModelRegistry and labelled "
            "`slipway.dev/registry`: deliveries are signed with it."
        ),
    ]
    url: Annotated[
        str | None,
        Field(
            min_length=8,
            max_length=1024,
            pattern=r"^https?://[^\s@?#]+$",
            description="Base URL at which the registry reaches the operator's receiver; `/<namespace>/<name>` of this "
            "ModelRegistry comes after it. Default: as the chart says (`webhooks`).",
        ),
    ] = None


class Sync(Value):
    """How often the registry is swept."""

    model_config = rules(
        ("!has(self.interval) || duration(self.interval) >= duration('5s')", "interval must be at least 5s")
    )

    interval: Annotated[
        Duration, Field(description="Longest time from the beginning of a sweep to the next, such as 30s.")
    ] = "30s"


Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
TimeOfDay = Annotated[str, Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
NamePattern = Annotated[str, Field(min_length=1, max_length=256)]


class Window(Value):
    """Hours in which a rollout may start."""

    model_config = rules(("self.start < self.end", "start must come before end, on the same day"))

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7, description="Days of the week.")]
    start: Annotated[TimeOfDay, Field(description="When it opens, such as 09:00.")]
    end: Annotated[TimeOfDay, Field(description="When it closes, such as 16:30.")]
    time_zone: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9_+/-]+$",
            description="Time zone of these hours, by its IANA name, such as Europe/Berlin.",
        ),
    ] = "Etc/UTC"


class PromotionPolicy(Value):
    """What labels in this registry may promote, where a RegisteredModel lets them; going back is always allowed."""

    namespaces: Annotated[
        tuple[NamePattern, ...],
        Field(
            max_length=64,
            description="Namespaces whose models labels may promote, in which `*` stands for any characters; "
            "default: all that may use the registry.",
        ),
    ] = ()
    models: Annotated[
        tuple[NamePattern, ...],
        Field(max_length=64, description="Names of the registered models, likewise; default: all."),
    ] = ()
    approvals: Annotated[
        int, Field(ge=0, le=2, description="How many people have to approve of each promotion in Kubernetes.")
    ] = 0
    windows: Annotated[
        tuple[Window, ...], Field(max_length=8, description="When rollouts may start; default: at any time.")
    ] = ()


class Discovery(Value):
    """Which registered models get a RegisteredModel by themselves, and where. It promotes nothing."""

    model_config = rules(("!self.namespace.startsWith('kube-')", "Slipway stays out of kube-*: name another namespace"))

    namespace: Annotated[
        Namespace,
        Field(description="Where they are made; a namespace that may use the registry and that Slipway serves."),
    ]
    models: Annotated[
        tuple[ModelPattern, ...],
        Field(
            min_length=1,
            max_length=64,
            description="Names of the registered models, in which `*` stands for any characters, such as `fraud-*`.",
        ),
    ]
    stages: Annotated[
        tuple[Literal["Staging", "Production"], ...],
        Field(
            min_length=1,
            max_length=2,
            description="Only models are found that have a version with a label of one of these stages.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = ("Staging", "Production")
    limit: Annotated[int, Field(ge=1, le=1000, description="How many RegisteredModels it may make.")] = 100


class ModelRegistrySpec(Value):
    """An MLflow server, how to reach it, and who may use it."""

    suspend: Annotated[
        bool,
        Field(
            description="Ask the registry for nothing and write nothing to it; what serves goes on serving, and new "
            "versions wait."
        ),
    ] = False
    backend: Annotated[Backend, Field(description="The server.")]
    allowed_namespaces: Annotated[
        AllowedNamespaces | None, Field(description="Other namespaces that may use it; default: none.")
    ] = None
    stages: Annotated[Stages, Field(description="Label mapping.")] = Stages()
    sync: Annotated[Sync, Field(description="Sweeping.")] = Sync()
    webhook: Annotated[
        Webhook | None, Field(description="Hints from the registry, so that a moved label is seen at once.")
    ] = None
    promotion: Annotated[PromotionPolicy, Field(description="What labels may promote.")] = PromotionPolicy()
    discovery: Annotated[
        Discovery | None, Field(description="Registered models that get objects by themselves; default: none.")
    ] = None


class ModelRegistryStatus(ObjectStatus):
    """What was last seen of the registry."""

    version: Annotated[str | None, Field(max_length=64, description="Version of the MLflow server.")] = None
    models: Annotated[
        int | None, Field(ge=0, description="Registered models that the credential can read, when last written here.")
    ] = None
    versions: Annotated[
        int | None, Field(ge=0, description="Versions of the models that RegisteredModels name, likewise.")
    ] = None
    discovered: Annotated[int | None, Field(ge=0, description="RegisteredModels that discovery has made.")] = None
    drifted: Annotated[
        int | None, Field(ge=0, description="RegisteredModels whose labels in the registry were moved by hand.")
    ] = None
    last_sweep_time: Annotated[
        Time | None,
        Field(
            description="When the registry was swept, as of the last time this was written (RFC 3339): every ten "
            "minutes, or when a condition changes.",
        ),
    ] = None
    latency_milliseconds: Annotated[int | None, Field(ge=0, le=3_600_000, description="How long that sweep took.")] = (
        None
    )


class ModelRegistry(Value):
    """An MLflow server that holds models."""

    plural: ClassVar[str] = "modelregistries"
    short: ClassVar[str] = "mreg"
    columns: ClassVar[tuple[tuple[str, str, str, int], ...]] = (
        ("URI", "string", ".spec.backend.mlflow.uri", 0),
        ("MLflow", "string", ".status.version", 0),
        ("Models", "integer", ".status.models", 0),
        ("Discovered", "integer", ".status.discovered", 0),
        ("Drifted", "integer", ".status.drifted", 0),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
        ("Reachable", "string", '.status.conditions[?(@.type=="Reachable")].status', 1),
        ("Authorized", "string", '.status.conditions[?(@.type=="Authorized")].status', 1),
        ("Versions", "integer", ".status.versions", 1),
        ("Swept", "date", ".status.lastSweepTime", 1),
        ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
    )

    metadata: Meta
    spec: ModelRegistrySpec
    status: ModelRegistryStatus = ModelRegistryStatus()
