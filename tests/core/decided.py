"""What a decision about the model `flights` comes to, for tests."""

from collections.abc import Mapping
from typing import Any

from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core.decision import Decision
from slipway.core.revisions import import_key

from tests.worlds import (
    STAMP,
    applied,
    digest,
    ledger_after,
    model,
    pods_of,
    routed,
    version,
)

FLIGHTS = model()


def champion_after(decision: Decision) -> int | None:
    """Who has the traffic once the decision is carried out: the route and the ledger say the same."""
    route, ledger = routed(decision), ledger_after(decision)
    if ledger is not None and ledger.since:
        assert route == str(ledger.champion or "none")
    return int(route) if route.isdigit() else None


def ready_of(decision: Decision) -> dict[str, str]:
    assert decision.status is not None
    return next(one for one in decision.status["conditions"] if one["type"] == "Ready")


def deployed(decision: Decision) -> dict[str, Mapping[str, Any]]:
    return {one["metadata"]["name"]: one for one in applied(decision) if one["kind"] == "Deployment"}


def with_rollback(of: RegisteredModel) -> RegisteredModel:
    meta = of.metadata.model_copy(update={"annotations": {"slipway.dev/rollback": "1"}})
    return of.model_copy(update={"metadata": meta})


def imported(number: int, released: str = "Serving", digest_of: str = "", key: str = "") -> ModelVersion:
    """A version whose files its import has put into the store; `key`: of another object's import."""
    files = digest_of or digest(chr(96 + number))
    condition = {"type": "Released", "status": "False", "reason": released, "lastTransitionTime": STAMP}
    record = {"key": key or import_key(version(number)), "outcome": "Passed", "digest": files}
    return version(number, status={"digest": files, "imported": record, "conditions": [condition]})


def deployments(decision: Decision) -> set[str]:
    return {one["metadata"]["name"] for one in applied(decision) if one["kind"] == "Deployment"}


V1, V2 = pods_of(1, FLIGHTS), pods_of(2, FLIGHTS)
A = digest("a")
