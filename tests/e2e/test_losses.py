"""What may be lost or changed behind Slipway's back: the registry's bytes, the artifact store, every status."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dev.demo.kube import Object
from dev.demo.manifests import MLFLOW, SYSTEM
from dev.demo.progress import condition

from .conftest import World, places_of
from .place import AS_OPERATOR, Place, model_version, poll
from .pods import server
from .rest import OPERATOR

MODEL = "minutes"
STORE = "slipway-store"
STATUSES = "modelregistries.slipway.dev,registeredmodels.slipway.dev,modelversions.slipway.dev"


@dataclass(frozen=True)
class Kept:
    """A namespace in which version 2 serves with two pods; 1 was before it and is warm, 3 was refused, 4 is in Staging."""

    world: World
    place: Place

    def answers(self) -> dict[str, list[float]]:
        """The right answers, which only version 2 gives."""
        return self.world.made.answers(v2="good")

    def pods(self) -> dict[str, bool]:
        """Whether they are ready, of the pods that serve."""
        return {pod["metadata"]["uid"]: ready(pod) for pod in self.place.serving_pods(MODEL, 2)}


def ready(pod: Object) -> bool:
    """Whether a pod is."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


@pytest.fixture(scope="module")
def kept(world: World) -> Iterator[Kept]:
    with places_of(world.kube) as make:
        place = make("losses")
        serving = {"scaling": {"fixed": {"replicas": 2}}}
        world.model(place, MODEL, "fair", "swapped", "worse", "better", serving=serving)
        place.apply(model_version(MODEL, 1))
        place.until_serving(f"{MODEL}-v1")
        place.apply(model_version(MODEL, 2))
        place.until_serving(f"{MODEL}-v2")
        place.apply(model_version(MODEL, 3), model_version(MODEL, 4, "Staging"))
        place.until(f"{MODEL}-v3", "Stalled", "True", "GateFailed", 180)
        place.until(f"{MODEL}-v4", "Ready", "True", "Validated", 180)
        yield Kept(world, place)


@pytest.mark.long  # three minutes; the simulation loses statuses in each run
def test_every_status_is_lost_at_once_and_said_anew_while_nothing_that_serves_is_touched(kept: Kept) -> None:
    place, kube = kept.place, kept.world.kube
    before, serving, jobs = told(place), served(place), every_job(place)
    with kept.world.entrance(place, MODEL) as way, kept.world.load(way, kept.answers()) as load:
        with no_operator(kept.world):
            wipe(kept.world, place)
            assert {one["status"]["observedGeneration"] for one in place.every(STATUSES)} == {-1}, "nothing is told"
        poll(
            "everything is said anew",
            180,
            lambda: told(place) == before,
            lambda: f"{before}\n{told(place)}\n{place.told()}",
        )
        tally = load.stop()
    assert tally["failed"] == 0, tally
    assert served(place) == serving
    assert every_job(place) == jobs, "what was released needs no new evidence, and Jobs that are done are read again"
    registry = kube.get("modelregistries.slipway.dev", MLFLOW, "mlflow") or {}
    assert condition(registry, "Ready")["reason"] == "RegistryReachable"


def told(place: Place) -> dict[str, Any]:
    """What the objects say, without times, and without the evidence of what was released: the release is its evidence."""
    found: dict[str, Any] = {}
    for one in place.every(STATUSES):
        status = one.get("status", {})
        released = status.get("serving") or condition(one, "Ready").get("reason") == "Superseded"
        found[one["metadata"]["name"]] = {
            "conditions": {
                entry["type"]: (entry["status"], entry["reason"])
                for entry in status.get("conditions", [])
                if not (released and entry["type"] == "Validated")
            },
            **{key: status.get(key) for key in ("digest", "serving", "url", "resolved", "champion", "predecessor")},
            "gates": None if released else status.get("validation", {}).get("gates"),
        }
    return found


def served(place: Place) -> dict[str, Any]:
    """Everything that serves, and what it was made of."""
    service = place.get("service", MODEL)
    return {
        "pods": {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in place.serving_pods(MODEL)},
        "deployments": {
            one["metadata"]["name"]: (one["metadata"]["uid"], one["metadata"]["generation"])
            for one in place.every("deployments", model=MODEL)
        },
        "records": sorted(one["metadata"]["name"] for one in place.every("controllerrevisions.apps", model=MODEL)),
        "service": (service["metadata"]["uid"], service["spec"], service["metadata"].get("annotations")),
        "ledger": place.ledger(MODEL),
    }


def every_job(place: Place) -> set[str]:
    """UIDs of all Jobs, imports included."""
    imports = place.kube.list("jobs", SYSTEM, f"slipway.dev/owner-namespace={place.namespace}")
    return {job["metadata"]["uid"] for job in [*place.every("jobs", model=MODEL), *imports]}


def wipe(world: World, place: Place) -> None:
    """What a restore brings back: the objects without their statuses."""
    wiped = [(MLFLOW, "modelregistry.slipway.dev/mlflow")]
    wiped += [
        (place.namespace, f"{one['kind'].lower()}.slipway.dev/{one['metadata']['name']}")
        for one in place.every(STATUSES)
    ]
    for namespace, name in wiped:
        gone = '-p=[{"op": "remove", "path": "/status"}]'
        world.kube.run(
            "kubectl", "patch", "-n", namespace, name, "--subresource=status", "--type=json", gone, *AS_OPERATOR
        )


