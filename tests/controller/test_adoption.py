"""A Deployment that serves already is taken in as the first champion, and nobody touches it."""

from typing import Any

import pytest
from slipway.adapters.cluster import EVENT, SERVICE, Object
from slipway.adapters.errors import Unreachable

from tests.declared import GATED, deployed, model, version
from tests.simulation import Simulation, digest_of
from tests.worlds import RELATIVE

OLD = {"deployment": "old-flights", "port": 5001}
UNKNOWN = "unknown: adopted"
LOOK_SECONDS = 16.0  # until a Deployment that no watch tells of is looked at again
MOMENT_SECONDS = 11.0


def adopting(*deployments: Object, **spec: Any) -> Simulation:
    """A model that names the Deployment `old-flights`, which is there unless others are."""
    of = Simulation()
    for one in deployments or (deployed(),):
        of.cluster.put(one)
    of.cluster.put(model(**{"adopt": OLD, "validation": GATED} | spec))
    of.settle()
    of.advance(3)
    return of


def status(of: Simulation) -> Any:
    return of.cluster.objects[("RegisteredModel", "ml", "flights")].get("status", {})


def said(of: Simulation, which: str) -> tuple[str, str]:
    """Status and reason of a condition of the model."""
    found = of.condition("RegisteredModel", "flights", which)
    return found.get("status", ""), found.get("reason", "")


def rolled_back(of: Simulation, command: str) -> None:
    """Somebody asks for a rollback."""
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"rollback": command})
    of.settle()
    of.advance(MOMENT_SECONDS)


def test_it_has_the_traffic_at_once_and_what_is_unknown_of_it_is_said() -> None:
    of = adopting()
    spec = of.cluster.objects[("Service", "ml", "flights")]["spec"]
    assert spec["selector"] == {"app": "old-flights"}
    assert [(one["port"], one["targetPort"]) for one in spec["ports"]] == [(80, 5001)]
    assert (said(of, "Ready"), said(of, "Adopted")) == (("True", "Adopted"), ("True", "Adopted"))
    told = status(of)
    assert told["url"] == "http://flights.ml.svc"
    adopted = told["adopted"]
    assert (adopted["deployment"], adopted["serving"], adopted["ready"]) == ("old-flights", True, "2/2")
    assert [adopted[what] for what in ("digest", "environment", "report")] == [UNKNOWN] * 3
    assert [found["reason"] for found in of.cluster.of(EVENT)].count("Adopted") == 1


def test_it_is_never_written_through_its_whole_life() -> None:
    of = adopting()
    before = of.cluster.objects[("Deployment", "ml", "old-flights")]
    for number in (1, 2):
        of.cluster.put(version(number))
        of.settle()
    rolled_back(of, "to=adopted")
    of.edit("RegisteredModel", "flights", annotations={"resume": "1"})
    of.cluster.put(version(3))
    of.settle()
    of.cluster.lose("RegisteredModel", "ml", "flights")
    of.settle()
    assert of.cluster.objects[("Deployment", "ml", "old-flights")] == before
    assert not [write for write in of.cluster.writes if write[2] == "old-flights"]


def test_it_serves_until_a_version_is_proven_and_its_pods_are_ready() -> None:
    of = adopting()
    of.down.add(1)
    of.cluster.put(version(1))
    of.settle()
    of.advance(40)
    assert of.route() == "adopted"
    told = of.condition("ModelVersion", "flights-v1", "Released")
    assert (told["reason"], "Deployment old-flights serves" in told["message"]) == ("RolloutProgressing", True)
    of.down.clear()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "1"
    spec = of.cluster.objects[("Service", "ml", "flights")]["spec"]
    assert spec["ports"][0]["targetPort"] == "http"
    assert (said(of, "Ready"), said(of, "Adopted")) == (("True", "Serving"), ("True", "AdoptionOver"))
    assert (status(of)["rollback"], status(of)["adopted"]["serving"]) == ("to adopted, warm", False)


def test_a_version_that_is_refused_does_not_take_over() -> None:
    of = adopting()
    of.bad.add(1)
    of.cluster.put(version(1))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("True", "Adopted"))


