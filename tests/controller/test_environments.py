"""Versions that need other packages than the image has: brought first, then proven, and served in what was proven."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from slipway.api import names, tasks
from slipway.resources.platform import EnvironmentSettings, IndexSettings, Platform

from tests.declared import GATED, deployed, model, version
from tests.simulation import Simulation
from tests.worlds import digest

INDEX = IndexSettings(name="team", url="https://packages.example.com/simple")
OLD = digest("e")


@pytest.fixture
def of() -> Simulation:
    """A platform with a package index; version 1 needs other packages, and version 2 those of the image."""
    found = Simulation()
    found.platform = found.platform.model_copy(update={"environments": EnvironmentSettings(indexes=(INDEX,))})
    found.packages[1] = OLD
    found.start()
    found.cluster.put(model(validation=GATED))
    return found


def rests(of: Simulation) -> None:
    """Everything has been done that is to be done."""
    of.settle()
    of.advance(10)


def job(of: Simulation, number: int, purpose: str) -> Mapping[str, Any]:
    """The Job of a version; {} if there is none."""
    labels = {names.MODEL_VERSION: str(number), names.PURPOSE: purpose}
    found = (one for (kind, _, _), one in of.cluster.objects.items() if kind == "Job")
    return next((one for one in found if labels.items() <= one["metadata"]["labels"].items()), {})


def task(container: Mapping[str, Any]) -> dict[str, Any]:
    """What a container is asked to do."""
    return dict(json.loads(next(one["value"] for one in container["env"] if one["name"] == tasks.VARIABLE)))


def steps(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The containers of a Job, by name."""
    spec = found["spec"]["template"]["spec"]
    return {one["name"]: one for one in (*spec.get("initContainers", []), *spec["containers"])}


def serving(of: Simulation, number: int) -> Mapping[str, Any]:
    """The pods of a version."""
    return of.cluster.objects[("Deployment", "ml", f"flights-v{number}")]["spec"]["template"]


def test_it_is_proven_and_served_in_its_own_packages(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    assert of.route() == "1"
    asked = task(steps(job(of, 1, "environment"))["environment"])
    assert (asked["digest"], asked["indexes"]) == (digest("a"), [{"name": "team", "url": INDEX.url}])
    chain = steps(job(of, 1, "validate"))
    assert task(chain["fetch"])["candidateEnvironment"] == OLD
    assert chain["score-candidate"]["command"][-2:] == [tasks.ENVIRONMENT, "score.py"]
    assert "environment" not in {one["name"] for one in chain["judge"]["volumeMounts"]}
    template = serving(of, 1)
    assert template["metadata"]["annotations"][names.ENVIRONMENT] == OLD
    assert task(template["spec"]["initContainers"][0])["candidateEnvironment"] == OLD


def test_what_the_image_can_run_is_not_moved(of: Simulation) -> None:
    of.cluster.put(version(2))
    rests(of)
    assert of.route() == "2"
    assert names.ENVIRONMENT not in serving(of, 2)["metadata"]["annotations"]
    assert steps(job(of, 2, "validate"))["score-candidate"]["command"][-1] == "slipway.runner.score"


def test_candidate_and_champion_are_scored_each_in_its_own(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    of.cluster.put(version(2))
    rests(of)
    asked = task(steps(job(of, 2, "validate"))["fetch"])
    assert (asked["championEnvironment"], asked.get("candidateEnvironment")) == (OLD, None)


@pytest.mark.parametrize("retry", [None, "again"])
def test_a_champion_whose_status_was_lost_is_scored_in_what_its_pods_run(of: Simulation, retry: str | None) -> None:
    of.cluster.put(version(1))
    rests(of)
    of.edit("RegisteredModel", "flights", suspend=True)
    rests(of)
    found = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]
    of.cluster.put({key: value for key, value in found.items() if key != "status"})
    of.edit("ModelVersion", "flights-v1", annotations={"retry": retry})
    of.edit("RegisteredModel", "flights", suspend=False)
    if retry is None:
        of.packages.clear()
    of.cluster.put(version(2))
    rests(of)
    assert task(steps(job(of, 2, "validate"))["fetch"])["championEnvironment"] == OLD
    assert serving(of, 1)["metadata"]["annotations"][names.ENVIRONMENT] == OLD


def test_other_packages_are_proven_anew(of: Simulation) -> None:
    of.cluster.put(version(1, stage="Staging"))
    rests(of)
    before = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]["status"]["validation"]["revision"]
    of.packages[1] = digest("f")
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "again"})
    rests(of)
    status = of.cluster.objects[("ModelVersion", "ml", "flights-v1")]["status"]
    assert status["environment"]["digest"] == digest("f")
    assert status["validation"]["revision"] != before


