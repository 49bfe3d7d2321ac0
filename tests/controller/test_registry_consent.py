"""What labels may not bring into Production by themselves: without consent, or once it was rolled back."""

from typing import Any

import pytest

from tests.controller.labels_world import MOMENT_SECONDS, by_registry, declared, moved, released
from tests.declared import GATED, model, version
from tests.simulation import Simulation, digest_of


def test_what_was_rolled_back_stays_out_though_the_model_could_not_be_read_for_a_while() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production")
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"}, serving="fast, please")
    of.advance(MOMENT_SECONDS)
    of.edit("RegisteredModel", "flights", serving={})
    of.settle()
    of.advance(700)
    assert (of.route(), released(of, 2)) == ("1", "RolledBack")


def test_a_rollback_in_the_cluster_moves_the_label_and_the_version_returns_when_it_is_moved_again() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=slow"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.registry.labels[1].stage, of.registry.labels[2].stage) == ("1", "Production", "Archived")
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "1"
    moved(of, 2, "Production")
    assert of.route() == "2"


def test_a_rollback_answers_a_request_for_the_version_that_it_rolls_back() -> None:
    of = by_registry()
    for number in (1, 2, 3):
        moved(of, number, "Production", archive_others=True)
    moved(of, 2, "Production", archive_others=True)
    of.down.add(3)
    of.advance(4000)  # its pods are gone
    moved(of, 3, "Production", archive_others=True)
    assert of.route() == "2"
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    of.down.clear()
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1", "resume": "now"})
    of.settle()
    of.advance(700)
    assert (of.route(), of.registry.labels[1].stage, of.registry.labels[3].stage) == ("1", "Production", "Archived")


def test_a_rollback_to_what_serves_ends_a_request() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(2)
    moved(of, 2, "Production", archive_others=True)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    of.down.clear()
    of.swept()
    of.advance(700)
    assert (of.route(), of.registry.labels[1].stage) == ("1", "Production")


def test_what_a_rollback_returned_to_has_its_stage_although_another_version_is_asked_for() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    of.down.add(3)
    moved(of, 3, "Production", alias="champion", archive_others=True)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.registry.labels[1].stage, of.registry.labels[3].aliases) == (
        "1",
        "Production",
        ("champion",),
    )
    of.down.clear()
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1", "resume": "now"})
    of.settle()
    of.advance(700)
    assert (of.route(), of.registry.labels[1].stage) == ("3", "Archived")


