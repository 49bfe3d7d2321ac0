"""The past that the benchmark writes is one that the operator would have written: it finds nothing to do."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from slipway.api.modelledger import ModelLedger
from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import lifecycle
from slipway.core.ledger import EMPTY
from slipway.core.observed import VersionSeen
from slipway.core.pods import VersionPods
from slipway.core.registry import RegistryModel

from bench.proven import Past, digest, shown
from tests.worlds import PLATFORM, model_seen

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


def test_a_proven_version_is_neither_imported_nor_validated_again() -> None:
    status = Past(PLATFORM, REGISTRY).proven(version(1))
    one = ModelVersion.model_validate(version(1) | {"status": status})
    parent = RegisteredModel.model_validate(created("flights"))
    family = replace(model_seen((one,), of=parent), registry=ModelRegistry.model_validate(REGISTRY))
    here = VersionSeen(datetime.now(UTC).replace(microsecond=0), PLATFORM, one, family, EMPTY, family.registry, None)
    decision = lifecycle.decide(here)
    assert decision.acts == ()
    assert decision.status is not None
    holds = {one["type"] for one in decision.status["conditions"] if one["status"] == "True"}
    assert {"Resolved", "Imported", "Validated"} <= holds


def test_a_served_model_has_its_last_version_champion_and_nothing_is_left_to_do() -> None:
    model, versions = created("flights"), [version(number) for number in range(1, 11)]
    past = Past(PLATFORM, REGISTRY).served(model, versions)
    assert past.model["champion"]["version"] == 10
    assert past.model["champion"]["digest"] == digest("flights", 10)
    ledger = ModelLedger.model_validate(next(one for one in past.objects if one["kind"] == "ModelLedger"))
    assert (ledger.spec.champion, ledger.spec.predecessor, ledger.spec.model_uid) == (10, 9, "flights-uid")
    assert past.registry[10].alias == "champion"
    parent = RegisteredModel.model_validate(model | {"status": past.model})
    every = tuple(
        ModelVersion.model_validate(found | {"status": status})
        for found, status in zip(versions, past.versions, strict=True)
    )
    labels = {number: shown(one) for number, one in past.registry.items()}
    family = replace(
        model_seen(every, of=parent),
        ledger=ledger.spec,
        registry=ModelRegistry.model_validate(REGISTRY),
        labels=RegistryModel(labels),
        pods={10: VersionPods(10, 1, 1, True, "")},
    )
    for one in every:
        here = VersionSeen(
            datetime.now(UTC).replace(microsecond=0), PLATFORM, one, family, ledger.spec, family.registry, None
        )
        assert lifecycle.decide(here).status == one.status.wire()
