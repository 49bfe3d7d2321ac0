"""A model of another MLflow and scikit-learn than the image's: its packages are brought once, and it is proven and served
in them, also when the package index is gone."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from packaging.utils import parse_wheel_filename

from tests.pasts import OF_2023, Trained, trained, wheels

from .conftest import World, places_of
from .making import COLUMNS, TARGET
from .place import Place, model_version, poll, registered_model
from .pods import server, service

# Four minutes. In each run, tests/runner/test_old_environment.py has the programs, beside the nodes.
pytestmark = pytest.mark.long
MODEL, PORT = "past", 8000
LOG_ANSWERED = "the fast way is off: the model runs in packages of its own"


@dataclass(frozen=True)
class Past:
    """A model of 2023, registered as versions 1 and 3; version 2 is of today."""

    world: World
    place: Place
    registered: str
    model: Trained
    rows: pandas.DataFrame

    def answers(self) -> dict[str, list[float]]:
        """What version 1 answers to the first rows."""
        return {"1": self.model.predictions[:5]}

    def request(self) -> dict[str, Any]:
        return {"dataframe_split": {"columns": COLUMNS, "data": self.rows[COLUMNS][:5].to_numpy().tolist()}}

    def environment(self, version: int) -> dict[str, Any]:
        """What the version's status tells of its packages."""
        return dict(self.place.version(f"{MODEL}-v{version}")["status"].get("environment", {}))


@pytest.fixture(scope="module")
def past(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    scratch = tmp_path_factory.mktemp("past")
    rows = pandas.read_parquet(io.BytesIO(world.made.data["holdout.parquet"].content))
    with places_of(world.kube) as make:
        place = make("environments")
        index_of(place, world.images.runner, wheels(OF_2023), scratch)
        url = f"http://packages.{place.namespace}.svc:{PORT}/simple/"
        try:
            world.upgrade(environments={"indexes": [{"name": "team", "url": url}]})
            model = trained(OF_2023, rows, scratch)
            registered = registered_as(world, place, model.folder)
            source = {"registryRef": {"name": "mlflow", "namespace": "mlflow"}, "name": registered}
            place.apply(registered_model(MODEL, source=source, validation=world.policy()))
            yield Past(world, place, registered, model, rows)
        finally:
            world.upgrade()


def index_of(place: Place, image: str, folder: Path, scratch: Path) -> None:
    """A package index in a pod, of the wheels in this folder."""
    pages = scratch / "index"
    for wheel in sorted(folder.glob("*.whl")):
        page = pages / "simple" / str(parse_wheel_filename(wheel.name)[0])
        page.mkdir(parents=True, exist_ok=True)
        (page / wheel.name).hardlink_to(wheel)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with (page / "index.html").open("a") as links:
            links.write(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>\n')
    command = ["python", "-m", "http.server", "--directory", "/data/index", str(PORT)]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volumes = [{"name": "data", "emptyDir": {}}]
    place.apply(server("packages", image, command, PORT, container=mounts, volumes=volumes), service("packages", PORT))
    place.kubectl("wait", "pod/packages", "--for=condition=Ready", "--timeout=60s")
    place.kubectl("cp", str(pages), "packages:/data/index")


def registered_as(world: World, place: Place, folder: Path) -> str:
    """The name of a registered model whose versions 1 and 3 are this model, and 2 is one of today."""
    client, name = world.made.client, f"{place.namespace}-{MODEL}"
    run = client.create_run(client.get_experiment_by_name("slipway-e2e").experiment_id)
    client.log_artifacts(run.info.run_id, str(folder), "model")
    world.made.register(name)
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version(name, source, run_id=run.info.run_id)
    today = world.made.models["good"]
    client.create_model_version(name, f"models:/{today}", run_id=world.made.runs["good"], model_id=today)
    client.create_model_version(name, source, run_id=run.info.run_id)
    return name


def test_it_is_proven_and_served_in_the_packages_that_it_was_trained_with(past: Past) -> None:
    place = past.place
    place.apply(model_version(MODEL, 1, "Production"))
    found = place.until_serving(f"{MODEL}-v1", 420)["status"]
    assert (found["environment"]["outcome"], found["environment"]["packages"] > 40) == ("Passed", True)
    errors = numpy.array(past.model.predictions) - past.rows[TARGET].to_numpy()
    (gate,) = found["validation"]["gates"]
    assert gate["candidate"] == pytest.approx(float(numpy.sqrt(numpy.mean(errors**2))), rel=1e-9)
    with past.world.entrance(place, MODEL) as way:
        assert way.ask(past.request(), past.answers()) == "1"
    for pod in place.serving_pods(MODEL, 1):
        assert pod["metadata"]["annotations"]["slipway.dev/environment"] == found["environment"]["digest"]
        assert LOG_ANSWERED in place.kubectl("logs", pod["metadata"]["name"], "-c", "serve")


def test_what_no_index_has_is_refused_by_its_name(past: Past) -> None:
    place, name = past.place, "outdated"
    past.world.model(place, name, "outdated")
    place.apply(model_version(name, 1, "Staging"))
    found = place.until(f"{name}-v1", "Validated", "False", "EnvironmentNotReproducible", 120)
    (said,) = [one for one in found["status"]["conditions"] if one["type"] == "Validated"]
    assert said["message"].startswith("there is no version of "), said["message"]


def test_a_version_of_today_is_compared_with_one_of_the_past_each_in_its_own_packages(past: Past) -> None:
    place, made = past.place, past.world.made
    place.apply(model_version(MODEL, 2, "Staging"))
    found = place.until(f"{MODEL}-v2", "Validated", "False", "GateFailed", 240)["status"]
    assert "digest" not in found["environment"], "the image has what it needs"
    before = place.version(f"{MODEL}-v1")["status"]["validation"]["gates"][0]
    (gate,) = found["validation"]["gates"]
    assert gate["candidate"] == pytest.approx(made.errors["good"], rel=1e-6)
    assert gate["champion"] == pytest.approx(before["candidate"], rel=1e-12)


def test_without_an_index_the_next_version_and_new_pods_have_their_packages(past: Past) -> None:
    place = past.place
    place.kubectl("delete", "pod/packages", "service/packages", "--grace-period=1")
    place.apply(model_version(MODEL, 3, "Staging"))
    poll("the packages of version 3", 120, lambda: past.environment(3).get("outcome") == "Passed", place.told)
    assert past.environment(3)["digest"] == past.environment(1)["digest"]
    before = {one["metadata"]["uid"] for one in place.serving_pods(MODEL, 1)}
    place.kubectl("delete", "pods", "-l", f"slipway.dev/model={MODEL},slipway.dev/track=production", "--wait=false")

    def others() -> bool:
        ready = [
            one["metadata"]["uid"] for one in place.serving_pods(MODEL, 1)
            if any(two["type"] == "Ready" and two["status"] == "True" for two in one["status"].get("conditions", []))
        ]  # fmt: skip
        return bool(ready) and not before & set(ready)

    poll("new pods are ready", 180, others, place.told)
    with past.world.entrance(place, MODEL) as way:
        poll("they answer", 60, lambda: way.version(past.request(), past.answers()) == "1", place.told)


def test_an_index_that_is_gone_is_waited_for(past: Past) -> None:
    place, name = past.place, "later"
    past.world.model(place, name, "older-mlflow")
    place.apply(model_version(name, 1, "Staging"))
    place.until(f"{name}-v1", "Validated", "False", "IndexUnreachable", 120)