def test_new_settings_are_answered_in_the_same_packages(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    of.packages.clear()
    of.edit("RegisteredModel", "flights", serving={"resources": {"limits": {"memory": "2Gi"}}})
    rests(of)
    template = serving(of, 1)
    assert template["spec"]["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}
    assert template["metadata"]["annotations"][names.ENVIRONMENT] == OLD


def test_without_an_index_nobody_looks(of: Simulation) -> None:
    of.platform = of.platform.model_copy(update={"environments": EnvironmentSettings()})
    of.start()
    of.cluster.put(version(1))
    rests(of)
    assert not job(of, 1, "environment")
    assert task(steps(job(of, 1, "validate"))["fetch"])["checkEnvironment"] is True


@pytest.mark.parametrize(("unstated", "asked"), [("Refuse", True), ("Image", None)])
def test_what_becomes_of_models_that_state_nothing_is_said_where_they_are_proven(
    of: Simulation, unstated: Literal["Refuse", "Image"], asked: bool | None
) -> None:
    of.platform = of.platform.model_copy(
        update={"environments": EnvironmentSettings(indexes=(INDEX,), unstated=unstated)}
    )
    of.start()
    of.cluster.put(version(2))
    rests(of)
    assert task(steps(job(of, 2, "environment"))["environment"]).get("refuseUnstated") is asked
    assert task(steps(job(of, 2, "validate"))["fetch"]).get("refuseUnstated") is asked
    pods = serving(of, 2)["spec"]
    assert "refuseUnstated" not in task(pods["initContainers"][0]), "what was proven is served"


@pytest.mark.parametrize(("now", "reason"), [(OLD, "Imported"), (digest("f"), "DigestMismatch")])
def test_a_retry_brings_the_packages_of_a_released_version_again(of: Simulation, now: str, reason: str) -> None:
    of.cluster.put(version(1))
    rests(of)
    before = job(of, 1, "environment")["metadata"]["name"]
    of.packages[1] = now
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "the store has lost them"})
    rests(of)
    names_of = {one["metadata"]["name"] for (kind, _, _), one in of.cluster.objects.items() if kind == "Job"}
    assert [one for one in names_of - {before} if "-environment-" in one], "they were asked for again"
    assert of.condition("ModelVersion", "flights-v1", "Imported")["reason"] == reason
    assert (of.route(), serving(of, 1)["metadata"]["annotations"][names.ENVIRONMENT]) == ("1", OLD)


def test_what_an_image_has_says_nothing_of_another_one(of: Simulation) -> None:
    of.cluster.put(version(2, stage="Staging"))
    rests(of)
    before = job(of, 2, "environment")["metadata"]["name"]
    of.platform = of.platform.model_copy(update={"runner_image": "runner:2"})
    of.start()
    rests(of)
    made = [name for (kind, _, name) in of.cluster.objects if kind == "Job" and "-v2-environment-" in name]
    assert made == [before], "an upgrade starts no Job"
    of.packages[2] = OLD
    of.edit("RegisteredModel", "flights", validation={**GATED, "evaluation": 2})
    rests(of)
    status = of.cluster.objects[("ModelVersion", "ml", "flights-v2")]["status"]
    assert (status["environment"]["digest"], status["validation"]["outcome"]) == (OLD, "Passed")


def test_without_an_index_what_was_brought_once_is_proven_and_served(of: Simulation) -> None:
    of.cluster.put(version(1, stage="Staging"))
    rests(of)
    of.platform = of.platform.model_copy(update={"environments": EnvironmentSettings()})
    of.start()
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "again"}, stage="Production")
    rests(of)
    chain = [one for (kind, _, name), one in of.cluster.objects.items() if kind == "Job" and "-validate-" in name]
    assert {task(steps(one)["fetch"])["candidateEnvironment"] for one in chain} == {OLD} and len(chain) == 2
    assert serving(of, 1)["metadata"]["annotations"][names.ENVIRONMENT] == OLD


