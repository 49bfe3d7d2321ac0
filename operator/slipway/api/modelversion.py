"""ModelVersion: one version of a model, and the stage that it should be in."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from . import names
from .base import ENDINGS, IMMUTABLE, Digest, ModelName, Time, Value, keyed_by, rules
from .condition import ObjectStatus
from .facts import Changes, Facts
from .meta import Meta
from .validation import VersionValidation

RETRY_LENGTH = 256
Stage = Literal["None", "Staging", "Production", "Archived"]
_IMMUTABLE = {"x-kubernetes-validations": [{"rule": IMMUTABLE[0], "message": IMMUTABLE[1]}]}
_MODEL = {
    "x-kubernetes-validations": [
        *_IMMUTABLE["x-kubernetes-validations"],
        {"rule": f"!self.matches('{ENDINGS[0]}')", "message": ENDINGS[1]},
    ]
}


class ModelVersionSpec(Value):
    """Which version, and the stage that it should be in."""

    model_config = rules(
        (
            "!has(oldSelf.digest) || (has(self.digest) && self.digest == oldSelf.digest)",
            "digest cannot be changed once it is set: it pins what was reviewed",
        )
    )

    model: Annotated[ModelName, Field(description="Name of the RegisteredModel.", json_schema_extra=_MODEL)]
    version: Annotated[
        int,
        Field(
            ge=1, le=2_147_483_647, description="Number of the version in the registry.", json_schema_extra=_IMMUTABLE
        ),
    ]
    stage: Annotated[Stage, Field(description="The stage that it should be in.")] = "None"
    digest: Annotated[Digest | None, Field(description="Digest of the artifacts that were reviewed.")] = None
    validation: Annotated[VersionValidation | None, Field(description="What this version adds to the policy.")] = None


class GateResult(Value):
    """What one gate said."""

    name: Annotated[str, Field(max_length=63, description="Name of the gate.")]
    result: Annotated[Literal["Passed", "Failed", "Skipped"], Field(description="Passed, Failed or Skipped.")]
    metric: Annotated[str, Field(max_length=400, description="The metric that was compared.")] = ""
    candidate: Annotated[float | None, Field(description="Value of the candidate.")] = None
    champion: Annotated[float | None, Field(description="Value of the champion, if there was one.")] = None
    message: Annotated[str, Field(max_length=512, description="The comparison, in words.")] = ""


class Attempt(Value):
    """How far a Job for one revision came; kept so that a finished one is never repeated."""

    key: Annotated[str, Field(max_length=64, description="Hash of everything that the Job's result depends on.")]
    attempt: Annotated[int, Field(ge=1, le=1_000_000, description="Which attempt it is.")] = 1
    outcome: Annotated[
        Literal["Running", "Passed", "Failed"], Field(description="Whether it is running, passed or failed.")
    ] = "Running"
    reason: Annotated[str | None, Field(max_length=128, description="Why it failed.")] = None
    message: Annotated[str | None, Field(max_length=2048, description="What was last seen of it.")] = None
    started_at: Annotated[Time | None, Field(description="When this attempt began.")] = None
    finished_at: Annotated[Time | None, Field(description="When this attempt ended.")] = None


class ImportRecord(Attempt):
    """The import of a version's files into the artifact store."""

    digest: Annotated[str | None, Field(max_length=71, description="Digest of the imported files.")] = None
    size_bytes: Annotated[int | None, Field(description="Size of the imported files.")] = None


class DataRecord(Attempt):
    """The import of evaluation data that the registry holds."""

    digest: Annotated[str | None, Field(max_length=71, description="Digest of the imported data.")] = None


class EnvironmentRecord(Attempt):
    """How far the packages came that the version was trained with, and where they are."""

    digest: Annotated[
        str | None, Field(max_length=71, description="Digest of the packages; absent: the runner image has them.")
    ] = None
    image: Annotated[str | None, Field(max_length=512, description="The runner image that has them.")] = None
    python: Annotated[
        str | None,
        Field(max_length=8, description="Minor version of the Python that it runs on; absent: the runner image's own."),
    ] = None
    packages: Annotated[int | None, Field(ge=0, description="How many they are.")] = None
    size_bytes: Annotated[int | None, Field(description="Their size, with their byte code.")] = None
    notes: Annotated[
        str | None,
        Field(max_length=1000, description="What of the model's own files was left out, or taken for something else."),
    ] = None


class ValidationRecord(Attempt):
    """The validation of a version against the champion of its time."""

    revision: Annotated[str, Field(max_length=64, description="Hash of what invalidates this evidence.")] = ""
    champion_version: Annotated[int | None, Field(description="The champion that it was compared with.")] = None
    champion_digest: Annotated[str | None, Field(max_length=71, description="Digest of that champion.")] = None
    data_digest: Annotated[str | None, Field(max_length=71, description="Digest of the data.")] = None
    rows: Annotated[int | None, Field(description="Rows of the data.")] = None
    gates: Annotated[
        tuple[GateResult, ...],
        Field(max_length=64, json_schema_extra=keyed_by("name"), description="What each gate said."),
    ] = ()
    pool: Annotated[str, Field(max_length=63, description="The pool that it ran on.")] = ""
    environment: Annotated[
        str | None, Field(max_length=71, description="Content digest of the environment that the model ran in.")
    ] = None
    python: Annotated[str | None, Field(max_length=8, description="Its Python minor version.")] = None
    rehearsal: Annotated[
        str | None,
        Field(max_length=1024, description="How its server answered before it served, and whether the fast way is on."),
    ] = None


