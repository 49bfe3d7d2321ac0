"""What a registry's status says: trouble at once, figures rarely."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from slipway.api.modelregistry import ModelRegistry
from slipway.core.permissions import NO_REPORTS, ON_EXPERIMENTS, Use
from slipway.core.registries import RegistryDecision, RegistrySeen, decide
from slipway.core.registry import RegistryState, Rights, Silent

from tests.worlds import NOW, REGISTRY, STAMP

ANSWERS = RegistryState(None, "3.17.2", STAMP, models=7, versions=70, latency_seconds=0.2504)
HANGS = RegistryState(Silent("RegistryUnreachable", "no connection"), "3.17.2", STAMP, 7, 70, 10.0)


def after(
    *states: RegistryState | None,
    pause_seconds: int = 30,
    uses: tuple[Use, ...] = (),
    registry: ModelRegistry = REGISTRY,
) -> RegistryDecision:
    """The last decision of several, each with the status of the one before."""
    now, decision = NOW, None
    for state in states:
        decision = decide(RegistrySeen(now, registry, state, uses=uses))
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


def test_models_that_are_too_large_are_named_and_it_is_ready() -> None:
    decision = after(ANSWERS, replace(ANSWERS, left_out=tuple(f"m{number}" for number in range(7))))
    condition = decision.status.condition("Ready")
    assert condition is not None and condition.status == "True"
    assert 'too large: "m0", "m1", "m2", "m3", "m4" and 2 more. In MLflow, remove tags' in condition.message


def test_models_that_no_list_can_hold_are_read_by_name_and_that_is_said() -> None:
    said = after(ANSWERS, replace(ANSWERS, by_name=True)).status.condition("Ready")
    assert said is not None and said.status == "True"
    assert "those of the cluster are read by name" in said.message and "remove tags" in said.message


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


ALLOWED = RegistryState(
    None, "3.17.2", STAMP, 7, 70, 0.25, rights=Rights("slipway", {"flights": "EDIT", "churn": "EDIT"})
)
FLIGHTS, CHURN = Use("flights"), Use("churn")


@dataclass(frozen=True)
class Case:
    """What Reachable, Authorized and Ready say, each as status and reason."""

    name: str
    because: str
    state: RegistryState
    reachable: tuple[str, str]
    authorized: tuple[str, str]
    ready: tuple[str, str]


def silent(reason: str) -> RegistryState:
    return RegistryState(Silent(reason, "it said so", False), "3.17.2", STAMP)


ANSWERED = ("True", "RegistryReachable")
CASES = [
    Case("all is well", "it told", ALLOWED, ANSWERED, ("True", "PermissionsHeld"), ANSWERED),
    Case("it tells no rights", "unknown is not missing", ANSWERS, ANSWERED, ("Unknown", "PermissionsNotTold"), ANSWERED),
    Case("no answer", "nobody knows the rest", silent("RegistryUnreachable"), ("False", "RegistryUnreachable"),
         ("Unknown", "RegistryUnreachable"), ("False", "RegistryUnreachable")),
    Case("a wrong password", "a refusal is an answer", silent("RegistryUnauthorized"), ANSWERED,
         ("False", "RegistryUnauthorized"), ("False", "RegistryUnauthorized")),
    Case("no credential", "it was not asked", silent("SecretNotFound"), ("Unknown", "SecretNotFound"),
         ("False", "SecretNotFound"), ("False", "SecretNotFound")),
    Case("another server", "it is no MLflow", silent("RegistryRejected"), ("False", "RegistryRejected"),
         ("Unknown", "RegistryRejected"), ("False", "RegistryRejected")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_whether_it_answers_and_whether_it_lets_us(case: Case) -> None:
    status = after(case.state, uses=(FLIGHTS, CHURN)).status
    said = [status.condition(kind) for kind in ("Reachable", "Authorized", "Ready")]
    assert [(one.status, one.reason) for one in said if one] == [case.reachable, case.authorized, case.ready], (
        case.because
    )


def missing(levels: dict[str, str], *uses: Use, registry: ModelRegistry = REGISTRY, experiments: str = "") -> str:
    """What Authorized says of a credential with these levels; "" where it holds."""
    state = RegistryState(None, "3.17.2", STAMP, rights=Rights("slipway", levels, experiments))
    said = after(state, uses=uses, registry=registry).status.condition("Authorized")
    assert said is not None and (said.reason == "PermissionsMissing") == (said.status == "False")
    return said.message if said.status == "False" else ""


FOLLOWS = Use("flights", follows=True)


@pytest.mark.parametrize(
    ("level", "use", "lacks"),
    [
        ("NO_PERMISSIONS", FLIGHTS, ("READ", "EDIT")),
        ("DENY", FOLLOWS, ("READ", "EDIT", "MANAGE")),
        ("READ", FLIGHTS, ("EDIT",)),
        ("USE", FLIGHTS, ("EDIT",)),
        ("EDIT", FLIGHTS, ()),
        ("EDIT", FOLLOWS, ("MANAGE",)),
        ("MANAGE", FOLLOWS, ()),
        ("SOMETHING_NEW", FOLLOWS, ()),
    ],
)
def test_each_permission_that_is_missing_is_named(level: str, use: Use, lacks: tuple[str, ...]) -> None:
    said = missing({"flights": level}, use)
    assert tuple(one for one in ("READ", "EDIT", "MANAGE") if f"{one} on flights" in said) == lacks


@pytest.mark.parametrize(
    ("level", "lacks"),
    [("NO_PERMISSIONS", True), ("DENY", True), ("READ", False), ("EDIT", False), ("", False), ("SOMETHING_NEW", False)],
)
def test_whoever_may_not_read_experiments_can_import_nothing(level: str, lacks: bool) -> None:
    said = missing({"flights": "EDIT"}, FLIGHTS, experiments=level)
    assert said.startswith(f'The user "slipway" lacks {ON_EXPERIMENTS}.') if lacks else said == ""
    assert missing({}, experiments=level) == "", "nothing is imported where no model is"


@pytest.mark.parametrize(("level", "kept"), [("READ", False), ("USE", False), ("EDIT", True), ("", True)])
def test_where_reports_cannot_be_kept_that_is_said_and_no_fault(level: str, kept: bool) -> None:
    state = RegistryState(None, "3.17.2", STAMP, rights=Rights("slipway", {"flights": "EDIT"}, level))
    said = after(state, uses=(FLIGHTS,)).status.condition("Authorized")
    assert said is not None and said.status == "True"
    assert (NO_REPORTS in said.message) == (not kept)


def test_where_no_alias_is_mapped_none_is_taken_away() -> None:
    spec = REGISTRY.wire()["spec"] | {"stages": {"Production": {"stage": "Production"}}}
    by_stages = ModelRegistry.model_validate(REGISTRY.wire() | {"spec": spec})
    assert missing({"flights": "EDIT"}, FOLLOWS, registry=by_stages) == ""


def test_many_models_are_counted() -> None:
    names = [f"m{number}" for number in range(8)]
    said = missing(dict.fromkeys(names, "READ"), *map(Use, names))
    assert said.startswith('The user "slipway" lacks EDIT on m0, m1, m2, m3, m4 and 3 more (to set stages')


def test_models_whose_labels_were_moved_are_counted_at_once() -> None:
    assert after(ANSWERS, uses=(FLIGHTS, Use("churn", drifted=True))).status.drifted == 1
    assert after(ANSWERS, ANSWERS, uses=(FLIGHTS,)).status.drifted == 0


class TestSuspended:
    SUSPENDED = ModelRegistry.model_validate(REGISTRY.wire() | {"spec": REGISTRY.wire()["spec"] | {"suspend": True}})

    @pytest.mark.parametrize("state", [None, ANSWERS, HANGS])
    def test_it_is_said_at_once_and_nothing_else_is_claimed(self, state: RegistryState | None) -> None:
        decision = after(state, registry=self.SUSPENDED)
        assert ready(decision) == ("False", "Suspended")
        assert {(one.status, one.reason) for one in decision.status.conditions} == {
            ("Unknown", "Suspended"), ("False", "Suspended"), ("True", "Suspended"),
        }  # fmt: skip
        assert [(one.type, one.reason) for one in decision.events] == [("Normal", "Suspended")]

    def test_what_was_seen_before_stays(self) -> None:
        seen = ModelRegistry.model_validate(self.SUSPENDED.wire() | {"status": after(ANSWERS).status.wire()})
        status = decide(RegistrySeen(NOW, seen, ANSWERS)).status
        assert (status.version, status.models, status.last_sweep_time) == ("3.17.2", 7, STAMP)
