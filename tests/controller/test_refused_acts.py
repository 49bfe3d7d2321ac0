"""What the API server refuses is said with its words and the object's name, and nothing else waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slipway.adapters.errors import AdapterError, Rejected, Unauthorized, Unreachable

from tests.declared import GATED, model, version
from tests.simulation import Simulation
from tests.worlds import PLATFORM

DENIED = "admission webhook denied the request: limits are too high"
MINUTES = 700.0


def refuses(of: Simulation, kind: str, name: str = "", error: AdapterError | None = None) -> Callable[[], None]:
    """The API server refuses to make or change these; returns what ends it."""
    said = error or Rejected(DENIED)

    def rule(verb: str, manifest: Any) -> AdapterError | None:
        found = manifest["kind"] == kind and name in manifest["metadata"]["name"] and verb != "delete"
        return said if found else None

    of.cluster.refuses.append(rule)
    return lambda: of.cluster.refuses.remove(rule)


def serving(*numbers: int, **spec: Any) -> Simulation:
    """The versions were released, one after the other."""
    of = Simulation()
    of.cluster.put(model(**spec))
    for number in numbers:
        of.cluster.put(version(number))
        of.settle()
    return of


def ready(of: Simulation) -> tuple[str, str, str]:
    said = of.condition("RegisteredModel", "flights", "Ready")
    return said["status"], said["reason"], said["message"]


def test_an_edit_that_was_refused_is_said_of_the_model_while_its_champion_serves_on() -> None:
    of = serving(1)
    end = refuses(of, "Deployment")
    of.edit("RegisteredModel", "flights", serving={"scaling": {"fixed": {"replicas": 3}}})
    of.advance(MINUTES)
    status, reason, message = ready(of)
    assert (status, reason, of.route()) == ("False", "AdmissionDenied", "1")
    assert message.startswith(f"Deployment flights-v1: {DENIED}")
    assert "Version 1 serves" in message
    end()
    of.advance(MINUTES)
    assert ready(of)[:2] == ("True", "Serving")
    assert of.cluster.objects[("Deployment", "ml", "flights-v1")]["spec"]["replicas"] == 3


def test_a_refused_budget_holds_up_neither_the_route_nor_the_next_version() -> None:
    of = serving(1, serving={"scaling": {"fixed": {"replicas": 2}}})
    refuses(of, "PodDisruptionBudget")
    of.cluster.lose("PodDisruptionBudget", "ml", "flights")
    of.cluster.put(version(2))
    of.advance(MINUTES)
    assert of.route() == "2"
    assert ready(of)[:2] == ("False", "AdmissionDenied")
    assert ready(of)[2].startswith("PodDisruptionBudget ")


def test_going_back_needs_nothing_of_a_candidate_whose_objects_are_refused() -> None:
    of = serving(1, 2)
    refuses(of, "Deployment", "-v3")
    of.cluster.put(version(3))
    of.settle()
    assert (of.route(), ready(of)[1]) == ("2", "AdmissionDenied")
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, by=eve, reason=v2 is slow"})
    of.settle()
    assert of.route() == "1"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Unauthorized("exceeded quota: jobs, requested: count/jobs.batch=1"), "QuotaExceeded"), (None, "AdmissionDenied")],
)
def test_a_refused_job_is_said_of_its_version(error: AdapterError | None, reason: str) -> None:
    of = serving(1, validation=GATED)
    end = refuses(of, "Job", "flights-v2-validate", error)
    of.cluster.put(version(2))
    of.settle()
    said = of.condition("ModelVersion", "flights-v2", "Ready")
    assert (said["status"], said["reason"], of.route()) == ("False", reason, "1")
    assert said["message"].startswith("Job flights-v2-validate-")
    end()
    of.advance(MINUTES)
    assert of.route() == "2"


def test_a_retry_while_the_model_is_suspended_is_done_afterwards() -> None:
    of = serving(1)
    of.edit("RegisteredModel", "flights", suspend=True)
    of.settle()
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "the store lost it"})
    of.settle()
    before = len(of.cluster.writes)
    of.edit("RegisteredModel", "flights", suspend=False)
    of.advance(MINUTES)
    assert [one[2] for one in of.cluster.writes[before:] if one[1] == "Job" and "import" in one[2]]


def test_a_retry_with_a_long_reason_is_carried_out_once() -> None:
    of = serving(1)
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "because " * 100})
    of.advance(MINUTES)
    status = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]["status"]
    assert len(status["lastHandledRetry"]) == 256
    assert of.condition("ModelVersion", "flights-v1", "Ready")["reason"] == "Serving"
    imports = [one for one in of.cluster.writes if one[1] == "Job" and "v1-import" in one[2]]
    of.advance(MINUTES)
    assert len(imports) == 2
    assert [one for one in of.cluster.writes if one[1] == "Job" and "v1-import" in one[2]] == imports


def test_in_a_namespace_that_did_not_ask_for_it_nothing_is_done_until_it_does() -> None:
    asked = {"ml": False}
    of = Simulation(serves=lambda namespace: asked[namespace])
    of.cluster.put(model())
    of.cluster.put(version(1))
    of.advance(MINUTES)
    assert of.cluster.writes == []
    asked["ml"] = True
    of.wake_family()  # as the label does
    of.advance(MINUTES)
    assert of.route() == "1"


@contextmanager
def unreadable_logs(of: Simulation, why: str) -> Iterator[None]:
    """No log can be read meanwhile."""

    async def fails(*_: Any) -> str:
        raise Unreachable(why)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of.cluster, "log", fails)
        yield


def test_a_log_that_cannot_be_read_for_a_moment_is_waited_for() -> None:
    of = serving(1, validation=GATED)
    with unreadable_logs(of, "HTTP 502: the kubelet does not answer"):
        of.cluster.put(version(2))
        of.settle()
        of.advance(35)  # progress is told after half a minute
        said = of.condition("ModelVersion", "flights-v2", "Validated")
        assert (said["status"], said["reason"]) == ("False", "ValidationRunning")
        assert "cannot be read yet: HTTP 502: the kubelet does not answer" in said["message"]
    of.advance(10)
    assert of.route() == "2"


def test_a_log_that_stays_unreadable_is_lost_and_the_validation_is_made_anew() -> None:
    of = serving(1, validation=GATED)
    with unreadable_logs(of, "HTTP 404: the node is gone"):
        of.cluster.put(version(2))
        of.settle()
        of.advance(65)
        said = of.condition("ModelVersion", "flights-v2", "Validated")
        assert (said["reason"], "the node is gone" in said["message"]) == ("ReportMissing", True)
    of.advance(MINUTES)
    assert of.route() == "2"


def test_another_data_set_imports_the_data_and_no_model() -> None:
    of = serving(1, validation=GATED)
    before = len(of.cluster.writes)
    another = {**GATED, "data": {**GATED["data"], "uri": "mlflow-artifacts:/1/of-this-month.parquet"}}
    of.edit("RegisteredModel", "flights", validation=another)
    of.cluster.put(version(2))
    of.advance(MINUTES)
    jobs = [name for _, kind, name in of.cluster.writes[before:] if kind == "Job"]
    assert [name for name in jobs if name.startswith("flights-v1-import")] == []
    assert of.route() == "2"


def test_a_namespace_that_takes_its_label_back_holds_no_place_in_a_queue() -> None:
    asked = {"ml": True}
    one = PLATFORM.model_copy(update={"imports": PLATFORM.imports.model_copy(update={"max_concurrent": 1})})
    of = Simulation(one, lambda namespace: asked[namespace])
    of.cluster.put(model())
    for number in (1, 2):
        of.cluster.put(version(number))
        of.settle(nodes=False)
    assert of.reconciler._slots.counts()["import"] == (1, 1)
    asked["ml"] = False
    of.wake_family()
    of.settle()
    assert of.reconciler._slots.counts()["import"] == (0, 0), "the Job that ran has ended, and nobody waits"
