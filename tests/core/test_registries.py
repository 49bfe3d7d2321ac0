"""What a registry's status says: trouble at once, figures rarely."""

from datetime import timedelta
from typing import Any

from slipway.api.modelregistry import ModelRegistry
from slipway.core.registries import RegistryDecision, RegistrySeen, decide
from slipway.core.registry import RegistryState, Silent

from tests.worlds import NOW, REGISTRY, STAMP

ANSWERS = RegistryState(None, "3.17.2", STAMP, models=7, versions=70, latency_seconds=0.2504)
HANGS = RegistryState(Silent("RegistryUnreachable", "no connection"), "3.17.2", STAMP, 7, 70, 10.0)


def after(*states: RegistryState | None, pause_seconds: int = 30) -> RegistryDecision:
    """The last decision of several, each with the status of the one before."""
    registry, now, decision = REGISTRY, NOW, None
    for state in states:
        decision = decide(RegistrySeen(now, registry, state))
        stored: dict[str, Any] = registry.wire() | {"status": decision.status.wire()}
        registry, now = ModelRegistry.model_validate(stored), now + timedelta(seconds=pause_seconds)
    assert decision is not None
    return decision


def ready(decision: RegistryDecision) -> tuple[str, str]:
    condition = decision.status.condition("Ready")
    assert condition is not None
    return condition.status, condition.reason


def test_before_the_first_sweep_it_is_being_asked() -> None:
    decision = after(None)
    assert ready(decision) == ("Unknown", "Resolving") and decision.events == ()


def test_a_registry_that_answers_is_ready_and_people_are_told_once() -> None:
    decision = after(None, ANSWERS)
    assert ready(decision) == ("True", "RegistryReachable")
    assert [event.reason for event in decision.events] == ["RegistryReachable"]
    status = decision.status
    assert (status.version, status.models, status.versions) == ("3.17.2", 7, 70)
    assert (status.last_sweep_time, status.latency_milliseconds) == (STAMP, 250)
    assert after(None, ANSWERS, ANSWERS).events == ()


def test_figures_alone_are_written_every_ten_minutes() -> None:
    later = RegistryState(None, "3.17.2", "2026-03-06T17:00:30Z", models=8, versions=80, latency_seconds=0.1)
    assert after(ANSWERS, later).status == after(ANSWERS).status
    assert after(ANSWERS, later, pause_seconds=600).status.models == 8


def test_trouble_is_told_at_once_and_what_was_seen_stays() -> None:
    decision = after(ANSWERS, HANGS)
    assert ready(decision) == ("False", "RegistryUnreachable")
    assert [(event.type, event.reason) for event in decision.events] == [("Warning", "RegistryUnreachable")]
    assert (decision.status.version, decision.status.models, decision.status.last_sweep_time) == ("3.17.2", 7, STAMP)


def test_another_version_of_the_server_is_told_at_once() -> None:
    newer = RegistryState(None, "3.18.0", STAMP, 7, 70, 0.2)
    assert after(ANSWERS, newer).status.version == "3.18.0"


def test_an_operator_that_starts_anew_takes_nothing_back() -> None:
    assert after(HANGS, None) == RegistryDecision(after(HANGS).status)


def test_a_latency_stays_in_its_bounds() -> None:
    slow = RegistryState(None, "3.17.2", STAMP, 7, 70, 1e9)
    assert after(slow).status.latency_milliseconds == 3_600_000
