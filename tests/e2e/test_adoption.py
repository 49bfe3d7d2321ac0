"""A Deployment as teams have it, MLflow's own server behind a Service, is taken in and replaced under load.

The commands are those of the page.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.demo import traffic
from dev.demo.kube import Object
from dev.demo.manifests import MLFLOW, MLFLOW_PORT
from tests.pages import ALONE, ROOT, Block, blocks

from .conftest import World, places_of
from .place import Place, poll
from .reader import Reader

OLD, PORT, MODEL = "old-flights", 5001, "flights"
ANSWERS = 40  # of a load, after which something has been shown
PATIENT_SECONDS = 400  # under load, while models are scored
SILENT_SECONDS = 5  # of a version under load: it has no connection any more


@dataclass(frozen=True)
class Team:
    """It serves version 1 of a model by itself; version 2 is better."""

    world: World
    place: Place
    reader: Reader
    page: Iterator[Block]

    def follow(self, upto: str) -> None:
        """The page, as far as the block with these words."""
        for block in self.page:
            self.reader.follow(block)
            if upto in block.text:
                return
        raise AssertionError(f"the page has no block with {upto!r}")

    def answers(self) -> dict[str, list[float]]:
        """What each version answers, to the last digit."""
        return self.world.made.answers(v1="fair", v2="better")

    def deployment(self) -> Object:
        """The team's Deployment, but for what its own controllers write."""
        found = self.place.get("deployment", OLD)
        left_out = ("managedFields", "resourceVersion")
        meta = {key: value for key, value in found["metadata"].items() if key not in left_out}
        return {"metadata": meta, "spec": found["spec"]}

    def writers(self) -> set[str]:
        """Who has ever written the team's Deployment."""
        shown = self.place.kubectl("get", "deployment", OLD, "-o", "json", "--show-managed-fields")
        return {one["manager"] for one in json.loads(shown)["metadata"]["managedFields"]}

    def pods(self) -> dict[str, int]:
        """Restarts of the team's pods, by uid."""
        shown = json.loads(self.place.kubectl("get", "pods", "-l", f"app={OLD}", "-o", "json"))["items"]
        return {one["metadata"]["uid"]: one["status"]["containerStatuses"][0]["restartCount"] for one in shown}


@pytest.fixture
def team(world: World, tmp_path: Path) -> Iterator[Team]:
    with places_of(world.kube) as places:
        place = places("adoption")
        registered = f"{place.namespace}-flights"
        world.made.register(registered, "fair", "better")
        place.apply(*old_server(world, registered))
        world.kube.rollout(place.namespace, OLD, 240)
        reader = Reader(place, tmp_path, {"MODEL": registered}, {"ml": place.namespace}, PATIENT_SECONDS)
        page = (block for block in blocks(ROOT / ALONE[0]) if block.is_run or block.mark == "values")
        yield Team(world, place, reader, page)


def old_server(world: World, registered: str) -> tuple[Object, Object]:
    """`mlflow models serve` behind a Service."""
    serve = ["mlflow", "models", "serve", "--model-uri", f"models:/{registered}/1", "--env-manager", "local"]
    container: dict[str, Any] = {
        "name": "serve",
        "image": world.images.runner,
        "command": [*serve, "--host", "0.0.0.0", "--port", str(PORT), "--workers", "1"],
        "env": [
            {"name": "MLFLOW_TRACKING_URI", "value": f"http://mlflow.{MLFLOW}.svc.cluster.local:{MLFLOW_PORT}"},
            {"name": "HOME", "value": "/tmp"},
        ],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": PORT}, "periodSeconds": 2},
        "resources": {"limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}], "securityContext": user}
    template = {"metadata": {"labels": {"app": OLD}}, "spec": pod}
    deployment = {"selector": {"matchLabels": {"app": OLD}}, "template": template}
    service = {"selector": {"app": OLD}, "ports": [{"port": PORT}]}
    return (
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": OLD}, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": OLD}, "spec": service},
    )


def test_what_serves_is_taken_in_replaced_and_gone_back_to_without_a_failed_request(team: Team) -> None:
    before, pods = team.deployment(), team.pods()
    old_url = f"http://{OLD}.{team.place.namespace}.svc:{PORT}"
    with traffic.entrance(team.world.kube, old_url) as old_way, team.world.load(old_way, team.answers()) as clients:
        team.follow("get rmodel")
        adopted = team.place.model(MODEL)["status"]["adopted"]
        assert (adopted["ready"], adopted["digest"]) == ("1/1", "unknown: adopted")
        with team.world.entrance(team.place, MODEL) as way, team.world.load(way, team.answers()) as moved:
            poll("both addresses are called", 60, lambda: moved.tally["requests"] >= ANSWERS)
            _lost_nothing(clients, "1")  # and is called no more
            _takes_over_and_back(team, way, moved)
            _lost_nothing(moved, "1", "2")
    assert (team.deployment(), team.pods()) == (before, pods), "nobody touched it"
    assert "slipway" not in team.writers()


@pytest.mark.long
def test_a_version_is_compared_with_the_one_that_the_deployment_is_said_to_run(team: Team) -> None:
    team.follow("get rmodel")
    spec = {"adopt": {"version": 1}, "validation": team.world.policy()}
    team.place.kubectl("patch", "rmodel", MODEL, "--type=merge", "-p", json.dumps({"spec": spec}))
    team.follow("flights-v2")
    assert team.place.version("flights-v2")["status"]["validation"]["championVersion"] == 1


def _takes_over_and_back(team: Team, way: traffic.Entrance, moved: traffic.Load) -> None:
    team.follow("flights-v2")
    _answers(team, way, 2)
    poll("version 2 answers under load, too", 60, lambda: moved.tally["answers"].get("2", 0) >= ANSWERS)
    team.follow("to=adopted")
    _answers(team, way, 1)
    poll(
        "version 2 falls silent", 60, lambda: moved.tally["last_at"]["1"] - moved.tally["last_at"]["2"] > SILENT_SECONDS
    )


def _answers(team: Team, way: traffic.Entrance, version: int) -> None:
    """A new connection gets that version's answer."""
    request, answers = team.world.made.request, team.answers()
    poll(f"version {version} answers", 60, lambda: way.version(request, answers) == str(version), team.place.told)


def _lost_nothing(load: traffic.Load, *versions: str) -> None:
    tally = load.stop()
    assert (tally["failed"], tally["failures"]) == (0, [])
    assert set(tally["answers"]) == set(versions)