@pytest.mark.parametrize("resume", [{}, {"resume": "now"}], ids=["held", "resumed"])
def test_the_alias_of_what_was_rolled_back_goes_to_what_serves_although_another_version_is_asked_for(
    resume: dict[str, str],
) -> None:
    of = by_registry()
    served_two(of)
    of.down.add(3)
    moved(of, 3, "Production")
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=leaks", **resume})
    of.settle()
    of.advance(MOMENT_SECONDS)
    aliases = {number: one.aliases for number, one in of.registry.labels.items()}
    assert (of.route(), aliases) == ("1", {1: ("champion",), 2: (), 3: ()})
    of.down.clear()
    of.edit("RegisteredModel", "flights", annotations={"resume": "later"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.registry.labels[3].aliases) == ("3", ("champion",))


def test_a_refused_version_keeps_its_alias_where_the_policy_says_so_although_another_version_is_asked_for() -> None:
    of = by_registry(bad={2}, onRefusal="Keep")
    moved(of, 1, "Production")
    moved(of, 2, alias="champion")
    of.down.add(3)
    moved(of, 3, "Production")
    of.advance(700)
    assert (of.route(), of.registry.labels[2].aliases, of.registry.labels[3].stage) == (
        "1",
        ("champion",),
        "Production",
    )


@pytest.mark.parametrize("why", ["withdrawn", "superseded"])
def test_a_version_that_was_asked_for_in_vain_while_rollouts_are_held_is_rolled_back_as_before(why: str) -> None:
    of = by_registry()
    served_two(of)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, by=eve, reason=leaks"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    moved(of, 2, "Production")
    assert (released(of, 2), of.registry.labels[2].stage) == ("Held", "Production")
    if why == "withdrawn":
        moved(of, 2, "Archived")
    else:
        of.down.add(3)
        moved(of, 3, "Production")
    said = of.condition("ModelVersion", "flights-v2", "Released")
    assert (said["reason"], "eve: leaks" in said["message"]) == ("RolledBack", True)
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    of.advance(700)
    assert of.route() == "1"
    moved(of, 2, "None")
    moved(of, 2, "Production")
    assert (of.route(), of.ledger().rolled_back) == ("2", ())  # type: ignore[union-attr]


def test_a_retry_lets_a_version_return_that_was_rolled_back_and_asks_once() -> None:
    of = by_registry()
    served_two(of)
    rolled_back(of)
    of.down.add(2)
    of.edit("ModelVersion", "flights-v2", annotations={"retry": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    asked = of.ledger().following  # type: ignore[union-attr]
    of.advance(700)
    assert of.ledger().following == asked, "it is asked for once"  # type: ignore[union-attr]
    of.down.clear()
    of.settle()
    assert of.route() == "2"


def test_whoever_edits_a_version_keeps_it_from_no_return() -> None:
    of = by_registry()
    served_two(of)
    of.edit("ModelVersion", "flights-v1", digest=digest_of(6))
    of.settle()
    moved(of, 1, "Production", archive_others=True)
    assert of.route() == "1"
    assert of.condition("ModelVersion", "flights-v1", "Ready")["reason"] == "DigestMismatch"
    of.edit("ModelVersion", "flights-v2", digest=digest_of(6))
    of.settle()
    moved(of, 2, "Production", archive_others=True)
    assert of.route() == "1", "above the champion it comes anew, and its pin is obeyed"


def test_a_promotion_waits_for_approval_and_the_registry_says_so() -> None:
    of = by_registry()
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production")
    ready = of.condition("ModelVersion", "flights-v2", "Ready")
    assert (of.route() in ("", "none"), ready["reason"]) == (True, "ApprovalMissing")
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "ApprovalMissing"
    tags = of.registry.labels[2].tags
    assert tags["slipway.dev/test/ml/state"] == "Waiting ApprovalMissing"
    assert "kubectl annotate" in tags["slipway.dev/test/ml/reason"]
    value = ready["message"].partition("slipway.dev/approve=")[2].partition("'")[0].replace("<you>", "eve")
    of.edit("ModelVersion", "flights-v2", annotations={"approve": value})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.registry.labels[2].stage) == ("2", "Production")
    assert of.registry.labels[2].tags["slipway.dev/test/ml/reason"] == ""


def test_going_back_needs_no_approval() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    of.registry.may_promote(approvals=2, windows=[{"days": ["Monday"], "start": "00:00", "end": "00:01"}])
    moved(of, 1, "Production", archive_others=True)
    assert of.route() == "1"


def test_a_promotion_starts_when_the_window_opens() -> None:
    of = by_registry()
    of.registry.may_promote(windows=[{"days": ["Saturday"], "start": "09:00", "end": "10:00"}])
    moved(of, 2, "Production")
    assert of.condition("ModelVersion", "flights-v2", "Ready")["reason"] == "OutsideWindow"
    of.advance(15 * 3600)
    assert of.condition("ModelVersion", "flights-v2", "Ready")["reason"] == "OutsideWindow"
    of.advance(3600)
    assert of.route() == "2"


def test_where_labels_may_promote_nothing_none_is_followed_and_what_serves_stays() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.may_promote(models=["trains"])
    moved(of, 2, "Production", archive_others=True)
    ready = of.condition("RegisteredModel", "flights", "Ready")
    assert (of.route(), declared(of), ready["reason"]) == ("1", ["flights-v1"], "PromotionNotAllowed")
    of.registry.may_promote()
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "2"


STRICTER: dict[str, Any] = {
    **GATED,
    "gates": [*GATED["gates"], {**GATED["gates"][0], "name": "stricter"}],  # type: ignore[misc]
}


def served_two(of: Simulation) -> None:
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)


def rolled_back(of: Simulation) -> None:
    """Version 2 was rolled back, and rollouts may start again."""
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=leaks"})
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=leaks", "resume": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)


def test_what_was_rolled_back_needs_consent_like_anything_that_is_new() -> None:
    of = by_registry()
    served_two(of)
    rolled_back(of)
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production", archive_others=True)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "ApprovalMissing")


def approves(of: Simulation, number: int, who: str) -> None:
    """Somebody runs the command that the message gives."""
    message = of.condition("ModelVersion", f"flights-v{number}", "Ready")["message"]
    value = message.partition("slipway.dev/approve=")[2].partition("'")[0].replace("<you>", who)
    assert value, message
    of.edit("ModelVersion", f"flights-v{number}", annotations={"approve": value})
    of.settle()
    of.advance(MOMENT_SECONDS)


@pytest.mark.parametrize("ledger", ["kept", "lost"])
def test_what_was_rolled_back_is_approved_of_anew_by_the_command_that_its_message_gives(ledger: str) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production", archive_others=True)
    approves(of, 2, "eve")
    assert of.route() == "2"
    rolled_back(of)
    if ledger == "lost":
        of.cluster.lose("ModelLedger", "ml", "flights")
        of.settle()
        of.edit("RegisteredModel", "flights", annotations={"resume": "once more"})
        of.settle()
        of.advance(MOMENT_SECONDS)
    moved(of, 2, "None")
    moved(of, 2, "Production")
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "ApprovalMissing")
    approves(of, 2, "eve")
    assert of.route() == "2"


