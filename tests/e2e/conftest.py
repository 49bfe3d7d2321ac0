"""Slipway and MLflow on real nodes: installed as the demo installs them, shared by all tests of this folder."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.demo import install, manifests, program, traffic
from dev.demo.console import Broken, Console
from dev.demo.install import Images
from dev.demo.kube import Kube, Object
from dev.demo.load import Plan
from dev.demo.manifests import MLFLOW, MLFLOW_PORT
from dev.demo.traffic import Entrance, Load

from . import listening
from .making import METRIC, TARGET, Made, made
from .place import Place, namespace, poll, registered_model

ALONE_SECONDS = 400  # as long as a demo takes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs nodes; those that run demos come before those that keep every demo away."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: "kube" in getattr(item, "fixturenames", ()))


@dataclass(frozen=True)
class World:
    """The cluster with Slipway, MLflow, and the models that are registered there."""

    kube: Kube
    images: Images
    console: Console
    made: Made

    def upgrade(self, **values: Any) -> None:
        """`helm upgrade`, with these values in place of the tests' usual ones."""
        install.install_slipway(self.kube, self.console, self.images, usual(self.kube, self.images) | values)

    def declared(self, place: Place, name: str, *roles: str, **spec: Any) -> Object:
        """Register versions 1, 2, … that play these parts; the RegisteredModel that goes with them."""
        registered = f"{place.namespace}-{name}"
        self.made.register(registered, *roles)
        source = {"registryRef": {"name": "mlflow", "namespace": MLFLOW}, "name": registered}
        return registered_model(name, **{"source": source, "validation": self.policy()} | spec)

    def model(self, place: Place, name: str, *roles: str, **spec: Any) -> str:
        """Register and declare a model; returns its name in the registry."""
        declared = self.declared(place, name, *roles, **spec)
        place.apply(declared)
        return str(declared["spec"]["source"]["name"])

    def policy(self, file: str = "holdout.parquet", metric: str = METRIC, **more: Any) -> Object:
        """A validation policy: an error of at most 8, and 1 % better than the champion."""
        gate = {"name": metric, "threshold": 8.0, "minRelativeChange": 0.01, "greaterIsBetter": False}
        data = self.made.data[file]
        return {
            "modelType": "regressor",
            "data": {"uri": data.uri, "digest": data.digest, "target": TARGET},
            "gates": [{"name": "error", "metric": gate}],
        } | more

    @contextmanager
    def entrance(self, place: Place, model: str) -> Iterator[Entrance]:
        """The way to the model's Service."""
        with traffic.entrance(self.kube, str(place.model(model)["status"]["url"])) as way:
            yield way

    @contextmanager
    def load(self, way: Entrance, answers: dict[str, list[float]]) -> Iterator[Load]:
        """A load client at work, with at least one right answer so far."""
        url = way.url if way.direct else way.inside
        plan = Plan(url=url, request=self.made.request, answers=answers, host=way.host)
        with traffic.offered(self.kube, way, plan, self.images.runner) as load:
            poll("the first answers", 30, lambda: load.tally["requests"] >= 10 or not load.running)
            yield load


def usual(kube: Kube, images: Images) -> dict[str, Any]:
    """The demo's values, with pools that are too small, nowhere, or reserve a GPU, and two targets of events."""
    nodes = json.loads(kube.run("kubectl", "get", "nodes", "-o", "json"))["items"]
    pools = {pool["name"]: pool for pool in install._values(images, nodes)["pools"]}
    small = pools["cpu"] | {"name": "small", "resources": {"limits": {"memory": "600Mi"}}}
    nowhere = {"name": "nowhere", "nodeSelector": {"pool": "nowhere"}}
    gpu = [pools["gpu"] | {"resources": {"limits": {"nvidia.com/gpu": "1"}}}] if "gpu" in pools else []
    allowed = ["files", "vault", "objects"]  # servers of test_data.py, in its namespaces
    return {
        "data": {"allowedHosts": allowed},
        "events": listening.EVENTS,
        "pools": [pools["cpu"], *gpu, small, nowhere],
    }


