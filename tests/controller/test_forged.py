"""Labels and names can be copied by anybody: what the operator did not make is never believed, and never taken over."""

from typing import Any

from slipway.adapters.cluster import DEPLOYMENT
from slipway.adapters.errors import AdapterError, Rejected

from tests.declared import GATED, model, version
from tests.simulation import Simulation

LABELS = {
    "app.kubernetes.io/managed-by": "slipway",
    "slipway.dev/model": "flights",
    "slipway.dev/version": "3",
    "slipway.dev/track": "production",
}


def refused_third() -> Simulation:
    """Version 1 serves; 3 missed its gate."""
    of = Simulation()
    of.bad = {3}
    of.cluster.put(model(validation=GATED))
    for number in (1, 3):
        of.cluster.put(version(number))
        of.settle()
    return of


def made_by_somebody(kind: str, name: str, spec: dict[str, Any], api: str = "apps/v1") -> dict[str, Any]:
    meta = {"name": name, "namespace": "ml", "labels": LABELS}
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


def deployed(of: Simulation) -> set[str]:
    return {one["metadata"]["name"] for one in of.cluster.of(DEPLOYMENT)}


def test_a_job_that_somebody_else_made_is_no_report_whatever_its_name() -> None:
    of, asked = Simulation(), list[Any]()
    of.cluster.put(model(validation=GATED))

    def catches(_verb: str, manifest: Any) -> AdapterError | None:
        if manifest["kind"] != "Job" or manifest["metadata"]["labels"]["slipway.dev/purpose"] != "validate":
            return None
        asked.append(manifest)
        return Rejected("not now")

    of.cluster.refuses.append(catches)
    of.cluster.put(version(1))
    of.settle()
    of.cluster.refuses.clear()
    copied = {**asked[0], "metadata": {**asked[0]["metadata"], "ownerReferences": []}}
    of.cluster.put(copied)
    of.advance(700)
    assert ("Pod", "ml", f"{copied['metadata']['name']}-pod") in of.cluster.objects, "it ran, and reports a success"
    said = of.condition("ModelVersion", "flights-v1", "Validated")
    assert (said["status"], said["reason"], of.champion()) == ("False", "NameTaken", None)


def test_a_service_that_somebody_else_made_deploys_nothing_and_is_left_alone() -> None:
    of = Simulation()
    of.bad = {3}
    spec = {"selector": {"slipway.dev/model": "flights", "slipway.dev/version": "3"}, "ports": [{"port": 80}]}
    mine = of.cluster.put(made_by_somebody("Service", "flights", spec, "v1"))
    of.cluster.put(model(validation=GATED))
    of.cluster.put(version(3))
    of.cluster.put(version(1))
    of.settle()
    of.advance(700)
    assert "flights-v3" not in deployed(of)
    assert of.cluster.objects[("Service", "ml", "flights")] == mine
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "NameTaken"


def test_a_deployment_that_somebody_else_made_gets_no_traffic_and_is_left_alone() -> None:
    of = refused_third()
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}}}
    mine = of.cluster.put(made_by_somebody("Deployment", "flights-v3", spec))
    of.advance(700)
    assert (of.route(), of.champion()) == ("1", 1)
    assert of.cluster.objects[("Deployment", "ml", "flights-v3")]["spec"] == mine["spec"]


def test_a_ledger_of_another_model_of_this_name_is_not_believed_without_the_files() -> None:
    of = refused_third()
    ledger = of.cluster.objects[("ModelLedger", "ml", "flights")]
    release = ledger["spec"]["released"][0]
    forged = {**release, "version": 3, "digest": "sha256:" + "f" * 64}
    spec = {**ledger["spec"], "modelUid": "another", "champion": 3, "released": [forged]}
    of.cluster.put({**ledger, "spec": spec})
    of.advance(700)
    assert of.route() == "1"
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "LedgerUnproven"