def test_an_approval_from_before_a_rollback_counts_no_more_although_the_version_was_refused_since() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production", archive_others=True)
    approves(of, 2, "eve")
    rolled_back(of)
    of.bad.add(2)
    of.edit("RegisteredModel", "flights", validation=STRICTER)
    moved(of, 2, "Production")
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "GateFailed")
    assert of.registry.labels[2].tags[STATE].startswith("Refused")
    of.bad.clear()
    of.edit("ModelVersion", "flights-v2", annotations={"retry": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "ApprovalMissing")
    approves(of, 2, "eve")
    assert (of.route(), of.ledger().rolled_back) == ("2", ())  # type: ignore[union-attr]


def test_no_label_promotes_a_model_with_a_secret_of_its_namespace_unless_somebody_approves() -> None:
    of = Simulation()
    data = {"uri": "s3://months/holdout.parquet", "target": "air_time", "secretRef": {"name": "months"}}
    of.cluster.put(model(validation={**GATED, "data": data}, promotion={"source": "Registry"}))
    of.settle()
    of.advance(MOMENT_SECONDS)
    moved(of, 1, "Production")
    assert of.condition("ModelVersion", "flights-v1", "Ready")["reason"] == "ApprovalMissing"
    approves(of, 1, "eve")
    assert of.route() == "1"


def test_what_was_rolled_back_needs_consent_although_a_newer_version_serves() -> None:
    of = by_registry()
    served_two(of)
    rolled_back(of)
    moved(of, 3, "Production", archive_others=True)
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production", archive_others=True)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("3", "ApprovalMissing")


def test_what_misses_the_gates_of_now_does_not_serve_because_nobody_else_does() -> None:
    of = by_registry()
    served_two(of)
    moved(of, 1, "Production", archive_others=True)
    of.bad.add(2)
    of.edit("RegisteredModel", "flights", validation=STRICTER)
    of.settle()
    moved(of, 2, "Production", archive_others=True)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "GateFailed")
    moved(of, 1, "Archived")
    of.advance(60)
    assert of.route() == "none"
    moved(of, 2, "Production")
    of.advance(700)
    assert of.route() == "none"
    moved(of, 1, "Production")
    assert of.route() == "1", "it is the way back"


def test_a_retry_in_staging_promotes_nothing() -> None:
    of = by_registry()
    served_two(of)
    rolled_back(of)
    moved(of, 2, "Staging")
    of.edit("ModelVersion", "flights-v2", annotations={"retry": "now"})
    of.settle()
    of.advance(700)
    assert of.route() == "1"


