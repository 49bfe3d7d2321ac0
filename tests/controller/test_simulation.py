"""The whole operator, through stories that went wrong once."""

from dataclasses import replace
from typing import Any

import pytest
from slipway.adapters.cluster import EVENT, JOB, Object
from slipway.adapters.errors import AdapterError, Rejected, Unreachable

from tests.declared import GATED, model, version
from tests.simulation import Simulation
from tests.worlds import ENTRY

MOMENT_SECONDS = 11.0  # what may pass in a moment is told, if it lasts so long


def test_what_a_person_has_taken_in_hand_is_left_alone_until_they_let_go() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    service = of.cluster.objects[("Service", "ml", "flights")]
    by_hand = {**service["spec"], "selector": {**service["spec"]["selector"], "slipway.dev/version": "7"}}
    held = {**service["metadata"], "annotations": {"slipway.dev/break-glass": "INC-4711"}}
    of.cluster.put({**service, "metadata": held, "spec": by_hand})
    of.settle()
    assert of.route() == "7"
    ready = of.condition("RegisteredModel", "flights", "Ready")
    assert (ready["reason"], "INC-4711" in ready["message"]) == ("TakenInHand", True)
    of.cluster.put({**of.cluster.objects[("Service", "ml", "flights")], "metadata": {**held, "annotations": {}}})
    of.settle()
    assert of.route() == "1"


def test_a_version_that_is_applied_without_a_model_gets_one_and_serves() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    assert of.route() == "1"


def test_the_first_import_from_a_bucket_has_the_buckets_credential_already() -> None:
    """Where the files lie is found in the pass that begins the import."""
    of = Simulation()
    of.registry.buckets = {ENTRY.location: {"AZURE_STORAGE_ACCESS_KEY": "a2V5"}}
    of.cluster.put(version(1))
    of.settle(nodes=False)
    (job,) = of.cluster.of(JOB)
    assert "credentials" in {one["name"] for one in job["spec"]["template"]["spec"]["volumes"]}
    secret = of.cluster.objects[("Secret", job["metadata"]["namespace"], job["metadata"]["name"])]
    assert set(secret["data"]) == {"AZURE_STORAGE_ACCESS_KEY"}


def test_a_version_whose_bucket_has_no_secret_is_not_pinned_unchecked() -> None:
    of = Simulation()
    of.registry.bucket_known = False
    of.cluster.put(version(1))
    of.settle(nodes=False)
    assert of.condition("ModelVersion", "flights-v1", "Resolved")["status"] != "True"
    assert list(of.cluster.of(JOB)) == []
    of.registry.bucket_known = True
    of.wake_family()
    of.settle()
    assert of.route() == "1"


def test_labels_that_were_held_back_for_a_moment_are_written_once_it_has_passed() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    of.down.add(1)  # the pods go, and are back before it was worth telling
    of.cluster.lose("Deployment", "ml", "flights-v1")
    of.settle()
    of.registry.labels[1] = replace(of.registry.labels[1], stage="None", tags={})
    of.down.clear()
    of.swept()
    of.settle()
    assert of.registry.labels[1].stage == "Production"


def test_a_version_that_nobody_asked_for_any_more_says_so_when_it_serves_again() -> None:
    of = Simulation()
    for number in (1, 2):
        of.cluster.put(version(number))
        of.settle()
    of.edit("ModelVersion", "flights-v1", stage="None")
    of.settle()
    assert of.condition("ModelVersion", "flights-v1", "Released") == {}
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=v2 is slow"})
    of.advance(MOMENT_SECONDS)
    assert of.route() == "1"
    assert of.condition("ModelVersion", "flights-v1", "Released")["reason"] == "Serving"


def test_a_report_is_kept_though_the_answer_to_the_status_got_lost() -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED))

    def loses_the_answer(_kind: Any, _event: str, found: Object) -> None:
        validated = found.get("status", {}).get("validation") or {}
        of.cluster.losing = 1 if found["kind"] == "ModelVersion" and validated.get("outcome") == "Passed" else 0

    of.cluster.hears.append(loses_the_answer)
    of.cluster.put(version(1))
    for _ in range(3):
        of.settle()
        of.cluster.hears = of.cluster.hears[:1]
    assert (of.route(), len(of.kept) > 0) == ("1", True)