def test_what_an_adopted_deployment_runs_is_brought_once_to_compare_with(of: Simulation) -> None:
    of.cluster.put(deployed())
    of.edit("RegisteredModel", "flights", adopt={"deployment": "old-flights", "port": 5001, "version": 1})
    of.cluster.put(version(1, stage="None"))
    of.cluster.put(version(2))
    rests(of)
    asked = task(steps(job(of, 2, "validate"))["fetch"])
    assert (asked["championDigest"], asked["championEnvironment"]) == (digest("a"), OLD)
    before = {name for (kind, _, name) in of.cluster.objects if kind == "Job"}
    of.platform = of.platform.model_copy(update={"runner_image": "runner:2"})
    of.start()
    rests(of)
    assert {name for (kind, _, name) in of.cluster.objects if kind == "Job"} == before, "an upgrade starts no Job"


RUNTIMES = {"3.13": "runner-3.13:1"}


@pytest.fixture
def of_two(of: Simulation) -> Simulation:
    """The same platform with a second Python, which version 1 states; it needs other packages, too."""
    of.pythons[1] = "3.13"
    changed(of, runtimes=RUNTIMES)
    return of


def changed(of: Simulation, **settings: Any) -> Platform:
    """Other settings of the platform, and an operator that has read them."""
    of.platform = of.platform.model_copy(update=settings)
    of.start()
    return of.platform


def images(found: Mapping[str, Any]) -> dict[str, str]:
    """The image of each container of a Job."""
    return {name: one["image"] for name, one in steps(found).items()}


def status(of: Simulation, number: int) -> Mapping[str, Any]:
    """What is known of a version."""
    found: Mapping[str, Any] = of.cluster.objects[("ModelVersion", "ml", f"flights-v{number}")]["status"]
    return found


def served_on(of: Simulation, number: int) -> tuple[set[str], str | None]:
    """The images of a version's pods, and the Python that they say."""
    template = serving(of, number)
    spec = template["spec"]
    found = {one["image"] for one in (*spec["initContainers"], *spec["containers"])}
    return found, template["metadata"]["annotations"].get(names.PYTHON)