@pytest.mark.parametrize("others", [(9,), (8, 9)])
def test_to_retire_the_champion_promotes_nothing_that_stood_there_before_labels_decided(
    others: tuple[int, ...],
) -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED))
    of.cluster.put(version(1))
    of.settle()
    for number in others:
        of.registry.put(number, "Production")
    of.edit("RegisteredModel", "flights", promotion={"source": "Registry"})
    of.swept()
    of.settle()
    moved(of, 1, "Archived")
    of.advance(60)
    assert (of.route(), declared(of)) == ("none", ["flights-v1"])
    moved(of, 9, "None")
    moved(of, 9, "Production")
    assert of.route() == "9"


def test_while_nobody_serves_the_registry_names_no_version_that_does() -> None:
    of = by_registry()
    served_two(of)
    rolled_back(of)
    moved(of, 1, "Archived")
    of.advance(60)
    said = {tag for labels in of.registry.labels.values() for tag in labels.tags.values()}
    assert of.route() == "none" and "RolledBack nothing serves" in said
    assert not [one for one in said if "None" in one]


def test_going_back_by_label_passes_a_freeze_and_a_policy_that_names_other_models() -> None:
    of = by_registry()
    for number in (1, 2, 3):
        moved(of, number, "Production", archive_others=True)
    of.platform = of.platform.model_copy(update={"freeze": "Black Friday"})
    of.start()
    of.settle()
    moved(of, 2, "Production", archive_others=True)
    assert of.route() == "2"
    of.registry.may_promote(namespaces=["other"])
    moved(of, 1, "Production", archive_others=True)
    assert of.route() == "1"
    moved(of, 3, "Production", archive_others=True)
    of.advance(700)
    assert of.route() == "1", "going forward again is not going back"


def test_a_freeze_retires_no_champion() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.platform = of.platform.model_copy(update={"freeze": "Black Friday"})
    of.start()
    of.settle()
    moved(of, 1, "Archived")
    of.advance(120)
    assert of.route() == "1"


def test_going_back_in_git_passes_a_freeze() -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED))
    for number in (1, 2):
        of.cluster.put(version(number))
        of.settle()
        of.advance(MOMENT_SECONDS)
    of.platform = of.platform.model_copy(update={"freeze": "Black Friday"})
    of.start()
    of.settle()
    assert of.route() == "2"
    of.edit("ModelVersion", "flights-v2", stage="Archived")
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "1"


STATE, REASON = "slipway.dev/test/ml/state", "slipway.dev/test/ml/reason"


def told(of: Simulation, number: int) -> tuple[str, str]:
    """What MLflow's tags say of a version, and its description."""
    labels = of.registry.labels[number]
    return labels.tags.get(STATE, ""), " ".join(labels.lines)


def test_where_labels_may_promote_nothing_mlflow_says_so_and_no_object_is_made() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.may_promote(models=["trains"])
    moved(of, 2, "Production", alias="champion", archive_others=True)
    state, line = told(of, 2)
    assert (of.route(), declared(of), state) == ("1", ["flights-v1"], "Waiting PromotionNotAllowed")
    assert "lets labels promote nothing of the registered model" in of.registry.labels[2].tags[REASON]
    assert "extend spec" in line
    of.registry.put(2, "None")
    moved(of, 1, "Production", alias="champion")
    assert (told(of, 2)[0], of.registry.labels[2].tags[REASON]) == ("Withdrawn", "")


def test_a_conflict_of_labels_is_told_in_mlflow_of_both_versions_until_it_is_none() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(2, "Production")
    moved(of, 3, alias="champion")
    of.advance(700)
    assert declared(of) == ["flights-v1"]
    for number in (2, 3):
        state, line = told(of, number)
        assert state == "Waiting LabelsConflict" and "set both on one version" in line
    of.registry.put(2, "None")
    moved(of, 3, "Production", archive_others=True)
    of.advance(700)
    assert (of.route(), told(of, 3)[0].partition(" ")[0]) == ("3", "Serving")
    assert told(of, 2)[0] == "Withdrawn"


def test_a_version_that_waited_for_an_approval_waits_no_longer_once_its_label_is_gone() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.may_promote(approvals=1)
    moved(of, 2, "Production")
    assert told(of, 2)[0] == "Waiting ApprovalMissing"
    moved(of, 2, "None")
    assert told(of, 2)[0] == "Withdrawn"
