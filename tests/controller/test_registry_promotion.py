"""Versions that are promoted by their labels in MLflow."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from slipway.adapters.cluster import VERSION

from tests.declared import GATED, model, version
from tests.simulation import Simulation

MOMENT_SECONDS = 11.0


def by_registry(*, bad: set[int] | None = None, **promotion: Any) -> Simulation:
    """A model that follows the registry, of which no version was declared."""
    of = Simulation()
    of.bad = bad or set()
    of.cluster.put(model(validation=GATED, promotion={"source": "Registry", **promotion}))
    of.settle()
    of.advance(MOMENT_SECONDS)
    return of


def moved(of: Simulation, version: int, stage: str = "", alias: str = "", archive_others: bool = False) -> None:
    """Somebody moves labels in MLflow, and a sweep sees it."""
    if stage:
        of.registry.put(version, stage, archive_others)
    if alias:
        of.registry.name(version, alias)
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)


def released(of: Simulation, version: int) -> str:
    return str(of.condition("ModelVersion", f"flights-v{version}", "Released").get("reason"))


def declared(of: Simulation) -> list[str]:
    return sorted(found["metadata"]["name"] for found in of.cluster.of(VERSION))


BY_STAGE: dict[str, Any] = {"stage": "Production"}
BY_ALIAS: dict[str, Any] = {"alias": "champion"}


@pytest.mark.parametrize("how", [BY_STAGE, BY_ALIAS, {**BY_STAGE, **BY_ALIAS}], ids=["stage", "alias", "both"])
def test_a_label_that_is_moved_to_a_version_puts_it_into_production(how: dict[str, Any]) -> None:
    of = by_registry()
    moved(of, 3, **how)
    assert (of.route(), declared(of)) == ("3", ["flights-v3"])
    assert (of.registry.labels[3].stage, of.registry.labels[3].aliases) == ("Production", ("champion",))
    found = of.cluster.objects[("ModelVersion", "ml", "flights-v3")]
    assert found["spec"] == {"model": "flights", "version": 3, "stage": "None"}, "no label is copied into the spec"
    assert found["status"]["stage"] == "Production"


def test_nothing_is_made_for_versions_that_no_label_asks_for() -> None:
    of = by_registry()
    for number in range(1, 9):
        of.registry.put(number, "None")
    moved(of, 9, "Archived")
    assert declared(of) == []


@pytest.mark.parametrize("archive_others", [False, True])
def test_the_version_that_was_asked_for_last_serves_whatever_its_number(archive_others: bool) -> None:
    of = by_registry()
    moved(of, 4, "Production")
    moved(of, 3, "Production", archive_others=archive_others)
    of.advance(700)
    assert (of.route(), of.registry.labels[3].stage, of.registry.labels[4].stage) == ("3", "Production", "Archived")
    moved(of, 4, "Production")
    assert of.route() == "4"


def test_a_label_that_is_moved_back_is_a_rollback_without_another_validation() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    jobs = len([one for one in of.cluster.writes if one[1] == "Job"])
    moved(of, 1, "Production", archive_others=True)
    assert (of.route(), released(of, 1)) == ("1", "Serving")
    assert len([one for one in of.cluster.writes if one[1] == "Job"]) == jobs


@pytest.mark.parametrize("archive_others", [False, True])
@pytest.mark.parametrize("how", [BY_STAGE, BY_ALIAS], ids=["stage", "alias"])
def test_a_refused_version_loses_the_label_and_the_champion_gets_it_back(
    how: dict[str, Any], archive_others: bool
) -> None:
    of = by_registry(bad={2})
    moved(of, 1, "Production")
    moved(of, 2, **how, archive_others=archive_others)
    ready = of.condition("ModelVersion", "flights-v2", "Ready")
    assert (of.route(), ready["reason"]) == ("1", "GateFailed")
    good, bad = of.registry.labels[1], of.registry.labels[2]
    assert (good.stage, good.aliases) == ("Production", ("champion",))
    assert (bad.stage in ("Archived", "None"), bad.aliases) == (True, ())
    assert bad.tags["slipway.dev/test/ml/state"] == "Refused GateFailed"
    assert "root_mean_squared_error is 99, must be at most 12" in bad.tags["slipway.dev/test/ml/reason"]
    of.swept()
    of.advance(700)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("1", "GateFailed")


def test_a_refused_version_that_is_asked_for_again_is_refused_without_a_job() -> None:
    of = by_registry(bad={2})
    moved(of, 1, "Production")
    moved(of, 2, "Production")
    jobs = len([one for one in of.cluster.writes if one[1] == "Job"])
    moved(of, 2, "Production", archive_others=True)
    assert len([one for one in of.cluster.writes if one[1] == "Job"]) == jobs
    assert (of.route(), of.registry.labels[2].stage, of.registry.labels[1].stage) == ("1", "Archived", "Production")
    of.bad.clear()
    of.edit("ModelVersion", "flights-v2", annotations={"retry": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.registry.labels[2].stage) == ("2", "Production")
    assert of.registry.labels[2].tags["slipway.dev/test/ml/reason"] == ""


def test_a_refused_version_keeps_the_label_where_the_policy_says_so() -> None:
    of = by_registry(bad={2}, onRefusal="Keep")
    moved(of, 1, "Production")
    moved(of, 2, "Production", archive_others=True)
    of.advance(700)
    assert (of.route(), of.registry.labels[2].stage) == ("1", "Production")
    assert of.registry.labels[2].tags["slipway.dev/test/ml/state"] == "Refused GateFailed"
    assert of.condition("ModelVersion", "flights-v1", "Synced")["reason"] == "RegistryDrifted"


def test_stage_and_alias_on_different_versions_are_a_conflict_and_neither_is_followed() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(2, "Production")
    moved(of, 3, alias="champion")
    assert of.route() == "1"
    ready = of.condition("RegisteredModel", "flights", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "LabelsConflict")
    assert "version 2 by the stage Production and for version 3 by the alias champion" in ready["message"]
    moved(of, 3, "Production", archive_others=True)
    assert of.route() == "3"


def test_a_champion_without_its_label_serves_on_and_only_archiving_it_retires_it() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.labels[1] = type(of.registry.labels[1])("None", (), of.registry.labels[1].tags)
    of.swept()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.condition("ModelVersion", "flights-v1", "Synced")["reason"]) == ("1", "Unclaimed")
    moved(of, 1, "Archived")
    assert of.route() == "1", "it may be the first half of moving the label on"
    of.advance(60)
    assert of.route() == "none"
    moved(of, 1, "Production")
    assert of.route() == "1"


@pytest.mark.parametrize("back", ["None", "Archived", "Staging", "deleted"])
def test_a_request_that_is_taken_back_in_flight_retires_nobody(back: str) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(2)
    moved(of, 2, "Production", archive_others=True)
    if back == "deleted":
        del of.registry.labels[2]
        of.registry.gone.add(2)
        moved(of, 3, "None")
    else:
        moved(of, 2, back)
    of.advance(700)
    assert (of.route(), of.registry.labels[1].stage) == ("1", "Archived")
    assert of.condition("ModelVersion", "flights-v1", "Synced")["reason"] == "RegistryDrifted"


def test_the_newer_of_two_requests_counts_and_the_champion_gets_all_its_labels() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.update({2, 3})
    moved(of, 3, "Production")
    moved(of, 2, "Production")
    assert of.condition("ModelVersion", "flights-v3", "Ready")["reason"] == "Superseded"
    of.down.clear()
    of.settle()
    of.advance(700)
    assert (of.route(), of.registry.labels[2].aliases, of.registry.labels[3].stage) == ("2", ("champion",), "Archived")


def test_a_request_that_comes_while_labels_are_written_is_not_overwritten() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.name(2, "champion")
    of.swept()
    of.registry.put(3, "Production")  # no sweep has seen it when version 2 is released
    of.settle()
    assert of.route() == "2"
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "3"


@pytest.mark.parametrize("policy", ["Revert", "Keep"])
def test_a_version_that_was_refused_takes_no_traffic_when_its_gates_are_loosened(policy: str) -> None:
    of = by_registry(bad={2}, onRefusal=policy)
    for number in (1, 2, 3):
        moved(of, number, "Production")
    loose = {**GATED, "gates": [{"name": "error", "metric": {**GATED["gates"][0]["metric"], "threshold": 200.0}}]}  # type: ignore[index]
    of.edit("RegisteredModel", "flights", validation=loose)
    of.settle()
    of.advance(700)
    assert of.route() == "3"


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


@pytest.mark.parametrize("there", ["Cluster", "Registry"])
def test_another_source_moves_nothing(there: str) -> None:
    of = by_registry()
    for number in (4, 3):
        moved(of, number, "Production")
    of.registry.put(9, "Production")
    of.edit("RegisteredModel", "flights", promotion={"source": "Cluster"})
    of.settle()
    of.advance(700)
    of.edit("RegisteredModel", "flights", promotion={"source": there})
    of.settle()
    of.advance(700)
    assert (of.route(), declared(of)) == ("3", ["flights-v3", "flights-v4"])


def test_a_label_that_was_taken_away_is_set_again_where_the_policy_says_so() -> None:
    of = by_registry(onDrift="Correct")
    moved(of, 1, "Production")
    moved(of, 1, "None")
    assert (of.route(), of.registry.labels[1].stage) == ("1", "Production")


def test_a_version_in_staging_is_proven_and_stays_there() -> None:
    of = by_registry()
    moved(of, 2, "Staging")
    of.swept()
    of.advance(700)
    assert (of.route(), released(of, 2)) == ("", "Validated")
    assert (of.registry.labels[2].stage, of.registry.labels[2].aliases) == ("Staging", ("challenger",))


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


def _a_silent_registry(of: Simulation) -> None:
    of.registry.silent = True
    of.swept()
    of.settle()


def _another_start(of: Simulation) -> None:
    _a_silent_registry(of)
    of.start()


@pytest.mark.parametrize("happens", [_a_silent_registry, _another_start])
def test_silence_takes_back_nothing_that_was_asked_for(happens: Callable[[Simulation], None]) -> None:
    of = by_registry()
    moved(of, 2, "Production")
    moved(of, 1, "Production")
    of.down.add(3)
    moved(of, 3, "Production")
    pods = [key for key in of.cluster.objects if key[0] == "Deployment"]
    happens(of)
    of.advance(700)
    assert (of.route(), [key for key in of.cluster.objects if key[0] == "Deployment"]) == ("1", pods)
    assert of.condition("ModelVersion", "flights-v3", "Imported")["status"] == "True"


def test_a_declared_version_is_used_as_it_is_and_its_own_stage_is_ignored() -> None:
    of = by_registry()
    of.cluster.put(version(5, stage="Production"))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() in ("", "none")
    moved(of, 5, "Production")
    assert (of.route(), declared(of)) == ("5", ["flights-v5"])


def test_a_label_that_drifts_is_set_back_where_the_cluster_decides_and_the_policy_says_so() -> None:
    of = Simulation()
    of.cluster.put(model(promotion={"onDrift": "Correct"}))
    of.cluster.put(version(1))
    of.settle()
    moved(of, 2, "Production", archive_others=True)
    assert (of.route(), of.registry.labels[1].stage, declared(of)) == ("1", "Production", ["flights-v1"])


@pytest.mark.parametrize("bad", [False, True], ids=["loosened since", "still bad"])
def test_a_version_that_kept_its_label_is_asked_for_again_by_moving_it_once_more(bad: bool) -> None:
    of = by_registry(bad={2}, onRefusal="Keep")
    for number in (1, 2):
        moved(of, number, "Production")
    if not bad:
        of.bad.clear()
        loose = {**GATED, "gates": [{"name": "error", "metric": {**GATED["gates"][0]["metric"], "threshold": 200.0}}]}  # type: ignore[index]
        of.edit("RegisteredModel", "flights", validation=loose)
        of.settle()
    moved(of, 2, "Production", archive_others=True)  # no label of version 2 changes; MLflow archives version 1
    assert of.registry.labels[1].stage == "Archived"
    for _ in range(4):
        of.swept()
        of.settle()
        of.advance(60)
    assert of.route() == ("1" if bad else "2")


def test_an_alias_that_no_sweep_has_seen_yet_is_not_taken_back_by_labels_that_are_written_for_another_reason() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(2, "Production", archive_others=True)
    of.swept()
    of.registry.name(3, "champion")
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "3"


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


def test_while_nobody_serves_the_label_that_is_left_of_a_conflict_is_followed() -> None:
    of = by_registry()
    of.registry.put(2, "Production")
    moved(of, 3, alias="champion")
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "LabelsConflict"
    of.registry.labels[3] = type(of.registry.labels[3])("None", (), {})
    moved(of, 2, "Production")
    assert of.route() == "2"


def test_while_nobody_serves_and_the_newest_request_is_refused_another_that_is_in_production_serves() -> None:
    of = by_registry(bad={3})
    of.registry.put(2, "Production")
    moved(of, 3, "Production")
    of.advance(700)
    assert of.route() == "2"


def test_a_request_that_is_waited_for_is_told() -> None:
    of = by_registry()
    of.edit("RegisteredModel", "flights", suspend=True)
    of.settle()
    of.edit("RegisteredModel", "flights", suspend=False)
    of.down.add(3)
    moved(of, 3, "Production")
    ready = of.condition("RegisteredModel", "flights", "Ready")
    assert ready["status"] != "True" and ready["reason"] != "NothingToServe", ready


@pytest.mark.parametrize("alias", ["", "champion"])
def test_archiving_what_was_asked_for_withdraws_it_whatever_alias_is_left(alias: str) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(2)
    moved(of, 2, "Production", alias=alias)
    moved(of, 2, "Archived")
    of.down.clear()
    of.settle()
    of.advance(700)
    assert of.route() == "1"


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


def test_correcting_drift_does_not_keep_a_person_from_retiring_the_champion() -> None:
    of = by_registry(onDrift="Correct")
    moved(of, 1, "Production")
    moved(of, 1, "Archived")
    of.advance(60)
    assert (of.route(), of.registry.labels[1].stage) == ("none", "Archived")


@pytest.mark.parametrize("edit", [{"source": {"name": "Flight air time"}}])
def test_another_registered_model_or_mapping_asks_for_nothing_by_what_it_shows_at_first(edit: dict[str, Any]) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.labels[7] = type(of.registry.labels[1])("Production", (), {})
    of.edit("RegisteredModel", "flights", **edit)
    of.swept()
    of.settle()
    of.advance(700)
    assert (of.route(), of.registry.labels[7].stage) == ("1", "Production"), "it is nobody's business here"
    moved(of, 8, "Production")
    assert of.route() == "8"


def test_what_the_registry_loses_for_a_while_asks_for_nothing_when_it_is_back() -> None:
    of = by_registry(bad={3}, onRefusal="Keep")
    for number in (1, 3, 2):
        moved(of, number, "Production")
    of.registry.put(3, "Production")
    there, of.registry.labels = of.registry.labels, {}
    of.swept()
    of.settle()
    of.advance(700)
    assert of.route() == "2"
    of.registry.labels = there
    of.swept()
    of.settle()
    of.advance(700)
    assert of.route() == "2"


def test_a_refused_version_may_be_moved_to_staging() -> None:
    of = by_registry(bad={2})
    for number in (1, 2):
        moved(of, number, "Production")
    moved(of, 2, "Staging")
    of.advance(700)
    assert (of.registry.labels[2].stage, of.route()) == ("Staging", "1")


def test_a_refused_version_loses_the_alias_though_nobody_serves_and_may_be_asked_for_by_it_again() -> None:
    of = by_registry(bad={2})
    moved(of, 2, alias="champion")
    assert (of.route() in ("", "none"), of.registry.labels[2].aliases) == (True, ())
    of.bad.clear()
    loose = {**GATED, "gates": [{"name": "error", "metric": {**GATED["gates"][0]["metric"], "threshold": 200.0}}]}  # type: ignore[index]
    of.edit("RegisteredModel", "flights", validation=loose)
    of.swept()
    of.settle()
    moved(of, 2, alias="champion")
    assert (of.route(), of.registry.labels[2].stage) == ("2", "Production")


def by_cluster(**promotion: Any) -> Simulation:
    """A model that follows its ModelVersions; version 2 is about to serve, and the registry has others."""
    of = Simulation()
    of.cluster.put(model(promotion=promotion))
    for number, stage in ((7, "Production"), (8, "Production"), (9, "Staging")):
        of.registry.put(number, stage)
    elsewhere = {"slipway.dev/west/ml/state": "Serving since 2026-03-01T08:00:00Z"}
    of.registry.labels[8] = replace(of.registry.labels[8], tags=elsewhere)
    of.swept()
    of.cluster.put(version(2))
    of.cluster.put(version(3, "Staging"))
    of.settle()
    of.advance(MOMENT_SECONDS)
    return of


def test_a_promotion_in_the_cluster_archives_nothing_of_another_cluster_and_nothing_in_staging() -> None:
    of = by_cluster()
    assert of.route() == "2"
    stages = {number: one.stage for number, one in of.registry.labels.items()}
    assert stages == {2: "Production", 3: "Staging", 7: "Archived", 8: "Production", 9: "Staging"}
    assert of.condition("ModelVersion", "flights-v2", "Synced")["status"] == "True"


@pytest.mark.parametrize("policy", ["Report", "Correct"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"stage": "Production"}, "version 5 is in stage Production, too"),
        ({"alias": "champion"}, "the alias champion is on version 5"),
        (
            {"stage": "Production", "archive_others": True},
            "its stage is Archived, was set to Production and version 5 is in stage Production, too",
        ),
    ],
    ids=["stage", "alias", "stage that archives"],
)
def test_a_label_that_is_moved_by_hand_where_the_cluster_decides_is_drift_and_both_sides_are_named(
    policy: str, how: dict[str, Any], says: str
) -> None:
    of = by_cluster(onDrift=policy)
    moved(of, 5, **how)
    assert (of.route(), declared(of)) == ("2", ["flights-v2", "flights-v3"])
    synced = of.condition("ModelVersion", "flights-v2", "Synced")
    if policy == "Report":
        assert (synced["status"], synced["reason"]) == ("False", "RegistryDrifted")
        assert synced["message"].startswith(f"Version 2 serves. In the registry, {says}. ")
    else:
        assert synced["status"] == "True"
        found = of.registry.labels
        assert (found[2].stage, found[2].aliases, found[5].stage) == (
            "Production",
            ("champion",),
            "None" if "alias" in how else "Archived",
        )


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


def test_a_request_outlives_a_list_that_does_not_show_its_version() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(2)
    moved(of, 2, "Production")
    there = of.registry.labels.pop(2)
    of.swept()
    of.settle()
    of.down.clear()
    of.settle()
    of.registry.labels[2] = there
    of.swept()
    of.advance(700)
    assert of.route() == "2"


@pytest.mark.parametrize("source", ["Cluster", "Registry"])
def test_a_version_that_was_deleted_in_the_registry_serves_on_and_says_so(source: str) -> None:
    of = by_registry(source=source)
    of.cluster.put(version(1))
    moved(of, 1, "Production")
    assert of.route() == "1"
    of.registry.labels.clear()
    of.registry.gone.add(1)
    of.swept()
    of.settle()
    of.advance(700)
    ready = of.condition("ModelVersion", "flights-v1", "Ready")
    assert (of.route(), ready["status"], ready["reason"]) == ("1", "False", "VersionGone")


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
