"""Worlds for tests: values that a pass may see, built from the few facts that a case is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core.decision import Decision
from slipway.core.jobs import JobSeen
from slipway.core.observed import Fleet, Kept, ModelSeen, VersionSeen
from slipway.core.pods import Trouble
from slipway.core.registry import Absent, Entry, Labels, Silent
from slipway.core.validations import revision_of
from slipway.resources import serving
from slipway.resources.platform import DefaultRegistry, Platform, PoolSettings
from slipway.resources.serving import Traffic, read_traffic

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
    return "sha256:" + letter * 64


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
    traffic: Traffic | None = None,
    registry: ModelRegistry | Silent = REGISTRY,
    now: datetime = NOW,
) -> VersionSeen:
    """What the version reconciler sees."""
    return VersionSeen(
        now=now,
        platform=PLATFORM,
        version=of,
        model=parent,
        registry=registry,
        entry=entry,
        credentials={"username": "slipway", "password": "hush"},
        jobs=jobs or {},
        traffic=traffic or Traffic(),
    )


def job(name: str, phase: str, age_seconds: int = 5, **more: Any) -> JobSeen:
    """A Job."""
    return JobSeen(name, f"{name}-uid", NOW - timedelta(seconds=age_seconds), phase, **more)  # type: ignore[arg-type]


def serves(champion: int, predecessor: int | None = None, since: datetime = NOW, **more: Any) -> Traffic:
    """Traffic that goes to a version that was released, as were all before it."""
    history = {number: digest(chr(96 + number)) for number in range(1, champion + 1)}
    return replace(
        Traffic(champion, history[champion], since.strftime("%Y-%m-%dT%H:%M:%SZ"), predecessor, history=history), **more
    )


def fleet(number: int, of: RegisteredModel, ready: bool = True, trouble: Trouble | None = None) -> Fleet:
    """The pods of a version, rendered from what the model asks for now."""
    inputs = serving.inputs(of, digest(chr(96 + number)))
    return Fleet(number, 1, 1 if ready else 0, ready, inputs, trouble)


def kept(number: int, of: RegisteredModel) -> Kept:
    """The record of what a version runs."""
    template = serving.pod_template(PLATFORM, of, number, digest(chr(96 + number)), PLATFORM.pools[0])
    inputs = serving.inputs(of, digest(chr(96 + number)))
    return Kept(number, digest(chr(96 + number)), inputs, number, f"flights-v{number}-{inputs}", template)


def model_seen(
    versions: tuple[ModelVersion, ...],
    traffic: Traffic | None = None,
    fleets: tuple[Fleet, ...] = (),
    of: RegisteredModel | None = None,
    labels: Mapping[int, Labels | Absent | Silent] | None = None,
    registry: ModelRegistry | Silent = REGISTRY,
    now: datetime = NOW,
) -> ModelSeen:
    """What the model reconciler sees; every released version has its record."""
    parent = of or model()
    traffic = traffic or Traffic()
    return ModelSeen(
        now=now,
        platform=PLATFORM,
        model=parent,
        versions=versions,
        registry=registry,
        traffic=traffic,
        kept={number: kept(number, parent) for number in {*traffic.history, *(one.version for one in fleets)}},
        fleets={one.version: one for one in fleets},
        labels=labels or {},
    )


def traffic_after(decision: Decision) -> Traffic | None:
    """Where the traffic goes once the decision is carried out; None if it says nothing about traffic."""
    services = [one for one in decision.ensure if one["kind"] == "Service"]
    return read_traffic(services[0]) if services else None


def told(decision: Decision, number: int, which: str = "released") -> tuple[str, str]:
    assert decision.status is not None
    found = next(one for one in decision.status["versions"] if one["version"] == number)[which]
    return found["status"], found["reason"]