def test_a_rollback_that_cannot_be_is_said_of_a_model_at_rest() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=99"})
    of.settle()
    assert [found["reason"] for found in of.cluster.of(EVENT)].count("RollbackImpossible") == 1


def test_traffic_that_moved_is_said_though_something_failed_behind_the_ledger() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    failing = [Unreachable("HTTP 503")]

    def fails(_verb: str, manifest: Any) -> AdapterError | None:
        return failing.pop() if manifest["kind"] == "Service" and of.champion() == 2 and failing else None

    of.cluster.refuses.append(fails)
    of.cluster.put(version(2))
    of.settle()
    assert (of.route(), failing) == ("2", [])
    told = [found["message"] for found in of.cluster.of(EVENT) if found["reason"] == "Serving"]
    assert len([one for one in told if one.startswith("Traffic moved to version 2")]) == 1


def test_nobody_is_told_of_a_release_that_the_ledger_could_not_take_down() -> None:
    of = Simulation()
    of.cluster.put(version(1))
    of.settle()
    denied = Rejected("admission webhook denied the request")
    of.cluster.refuses.append(lambda _, manifest: denied if manifest["kind"] == "ModelLedger" else None)
    of.cluster.put(version(2))
    of.settle()
    status = of.cluster.objects[("RegisteredModel", "ml", "flights")]["status"]
    assert (of.route(), status["champion"]["version"]) == ("1", 1)
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "AdmissionDenied"
    told = [found["message"] for found in of.cluster.of(EVENT) if found["reason"] == "Serving"]
    assert not [one for one in told if "version 2" in one]


@pytest.mark.parametrize("lower", [False, True])
def test_a_version_that_returns_meets_the_gates_of_now_first(lower: bool) -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED))
    for number in (1, 3):
        of.cluster.put(version(number))
        of.settle()
    of.edit("ModelVersion", "flights-v3", stage="Archived")
    of.settle()
    assert of.route() == "1"
    strict = {**GATED["gates"][0], "metric": {**GATED["gates"][0]["metric"], "threshold": 11.0}}
    of.edit("RegisteredModel", "flights", validation={**GATED, "gates": [strict]})
    of.bad = {3}
    of.edit("ModelVersion", "flights-v3", stage="Production")
    if lower:  # what is refused is passed over, released before or not
        of.cluster.put(version(2))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.condition("ModelVersion", "flights-v3", "Ready")["reason"] == "GateFailed"
    assert of.route() == ("2" if lower else "1")


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_promotion_takes_twelve_writes_at_most(replicas: int) -> None:
    of = Simulation()
    of.cluster.put(model(validation=GATED, serving={"scaling": {"fixed": {"replicas": replicas}}}))
    for number in (1, 2):
        of.settle()
        before = len(of.cluster.writes)
        of.cluster.put(version(number))
        of.settle()
        wrote = [one for one in of.cluster.writes[before:] if one[1] != "Event"]
        assert (of.champion(), len(wrote) <= 12) == (number, True), wrote


def test_mlflow_alone_tells_what_serves_what_was_refused_and_what_served_when() -> None:
    of = Simulation()
    of.bad = {2}
    of.cluster.put(model(validation=GATED))
    for number in (1, 2, 3):
        of.cluster.put(version(number))
        of.settle()
        of.advance(60)
    lines = {number: one.lines[0] for number, one in of.registry.labels.items()}
    assert "replaced; version 3 serves" in lines[1]
    assert "refused, GateFailed" in lines[2] and "is 99" in lines[2]
    assert "serving since" in lines[3] and "1 parameter" in lines[3]
    served = {number: [key for key in one.tags if "/served " in key] for number, one in of.registry.labels.items()}
    assert [len(served[number]) for number in (1, 2, 3)] == [1, 0, 1]
    assert "replaced by version 3" in of.registry.labels[1].tags[served[1][0]]
    pages = [one for one in of.kept if one.path.endswith(".html")]
    assert len(pages) == 3 and b"max_depth" in pages[1].content
