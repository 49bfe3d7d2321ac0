"""RegisteredModel: one model, how its versions are proven, rolled out and served."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .base import (
    ENDINGS,
    Duration,
    ItemName,
    LabelValue,
    Namespace,
    ResourceName,
    Time,
    Value,
    exactly_one,
    keyed_by,
    rules,
)
from .condition import ObjectStatus
from .meta import Meta
from .modelledger import HISTORY, Served
from .scoring import Scoring
from .validation import Pool, Validation
from .variables import Variable

_QUANTITY: dict[str, Any] = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 32,
    "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
}
Quantities = dict[
    Annotated[str, Field(max_length=128)],
    Annotated[int | str, Field(json_schema_extra=_QUANTITY)],
]


class RegistryRef(Value):
    """A ModelRegistry, here or in another namespace that allows it."""

    name: Annotated[ResourceName, Field(description="Name of the ModelRegistry.")]
    namespace: Annotated[Namespace | None, Field(description="Its namespace; default: this one.")] = None


class Source(Value):
    """Where the model is registered."""

    registry_ref: Annotated[
        RegistryRef | None, Field(description="The registry; default: the operator's default registry.")
    ] = None
    name: Annotated[
        str | None,
        Field(min_length=1, max_length=256, description="Its name in the registry; default: metadata.name."),
    ] = None


class Runtime(Value):
    """What serves the model: exactly one of the members."""

    model_config = rules(exactly_one("scoring"))

    scoring: Annotated[Scoring | None, Field(description="MLflow's scoring server.")] = None


class Fixed(Value):
    """A constant number of replicas."""

    replicas: Annotated[int, Field(ge=1, le=1000, description="Number of serving pods.")] = 1


class Scaling(Value):
    """How many pods serve: exactly one of the members."""

    model_config = rules(exactly_one("fixed"))

    fixed: Annotated[Fixed | None, Field(description="A constant number.")] = None


class Resources(Value):
    """Compute resources of a serving pod, as in a container."""

    requests: Annotated[Quantities, Field(default_factory=dict, max_length=16, description="What is reserved.")]
    limits: Annotated[Quantities, Field(default_factory=dict, max_length=16, description="What is never exceeded.")]


class PodExtras(Value):
    """What a serving pod carries beyond what Slipway needs."""

    labels: Annotated[
        dict[str, LabelValue],
        Field(
            default_factory=dict,
            max_length=16,
            description="More labels.",
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "self.all(key, !key.startsWith('slipway.dev/') && "
                        "!key.startsWith('app.kubernetes.io/'))",
                        "message": "labels under slipway.dev/ and app.kubernetes.io/ are Slipway's own",
                    }
                ]
            },
        ),
    ]
    priority_class_name: Annotated[ResourceName | None, Field(description="PriorityClass of the pods.")] = None
    env: Annotated[
        tuple[Variable, ...],
        Field(
            max_length=32,
            json_schema_extra=keyed_by("name"),
            description="Environment variables of the model's code; default: none but those that Slipway sets.",
        ),
    ] = ()


class Serving(Value):
    """How released versions are served."""

    pool: Annotated[Pool | None, Field(description="Where it runs; default: the operator's default pool.")] = None
    runtime: Annotated[Runtime, Field(description="What serves the model.")] = Runtime(scoring=Scoring())
    scaling: Annotated[Scaling, Field(description="How many pods serve.")] = Scaling(fixed=Fixed())
    resources: Annotated[Resources | None, Field(description="Compute resources of a serving pod.")] = None
    pod: Annotated[PodExtras | None, Field(description="Labels, priority and variables of the pods.")] = None


class Rolling(Value):
    """The candidate is brought up beside the champion and takes over when all its pods are ready."""


class Strategy(Value):
    """How traffic moves from the champion to the candidate: exactly one of the members."""

    model_config = rules(exactly_one("rolling"))

    rolling: Annotated[Rolling | None, Field(description="All at once, when the candidate is ready.")] = None


class Promotion(Value):
    """Who says which version should be in which stage, and what the registry is told in return."""

    source: Annotated[
        Literal["Cluster", "Registry"],
        Field(
            description="`Cluster`: the stage of each ModelVersion. `Registry`: the stages and aliases in the "
            "registry; ModelVersions are made for what they ask for, and their own stage is ignored."
        ),
    ] = "Cluster"
    on_refusal: Annotated[
        Literal["Revert", "Keep"],
        Field(
            description="What becomes of a label in the registry that asked for what was refused. `Revert`: it goes "
            "back to what serves. `Keep`: it stays, with a warning."
        ),
    ] = "Revert"
    on_drift: Annotated[
        Literal["Report", "Correct"],
        Field(
            description="What becomes of labels in the registry that were moved by hand and ask for nothing. "
            "`Report`: they stay and are reported. `Correct`: they are set back."
        ),
    ] = "Report"


class Adoption(Value):
    """A Deployment that serves the model already. Slipway reads it, and never writes it."""

    deployment: Annotated[ResourceName, Field(description="Name of the Deployment, in this namespace.")]
    port: Annotated[
        int, Field(ge=1, le=65535, description="Port of its pods on which the model answers; the Service's is 80.")
    ]
    version: Annotated[
        int | None,
        Field(
            ge=1,
            le=2_147_483_647,
            description="Number in the registry of the version that it runs, where somebody knows. It is imported, and "
            "versions are compared with it; a label on it in the registry asks for nothing.",
        ),
    ] = None


class Rollout(Value):
    """How one version replaces another."""

    strategy: Annotated[Strategy, Field(description="How traffic moves.")] = Strategy(rolling=Rolling())
    keep_warm: Annotated[Duration, Field(description="How long the predecessor's pods stay up for a rollback.")] = "1h"
    history_limit: Annotated[
        int,
        Field(
            ge=1,
            le=8,
            description="How many released versions stay known as safe to go back to, besides champion and "
            "predecessor.",
        ),
    ] = 5


class RegisteredModelSpec(Value):
    """One model: where it is registered, how its versions are proven, rolled out and served."""

    suspend: Annotated[bool, Field(description="Stop acting on this model; what serves goes on serving.")] = False
    source: Annotated[Source, Field(description="Where the model is registered.")] = Source()
    validation: Annotated[Validation, Field(description="How versions are proven.")] = Validation()
    serving: Annotated[Serving, Field(description="How versions are served.")] = Serving()
    rollout: Annotated[Rollout, Field(description="How versions replace each other.")] = Rollout()
    promotion: Annotated[Promotion, Field(description="Who promotes versions.")] = Promotion()
    adopt: Annotated[
        Adoption | None,
        Field(
            description="A Deployment that serves already: it has the traffic of the model's Service until the first "
            "version takes over. It counts only until then."
        ),
    ] = None


class Live(Value):
    """A version that has pods."""

    version: Annotated[int, Field(description="Number of the version.")]
    digest: Annotated[str, Field(max_length=71, description="Digest of what it serves.")] = ""
    since: Annotated[Time | None, Field(description="Since when it has had the traffic, or a candidate its pods.")] = (
        None
    )
    until: Annotated[Time | None, Field(description="Until when it is kept warm.")] = None
    ready: Annotated[str, Field(max_length=32, description="Ready pods of wanted pods, such as 2/2.")] = ""


UNKNOWN = "unknown: adopted"
Unknown = Annotated[str, Field(max_length=32)]


class Adopted(Value):
    """A Deployment that was taken in, and what nobody knows of it."""

    deployment: Annotated[str, Field(max_length=253, description="Its name.")]
    version: Annotated[int | None, Field(description="Number of the version that it is said to run.")] = None
    serving: Annotated[bool, Field(description="Whether it has the traffic.")] = False
    since: Annotated[Time | None, Field(description="Since when it has had the traffic.")] = None
    ready: Annotated[str, Field(max_length=32, description="Ready pods of wanted pods, such as 2/2.")] = ""
    digest: Annotated[Unknown, Field(description="Of its model's files.")] = UNKNOWN
    environment: Annotated[Unknown, Field(description="Of its Python packages.")] = UNKNOWN
    report: Annotated[Unknown, Field(description="Of a validation of its model.")] = UNKNOWN


class RegisteredModelStatus(ObjectStatus):
    """What serves, what is on its way, and what a rollback would return to."""

    url: Annotated[str | None, Field(max_length=512, description="Where predictions are served in the cluster.")] = None
    champion: Annotated[Live | None, Field(description="The version that has the traffic.")] = None
    candidate: Annotated[Live | None, Field(description="The version that is being rolled out.")] = None
    predecessor: Annotated[Live | None, Field(description="The version that a rollback returns to.")] = None
    history: Annotated[
        tuple[Served, ...], Field(max_length=HISTORY, description="What had the traffic when, the latest last.")
    ] = ()
    before: Annotated[
        str | None, Field(max_length=256, description="What had the traffic before, until when, and why it left.")
    ] = None
    adopted: Annotated[Adopted | None, Field(description="The Deployment that served before any version did.")] = None
    following_since: Annotated[
        Time | None,
        Field(
            description="Since when a label that is moved in the registry is a request (RFC 3339); what was moved "
            "before asks for nothing. Absent: labels decide nothing, or were not read yet."
        ),
    ] = None
    rollback: Annotated[
        str | None, Field(max_length=64, description="Where a rollback would lead, such as `to v2, warm`.")
    ] = None


class RegisteredModel(Value):
    """One model and everything that serves it."""

    plural: ClassVar[str] = "registeredmodels"
    short: ClassVar[str] = "rmodel"
    columns: ClassVar[tuple[tuple[str, str, str, int], ...]] = (
        ("Serving", "string", ".status.champion.version", 0),
        ("Since", "date", ".status.champion.since", 0),
        ("Pods", "string", ".status.champion.ready", 0),
        ("Candidate", "string", ".status.candidate.version", 0),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
        ("Rollback", "string", ".status.rollback", 0),
        ("URL", "string", ".status.url", 0),
        ("Adopted", "string", ".status.adopted.deployment", 1),
        ("Before", "string", ".status.before", 1),
        ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
    )
    root_rules: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
            "the name becomes the Service's: at most 40 lower-case letters, digits and '-', beginning with a letter",
        ),
        (f"!self.metadata.name.matches('{ENDINGS[0]}')", ENDINGS[1]),
    )

    metadata: Meta
    spec: RegisteredModelSpec = RegisteredModelSpec()
    status: RegisteredModelStatus = RegisteredModelStatus()

    @property
    def registered_name(self) -> str:
        """The model's name in the registry."""
        return self.spec.source.name or self.metadata.name

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The environment variables of its code."""
        return self.spec.serving.pod.env if self.spec.serving.pod else ()


__all__ = ["ItemName", "RegisteredModel", "RegisteredModelSpec", "RegisteredModelStatus"]
