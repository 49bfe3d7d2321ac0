"""What may happen at any time: the champion changes, the operator is replaced or removed, a pod is lost."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dev.demo.manifests import SYSTEM
from dev.demo.progress import condition

from .conftest import Places, World, places_of, usual
from .place import Place, model_version, poll

MODEL = "minutes"
ROLES = ("fair", "good", "fine", "better")  # of versions 1, 2, …: each is better than the one before
INSTANCE = "app.kubernetes.io/instance=slipway"
KINDS = "registeredmodels.slipway.dev,modelversions.slipway.dev"
DELETED_SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A namespace in which version 1 serves, and more of them are registered."""

    world: World
    place: Place


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[Served]:
    with places_of(world.kube) as make:
        place = make("served")
        world.model(place, MODEL, *ROLES, rollout={"keepWarm": "5s"})
        place.apply(model_version(MODEL, 1))
        place.until_serving(f"{MODEL}-v1")
        yield Served(world, place)


def test_an_upgrade_with_another_runner_image_moves_nothing_and_starts_no_job(served: Served) -> None:
    place, world = served.place, served.world
    before, jobs = running(place), every_job(place)
    elsewhere = world.images.runner.rsplit(":", 1)[0], "of-another-release"
    pools = [
        pool | {"servingResources": {"requests": {"cpu": "20m"}}} for pool in usual(world.kube, world.images)["pools"]
    ]
    try:
        world.upgrade(runner={"image": {"repository": elsewhere[0], "tag": elsewhere[1]}}, pools=pools)
        seen_by_the_new_operator(place)
        assert running(place) == before
        assert every_job(place) == jobs
        assert condition(place.version(f"{MODEL}-v1"), "Ready")["reason"] == "Serving"
        place.kubectl("delete", "pod", next(iter(before)), "--grace-period=1", "--wait=false")
        # The image of the new release does not even exist: what comes back is what was released, word for word.
        poll("another pod of the same template", 60, lambda: _replaced(place, before), place.told)
        place.apply(model_version(MODEL, 4, "Staging"))
        found = place.until(f"{MODEL}-v4", "Imported", "False", "ImagePullFailed", 60)
        assert ":".join(elsewhere) in condition(found, "Imported")["message"], (
            "a new version uses the new release's image"
        )
    finally:
        world.upgrade()
    place.annotate("mv", f"{MODEL}-v4", retry="the-image-is-right-now")
    place.until(f"{MODEL}-v4", "Imported", "True", "Imported", 60)
    place.kubectl("delete", "mv", f"{MODEL}-v4")


