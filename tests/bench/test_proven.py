"""The past that the benchmark writes is one that the operator would have written: it finds nothing to do."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import lifecycle
from slipway.core.observed import VersionSeen
from slipway.resources.serving import read_traffic

from bench.proven import Past, digest
from tests.worlds import PLATFORM

REGISTRY: dict[str, Any] = {
    "metadata": {"name": "mlflow", "namespace": "ml"},
    "spec": {"backend": {"mlflow": {"uri": "http://mlflow:5000"}}},
}
CREATED = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created(name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ml", "uid": f"{name}-uid", "generation": 1, "creationTimestamp": CREATED}
    return {"metadata": meta, "spec": spec}


def version(number: int) -> dict[str, Any]:
    return created(f"flights-v{number}", model="flights", version=number, stage="Production")


def seen(found: dict[str, Any], status: dict[str, Any], model: RegisteredModel) -> VersionSeen:
    return VersionSeen(
        now=datetime.now(UTC).replace(microsecond=0),
        platform=PLATFORM,
        version=ModelVersion.model_validate(found | {"status": status}),
        model=model,
        registry=ModelRegistry.model_validate(REGISTRY),
        entry=None,
        credentials={},
        jobs={},
        traffic=read_traffic(None),
    )


def test_a_proven_version_is_neither_imported_nor_validated_again() -> None:
    status = Past(PLATFORM, REGISTRY).proven(version(1))
    decision = lifecycle.decide(seen(version(1), status, RegisteredModel.model_validate(created("flights"))))
    assert decision.ensure == ()
    assert decision.status is not None
    holds = {one["type"] for one in decision.status["conditions"] if one["status"] == "True"}
    assert {"Resolved", "Imported", "Validated"} <= holds


def test_a_served_model_has_its_last_version_champion_and_every_status_stays_as_it_is() -> None:
    model, versions = created("flights"), [version(number) for number in range(1, 11)]
    past = Past(PLATFORM, REGISTRY).served(model, versions)
    assert past.model["champion"]["version"] == 10
    assert past.model["champion"]["digest"] == digest("flights", 10)
    service = next(one for one in past.objects if one["kind"] == "Service")
    parent = RegisteredModel.model_validate(model | {"status": past.model})
    for found, status in zip(versions, past.versions, strict=True):
        here = replace(seen(found, status, parent), traffic=read_traffic(service))
        assert lifecycle.decide(here).status == status
    assert past.registry[10].alias == "champion"
    assert set(past.registry) == {5, 6, 7, 8, 9, 10}, "what was forgotten is told the registry no more"
