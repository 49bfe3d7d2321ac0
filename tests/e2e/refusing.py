"""Causes for which a version is refused: each real, with its own reason and the words that a person needs."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dev.demo.kube import Object
from dev.demo.manifests import SYSTEM

from .conftest import World
from .making import METRIC

WRONG = "sha256:" + "0" * 64
LOCKED = f"locked-{uuid.uuid4().hex[:6]}"  # beside the operator: that is where it may read a registry's Secret
CLOSED = f"closed-{uuid.uuid4().hex[:6]}"  # a registry that serves its own namespace only
Policy = Callable[[World], Object]


@dataclass(frozen=True)
class Case:
    """One version, and why it is refused."""

    name: str
    because: str
    kind: str  # of the condition that does not hold
    reason: str
    says: tuple[str, ...]  # what a person needs to read
    role: str = "good"
    policy: Policy = lambda world: world.policy()
    spec: Mapping[str, Any] | None = None  # of the version, beyond the ordinary
    where: str = "here"  # or: full (of quota), narrow (by LimitRange)
    registry: str = ""  # a ModelRegistry instead of the one that all share: its name, or namespace/name
    description: str = ""  # of the version in MLflow
    version: int = 1
    status: str = "False"
    attempts: int | None = 1  # of the validation; None where it never came so far
    stuck: bool = True
    source: str = ""  # version 2 is registered from there


def data(**changed: str) -> Policy:
    """The usual policy with other data."""

    def policy(world: World) -> Object:
        usual = world.policy()
        return usual | {"data": usual["data"] | changed}

    return policy


CASES = [
    Case(
        "worse", "its error is beyond the threshold", "Validated", "GateFailed",
        (f"{METRIC} is", "must be at most 8"), role="worse",
    ),
    Case(
        "no-metric", "a gate asks for what MLflow does not compute", "Validated", "MetricNotComputed",
        ("mean_banana_error", "mean_absolute_error"), policy=lambda world: world.policy(metric="mean_banana_error"),
    ),
    Case(
        "no-column", "the file has no target", "Validated", "DataColumnMissing",
        ("'minutes'", "distance, hour"), policy=lambda world: world.policy("untargeted.parquet"),
    ),
    Case(
        "no-feature", "the file lacks a column that the model was trained on", "Validated", "DataDoesNotFit",
        ("score-candidate", "the data has no column 'hour'"),
        policy=lambda world: world.policy("featureless.parquet"),
    ),
    Case(
        "no-rows", "nothing can be measured on nothing", "Validated", "DataEmpty",
        ("no rows",), policy=lambda world: world.policy("empty.parquet"),
    ),
    Case(
        "gaps", "three rows have no truth", "Validated", "DataInvalid",
        ("3 rows", "'minutes'"), policy=lambda world: world.policy("gaps.parquet"),
    ),
    Case(
        "data-changed", "the data is not what was pinned", "Validated", "DigestMismatch",
        ("the data has the digest", WRONG), policy=data(digest=WRONG), attempts=None,
    ),
    Case(
        "model-changed", "the model is not what was reviewed", "Imported", "DigestMismatch",
        ("the model's files have the digest", WRONG), spec={"digest": WRONG}, attempts=None,
    ),
    Case(
        "no-data", "the registry has no such file", "Validated", "DataUnreadable",
        ("absent.parquet",), attempts=None,
        policy=lambda world: data(
            uri=world.made.data["holdout.parquet"].uri.replace("holdout", "absent")
        )(world),
    ),
    Case(
        "only-here", "its class is only in its author's checkout", "Validated", "ModelDoesNotLoad",
        ("score-candidate", "No module named 'tests'"), role="only-here",
    ),
    Case(
        "raises", "its code fails on the data", "Validated", "PredictionFailed",
        ("score-candidate", "the column 'season' is needed"), role="raises",
    ),
    Case(
        "unset", "it was logged with a variable that nobody gives it", "Validated", "PredictionFailed",
        ("the model was logged with FLIGHTS_API_KEY, which is not set", "spec.serving.pod.env"), role="needs_key",
    ),
    Case(
        "nan", "its predictions are no numbers", "Validated", "PredictionsInvalid",
        ("the prediction of row 0 is no finite number",), role="answers_nan",
    ),
    Case(
        "leaves", "it ends well and has predicted nothing", "Validated", "PredictionsInvalid",
        ("predictions.json", "No such file"), role="leaves",
    ),
    Case(
        "needs-two", "it cannot answer a client that has one row", "Validated", "RehearsalFailed",
        ("1 row as dataframe_split", "the model's server answered"), role="needs_two",
    ),
    Case(
        "dies-served", "its server dies when it is asked", "Validated", "ModelCrashed",
        ("Step 'serve-candidate' ended with code 7",), role="dies_served",
    ),
    Case(
        "memory", "it needs more than its pool gives", "Validated", "OutOfMemory",
        ("'score-candidate' exceeded its memory limit",), role="eats_memory",
        policy=lambda world: world.policy(pool={"name": "small"}),
    ),
    Case(
        "sleeps", "it takes longer than it may", "Validated", "DeadlineExceeded",
        ("longer than 40 s",), role="sleeps", policy=lambda world: world.policy(timeout="40s"),
    ),
    Case(
        "outdated", "it was made with a package that the image does not have", "Validated",
        "EnvironmentNotReproducible", ("scikit-learn==0.1 wanted", "present"), role="outdated",
    ),
    Case(
        "unstated", "its files do not say what it was made with", "Validated", "EnvironmentUnstated",
        ("nothing is stated of the packages", "environments.unstated"), role="unstated",
    ),
    Case(
        "older-mlflow", "an earlier major version of MLflow made it", "Validated", "EnvironmentNotReproducible",
        ("mlflow==2.9.2 wanted", "mlflow 3."), role="older-mlflow",
    ),
    Case(
        "newer-mlflow", "an MLflow made it that is later than the image's", "Validated", "EnvironmentNotReproducible",
        ("mlflow==3.9999.0 wanted", "mlflow 3."), role="newer-mlflow",
    ),
    Case(
        "no-mlmodel", "its upload broke off before the file that says what it is", "Resolved", "ArtifactMissing",
        ("MLmodel", "Log the model again"), role="no-mlmodel", attempts=None,
    ),
    Case(
        "link-out", "a file of it is a link to one of the server's own", "Imported", "ArtifactMissing",
        ("400", "outside the artifact directory"), role="link-out", attempts=None,
    ),
    Case(
        "link-loop", "a folder of it is a link to itself, and so has no end", "Imported", "UnsafeArtifact",
        ("nested deeper than 32 levels", "Log the model without it."), role="link-loop", attempts=None,
    ),
    Case(
        "link-broken", "MLflow's server fails on a link to nothing, and on nothing else", "Imported",
        "ArtifactMissing", ("HTTP 500", "a link that leads nowhere"), role="link-broken", attempts=None,
    ),
    Case(
        "no-pool", "the platform team knows no such pool", "Validated", "PoolNotFound",
        ("'moon'", "cpu"), policy=lambda world: world.policy(pool={"name": "moon"}), attempts=None,
    ),
    Case(
        "nowhere", "no node belongs to its pool", "Validated", "Unschedulable", ("node", "Gave up after 5 s"),
        policy=lambda world: world.policy(pool={"name": "nowhere"}, pendingTimeout="5s"), attempts=3,
    ),
    Case(
        "full", "the namespace's quota lets no pod in", "Validated", "QuotaExceeded", ("exceeded quota", "no-pods"),
        where="full", policy=lambda world: world.policy(pendingTimeout="5s"), attempts=3,
    ),
    Case(
        "narrow", "the namespace's limits let no such pod in", "Validated", "AdmissionDenied",
        ("maximum memory usage per Pod",), where="narrow", policy=lambda world: world.policy(pendingTimeout="5s"),
    ),
    Case(
        "no-version", "it was never registered", "Resolved", "VersionNotFound", ("7",), version=7, attempts=None,
    ),
    Case(
        "bucket", "its files lie where no import may read", "Resolved", "ArtifactForbidden",
        ("s3://elsewhere/model", "--serve-artifacts"), source="s3://elsewhere/model", version=2, attempts=None,
    ),
    Case(
        "no-registry", "there is no such ModelRegistry", "Resolved", "RegistryNotFound", ("nobody",),
        registry="nobody", attempts=None,
    ),
    Case(
        "foreign", "its namespace is not among those that the registry serves", "Resolved", "RegistryNotAllowed",
        (f"{SYSTEM}/{CLOSED}",), registry=f"{SYSTEM}/{CLOSED}", attempts=None,
    ),
    Case(
        "dead", "nobody listens where the registry should be; absence is not proven by that", "Resolved",
        "RegistryUnreachable", ("127.0.0.1:9",), registry="dead", status="Unknown", attempts=None, stuck=False,
    ),
    Case(
        "guarded", "the registry asks for a credential", "Resolved", "RegistryUnauthorized",
        ("asks for a credential (401)", "set auth"), registry="guarded", attempts=None,
    ),
    Case(
        "locked", "the registry knows neither the name nor the password", "Resolved", "RegistryUnauthorized",
        ("refused the username and password (401)", "Secret of the ModelRegistry"), registry=f"{SYSTEM}/{LOCKED}",
        attempts=None,
    ),
    Case(
        "talkative", "its description is larger than any answer that is read", "Resolved", "RegistryRejected",
        ("more than 8388608 bytes",), description="x" * 9_000_000, attempts=None,
    ),
]  # fmt: skip
CHEAT = Case(
    "cheats", "it claims a verdict wherever one is written, and looks for credentials", "Validated", "GateFailed",
    (f"{METRIC} is", "must be at most 8"), role="cheats",
)  # fmt: skip
BYSTANDER = Case(
    "bystander", "nothing is wrong with it, and a megabyte of description is no harm", "Ready", "Serving", (),
    description="x" * 1_000_000,
)  # fmt: skip
