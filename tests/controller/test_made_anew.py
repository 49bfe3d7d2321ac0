"""A registered model that is deleted and made anew in MLflow: its versions are others, whatever their numbers."""

from dataclasses import replace

import pytest
from slipway.adapters.cluster import JOB
from slipway.api.modelledger import ModelLedgerSpec
from slipway.api.modelregistry import ModelRegistry

from tests.controller.labels_world import by_registry, moved
from tests.declared import GATED, model, version
from tests.simulation import NO_LABELS, SILENT, Simulation, digest_of
from tests.worlds import ENTRY


def _made_anew(of: Simulation) -> None:
    of.registry.make_anew()
    for number in (1, 2, 3):
        of.registry.put(number, "None")
    of.swept()
    of.settle()
    of.advance(700)


def _serves(of: Simulation) -> tuple[int | None, bool]:
    """Who serves, and whether it is what was released of the first registered model."""
    ledger = of.ledger()
    assert isinstance(ledger, ModelLedgerSpec)
    assert ledger.serving is not None
    return ledger.champion, ledger.serving.digest == digest_of(ledger.champion or 0)


def test_what_serves_serves_on_and_the_version_says_so() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    _made_anew(of)
    assert (_serves(of), of.route()) == ((1, True), "1")
    said = of.condition("ModelVersion", "flights-v1", "Resolved")
    assert said["status"] == "True"
    assert said["message"].startswith("The registered model was made anew")


def test_a_version_that_was_proven_before_is_imported_and_judged_anew() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    moved(of, 2, "Staging")
    proven = len(of.proven)
    _made_anew(of)
    moved(of, 2, "Production")
    assert (_serves(of), len(of.proven)) == ((2, False), proven + 1)


def test_a_number_that_was_released_before_is_a_new_version() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    _made_anew(of)
    moved(of, 1, "Production")
    assert (_serves(of), of.route()) == ((1, False), "1")


def test_a_number_that_was_released_before_and_misses_a_gate_now_is_refused() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    of.bad = {1}
    _made_anew(of)
    moved(of, 1, "Production")
    assert _serves(of) == (2, True)


def test_a_rollback_returns_to_what_served_though_another_one_has_its_number_now() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    _made_anew(of)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, by=eve"})
    of.settle()
    of.advance(11)
    assert (_serves(of), of.route()) == ((1, True), "1")
    found = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]
    assert found["status"]["digest"] == digest_of(1)


def test_a_restarted_operator_sees_it_too() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    moved(of, 2, "Staging")
    of.registry.created += 1
    of.start()
    of.swept()
    of.settle()
    moved(of, 2, "Production")
    assert _serves(of) == (2, False)


def test_a_silent_registry_makes_nothing_anew() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    of.registry.silent = True
    of.registry.created += 1
    of.swept()
    of.settle()
    of.advance(700)
    assert of.condition("ModelVersion", "flights-v1", "Resolved")["status"] == "True"
    assert _serves(of) == (2, True)


def test_another_server_has_other_versions() -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED))
    of.cluster.put(version(1, "Production"))
    of.settle()
    of.advance(11)
    of.cluster.put(version(2, "Staging"))
    of.settle()
    of.advance(11)
    jobs = len([one for one in of.cluster.writes if one[1] == "Job"])
    backend = {"mlflow": {"uri": "http://elsewhere:5000"}}
    wire = of.registry.resource.wire()
    of.registry.resource = ModelRegistry.model_validate({**wire, "spec": {**wire["spec"], "backend": backend}})
    of.registry.created += 1
    of.wake_family()
    of.settle()
    of.advance(700)
    assert _serves(of) == (1, True)
    assert len([one for one in of.cluster.writes if one[1] == "Job"]) > jobs


@pytest.mark.parametrize("source", ["Cluster", "Registry"])
def test_nothing_is_written_to_the_version_that_has_the_champions_number_now(source: str) -> None:
    of = by_registry(source=source)
    if source == "Cluster":
        of.cluster.put(version(1, "Production"))
    moved(of, 1, "Production")
    assert of.registry.labels[1].lines
    _made_anew(of)
    assert of.registry.labels[1] == NO_LABELS
    said = of.condition("ModelVersion", "flights-v1", "Synced")
    assert (said["status"], said["reason"]) == ("False", "VersionGone")
    assert said["message"].startswith("The registered model was made anew") and of.route() == "1"
    moved(of, 1, "Staging")
    moved(of, 2, "Production")
    assert (
        (of.route(), of.registry.labels[2].stage) == ("2", "Production")
        if source == "Registry"
        else ("1", "Production")
    )
    assert of.registry.labels[1].stage == "Staging", "nor is it archived by what comes after"


