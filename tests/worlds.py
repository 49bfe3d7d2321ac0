"""Worlds for tests: values that a pass may see, built from the few facts that a case is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.api.modelledger import ModelLedgerSpec, Release
from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import ledger as ledgers
from slipway.core.decision import Apply, Decision, Delete, Ref
from slipway.core.election import elect
from slipway.core.jobs import JobSeen
from slipway.core.observed import ModelSeen, Record, VersionSeen
from slipway.core.pods import Trouble, VersionPods
from slipway.core.registry import Absent, Entry, Labels, RegistryModel, Silent
from slipway.core.released import released
from slipway.core.revisions import revision_of
from slipway.resources import naming, serving
from slipway.resources.platform import DefaultRegistry, Platform, PoolSettings

NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
STAMP = "2026-03-06T17:00:00Z"
PLATFORM = Platform(
    namespace="slipway-system",
    cluster_name="test",
    runner_image="runner:1",
    default_registry=DefaultRegistry(name="mlflow", namespace="ml"),
    pools=(PoolSettings(name="cpu"), PoolSettings(name="gpu", node_selector={"pool": "gpu"})),
)
REGISTRY = ModelRegistry.model_validate(
    {"metadata": {"name": "mlflow", "namespace": "ml"}, "spec": {"backend": {"mlflow": {"uri": "http://mlflow:5000"}}}}
)
GATE = {"name": "error", "metric": {"name": "root_mean_squared_error", "threshold": 12.0, "greaterIsBetter": False}}
RELATIVE = {
    "name": "better",
    "metric": {"name": "root_mean_squared_error", "minRelativeChange": 0.01, "greaterIsBetter": False},
}
DATA = {"uri": "mlflow-artifacts:/1/holdout.parquet", "target": "air_time"}


def digest(letter: str) -> str:
    """A digest that a person can tell from another."""
    return "sha256:" + (letter * 64 if letter in "0123456789abcdef" else f"{ord(letter):02x}" * 32)


def model(
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    created: str = "2026-03-06T16:00:00Z",
    **annotations: str,
) -> RegisteredModel:
    """The RegisteredModel `flights`."""
    meta = {"name": "flights", "namespace": "ml", "uid": "model-uid", "generation": 1, "creationTimestamp": created}
    named = {f"slipway.dev/{key}": value for key, value in annotations.items()}
    return RegisteredModel.model_validate(
        {"metadata": meta | {"annotations": named}, "spec": spec or {}, "status": status or {}}
    )


def version(
    number: int, stage: str = "Production", status: Mapping[str, Any] | None = None, **extra: Any
) -> ModelVersion:
    """A ModelVersion of `flights`; `retry` and other annotations by name, further spec fields in `spec`."""
    spec = {"model": "flights", "version": number, "stage": stage} | extra.pop("spec", {})
    meta = {
        "name": f"flights-v{number}", "namespace": "ml", "uid": f"v{number}-uid", "generation": 1,
        "creationTimestamp": extra.pop("created", "2026-03-06T16:00:00Z"),
    }  # fmt: skip
    named = {f"slipway.dev/{key}": value for key, value in extra.items()}
    return ModelVersion.model_validate(
        {"metadata": meta | {"annotations": named}, "spec": spec, "status": status or {}}
    )


def proven(number: int, stage: str = "Production", champion: str = "", **extra: Any) -> ModelVersion:
    """A version whose validation passed against the champion with that digest."""
    holding = [_condition(kind, "True", "Imported") for kind in ("Resolved", "Imported", "Validated")]
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "digest": digest(chr(96 + number)),
        "conditions": [*holding, _condition("Ready", "False", "RolloutProgressing")],
        "validation": {"key": "k", "outcome": "Passed", "championDigest": champion or None},
        "lastHandledRetry": extra.get("retry"),
    }
    bare = version(number, stage, status, **extra)
    status["validation"]["revision"] = revision_of(model(), bare, ())
    return version(number, stage, status, **extra)


def refused(number: int, reason: str = "GateFailed") -> ModelVersion:
    """A version that did not make it."""
    conditions = [_condition("Validated", "False", reason), _condition("Stalled", "True", reason)]
    status = {"observedGeneration": 1, "digest": digest(chr(96 + number)), "conditions": conditions}
    return version(number, "Production", status)


def _condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": STAMP}


ENTRY = Entry(
    name="flights",
    version=1,
    source="models:/m-1",
    location="mlflow-artifacts:/1/models/m-1/artifacts",
    model_id="m-1",
    run_id="run-1",
    mlmodel_digest=digest("f"),
    mlflow_version="3.17.2",
    flavors=("python_function", "xgboost"),
    size_bytes=1000,
)


def version_seen(
    of: ModelVersion,
    parent: RegisteredModel | None = None,
    entry: Entry | Absent | Silent | None = ENTRY,
    jobs: Mapping[str, JobSeen] | None = None,
    ledger: ModelLedgerSpec | None = None,
    registry: ModelRegistry | Silent = REGISTRY,
    now: datetime = NOW,
) -> VersionSeen:
    """What the version reconciler sees."""
    known = ledger or ledgers.EMPTY
    return VersionSeen(
        now=now,
        platform=PLATFORM,
        version=of,
        family=model_seen((of,), known, of=parent, registry=registry, now=now) if parent else None,
        ledger=known,
        registry=registry,
        entry=entry,
        credentials={"username": "slipway", "password": "hush"},
        jobs=jobs or {},
    )


def job(name: str, phase: str, age_seconds: int = 5, **more: Any) -> JobSeen:
    """A Job; its name tells what it is for."""
    purpose = next(one for one in ("import", "data", "environment", "validate", "") if f"-{one}-" in name or not one)
    return JobSeen(name, f"{name}-uid", NOW - timedelta(seconds=age_seconds), phase, purpose=purpose, **more)  # type: ignore[arg-type]


def release(number: int, of: RegisteredModel | None = None) -> Release:
    """What a version was released as, under the settings of a model."""
    record = record_of(number, of or model())
    return Release(version=number, digest=record.digest, record=record.hash, inputs=record.inputs, since=STAMP)


def serves(champion: int, predecessor: int | None = None, since: datetime = NOW, **more: Any) -> ModelLedgerSpec:
    """The ledger of a model whose champion was released, as were all versions before it."""
    return ModelLedgerSpec(
        model_uid="model-uid",
        champion=champion,
        predecessor=predecessor,
        since=since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        released=tuple(release(number) for number in range(max(1, champion - 9), champion + 1)),
    ).model_copy(update=more)


def pods_of(
    number: int, of: RegisteredModel | None = None, ready: bool = True, trouble: Trouble | None = None
) -> VersionPods:
    """The pod of a version, as the model asks for it now."""
    return VersionPods(number, 1, 1 if ready else 0, ready, record_of(number, of or model()).hash, trouble)


def record_of(number: int, of: RegisteredModel) -> Record:
    """The record of what a version runs under the settings of a model."""
    digest_of = digest(chr(96 + number))
    template = serving.pod_template(PLATFORM, of, number, digest_of, PLATFORM.pools[0])
    inputs = serving.inputs(of, digest_of)
    return Record(number, digest_of, serving.template_hash(template), inputs, number, template)


def model_seen(
    versions: tuple[ModelVersion, ...],
    ledger: ModelLedgerSpec | None = None,
    pods: tuple[VersionPods, ...] = (),
    of: RegisteredModel | None = None,
    labels: Mapping[int, Labels] | None = None,
    registry: ModelRegistry | Silent = REGISTRY,
    now: datetime = NOW,
) -> ModelSeen:
    """What the model reconciler sees; every released version has its record, and the route is the ledger's."""
    parent = of or model()
    known = ledger or ledgers.EMPTY
    released_under = [record_of(one.version, model()) for one in known.released]
    records = [*released_under, *(record_of(one.version, parent) for one in pods)]
    return ModelSeen(
        now=now,
        platform=PLATFORM,
        model=parent,
        versions=versions,
        registry=registry,
        ledger=ledger,
        ledger_version="1" if ledger else "",
        route=str(known.champion or naming.NOBODY) if known.since else "",
        records={(one.version, one.hash): one for one in records},
        pods={one.version: one for one in pods},
        labels=RegistryModel(labels or {}),
    )