def test_a_version_of_another_python_is_brought_scored_and_served_on_its_image(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    rests(of_two)
    assert of_two.route() == "1"
    asked = [
        one for (kind, _, name), one in of_two.cluster.objects.items() if kind == "Job" and "-environment-" in name
    ]
    assert sorted(images(one)["environment"] for one in asked) == ["runner-3.13:1", "runner:1"]
    chain = images(job(of_two, 1, "validate"))
    of_the_model = dict.fromkeys(("score-candidate", "serve-candidate"), "runner-3.13:1")
    assert chain == {"fetch": "runner:1", **of_the_model, "judge": "runner:1"}
    assert task(steps(job(of_two, 1, "validate"))["fetch"])["candidatePython"] == "3.13"
    assert served_on(of_two, 1) == ({"runner-3.13:1"}, "3.13")
    record = status(of_two, 1)
    assert (record["environment"]["python"], record["validation"]["python"]) == ("3.13", "3.13")
    ledger = of_two.cluster.objects[("ModelLedger", "ml", "flights")]["spec"]
    assert ledger["released"][0]["python"] == "3.13"


def test_one_that_needs_nothing_else_runs_on_the_packages_of_its_image(of_two: Simulation) -> None:
    of_two.packages.clear()
    of_two.cluster.put(version(1))
    rests(of_two)
    record = status(of_two, 1)["environment"]
    assert (record.get("digest"), record["image"], record["python"]) == (None, "runner-3.13:1", "3.13")
    assert served_on(of_two, 1) == ({"runner-3.13:1"}, "3.13")
    assert task(steps(job(of_two, 1, "validate"))["fetch"])["checkEnvironment"] is False


def test_candidate_and_champion_are_scored_each_on_its_own_python(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    rests(of_two)
    of_two.cluster.put(version(2))
    rests(of_two)
    chain = images(job(of_two, 2, "validate"))
    assert (chain["score-champion"], chain["score-candidate"]) == ("runner-3.13:1", "runner:1")
    assert task(steps(job(of_two, 2, "validate"))["fetch"])["championPython"] == "3.13"


def test_another_python_on_the_same_packages_is_other_evidence_and_other_pods(of_two: Simulation) -> None:
    of_two.packages.clear()
    changed(of_two, runtimes={}, environments=EnvironmentSettings(indexes=(INDEX,), python_minor="Nearest"))
    of_two.cluster.put(version(1, stage="Staging"))
    rests(of_two)
    before = status(of_two, 1)["validation"]["revision"]
    changed(of_two, runtimes=RUNTIMES)
    of_two.edit("ModelVersion", "flights-v1", annotations={"retry": "3.13 is there now"}, stage="Production")
    rests(of_two)
    assert status(of_two, 1)["validation"]["revision"] != before
    assert served_on(of_two, 1) == ({"runner-3.13:1"}, "3.13")


def test_a_rollback_returns_to_the_image_of_its_python_though_the_platform_has_it_no_more(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    rests(of_two)
    before = serving(of_two, 1)
    of_two.cluster.put(version(2))
    rests(of_two)
    assert of_two.route() == "2"
    changed(of_two, runtimes={})
    of_two.edit("RegisteredModel", "flights", annotations={"rollback": "by=anna"})
    rests(of_two)
    assert (of_two.route(), serving(of_two, 1)) == ("1", before)


def test_what_serves_stays_as_it_is_when_its_python_is_taken_away(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    rests(of_two)
    before = serving(of_two, 1)
    changed(of_two, runtimes={})
    of_two.edit("RegisteredModel", "flights", serving={"resources": {"limits": {"memory": "2Gi"}}})
    rests(of_two)
    assert (of_two.route(), serving(of_two, 1)) == ("1", before)
    of_two.cluster.put(version(2))
    rests(of_two)
    found = of_two.condition("ModelVersion", "flights-v2", "Validated")
    assert (found["reason"], "3.13" in found["message"]) == ("EnvironmentNotReproducible", True), found
    changed(of_two, runtimes=RUNTIMES)
    rests(of_two)
    assert of_two.route() == "2"


def test_what_was_proven_on_a_python_that_is_gone_is_not_proven_anew_on_another_one(of_two: Simulation) -> None:
    of_two.cluster.put(version(1, stage="Staging"))
    rests(of_two)
    changed(of_two, runtimes={})
    of_two.edit("RegisteredModel", "flights", validation={**GATED, "evaluation": 2})
    rests(of_two)
    found = of_two.condition("ModelVersion", "flights-v1", "Validated")
    assert (found["reason"], "python 3.13" in found["message"]) == ("EnvironmentNotReproducible", True), found


def test_an_image_of_another_python_that_is_renewed_moves_nothing(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    rests(of_two)
    before = serving(of_two, 1)
    jobs = {name for (kind, _, name) in of_two.cluster.objects if kind == "Job"}
    changed(of_two, runtimes={"3.13": "runner-3.13:2", "3.12": "runner-3.12:2"})
    rests(of_two)
    assert serving(of_two, 1) == before
    assert {name for (kind, _, name) in of_two.cluster.objects if kind == "Job"} == jobs


def test_the_runner_image_under_the_name_of_another_python_is_asked_under_that_name(of_two: Simulation) -> None:
    changed(of_two, runtimes={"3.13": of_two.platform.runner_image})
    of_two.cluster.put(version(1))
    rests(of_two)
    tasks_of = [
        task(steps(one)["environment"]).get("python")
        for (kind, _, name), one in of_two.cluster.objects.items()
        if kind == "Job" and "-environment-" in name
    ]
    assert sorted(tasks_of, key=str) == ["3.13", None], "so its program says that it has another one"


def begun(of: Simulation, number: int) -> Mapping[str, Any]:
    """The record of its environment; {} while there is none."""
    version = of.cluster.objects[("ModelVersion", "ml", f"flights-v{number}")]
    found: Mapping[str, Any] = version.get("status", {}).get("environment", {})
    return found


def test_a_python_that_goes_while_its_packages_are_brought_is_refused_by_name(of_two: Simulation) -> None:
    of_two.cluster.put(version(1))
    while not begun(of_two, 1).get("python"):
        of_two.settle(nodes=False)
        of_two.work()
    changed(of_two, runtimes={})
    rests(of_two)
    found = of_two.condition("ModelVersion", "flights-v1", "Validated")
    assert (found["reason"], "python 3.13" in found["message"]) == ("EnvironmentNotReproducible", True), found


def test_when_the_runner_image_moves_to_another_python_a_retry_finds_the_image_of_the_old_one(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    before = serving(of, 1)
    of.pythons[1] = "3.11"
    changed(of, runner_image="runner-3.13:2", runtimes={"3.11": "runner-3.11:2"})
    rests(of)
    assert serving(of, 1) == before, "an upgrade moves nothing"
    of.edit("ModelVersion", "flights-v1", annotations={"retry": "its Python has a name now"})
    of.edit("RegisteredModel", "flights", serving={"resources": {"limits": {"memory": "2Gi"}}})
    rests(of)
    assert served_on(of, 1) == ({"runner-3.11:2"}, "3.11")
    assert serving(of, 1)["metadata"]["annotations"][names.ENVIRONMENT] == OLD