@pytest.mark.parametrize("command", ["friday", "to=adopted, by=eve, reason=slow"])
def test_a_rollback_returns_to_it_and_holds_what_came_after(command: str) -> None:
    of = adopting()
    of.cluster.put(version(1))
    of.settle()
    rolled_back(of, command)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("True", "Adopted"))
    assert "No rollout starts since" in of.condition("RegisteredModel", "flights", "Ready")["message"]
    assert of.condition("ModelVersion", "flights-v1", "Released")["reason"] == "RolledBack"
    of.cluster.put(version(2))
    of.settle()
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Released")["reason"]) == ("adopted", "Held")
    of.edit("RegisteredModel", "flights", annotations={"resume": "1"})
    of.settle()
    assert of.route() == "2"


def test_a_rollback_from_it_leads_to_the_version_that_it_names() -> None:
    of = adopting()
    of.cluster.put(version(1))
    of.settle()
    rolled_back(of, "to=adopted")
    rolled_back(of, "to=1")
    assert of.route() == "1"


def test_a_rollback_to_it_is_refused_once_it_is_gone_or_scaled_down() -> None:
    of = adopting()
    of.cluster.put(version(1))
    of.settle()
    of.cluster.put(deployed(ready=0))
    rolled_back(of, "to=adopted")
    of.cluster.lose("Deployment", "ml", "old-flights")
    rolled_back(of, "to=adopted, reason=again")
    assert of.route() == "1"
    told = [found["message"] for found in of.cluster.of(EVENT) if found["reason"] == "RollbackImpossible"]
    assert sorted(told) == [
        "Rollback: Deployment old-flights is gone.",
        "Rollback: no pod of Deployment old-flights is ready: scale it up, then ask again.",
    ]
    of.advance(61)
    assert said(of, "RollbackReady") == ("False", "NoPredecessor")


REFUSED = [
    ("by expressions", deployed(matchExpressions=[{"key": "app", "operator": "Exists"}]), "matchExpressions"),
    ("versions' pods", deployed(matchLabels={"team": "air"}), "selects the pods of versions, too"),
    ("Slipway's own", deployed(matchLabels={"slipway.dev/model": "other"}), "is Slipway's own"),
    ("too much", deployed(matchLabels={f"l{one}": "x" for one in range(9)}), "9 labels"),
]


@pytest.mark.parametrize(("name", "there", "why"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_cannot_be_taken_in_says_why_and_nothing_is_released_before(name: str, there: Object, why: str) -> None:
    of = adopting(there, serving={"pod": {"labels": {"team": "air"}}})
    of.cluster.put(version(1))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert said(of, "Ready") == said(of, "Adopted") == ("False", "AdoptionRefused")
    assert why in of.condition("RegisteredModel", "flights", "Ready")["message"]
    assert of.condition("ModelVersion", "flights-v1", "Released")["reason"] == "AdoptionRefused"
    assert (of.route(), of.champion()) == ("", None)
    of.edit("RegisteredModel", "flights", adopt=None)
    of.settle()
    assert of.route() == "1"


def test_one_that_finds_the_pods_of_another_model_is_refused() -> None:
    of = Simulation()
    labels = {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/model": "trains", "app": "old-flights"}
    meta = {"name": "trains-v1-x", "namespace": "ml", "labels": labels}
    of.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": "Running"}})
    of.cluster.put(deployed())
    of.cluster.put(model(adopt=OLD))
    of.settle()
    of.advance(3)
    assert said(of, "Ready") == ("False", "AdoptionRefused")
    assert "selects the pod trains-v1-x" in of.condition("RegisteredModel", "flights", "Ready")["message"]


def test_one_that_is_not_there_yet_is_waited_for() -> None:
    of = adopting(deployed("another"))
    of.cluster.put(version(1))
    of.settle()
    assert (of.route(), said(of, "Ready")) == ("", ("False", "AdoptionPending"))
    of.cluster.put(deployed())
    of.settle()
    of.advance(LOOK_SECONDS)
    assert of.route() == "1", "it was taken in, and the version that was proven meanwhile took over"
    ledger = of.ledger()
    assert ledger is not None and ledger.adopted is not None


def test_one_without_ready_pods_keeps_the_traffic_and_says_so() -> None:
    of = adopting()
    of.cluster.put(deployed(ready=0))
    of.advance(LOOK_SECONDS + MOMENT_SECONDS)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("False", "AdoptedNotReady"))
    of.cluster.lose("Deployment", "ml", "old-flights")
    of.advance(LOOK_SECONDS + MOMENT_SECONDS)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("False", "AdoptedGone"))
    of.cluster.put(version(1))
    of.settle()
    assert of.route() == "1"


def test_silence_about_it_changes_nothing() -> None:
    of = adopting()
    real = of.cluster.get

    async def silent(kind: Any, namespace: str, name: str) -> Object:
        if name == "old-flights":
            raise Unreachable("HTTP 503")
        return await real(kind, namespace, name)

    of.cluster.get = silent  # type: ignore[method-assign]
    of.advance(LOOK_SECONDS + MOMENT_SECONDS)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("True", "Adopted"))


