"""Validation policy: on what data, on which pool, and past which gates a version must come."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Digest, Duration, ItemName, ResourceName, Value, exactly_one, keyed_by, rules


class Pool(Value):
    """A node pool, by the name that the operator's settings give it."""

    name: Annotated[ItemName, Field(description="Name of the pool.")]


class PolicyPool(Pool):
    """The pool that a policy chooses, and whether a version may choose another."""

    overridable: Annotated[bool, Field(description="Whether a ModelVersion may choose another pool.")] = False


class LocalSecretRef(Value):
    """A Secret beside the object that names it."""

    name: Annotated[ResourceName, Field(description="Name of the Secret.")]


Column = Annotated[str, Field(min_length=1, max_length=256)]


class Data(Value):
    """The evaluation data: one parquet or CSV file with the target in a column."""

    model_config = rules(
        exactly_one("target", "targets"),
        ("!has(self.secretRef) || self.uri.startsWith('s3://')", "secretRef is read for s3:// data only; remove it"),
        ("!has(self.endpoint) || self.uri.startsWith('s3://')", "endpoint is read for s3:// data only; remove it"),
    )

    uri: Annotated[
        str,
        Field(
            min_length=8,
            max_length=2048,
            pattern=r"^(runs:/|mlflow-artifacts:/|https?://|s3://|pvc://)[^\s]+\.(parquet|csv)$",
            description="`runs:/<run>/<path>`, `mlflow-artifacts:/<path>`, `http(s)://…`, `s3://<bucket>/<key>` or "
            "`pvc://<claim>/<path>`, ending in .parquet or .csv.",
        ),
    ]
    digest: Annotated[
        Digest | None, Field(description="sha256 of the file; other content is refused (DigestMismatch).")
    ] = None
    target: Annotated[Column | None, Field(description="Column that the model predicts.")] = None
    targets: Annotated[
        tuple[Column, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="Columns that a model with several outputs predicts; a gate names the one that it is about.",
        ),
    ] = ()
    secret_ref: Annotated[
        LocalSecretRef | None,
        Field(
            description="For s3: a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
            "without it, the file is read as a public one."
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        Field(max_length=2048, pattern=r"^https?://[^\s]+$", description="For s3: URL of an S3 store other than AWS."),
    ] = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are predicted."""
        return (self.target,) if self.target else self.targets


Output = Annotated[str, Field(min_length=1, max_length=256)]


class PredictionOutput(Value):
    """Which of a model's outputs is the prediction of a target."""

    target: Annotated[Column, Field(description="Column of the data.")]
    output: Annotated[Output, Field(description="Name of the output, or its position from 0.")]


class ProbabilityOutput(Value):
    """Which of a model's outputs is the probability of a class."""

    label: Annotated[str, Field(min_length=1, max_length=256, description="The class, as in the data: `1`, `true`.")]
    output: Annotated[
        Output | None, Field(description="Name of the output, or its position from 0; default: the only one.")
    ] = None


class Outputs(Value):
    """What a model's outputs mean, where it has several for each row, or probabilities."""

    predictions: Annotated[
        tuple[PredictionOutput, ...],
        Field(
            max_length=16,
            json_schema_extra=keyed_by("target"),
            description="Outputs that are predictions. Default: the only one, the one with the target's name, or of as "
            "many as there are targets the one in its place; with `probabilities`, the most probable class.",
        ),
    ] = ()
    probabilities: Annotated[
        tuple[ProbabilityOutput, ...],
        Field(
            max_length=64,
            json_schema_extra=keyed_by("label"),
            description="Outputs that are probabilities of classes: of each class, or of one of two. With them there "
            "are `roc_auc`, `log_loss` and `brier_score_loss`.",
        ),
    ] = ()


class MetricGate(Value):
    """A bound on one of MLflow's metrics, in the words of `mlflow.models.MetricThreshold`."""

    model_config = rules(
        (
            "has(self.threshold) || has(self.minAbsoluteChange) || has(self.minRelativeChange)",
            "give at least one of 'threshold', 'minAbsoluteChange' or 'minRelativeChange'",
        )
    )

    name: Annotated[
        str, Field(min_length=1, max_length=128, description="MLflow's metric name, such as root_mean_squared_error.")
    ]
    target: Annotated[
        Column | None, Field(description="Of `data.targets`, the one whose predictions are measured.")
    ] = None
    threshold: Annotated[float | None, Field(description="The candidate must be at least (or at most) this good.")] = (
        None
    )
    min_absolute_change: Annotated[
        float | None, Field(gt=0, description="The candidate must beat the champion by at least this much.")
    ] = None
    min_relative_change: Annotated[
        float | None, Field(gt=0, le=1, description="The candidate must beat the champion by at least this fraction.")
    ] = None
    greater_is_better: Annotated[bool, Field(description="Whether a higher value of the metric is a better one.")]


class Gate(Value):
    """One thing that must hold before a version is released: exactly one of the kinds."""

    model_config = rules(exactly_one("metric"))

    name: Annotated[ItemName, Field(description="Name of the gate, unique in its list.")]
    overridable: Annotated[bool, Field(description="Whether a ModelVersion may replace this gate.")] = False
    metric: Annotated[MetricGate | None, Field(description="A bound on a metric.")] = None


Gates = Annotated[
    tuple[Gate, ...],
    Field(max_length=32, json_schema_extra=keyed_by("name"), description="What must hold; every gate must pass."),
]


class Validation(Value):
    """How a version of a model is proven before it is released."""

    model_config = rules(
        ("!has(self.gates) || self.gates.size() == 0 || has(self.data)", "gates need 'data' to be judged on"),
        ("!has(self.data) || has(self.modelType)", "'data' needs 'modelType': regressor or classifier"),
        (
            "!has(self.positiveLabel) || (has(self.modelType) && self.modelType == 'classifier')",
            "'positiveLabel' is for the modelType classifier",
        ),
        (
            "!has(self.outputs) || !has(self.outputs.probabilities) || (has(self.data) && has(self.data.target) && "
            "has(self.modelType) && self.modelType == 'classifier')",
            "'outputs.probabilities' is for a classifier with one 'data.target'",
        ),
    )

    pool: Annotated[PolicyPool | None, Field(description="Where it runs; default: the operator's default pool.")] = None
    timeout: Annotated[Duration, Field(description="Longest running time of one validation.")] = "30m"
    pending_timeout: Annotated[Duration, Field(description="Longest wait for a node.")] = "10m"
    model_type: Annotated[
        Literal["regressor", "classifier"] | None, Field(description="Which of MLflow's metrics apply.")
    ] = None
    data: Annotated[Data | None, Field(description="The evaluation data.")] = None
    positive_label: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description="Which of two classes precision, recall and the like are about, as in the data: `1`, `yes`. "
            "Default: 1 or true, where the other one is 0, -1 or false.",
        ),
    ] = None
    outputs: Annotated[Outputs | None, Field(description="What the model's outputs mean.")] = None
    gates: Gates = ()
    evaluation: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="Bump it to have every unreleased version validated once more."),
    ] = None


class VersionValidation(Value):
    """What one version adds to its model's policy."""

    pool: Annotated[Pool | None, Field(description="Validate on another pool.")] = None
    gates: Gates = ()
