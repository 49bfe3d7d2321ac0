"""A registered model that is deleted and made anew in MLflow: its versions are others, whatever their numbers."""

from slipway.api.modelledger import ModelLedgerSpec
from slipway.api.modelregistry import ModelRegistry

from tests.controller.labels_world import by_registry, moved
from tests.declared import GATED, model, version
from tests.simulation import Simulation, digest_of


def _made_anew(of: Simulation) -> None:
    of.registry.labels = {}
    of.registry.created += 1
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