@contextmanager
def no_operator(world: World) -> Iterator[None]:
    """None runs for as long as the context lasts: the one that comes afterwards remembers nothing."""
    world.kube.run("kubectl", "scale", "deployment/slipway", "-n", SYSTEM, "--replicas=0")
    try:
        poll("no operator runs", 60, lambda: not world.kube.list("pods", SYSTEM, OPERATOR))
        yield
    finally:
        world.kube.run("kubectl", "scale", "deployment/slipway", "-n", SYSTEM, "--replicas=2")
        world.kube.rollout(SYSTEM, "slipway", 120)


def test_bytes_that_were_swapped_in_the_registry_are_not_served_by_new_pods(kept: Kept) -> None:
    place = kept.place
    swap(kept.world, "worse")
    before = kept.pods()
    with kept.world.entrance(place, MODEL) as way, kept.world.load(way, kept.answers()) as load:
        for pod in place.serving_pods(MODEL, 2):
            place.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
            poll("another pod in its place", 120, lambda: sorted(kept.pods().values()) == [True, True], place.told)
        poll("the new pods answer", 60, lambda: load.tally["requests"] > 50)
        tally = load.stop()
    assert not before.keys() & kept.pods().keys(), "each is new"
    assert tally["failed"] == 0, tally
    assert set(tally["answers"]) == {"2"}


def swap(world: World, role: str) -> None:
    """Put the bytes of another model where those of version 2 are."""
    there, other = (world.made.folder(one) for one in ("swapped", role))
    script = f"cp {other}/model.* {there}/ && cmp {other}/model.* {there}/model.*"
    world.kube.run("kubectl", "exec", "deployment/mlflow", "-n", MLFLOW, "--", "sh", "-c", script)


def test_without_the_store_no_new_pod_serves_anything_until_the_released_bytes_are_there_again(kept: Kept) -> None:
    place = kept.place
    digest = place.version(f"{MODEL}-v2")["status"]["digest"]
    old, gone = place.serving_pods(MODEL, 2)
    service = place.get("service", MODEL)["spec"]
    with kept.world.entrance(place, MODEL) as way, kept.world.load(way, kept.answers()) as load:
        with emptied(kept.world, place):
            place.kubectl("delete", "pod", gone["metadata"]["name"], "--wait=false")
            said = poll(
                "it is said why", 120, lambda: why(place, f"the artifact store has no model {digest}"), place.told
            )
            assert "1/2 pods ready" in said
            assert "ArtifactMissing" in said
            assert sorted(kept.pods().values()) == [False, True]
            assert kept.pods()[old["metadata"]["uid"]], "the old one goes on"
            assert place.champion(MODEL) == 2
            swap(kept.world, "worse")
            place.annotate("mv", f"{MODEL}-v2", retry="whatever-is-there")
            found = place.until(f"{MODEL}-v2", "Imported", "False", "DigestMismatch", 90)
            assert f"but {digest} was expected" in condition(found, "Imported")["message"]
            assert found["status"]["digest"] == digest
            assert kept.pods()[old["metadata"]["uid"]], "the old one goes on"
            assert place.get("service", MODEL)["spec"] == service, "the traffic stays"

            swap(kept.world, "good")
            place.annotate("mv", f"{MODEL}-v2", retry="what-was-released")
            place.until(f"{MODEL}-v2", "Imported", "True", "Imported", 90)
            for name in [pod["metadata"]["name"] for pod in place.serving_pods(MODEL, 2) if not ready(pod)]:
                place.kubectl("delete", "pod", name, "--wait=false")  # the kubelet would try again, later and later
            poll("it serves with both pods", 120, lambda: list(kept.pods().values()) == [True, True], place.told)
        tally = load.stop()
    assert tally["failed"] == 0, tally
    assert set(tally["answers"]) == {"2"}
    poll("nothing is wrong any more", 30, lambda: "2/2 pods ready" in why(place, ""), place.told)


def why(place: Place, words: str) -> str:
    """What the version says about its release, if that holds the words."""
    message = condition(place.version(f"{MODEL}-v2"), "Ready").get("message", "")
    return message if words in message else ""


@contextmanager
def emptied(world: World, place: Place) -> Iterator[None]:
    """The artifact store has lost everything for as long as the context lasts."""
    on_the_volume(world, "mkdir /data/lost && mv /data/docker /data/lost/")
    try:
        yield
    finally:
        on_the_volume(world, "rm -rf /data/docker && mv /data/lost/docker /data/ && rmdir /data/lost")


def on_the_volume(world: World, script: str) -> None:
    """Run a script on the store's volume, and start the store anew: it remembers what it had."""
    mount = {"name": "data", "mountPath": "/data"}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": STORE}}
    pod = server(
        "volume",
        world.images.runner,
        ["sh", "-ec", script],
        1,
        container={"volumeMounts": [mount], "readinessProbe": None},
        volumes=[volume],
    )
    pod["metadata"]["namespace"] = SYSTEM
    pod["spec"]["restartPolicy"] = "Never"
    kubectl = ("kubectl", "-n", SYSTEM)
    world.kube.apply(pod)
    try:
        world.kube.run(*kubectl, "wait", "pod/volume", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    finally:
        print(world.kube.run(*kubectl, "logs", "volume"))
        world.kube.run(*kubectl, "delete", "pod", "volume")
    world.kube.run(*kubectl, "rollout", "restart", f"deployment/{STORE}")
    world.kube.rollout(SYSTEM, STORE, 60)