def _problem() -> str:
    choice = install.cache() / "cluster.json"
    if not choice.is_file():
        return f"no cluster: {choice} is not there; run `make cluster`"
    kind = json.loads(choice.read_text()).get("kind")
    return "the cluster has no nodes: it is a control plane only" if kind == "control-plane" else ""


@pytest.fixture(scope="session")
def nodes() -> None:
    """A cluster with nodes; skipped, or failed by SLIPWAY_REQUIRE_CLUSTER, without."""
    if problem := _problem():
        if os.environ.get("SLIPWAY_REQUIRE_CLUSTER"):
            pytest.fail(problem)
        pytest.skip(problem)


@pytest.fixture(scope="session")
def kube(nodes: None) -> Iterator[Kube]:
    """The cluster, which no demo uses meanwhile."""
    deadline = time.monotonic() + ALONE_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(program.alone())
                break
            except Broken:
                assert time.monotonic() < deadline, "a demo is at work on this cluster, and does not end"
                time.sleep(1)
        yield install.cluster()


@pytest.fixture(scope="session")
def world(kube: Kube) -> Iterator[World]:
    """Slipway by its chart, MLflow, and the tests' models in it."""
    console, images = Console(steps=0), Images()
    listening.start(kube, images.runner)
    install.install_slipway(kube, console, images, usual(kube, images))
    install.deploy_mlflow(kube, console, images)
    kube.run("kubectl", "scale", "deployment/mlflow", "-n", MLFLOW, "--replicas=1")
    kube.apply(manifests.model_registry())
    with kube.forwarded(MLFLOW, "mlflow", MLFLOW_PORT) as url:
        poll(
            "MLflow answers through the forwarded port",
            30,
            lambda: traffic.connects("127.0.0.1", int(url.rsplit(":", 1)[1])),
        )
        with made(url, console) as ready:
            yield World(kube, images, console, ready)


Places = Callable[..., Place]


@contextmanager
def places_of(kube: Kube) -> Iterator[Places]:
    """Makes namespaces, and removes them at the end with what they left beside the operator."""
    here: list[Place] = []

    def place(name: str) -> Place:
        here.append(Place(kube, f"e2e-{name}-{uuid.uuid4().hex[:6]}"))
        kube.apply(namespace(here[-1].namespace))
        return here[-1]

    try:
        yield place
    finally:
        for one in here:
            _remove(one)


def _remove(place: Place) -> None:
    run = place.kube.run
    with suppress(Broken):
        run("kubectl", "delete", "namespace", place.namespace, "--ignore-not-found", "--wait=false")
        # What is left serves nobody: without this, each pod takes the time in which a rollout would drain it.
        run("kubectl", "delete", "pods", "--all", "-n", place.namespace, "--grace-period=1", "--wait=false")
        run(
            "kubectl",
            "delete",
            "jobs",
            "-n",
            manifests.SYSTEM,
            "--wait=false",
            "-l",
            f"slipway.dev/owner-namespace={place.namespace}",
        )


@pytest.fixture
def places(world: World) -> Iterator[Places]:
    """Makes namespaces for one test."""
    with places_of(world.kube) as make_place:
        yield make_place


@pytest.fixture(scope="module")
def shared_places(world: World) -> Iterator[Places]:
    """Makes namespaces for the tests of one file."""
    with places_of(world.kube) as make_place:
        yield make_place


@contextmanager
def mlflow_gone(kube: Kube) -> Iterator[None]:
    """No MLflow for as long as the context lasts; it is back afterwards, whatever happened."""
    kube.run("kubectl", "scale", "deployment/mlflow", "-n", MLFLOW, "--replicas=0")
    try:
        poll("MLflow is gone", 60, lambda: not kube.list("pods", MLFLOW, "app.kubernetes.io/name=mlflow"))
        yield
    finally:
        kube.run("kubectl", "scale", "deployment/mlflow", "-n", MLFLOW, "--replicas=1")
        kube.rollout(MLFLOW, "mlflow", 120)