def test_one_that_is_made_anew_with_other_labels_is_followed_while_it_serves() -> None:
    of = adopting()
    of.cluster.lose("Deployment", "ml", "old-flights")
    of.cluster.put(deployed(matchLabels={"app": "renamed"}))
    of.advance(LOOK_SECONDS)
    assert of.cluster.objects[("Service", "ml", "flights")]["spec"]["selector"] == {"app": "renamed"}


def test_one_that_is_made_anew_and_cannot_be_followed_is_gone() -> None:
    of = adopting()
    of.cluster.lose("Deployment", "ml", "old-flights")
    there = {"matchLabels": {"app": "renamed"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]}
    of.cluster.put(deployed(**there))
    of.advance(LOOK_SECONDS + MOMENT_SECONDS)
    assert (of.route(), said(of, "Ready")) == ("adopted", ("False", "AdoptedGone"))
    assert "other labels" in of.condition("RegisteredModel", "flights", "Ready")["message"]


def test_until_a_version_takes_over_the_spec_may_name_another_or_none() -> None:
    of = adopting(deployed(), deployed("older"))
    of.edit("RegisteredModel", "flights", adopt={"deployment": "older", "port": 80})
    of.settle()
    service = next(one for one in of.cluster.of(SERVICE))
    assert (service["spec"]["selector"], service["spec"]["ports"][0]["targetPort"]) == ({"app": "older"}, 80)
    of.edit("RegisteredModel", "flights", adopt={"deployment": "missing", "port": 80})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), said(of, "Adopted")) == ("adopted", ("False", "AdoptionRefused"))
    of.edit("RegisteredModel", "flights", adopt=None)
    of.settle()
    assert of.route() == "adopted", "nobody else serves"


@pytest.mark.parametrize("adopt", [OLD | {"port": 80}, {"deployment": "older", "port": 80}])
def test_what_is_named_once_a_version_serves_is_ignored_and_that_is_said(adopt: Any) -> None:
    of = adopting(deployed(), deployed("older"))
    of.cluster.put(version(1))
    of.settle()
    of.edit("RegisteredModel", "flights", adopt=adopt)
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), said(of, "Adopted")) == ("1", ("False", "AdoptionIgnored"))


def test_a_model_that_served_adopts_nothing() -> None:
    of = Simulation()
    of.cluster.put(deployed())
    of.cluster.put(model())
    of.cluster.put(version(1))
    of.settle()
    of.edit("RegisteredModel", "flights", adopt=OLD)
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), said(of, "Adopted"), said(of, "Ready")) == (
        "1",
        ("False", "AdoptionIgnored"),
        ("True", "Serving"),
    )
    of.edit("ModelVersion", "flights-v1", stage="Archived")
    of.settle()
    assert of.route() == "none", "nothing is taken in behind a version that was archived"


def test_an_archived_version_gives_the_traffic_to_nobody_not_to_what_was_adopted() -> None:
    of = adopting()
    of.cluster.put(version(1))
    of.settle()
    of.edit("ModelVersion", "flights-v1", stage="Archived")
    of.settle()
    assert of.route() == "none"
    rolled_back(of, "to=adopted")
    assert of.route() == "adopted"