def ledger_after(decision: Decision) -> ModelLedgerSpec | None:
    """The ledger once the decision is carried out; None if it writes none."""
    found = [one for one in applied(decision) if one["kind"] == "ModelLedger"]
    return ModelLedgerSpec.model_validate(found[0]["spec"]) if found else None


def routed(decision: Decision) -> str:
    """The version that the Service selects once the decision is carried out; "" if it says nothing of it."""
    found = [one for one in applied(decision) if one["kind"] == "Service"]
    return str(found[0]["spec"]["selector"]["slipway.dev/version"]) if found else ""


def applied(decision: Decision) -> list[Mapping[str, Any]]:
    """The manifests that a decision applies, in their order."""
    return [one.manifest for one in decision.acts if isinstance(one, Apply)]


def deleted(decision: Decision) -> list[Ref]:
    """The objects that a decision deletes."""
    return [one.what for one in decision.acts if isinstance(one, Delete)]


def released_of(seen: ModelSeen, number: int) -> tuple[str, str]:
    """Status and reason of a version's Released condition."""
    ledger = seen.ledger or ledgers.EMPTY
    found = seen.version(number)
    assert found is not None
    verdict = released(seen, ledger, elect(seen, ledger), found)
    return verdict.status, verdict.reason


def with_ledger(seen: ModelSeen, ledger: ModelLedgerSpec | None) -> ModelSeen:
    """The world in which the ledger was written and the route follows it."""
    assert ledger is not None
    return replace(seen, ledger=ledger, ledger_version="2", route=str(ledger.champion or naming.NOBODY))