def _short(text: str) -> str:
    """The text, if it takes no more bytes than its field has characters."""
    if len(text.encode()) > 2048:
        raise ValueError("takes more than 2048 bytes")
    return text


def _all_short(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts, if a status has room for all of them."""
    if len("".join(texts).encode()) > 1024:
        raise ValueError("take more than 1024 bytes")
    return texts


class Resolved(Value):
    """What the registry says of the version, pinned when it was first read."""

    registry: Annotated[
        str, Field(max_length=16, description="Hash of the registry and the registered model that it was read from.")
    ] = ""
    origin: Annotated[
        str,
        Field(
            max_length=16,
            description="Hashes of when the registered model and the version were made on the server: those that were "
            "deleted and made anew are others. Zeros or empty: not known yet.",
        ),
    ] = ""
    source: Annotated[
        str,
        Field(max_length=2048, description="What the registry says of where the files are."),
        AfterValidator(_short),
    ]
    location: Annotated[
        str,
        Field(max_length=2048, description="The folder that this led to, from which the files are imported."),
        AfterValidator(_short),
    ] = ""
    via: Annotated[
        tuple[Annotated[str, Field(max_length=256)], ...],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
            description="Registered models that it was copied from, one after the other; empty where one is deleted.",
        ),
        AfterValidator(_all_short),
    ] = ()
    model_id: Annotated[str | None, Field(max_length=256, description="MLflow's id of the logged model.")] = None
    run_id: Annotated[str | None, Field(max_length=256, description="The run that made it.")] = None
    mlmodel_digest: Annotated[
        str | None, Field(max_length=71, description="Digest of the MLmodel file, if MLflow's server can read it.")
    ] = None
    mlflow_version: Annotated[str | None, Field(max_length=64, description="The MLflow that logged it.")] = None
    flavors: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        Field(max_length=32, description="Flavors that it can be loaded as."),
    ] = ()
    size_bytes: Annotated[int | None, Field(description="Size that the MLmodel file states.")] = None


class ModelVersionStatus(ObjectStatus):
    """What is known of the version."""

    stage: Annotated[
        Stage | None, Field(description="The stage that it is asked to be in, by its spec or by the registry.")
    ] = None
    refused_at: Annotated[
        Time | None,
        Field(description="When the registry last asked for it in vain (RFC 3339): it was refused, or is still."),
    ] = None
    resolved: Annotated[Resolved | None, Field(description="What the registry says of it.")] = None
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its files in the artifact store.")] = None
    serving: Annotated[bool, Field(description="Whether it has the model's traffic.")] = False
    facts: Annotated[Facts | None, Field(description="How it was made, as the registry tells it.")] = None
    changes: Annotated[Changes | None, Field(description="What differs from the version that serves.")] = None
    imported: Annotated[ImportRecord | None, Field(description="Its import.")] = None
    data: Annotated[
        DataRecord | None, Field(description="The import of its evaluation data, if the registry has it.")
    ] = None
    environment: Annotated[
        EnvironmentRecord | None, Field(description="The packages that it was trained with, and runs in.")
    ] = None
    validation: Annotated[ValidationRecord | None, Field(description="Its latest validation.")] = None
    url: Annotated[str | None, Field(max_length=512, description="Where it is served, while it is.")] = None
    last_handled_retry: Annotated[
        str | None, Field(max_length=RETRY_LENGTH, description="Value of the last slipway.dev/retry that was acted on.")
    ] = None


class ModelVersion(Value):
    """One version of a model, and the stage that it should be in."""

    plural: ClassVar[str] = "modelversions"
    short: ClassVar[str] = "mv"
    columns: ClassVar[tuple[tuple[str, str, str, int], ...]] = (
        ("Model", "string", ".spec.model", 0),
        ("Version", "integer", ".spec.version", 0),
        ("Stage", "string", ".status.stage", 0),
        ("Serving", "boolean", ".status.serving", 0),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Changes", "string", ".status.changes.summary", 1),
        ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
    )
    root_rules: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "self.metadata.name.matches('-v[1-9][0-9]*$') && self.metadata.name.startsWith(self.spec.model + '-v') && "
            "int(self.metadata.name.substring(self.spec.model.size() + 2)) == self.spec.version",
            "the name must be <model>-v<version>, such as flights-v3 for version 3 of the model flights",
        ),
    )

    metadata: Meta
    spec: ModelVersionSpec
    status: ModelVersionStatus = ModelVersionStatus()

    @model_validator(mode="after")
    def _is_named_after_its_number(self) -> Self:
        """The API server checks that, too; what was stored without it would be a second object of one version."""
        if self.metadata.name != f"{self.spec.model}-v{self.spec.version}":
            raise ValueError("the name must be <model>-v<version>, such as flights-v3")
        return self

    @property
    def retry(self) -> str | None:
        """What slipway.dev/retry says, as far as the status has room for it."""
        asked = self.metadata.annotations.get(names.RETRY)
        return None if asked is None else asked[:RETRY_LENGTH]