def running(place: Place) -> dict[str, str]:
    """UID of every serving pod by its name."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in place.serving_pods(MODEL)}


def every_job(place: Place) -> set[str]:
    """UIDs of all Jobs, imports included."""
    imports = place.kube.list("jobs", SYSTEM, f"slipway.dev/owner-namespace={place.namespace}")
    return {job["metadata"]["uid"] for job in [*place.every("jobs", model=MODEL), *imports]}


def seen_by_the_new_operator(place: Place) -> None:
    """Wait until the model was decided on since now: a change that changes nothing is acknowledged."""
    limit = place.model(MODEL)["spec"].get("rollout", {}).get("historyLimit", 5)
    place.kubectl(
        "patch", "rmodel", MODEL, "--type=merge", f'-p={{"spec": {{"rollout": {{"historyLimit": {limit + 1}}}}}}}'
    )

    def acknowledged() -> bool:
        found = place.model(MODEL)
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    poll("the operator has seen the model", 60, acknowledged, place.told)


def _replaced(place: Place, before: dict[str, str]) -> bool:
    pods = place.serving_pods(MODEL)
    ready = [
        pod
        for pod in pods
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]
    return bool(ready) and not {pod["metadata"]["uid"] for pod in ready} & set(before.values())


@pytest.mark.long  # the simulation has it in each run
def test_of_two_versions_that_want_production_at_once_the_higher_serves_and_the_lower_says_why_not(
    places: Places, world: World
) -> None:
    place = places("both")
    world.model(place, MODEL, "fair", "good")
    place.apply(model_version(MODEL, 1), model_version(MODEL, 2))
    place.until_serving(f"{MODEL}-v2")
    lower = place.until(f"{MODEL}-v1", "Released", "False", "Superseded", 120)
    assert condition(lower, "Released")["message"] == "A higher version comes first."
    assert condition(lower, "Ready")["status"] == "True", "it is where it should be: nobody has to act"
    assert lower["status"].get("serving") is not True
    assert not place.get("deployment", f"{MODEL}-v1"), "it had no pods at any time"


@pytest.mark.long  # the simulation has it in each run
def test_a_version_that_was_proven_against_an_earlier_champion_is_judged_again_before_it_is_released(
    served: Served,
) -> None:
    place = served.place
    champion = place.champion(MODEL)
    third, fourth = f"{MODEL}-v3", f"{MODEL}-v4"
    place.apply(model_version(MODEL, 4, "Staging"), model_version(MODEL, 3))
    early = place.until(fourth, "Validated", "True", "GatesPassed", 120)
    assert early["status"]["validation"]["championVersion"] == champion
    place.until_serving(third)
    assert place.version(third)["status"]["validation"]["championVersion"] == champion
    assert len(place.jobs(MODEL, 4)) == 1, "while it asks for no traffic, it is not judged again"

    place.apply(model_version(MODEL, 4))
    place.until_serving(fourth)
    late = place.version(fourth)["status"]["validation"]
    assert late["championVersion"] == 3
    assert late["championDigest"] == place.version(third)["status"]["digest"]
    assert late["gates"][0]["champion"] == pytest.approx(served.world.made.errors["fine"], rel=1e-6)
    assert len(place.jobs(MODEL, 4)) == 2
    assert len(place.jobs(MODEL, 3)) == 1
    stale = place.kubectl("get", "events", "--field-selector=reason=EvidenceStale", "-o", "name")
    assert stale.strip(), "a person is told that the evidence was stale"


@pytest.mark.long
def test_what_serves_outlives_helm_uninstall_its_namespace_can_go_and_a_new_installation_takes_over(
    served: Served, places: Places
) -> None:
    place, world, kube = served.place, served.world, served.place.kube
    champion = place.champion(MODEL)
    assert champion is not None
    going = places("going")
    world.model(going, MODEL, "fair")
    going.apply(model_version(MODEL, 1))
    going.until_serving(f"{MODEL}-v1")
    poll("nothing is on the move", 60, lambda: place.serving_pods(MODEL) == place.serving_pods(MODEL, champion))
    before, jobs = running(place), every_job(place)
    records = {one["metadata"]["name"]: one["metadata"]["uid"] for one in place.every(KINDS)}
    right = {str(champion): world.made.predictions[ROLES[champion - 1]]}
    try:
        with world.entrance(place, MODEL) as way, world.load(way, right) as load:
            kube.run("helm", "uninstall", "slipway", "--namespace", SYSTEM, "--wait", "--timeout=60s")
            assert not kube.list("deployments,services,configmaps", SYSTEM, INSTANCE), "nothing of it is left"
            gone(going)
            asked = load.tally["requests"]
            poll("the model answers on", 30, lambda: load.tally["requests"] > asked + 50)
            tally = load.stop()
        assert tally["failed"] == 0, tally
        assert running(place) == before
        assert {one["metadata"]["name"]: one["metadata"]["uid"] for one in place.every(KINDS)} == records
    finally:
        world.upgrade()
    seen_by_the_new_operator(place)
    assert running(place) == before
    assert every_job(place) == jobs
    place.until_serving(f"{MODEL}-v{champion}", 60)


def gone(place: Place) -> None:
    """Delete a namespace in which a model serves; it goes in time."""
    assert place.serving_pods(MODEL)
    began = time.monotonic()
    place.kube.run("kubectl", "delete", "namespace", place.namespace, "--wait=false")
    get = ("kubectl", "get", "namespace", place.namespace, "--ignore-not-found")
    poll("the namespace is gone", DELETED_SECONDS, lambda: not place.kube.run(*get))
    print(f"the namespace was gone after {time.monotonic() - began:.1f} s")


def test_a_validation_that_lost_its_pod_is_made_anew(places: Places, world: World) -> None:
    place = places("lost")
    world.model(place, MODEL, "good")
    place.apply(model_version(MODEL, 1, "Staging"))

    def at_work() -> str:
        pods = place.kube.list("pods", place.namespace, "slipway.dev/purpose=validate")
        states = [
            one
            for pod in pods
            for one in pod["status"].get("initContainerStatuses", [])
            if one["name"] == "score-candidate"
        ]
        return str(pods[0]["metadata"]["name"]) if states and states[0]["state"].get("running") else ""

    pod = poll("the candidate is being scored", 90, at_work, place.told)
    place.kubectl("delete", "pod", pod, "--grace-period=1", "--wait=false")

    def lost() -> bool:
        one = condition(place.version(f"{MODEL}-v1"), "Validated")
        return one["reason"] == "PodLost" and "Attempt 1 of 3; the next one follows" in one["message"]

    poll("the loss is told, and what follows", 40, lost, place.told)
    found = place.until(f"{MODEL}-v1", "Validated", "True", "GatesPassed", 90)
    assert found["status"]["validation"]["attempt"] == 2