def test_a_service_of_that_name_that_is_somebody_elses_stays_theirs() -> None:
    of = Simulation()
    of.cluster.put(deployed())
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flights", "namespace": "ml"}}
    of.cluster.put({**theirs, "spec": {"selector": {"app": "old-flights"}}})
    before = of.cluster.objects[("Service", "ml", "flights")]
    of.cluster.put(model(adopt=OLD))
    of.settle()
    of.advance(3)
    assert said(of, "Ready") == ("False", "NameTaken")
    assert of.cluster.objects[("Service", "ml", "flights")] == before


@pytest.mark.parametrize("lost", ["ledger", "statuses"])
def test_what_is_lost_is_recalled_and_what_was_rolled_back_stays_out(lost: str) -> None:
    of = adopting()
    of.cluster.put(version(1))
    of.settle()
    rolled_back(of, "to=adopted")
    if lost == "ledger":
        of.cluster.lose("ModelLedger", "ml", "flights")
    else:
        for place in (("RegisteredModel", "ml", "flights"), ("ModelVersion", "ml", "flights-v1")):
            found = of.cluster.objects[place]
            of.cluster.put({key: value for key, value in found.items() if key != "status"} | {"status": {}})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.condition("ModelVersion", "flights-v1", "Released")["reason"]) == ("adopted", "RolledBack")


def test_a_ledger_that_was_restored_routes_to_nothing_that_the_spec_does_not_name() -> None:
    of = adopting()
    ledger = of.cluster.objects[("ModelLedger", "ml", "flights")]
    forged = ledger["spec"]["adopted"] | {"selector": {"app": "vault"}}
    of.cluster.put({**ledger, "spec": {**ledger["spec"], "modelUid": "another", "adopted": forged}})
    of.settle()
    assert of.cluster.objects[("Service", "ml", "flights")]["spec"]["selector"] == {"app": "old-flights"}


def test_a_suspended_model_takes_nothing_in() -> None:
    of = adopting(suspend=True)
    assert (of.route(), said(of, "Ready")) == ("", ("False", "Suspended"))


def test_where_labels_decide_a_label_is_a_request_though_something_is_adopted() -> None:
    of = Simulation()
    of.cluster.put(deployed())
    of.registry.put(1, "Production")
    of.swept()
    of.cluster.put(model(adopt=OLD, validation=GATED, promotion={"source": "Registry"}))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "1"
    ledger = of.ledger()
    assert ledger is not None and ledger.adopted is not None and not ledger.adopted.serving


def test_a_registered_model_that_is_made_anew_takes_nothing_from_what_was_adopted_by_what_it_shows_at_first() -> None:
    of = adopting(promotion={"source": "Registry"})
    of.registry.put(2, "Staging")
    of.swept()
    of.settle()
    of.registry.labels = {}
    of.registry.created += 1
    of.registry.put(1, "Production")
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "adopted"
    of.registry.put(3, "Production")
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "3"


def test_a_ledger_that_is_recalled_takes_what_labels_showed_before_for_no_request() -> None:
    of = adopting(promotion={"source": "Registry"})
    of.registry.put(2, "Staging")
    of.swept()
    of.settle()
    of.registry.labels = {}
    of.registry.created += 1
    of.registry.put(1, "Production")
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "adopted"


# Where somebody knows which version of the registry it runs.


RUNS_1 = {**OLD, "version": 1}
WITH_CHANGE = {**GATED, "gates": [RELATIVE]}


def compared_with(of: Simulation, number: int) -> Any:
    """The champion that a version was compared with."""
    found = of.cluster.objects[("ModelVersion", "ml", f"flights-v{number}")]
    return found["status"]["validation"].get("championVersion")


def test_the_version_that_it_runs_is_imported_and_others_are_compared_with_it() -> None:
    of = adopting(adopt=RUNS_1, validation=WITH_CHANGE)
    runs = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]
    assert (runs["spec"].get("stage", "None"), runs["status"]["digest"]) == ("None", digest_of(1))
    assert "validation" not in runs["status"], "it asks for nothing"
    of.advance(40)
    told = of.condition("RegisteredModel", "flights", "Adopted")["message"]
    assert "Versions are compared with version 1" in told
    of.cluster.put(version(2))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), compared_with(of, 2)) == ("2", 1)


