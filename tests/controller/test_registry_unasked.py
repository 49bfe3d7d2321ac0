"""What the registry shows although nobody asked for it: MLflow did that by itself, or somebody restored it."""

from dataclasses import replace

import pytest

from tests.controller.labels_world import by_registry, moved
from tests.simulation import NO_LABELS, Simulation

SWEEPS_SECONDS = 60.0


def sweeps(of: Simulation, times: int = 3) -> None:
    for _ in range(times):
        of.swept()
        of.settle()
        of.advance(SWEEPS_SECONDS)


@pytest.mark.parametrize("known", [False, True])
def test_a_version_that_is_promoted_by_mistake_and_deleted_before_a_sweep_retires_nobody(known: bool) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    if known:
        moved(of, 7, "None")
    of.registry.put(7, "Production", archive_others=True)
    of.registry.delete(7)
    if known:  # what is in no list is believed to be there for two sweeps more
        of.registry.labels[7] = NO_LABELS
    sweeps(of)
    assert of.route() == "1"


def test_nor_if_another_version_is_registered_before_the_sweep() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(7, "Production", archive_others=True)
    of.registry.delete(7)
    of.registry.put(8, "None")
    of.registry.labels[8] = replace(of.registry.labels[8], moved=0)
    sweeps(of)
    assert of.route() == "1"


def test_a_version_that_is_seen_as_a_request_and_then_deleted_retires_nobody() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(7)
    of.registry.put(7, "Production", archive_others=True)
    of.swept()
    of.settle()
    of.registry.delete(7)
    of.registry.gone.add(7)
    sweeps(of)
    assert of.route() == "1"


def test_archiving_the_champion_alone_retires_it_although_a_version_was_deleted_before() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    moved(of, 7, "None")
    of.registry.delete(7)
    of.registry.put(1, "Archived")
    sweeps(of)
    assert of.route() == "none"


def test_an_mlflow_that_is_restored_from_a_backup_moves_no_traffic_and_is_told_who_serves() -> None:
    of = by_registry()
    moved(of, 2, "Production")
    moved(of, 3, "None")
    last_night = of.registry.backup()
    of.advance(700)
    moved(of, 3, "Production", archive_others=True)
    assert of.route() == "3"
    of.registry.restore_from(last_night)
    sweeps(of)
    assert of.route() == "3"
    assert (of.registry.labels[3].stage, of.registry.labels[3].aliases) == ("Production", ("champion",))
    assert of.registry.labels[2].stage == "Archived"


@pytest.mark.parametrize("restarts", [False, True])
def test_nor_if_the_backup_does_not_have_the_version_that_serves(restarts: bool) -> None:
    of = by_registry()
    moved(of, 2, "Production")
    last_night = of.registry.backup()
    of.advance(700)
    moved(of, 3, "Production", archive_others=True)
    of.registry.restore_from(last_night)
    if restarts:
        of.start()
    sweeps(of)
    assert of.route() == "3"
    moved(of, 2, "None")
    moved(of, 2, "Production")
    assert of.route() == "2", "what is asked for after that counts"


def test_a_rollback_outlasts_a_restored_mlflow_that_shows_what_was_rolled_back() -> None:
    of = by_registry()
    moved(of, 2, "Production")
    moved(of, 3, "Production", archive_others=True)
    last_night = of.registry.backup()
    of.advance(700)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=2, by=eve, reason=leaks"})
    of.settle()
    sweeps(of)
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    of.registry.restore_from(last_night)
    sweeps(of)
    assert of.route() == "2"


@pytest.mark.parametrize("asked", ["by stage and alias", "by alias"])
def test_the_alias_leaves_what_was_refused_although_the_champion_is_deleted_in_mlflow(asked: str) -> None:
    of = by_registry(bad={3})
    moved(of, 2, "Production")
    of.registry.delete(2)
    of.registry.gone.add(2)
    moved(of, 3, "Production" if asked == "by stage and alias" else "", alias="champion")
    sweeps(of)
    assert (of.route(), of.registry.labels[3].aliases) == ("2", ())
    assert of.registry.labels[3].stage == "Archived"


def test_and_what_was_rolled_back() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    moved(of, 2, "Production", archive_others=True)
    of.registry.delete(1)
    of.registry.gone.add(1)
    sweeps(of)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    sweeps(of)
    assert (of.route(), of.registry.labels[2].stage, of.registry.labels[2].aliases) == ("1", "Archived", ())


def test_while_a_deleted_champion_serves_the_alias_of_what_is_asked_for_stays() -> None:
    of = by_registry()
    moved(of, 2, "Production")
    of.registry.delete(2)
    of.registry.gone.add(2)
    of.down.add(3)
    moved(of, 3, alias="champion")
    sweeps(of)
    assert (of.route(), of.registry.labels[3].aliases) == ("2", ("champion",))


def test_a_promotion_leaves_what_another_cluster_has_put_into_production() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    moved(of, 2, "Production")
    moved(of, 3, "Production")
    elsewhere = {"slipway.dev/west/ml/state": "Serving since 2026-03-01T08:00:00Z"}
    of.registry.put(8, "Production")
    of.registry.labels[8] = replace(of.registry.labels[8], tags=elsewhere)
    moved(of, 4, "Production")
    sweeps(of)
    shows = {number: one.stage for number, one in of.registry.labels.items()}
    assert shows == {1: "Archived", 2: "Archived", 3: "Archived", 4: "Production", 8: "Production"}