def test_what_served_under_a_number_is_not_told_of_the_version_that_has_it_now() -> None:
    of = by_registry()
    for number in (1, 2, 3):
        moved(of, number, "Production", archive_others=True)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=2, by=eve"})
    of.settle()
    of.advance(11)
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    _made_anew(of)
    assert [of.registry.labels[number] for number in (1, 2, 3)] == [NO_LABELS] * 3
    moved(of, 1, "Staging")
    told = of.registry.labels[1]
    assert told.tags["slipway.dev/test/ml/state"] == "Validated"
    assert not [tag for tag in told.tags if "/served " in tag]


def test_an_import_is_not_taken_for_that_of_the_version_before_it_from_the_same_place() -> None:
    of = by_registry()
    there = of.registry
    there.ask = lambda one: replace(ENTRY, created=there.labels[one.version].created)  # type: ignore[method-assign]
    moved(of, 1, "Production")
    moved(of, 2, "Staging")
    jobs = {found["metadata"]["name"] for found in of.cluster.of(JOB)}
    _made_anew(of)
    moved(of, 2, "Staging")
    made = {found["metadata"]["name"] for found in of.cluster.of(JOB)} - jobs
    assert [name for name in made if "-v2-import-" in name]


def test_a_restart_while_the_registry_is_silent_forgets_nothing_of_what_was_seen() -> None:
    of = by_registry(source="Cluster")
    for number, stage in ((1, "Production"), (2, "Staging")):
        of.cluster.put(version(number, stage))
        of.settle()
        of.advance(11)
    assert of.condition("ModelVersion", "flights-v2", "Validated")["status"] == "True"
    of.registry.ask = lambda _: SILENT  # type: ignore[method-assign]
    _made_anew(of)
    of.registry.silent = True
    of.start()
    of.edit("ModelVersion", "flights-v2", stage="Production")
    of.wake_family()
    of.settle()
    of.advance(700)
    assert _serves(of) == (1, True)
    assert of.condition("ModelVersion", "flights-v2", "Resolved")["status"] != "True"


def test_archiving_the_version_that_has_the_champions_number_now_retires_nobody() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    _made_anew(of)
    moved(of, 2, "Archived")
    of.advance(60)
    assert (_serves(of), of.route()) == ((2, True), "2")
    moved(of, 2, "Production")
    moved(of, 2, "Archived")
    of.advance(60)
    assert (_serves(of), of.route()) == ((2, True), "2")


def _restored_without(of: Simulation, number: int) -> None:
    """A backup of MLflow comes back, and somebody registers a version anew under the number that it gives again."""
    of.registry.restore(without=number)
    of.swept()
    of.settle()
    of.advance(700)
    of.registry.put(number, "None")
    of.swept()
    of.settle()


@pytest.mark.parametrize("was_seen_to_be_gone", [True, False])
def test_a_number_that_was_given_again_is_another_version(was_seen_to_be_gone: bool) -> None:
    of = by_registry()
    for number in (1, 2, 3):
        moved(of, number, "Production", archive_others=True)
    of.registry.gone = {2, 3} if was_seen_to_be_gone else set()
    _restored_without(of, 2)
    of.registry.gone = set()
    assert (_serves(of), of.route()) == ((3, True), "3"), "what is lost there moves nothing here"
    moved(of, 2, "Production")
    assert (_serves(of), of.route()) == ((2, False), "2"), "its own files, not those of the first version 2"


def test_a_number_that_was_given_again_and_misses_a_gate_is_refused() -> None:
    of = by_registry()
    for number in (1, 2, 3):
        moved(of, number, "Production", archive_others=True)
    of.bad = {2}
    _restored_without(of, 2)
    moved(of, 2, "Production")
    assert _serves(of) == (3, True)


def test_the_number_of_what_serves_that_was_given_again_changes_nothing_and_is_said() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production", archive_others=True)
    _restored_without(of, 2)
    moved(of, 2, "Production")
    assert (_serves(of), of.route()) == ((2, True), "2")
    assert "made anew" in of.condition("ModelVersion", "flights-v2", "Resolved")["message"]


@pytest.mark.parametrize("source", ["Registry", "Cluster"])
def test_the_champion_says_so_although_the_new_one_is_empty(source: str) -> None:
    of = by_registry(source=source)
    of.cluster.put(version(1))
    moved(of, 1, "Production")
    of.registry.make_anew()
    of.swept()
    of.settle()
    of.advance(60)
    assert "was made anew" in of.condition("ModelVersion", "flights-v1", "Resolved")["message"]
    of.registry.gone.add(1)
    of.swept()
    of.settle()
    of.advance(60)
    assert of.condition("ModelVersion", "flights-v1", "Synced")["reason"] == "VersionGone"
    of.registry.created, of.registry.era = 1, 1  # it was another server for a moment
    of.swept()
    of.settle()
    of.advance(60)
    assert "was made anew" not in of.condition("ModelVersion", "flights-v1", "Resolved")["message"]