def test_nothing_is_judged_before_what_it_is_compared_with_is_there() -> None:
    of = adopting(adopt=RUNS_1, validation=WITH_CHANGE)
    of.cluster.lose("ModelVersion", "ml", "flights-v1")
    of.cluster.put(version(1, "None") | {"metadata": {"name": "flights-v1", "namespace": "ml"}})
    of.cluster.put(version(2))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), compared_with(of, 2)) == ("2", 1)


def test_whoever_says_later_which_version_it_runs_or_takes_that_back_is_heard() -> None:
    of = adopting()
    of.cluster.put(version(1, "None"))
    of.settle()
    of.edit("RegisteredModel", "flights", adopt=RUNS_1)
    of.settle()
    assert of.condition("ModelVersion", "flights-v1", "Imported")["status"] == "True"
    of.edit("RegisteredModel", "flights", adopt=OLD)
    of.settle()
    assert of.condition("ModelVersion", "flights-v1", "Imported") == {}


@pytest.mark.parametrize("order", range(6))
def test_a_version_that_was_judged_before_anything_was_taken_in_is_judged_anew_whatever_comes_first(order: int) -> None:
    of = adopting(adopt={**OLD, "version": 2})
    of.cluster.put(version(4))
    of.settle()
    of.advance(MOMENT_SECONDS)
    of.random.seed(order)
    of.cluster.lose("RegisteredModel", "ml", "flights")
    of.settle()
    of.cluster.put(model(adopt={**OLD, "version": 2}, validation=GATED))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "4"


def test_the_version_that_it_runs_may_take_over_and_is_not_compared_with_itself() -> None:
    of = adopting(adopt=RUNS_1, validation=WITH_CHANGE)
    of.edit("ModelVersion", "flights-v1", stage="Production")
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), compared_with(of, 1)) == ("1", None)


def test_a_label_on_the_version_that_it_runs_asks_for_nothing_until_it_is_moved() -> None:
    of = Simulation()
    of.cluster.put(deployed())
    of.registry.put(1, "Production")
    of.registry.name(1, "champion")
    of.swept()
    of.cluster.put(model(adopt=RUNS_1, validation=GATED, promotion={"source": "Registry"}))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "adopted"
    for which in ("Released", "Ready"):
        assert of.condition("ModelVersion", "flights-v1", which)["reason"] == "Adopted"
    tags = of.registry.labels[1].tags
    assert tags["slipway.dev/test/ml/state"] == "Adopted by Deployment old-flights"
    of.registry.put(2, "Production")
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.route() == "2"
    stages = {number: one.stage for number, one in of.registry.labels.items()}
    assert stages == {1: "Archived", 2: "Production"}, "what it replaces leaves the stage"
    rolled_back(of, "to=adopted")
    tags = {number: one.tags["slipway.dev/test/ml/state"] for number, one in of.registry.labels.items()}
    assert tags == {1: "Adopted by Deployment old-flights", 2: "RolledBack Deployment old-flights serves"}


def test_where_the_cluster_decides_the_registry_is_told_too_what_the_adopted_deployment_runs() -> None:
    of = Simulation()
    of.cluster.put(deployed())
    of.registry.put(1, "Production")
    of.swept()
    of.cluster.put(model(adopt=RUNS_1, validation=GATED))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.registry.labels[1].tags["slipway.dev/test/ml/state"] == "Adopted by Deployment old-flights"
    of.cluster.put(version(2))
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.registry.labels[1].tags["slipway.dev/test/ml/state"] == "Replaced version 2 serves"
    rolled_back(of, "to=adopted")
    told = {number: one.tags["slipway.dev/test/ml/state"] for number, one in of.registry.labels.items()}
    assert told == {1: "Adopted by Deployment old-flights", 2: "RolledBack Deployment old-flights serves"}
    assert "adopted by Deployment old-flights" in of.registry.labels[1].lines[0]
    assert {number: one.stage for number, one in of.registry.labels.items()} == {1: "Archived", 2: "Archived"}
