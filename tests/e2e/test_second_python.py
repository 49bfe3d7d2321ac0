"""A model of a Python that the runner image has not, on the image of that Python, beside one of today."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from dev.demo import install
from tests.pasts import OF_2024, trained, wheels
from tests.pythons import image_of

from .conftest import World, places_of
from .place import model_version, registered_model
from .test_environments import PORT, Past, index_of, registered_as

# Minutes for an image. tests/runner/test_second_python.py has the programs, beside the nodes.
pytestmark = pytest.mark.long
MODEL, SECOND = "second", "3.13"


@pytest.fixture(scope="module")
def image(world: World) -> str:
    """A runner image with that Python, which the cluster has."""
    if json.loads((install.cache() / "cluster.json").read_text())["kind"] not in ("local", "kind"):
        pytest.skip("the image is loaded into clusters of this machine only")
    subprocess.run([sys.executable, install.REPOSITORY / "dev/cluster", "python", SECOND], check=True)
    return world.images.runner.replace("slipway-runner", f"slipway-runner-{SECOND}")


@pytest.fixture(scope="module")
def past(world: World, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Version 1 is of that Python, and version 2 of the runner image's."""
    scratch: Path = tmp_path_factory.mktemp("second")
    rows = pandas.read_parquet(io.BytesIO(world.made.data["holdout.parquet"].content))
    of_second = replace(OF_2024, python=image_of(SECOND))
    with places_of(world.kube) as make:
        place = make("pythons")
        index_of(place, world.images.runner, wheels(of_second), scratch)
        url = f"http://packages.{place.namespace}.svc:{PORT}/simple/"
        try:
            world.upgrade(environments={"indexes": [{"name": "team", "url": url}]}, runtimes={SECOND: image})
            model = trained(of_second, rows, scratch)
            registered = registered_as(world, place, model.folder)
            source = {"registryRef": {"name": "mlflow", "namespace": "mlflow"}, "name": registered}
            place.apply(registered_model(MODEL, source=source, validation=world.policy()))
            yield Past(world, place, registered, model, rows)
        finally:
            world.upgrade()


def test_it_is_proven_and_served_on_the_image_of_its_python(past: Past, image: str) -> None:
    place = past.place
    place.apply(model_version(MODEL, 1, "Production"))
    found = place.until_serving(f"{MODEL}-v1", 420)["status"]
    assert (found["environment"]["python"], found["validation"]["python"]) == (SECOND, SECOND)
    with past.world.entrance(place, MODEL) as way:
        assert way.ask(past.request(), past.answers()) == "1"
    for pod in place.serving_pods(MODEL, 1):
        assert pod["metadata"]["annotations"]["slipway.dev/python"] == SECOND
        assert {one["image"] for one in pod["spec"]["containers"]} == {image}


def test_a_version_of_the_first_python_is_compared_with_it_each_on_its_own(past: Past) -> None:
    place = past.place
    place.apply(model_version(MODEL, 2, "Staging"))
    found = place.until(f"{MODEL}-v2", "Validated", "False", "GateFailed", 240)["status"]
    assert "python" not in found["environment"]
    before = place.version(f"{MODEL}-v1")["status"]["validation"]["gates"][0]
    (gate,) = found["validation"]["gates"]
    assert gate["champion"] == pytest.approx(before["candidate"], rel=1e-12)
