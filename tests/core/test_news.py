"""What others are told when a condition changes: what an event says, and by which id a receiver knows it again."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from slipway.core import news
from slipway.core.news import changes, recent
from slipway.resources.platform import EventType

NOON, LATER = "2026-03-06T12:00:00Z", "2026-03-06T12:05:00Z"
NUMBERS = {"name": "better", "result": "Failed", "metric": "rmse", "candidate": 41.3, "champion": 24.1, "message": "…"}
PASSED = NUMBERS | {"name": "fast", "result": "Passed"}


def condition(type_: str, status: str, reason: str, message: str = "", at: str = NOON) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


def status(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"conditions": list(conditions), **more}


def version(of: dict[str, Any], revision: str = "7", kind: str = "ModelVersion") -> dict[str, Any]:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "namespace": "ml",
            "name": "flights-v4",
            "uid": "u-1",
            "generation": 2,
            "resourceVersion": revision,
        },
        "spec": {"model": "flights", "version": 4},
        "status": of,
    }


WAITS = condition("Validated", "Unknown", "ValidationRunning")
FAILED = condition("Validated", "False", "GateFailed", "rmse 41.3 is too much", LATER)


def test_a_refusal_is_a_cloud_event_with_the_two_numbers() -> None:
    now = version(status(FAILED, validation={"gates": [PASSED, NUMBERS]}))
    (told,) = changes("prod", status(WAITS), now, LATER)
    assert json.loads(told.body) == {
        "specversion": "1.0",
        "id": told.id,
        "source": "/clusters/prod",
        "type": "dev.slipway.modelversion.refused",
        "subject": "/apis/slipway.dev/v1alpha1/namespaces/ml/modelversions/flights-v4",
        "time": LATER,
        "datacontenttype": "application/json",
        "data": {
            "cluster": "prod",
            "object": {
                "apiVersion": "slipway.dev/v1alpha1", "kind": "ModelVersion", "namespace": "ml", "name": "flights-v4",
                "uid": "u-1", "generation": 2,
            },
            "model": "flights",
            "version": 4,
            "condition": FAILED,
            "gates": [NUMBERS, PASSED],
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    before: dict[str, Any] | None
    now: dict[str, Any] | None
    want: str  # type of the event; "" for none
    kind: str = "ModelVersion"


CHANGED, REFUSED, RELEASED, ROLLED_BACK = get_args(EventType)
CASES = [
    Case("first", "nothing was said before", None, WAITS, CHANGED),
    Case("the same", "there is nothing to tell", WAITS, WAITS, ""),
    Case("progress", "a message that grows is no change", WAITS, WAITS | {"message": "3 of 5 steps"}, ""),
    Case("another reason", "it matters, whatever the status", WAITS, WAITS | {"reason": "ValidationQueued"}, CHANGED),
    Case("refused", "it missed a gate", WAITS, FAILED, REFUSED),
    Case("cannot be imported", "that refuses it, too", None, condition("Imported", "False", "ArtifactTooLarge"), REFUSED),
    Case("no answer from the registry", "that refuses nothing", None,
         condition("Resolved", "Unknown", "RegistryUnreachable"), CHANGED),
    Case("the registry's credential is wrong", "nor does that", None,
         condition("Resolved", "Unknown", "RegistryUnauthorized"), CHANGED),
    Case("Ready repeats it", "a refusal is told once", None, condition("Ready", "False", "GateFailed"), CHANGED),
    Case("released", "it has the traffic", None, condition("Released", "True", "Serving"), RELEASED),
    Case("rolled back", "it has lost it", condition("Released", "True", "Serving"),
         condition("Released", "False", "RolledBack"), ROLLED_BACK),
    Case("a model serves", "its versions tell who", None, condition("Ready", "True", "Serving"), CHANGED,
         "RegisteredModel"),
    Case("a registry is back", "", condition("Ready", "False", "RegistryUnreachable"),
         condition("Ready", "True", "RegistryReachable"), CHANGED, "ModelRegistry"),
    Case("no longer stalled", "kstatus takes the condition away", condition("Stalled", "True", "GateFailed"), None,
         CHANGED),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_told(case: Case) -> None:
    before = status(*[case.before] if case.before else [])
    now = version(status(*[case.now] if case.now else []), kind=case.kind)
    assert [one.type for one in changes("prod", before, now, LATER)] == ([case.want] if case.want else [])


def test_a_condition_that_goes_away_has_ended() -> None:
    ready = condition("Ready", "True", "Serving", "Serving.")
    (told,) = changes("prod", status(ready, condition("Stalled", "True", "GateFailed")), version(status(ready)), LATER)
    said = json.loads(told.body)["data"]["condition"]
    assert (said["type"], said["status"], said["reason"]) == ("Stalled", "False", "Serving")


def test_an_event_is_known_again_by_its_id() -> None:
    """By a receiver that had it from the operator before, which did not live to know that."""
    now = version(status(FAILED))
    (told,) = changes("prod", status(WAITS), now, LATER)
    assert changes("prod", status(WAITS), now, "2026-03-06T13:00:00Z") == (told,)
    since = datetime(2026, 3, 6, 12, 4, tzinfo=UTC)
    assert recent("prod", version(status(WAITS, FAILED), revision="99"), since) == (told,)


def test_what_happens_again_is_another_event() -> None:
    once = changes("prod", status(WAITS), version(status(FAILED)), LATER)
    again = changes("prod", status(WAITS), version(status(FAILED | {"lastTransitionTime": NOON})), LATER)
    there = changes("prod", status(WAITS), version(status(FAILED)) | {"kind": "ModelVersion"}, LATER)
    assert once == there and once[0].id != again[0].id
    queued = WAITS | {"reason": "ValidationQueued"}
    back_and_forth = [
        changes("prod", status(queued), version(status(WAITS), revision), LATER)[0] for revision in ("8", "12")
    ]
    assert back_and_forth[0].id != back_and_forth[1].id, "the time of the condition stays while its status does"


def test_an_event_is_bounded_by_the_bounds_of_a_status() -> None:
    long = "ü" * 512
    gates = [NUMBERS | {"name": "g" * 63, "metric": "m" * 128, "message": long} for _ in range(64)]
    now = version(status(FAILED | {"message": "ü" * 2048}, validation={"gates": gates}))
    (told,) = changes("prod", {}, now, LATER)
    assert len(json.loads(told.body)["data"]["gates"]) == news.GATES
    assert len(told.body) < 32 * 1024


def test_a_status_that_nobody_understands_breaks_nothing() -> None:
    assert changes("prod", {}, version({}), LATER) == ()
    assert recent("prod", version(status({"type": "Ready"})), datetime(2026, 1, 1, tzinfo=UTC)) == ()
    assert recent("prod", {**version({}), "status": {"conditions": None}}, datetime(2026, 1, 1, tzinfo=UTC)) == ()


@pytest.mark.parametrize(
    ("asked_at", "finished_at", "before", "told"),
    [
        pytest.param("2026-03-06T12:06:00Z", LATER, {}, True, id="after it was refused"),
        pytest.param("2026-03-06T12:04:00Z", LATER, {}, False, id="which is why it was judged"),
        pytest.param("2026-03-06T12:06:00Z", "2026-03-06T12:07:00Z", {}, False, id="and it was judged anew"),
        pytest.param("2026-03-06T12:06:00Z", LATER, {"refusedAt": "2026-03-06T12:06:00Z"}, False, id="told before"),
        pytest.param(None, LATER, {"refusedAt": "2026-03-06T12:04:00Z"}, False, id="it is judged again now"),
    ],
)
def test_a_refusal_that_changes_no_condition_is_told_by_when_it_was_asked_for(
    asked_at: str | None, finished_at: str, before: dict[str, Any], told: bool
) -> None:
    asked = {"refusedAt": asked_at} if asked_at else {}
    now = version(status(FAILED, validation={"gates": [NUMBERS], "finishedAt": finished_at}, **asked))
    found = changes("prod", status(FAILED, **before), now, "2026-03-06T12:06:01Z")
    assert [(one.type, json.loads(one.body)["time"]) for one in found] == [(news.REFUSED, asked_at)] * told
    if told:
        again = recent("prod", now, datetime(2026, 3, 6, 12, 5, 30, tzinfo=UTC))
        assert [one.id for one in again] == [one.id for one in found], "the next operator tells the same"
