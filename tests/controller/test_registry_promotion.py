"""Versions that are promoted by their labels in MLflow: requests, and how they are answered."""

from typing import Any

import pytest
from slipway.controller.queue import Key
from slipway.core.news import REFUSED

from tests.controller.labels_world import MOMENT_SECONDS, by_registry, declared, moved, released
from tests.declared import GATED, model, version
from tests.simulation import Simulation

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
    why = "error: root_mean_squared_error is 99, must be at most 12. Train a better one, or have the model's owner "
    assert bad.tags["slipway.dev/test/ml/reason"] == f"{why}change the gate.", "all of it can be read in MLflow"
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


@pytest.mark.parametrize("policy", ["Revert", "Keep"])
@pytest.mark.parametrize("better", [True, False], ids=["passes now", "fails again"])
def test_a_refused_version_that_is_asked_for_again_is_judged_against_the_champion_of_now(
    policy: str, better: bool
) -> None:
    of = by_registry(bad={2}, onRefusal=policy)
    for number in (1, 2, 3):
        moved(of, number, "Production")
    if better:
        of.bad.clear()
    jobs = len([one for one in of.cluster.writes if one[1] == "Job"])
    moved(of, 2, "None")
    moved(of, 2, "Production")
    assert len([one for one in of.cluster.writes if one[1] == "Job"]) == jobs + 1
    record = of.cluster.objects[("ModelVersion", "ml", "flights-v2")]["status"]["validation"]
    assert (of.route(), record["championVersion"]) == ("2" if better else "3", 3)
    moved(of, 2, "None")
    moved(of, 2, "Production")
    assert len([one for one in of.cluster.writes if one[1] == "Job"]) == jobs + 1, "nothing has changed since"


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


@pytest.mark.parametrize("back", ["None", "Staging", "Archived"])
def test_a_version_that_was_moved_to_production_by_mistake_and_back_between_two_sweeps_retires_nobody(
    back: str,
) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(7, "Production", archive_others=True)
    moved(of, 7, back)
    of.advance(700)
    assert (of.route(), of.registry.labels[1].stage) == ("1", "Archived")
    assert of.condition("ModelVersion", "flights-v1", "Synced")["reason"] == "RegistryDrifted"
    moved(of, 1, "Production")
    moved(of, 1, "Archived")
    of.advance(60)
    assert of.route() == "none"


@pytest.mark.parametrize("archive_others", [False, True])
def test_of_two_versions_that_are_moved_between_two_sweeps_the_one_that_was_moved_last_serves(
    archive_others: bool,
) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(4, "Production", archive_others)
    moved(of, 3, "Production", archive_others=archive_others)
    of.advance(700)
    assert (of.route(), of.registry.labels[3].stage, of.registry.labels[4].stage) == ("3", "Production", "Archived")


@pytest.mark.parametrize("back", ["None", "Archived"])
def test_the_pods_of_a_first_version_that_is_withdrawn_are_deleted(back: str) -> None:
    of = by_registry()
    of.down.add(1)
    moved(of, 1, "Production")
    assert ("Deployment", "ml", "flights-v1") in of.cluster.objects
    moved(of, 1, back)
    assert [key for key in of.cluster.objects if key[0] == "Deployment"] == []
    of.down.clear()
    moved(of, 2, "Production")
    assert of.route() == "2"


@pytest.mark.parametrize("edit", [{}, {"serving": "fast, please"}], ids=["readable", "unreadable"])
def test_of_two_models_that_follow_the_same_labels_the_first_sets_them(edit: dict[str, Any]) -> None:
    of = by_registry()
    first = model(validation=GATED, promotion={"source": "Registry"}, source={"name": "flights"})
    of.cluster.put({**first, "metadata": {**first["metadata"], "name": "airport"}})
    of.registry.named = (Key("model", "ml", "airport"), Key("model", "ml", "flights"))
    of.settle()
    of.advance(MOMENT_SECONDS)
    of.edit("RegisteredModel", "airport", **edit)
    moved(of, 3, "Production")
    of.wake(of.registry.named[0])
    of.settle()
    synced = of.condition("ModelVersion", "flights-v3", "Synced")
    assert (of.route(), "are those of the model ml/airport" in synced["message"]) == ("3", True)
    assert of.registry.labels[3].aliases == (() if edit else ("champion",))


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


