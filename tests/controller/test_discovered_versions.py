"""Versions that discovery makes for labels in MLflow: they are shown, and somebody else says what becomes of them."""

from typing import Any

import pytest
from slipway.adapters.cluster import DEPLOYMENT, JOB, MODEL, VERSION
from slipway.api import names

from tests.controller.labels_world import MOMENT_SECONDS, declared, moved
from tests.declared import GATED, model, version
from tests.simulation import Simulation

TRACKING = {"app.kubernetes.io/instance": "models", "argocd.argoproj.io/instance": "models"}


@pytest.fixture
def of() -> Simulation:
    """A model that discovery has made: version 3 is in Production in MLflow, 2 in Staging, 1 was archived."""
    of = Simulation()
    of.registry.discovers()
    found = model(source={"name": "Flight Air Time"})
    found["metadata"] |= {"annotations": {names.DISCOVERED: "ml/mlflow"}, "labels": TRACKING}
    of.cluster.put(found)
    of.registry.put(1, "Archived")
    of.registry.put(2, "Staging")
    moved(of, 3, "Production", alias="champion")
    return of


def made(of: Simulation, kind: Any) -> list[str]:
    return [found["metadata"]["name"] for found in of.cluster.of(kind)]


def test_they_have_no_stage_run_nothing_and_leave_the_labels_as_they_are(of: Simulation) -> None:
    before = dict(of.registry.labels)
    of.advance(700)
    assert declared(of) == ["flights-v2", "flights-v3"]
    assert [found["spec"]["stage"] for found in of.cluster.of(VERSION)] == ["None", "None"]
    assert of.condition("ModelVersion", "flights-v3", "Ready")["reason"] == "Registered"
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "NothingToServe"
    assert (made(of, JOB), made(of, DEPLOYMENT), of.route()) == ([], [], "")
    assert of.registry.labels == before


def test_they_belong_to_their_model_and_take_nothing_of_its_labels(of: Simulation) -> None:
    """Argo CD prunes what has its tracking label and is not in Git."""
    parent = of.cluster.objects[MODEL.kind, "ml", "flights"]["metadata"]
    for found in of.cluster.of(VERSION):
        meta = found["metadata"]
        assert [one["uid"] for one in meta["ownerReferences"]] == [parent["uid"]]
        assert (meta.get("labels") or {}, meta["annotations"]) == ({}, {names.DISCOVERED: "true"})


def test_one_that_git_puts_into_production_is_the_same_object_and_one_rollout(of: Simulation) -> None:
    uid = of.cluster.objects[VERSION.kind, "ml", "flights-v3"]["metadata"]["uid"]
    asked = version(3, "Production")
    asked["metadata"]["labels"] = TRACKING
    of.run(of.cluster.apply(asked, by="argocd-controller"))
    of.settle()
    of.advance(700)
    found = of.cluster.objects[VERSION.kind, "ml", "flights-v3"]
    assert (found["metadata"]["uid"], found["metadata"]["labels"], found["spec"]["stage"]) == (
        uid, TRACKING, "Production",
    )  # fmt: skip
    assert (of.route(), declared(of), made(of, DEPLOYMENT)) == ("3", ["flights-v2", "flights-v3"], ["flights-v3"])
    assert len([one for one in of.cluster.writes if one == ("create", "ModelLedger", "flights")]) == 1
    assert of.registry.labels[2].stage == "Staging", "nobody in the cluster asks for it"


def test_a_stage_that_git_gives_stays_whatever_the_labels_do(of: Simulation) -> None:
    of.run(of.cluster.apply(version(2, "Production"), by="argocd-controller"))
    of.settle()
    moved(of, 4, "Production")
    assert (of.route(), of.cluster.objects[VERSION.kind, "ml", "flights-v2"]["spec"]["stage"]) == ("2", "Production")
    assert of.cluster.objects[VERSION.kind, "ml", "flights-v4"]["spec"]["stage"] == "None"


def test_once_somebody_lets_labels_decide_the_version_in_production_is_proven_and_served(of: Simulation) -> None:
    of.edit("RegisteredModel", "flights", promotion={"source": "Registry"}, validation=GATED)
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), made(of, DEPLOYMENT)) == ("3", ["flights-v3"])
    assert of.condition("ModelVersion", "flights-v2", "Ready")["reason"] == "Validated"


def test_a_label_that_moves_on_leaves_the_version_that_was_made_for_it(of: Simulation) -> None:
    moved(of, 5, "Production", alias="champion", archive_others=True)
    assert declared(of) == ["flights-v2", "flights-v3", "flights-v5"]


def test_one_that_somebody_deletes_comes_again_while_its_label_is_there(of: Simulation) -> None:
    of.cluster.lose(VERSION.kind, "ml", "flights-v3")
    of.settle()
    assert declared(of) == ["flights-v2", "flights-v3"]
    moved(of, 3, "Archived")
    of.registry.name(2, "champion")
    of.cluster.lose(VERSION.kind, "ml", "flights-v3")
    of.swept()
    of.settle()
    assert declared(of) == ["flights-v2"]


def test_a_suspended_model_gets_none(of: Simulation) -> None:
    of.edit("RegisteredModel", "flights", suspend=True)
    moved(of, 6, "Production")
    assert "flights-v6" not in declared(of)


def test_a_silent_registry_takes_nothing_back(of: Simulation) -> None:
    of.registry.silent = True
    of.swept()
    of.settle()
    of.advance(700)
    assert declared(of) == ["flights-v2", "flights-v3"]