@pytest.mark.parametrize("judged_before", ["in Production", "in Staging"])
def test_whoever_asks_for_what_was_refused_is_told_each_time(judged_before: str) -> None:
    of = by_registry(bad={2})
    moved(of, 1, "Production")

    def told() -> tuple[int, int]:
        objects = of.cluster.objects.items()
        events = [one for (kind, _, _), one in objects if kind == "Event" and one["reason"] == "GateFailed"]
        return sum(one["type"] == REFUSED for one in of.news), len(events)

    moved(of, 2, "Staging" if judged_before == "in Staging" else "Production", archive_others=True)
    assert told() == (1, 1)
    for times in (2, 3):
        moved(of, 2, "Production", archive_others=True)
        assert (of.route(), told()) == ("1", (times, times))
        of.advance(700)
        assert told() == (times, times), "each refusal is told once"
    assert len({one["id"] for one in of.news}) == len(of.news)


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


def test_a_version_in_staging_is_proven_and_stays_there() -> None:
    of = by_registry()
    moved(of, 2, "Staging")
    of.swept()
    of.advance(700)
    assert (of.route(), released(of, 2)) == ("", "Validated")
    assert (of.registry.labels[2].stage, of.registry.labels[2].aliases) == ("Staging", ("challenger",))


def test_of_what_has_been_in_staging_for_years_the_newest_is_proven_when_labels_begin_to_decide() -> None:
    of = Simulation()
    for number in range(1, 41):
        of.registry.put(number, "Staging")
    of.registry.name(7, "challenger")
    of.swept()
    of.advance(MOMENT_SECONDS)
    of.cluster.put(model(validation=GATED, promotion={"source": "Registry"}))
    of.settle()
    of.advance(1400)
    assert declared(of) == ["flights-v40", "flights-v7"]


def test_any_version_that_is_moved_to_staging_since_labels_decide_is_proven() -> None:
    of = by_registry()
    for number in (9, 3):
        moved(of, number, "Staging")
    assert (released(of, 3), released(of, 9)) == ("Validated", "Validated")


def test_a_declared_version_is_used_as_it_is_and_its_own_stage_is_ignored() -> None:
    of = by_registry()
    of.cluster.put(version(5, stage="Production"))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() in ("", "none")
    moved(of, 5, "Production")
    assert (of.route(), declared(of)) == ("5", ["flights-v5"])


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


@pytest.mark.parametrize("moves", [False, True], ids=["nobody moves a label", "labels move meanwhile"])
def test_a_registry_that_is_away_for_an_hour_changes_nothing_that_serves(moves: bool) -> None:
    of = by_registry()
    for number in (2, 3):
        moved(of, number, "Production", archive_others=True)
    of.advance(7200)  # the predecessor is not kept warm any longer
    of.registry.silent, before = True, len(of.cluster.writes)
    for tick in range(120):  # a try each 30 seconds
        if moves and tick == 60:
            of.registry.put(4, "Production", archive_others=True)
        of.swept()
        of.settle()
        of.advance(30)
    wrote = {kind for _, kind, _ in of.cluster.writes[before:]}
    assert wrote <= {"ModelVersion", "RegisteredModel", "Event"}, "statuses at most"
    assert of.route() == "3"
    of.registry.silent = False
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == ("4" if moves else "3")


def test_who_moves_a_label_sees_at_once_that_the_import_has_begun() -> None:
    of = by_registry()
    of.registry.put(3, "Production")
    of.swept()
    of.settle(nodes=False)  # no node has begun yet, and no time has passed
    assert of.condition("ModelVersion", "flights-v3", "Imported").get("reason") == "ImportRunning"
