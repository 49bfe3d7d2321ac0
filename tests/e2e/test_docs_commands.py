"""What the pages tell people to type works: every command of theirs, in their order, on a real cluster.

The commands are run as they stand, from a folder that holds the chart. What differs from a reader's cluster is in the
fixture: the values that the pages ask for, the names of the two namespaces, and the chart's defaults for images.
"""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.demo import install
from dev.demo.manifests import MLFLOW, MLFLOW_PORT
from tests.argocd import health
from tests.pages import FOLLOWED, ROOT, Block, blocks
from tests.ports import free_port

from .conftest import World, usual
from .making import TARGET
from .place import Place, poll
from .reader import Reader


@pytest.fixture(scope="module")
def reader(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Nothing is there but the cluster, MLflow with a model in it, and a folder with the chart."""
    own = uuid.uuid4().hex[:6]
    place, platform = (Place(world.kube, f"e2e-docs-{name}-{own}") for name in ("ml", "platform"))
    folder = tmp_path_factory.mktemp("clone")
    _chart(world, folder)
    model = f"{place.namespace}-flights"
    world.made.register(model, "fair", "worse", "better")
    values = {
        "REGISTRY": world.images.operator.rpartition("/")[0],
        "MLFLOW_URI": f"http://mlflow.{MLFLOW}.svc.cluster.local:{MLFLOW_PORT}",
        "MLFLOW_USER": "slipway",
        "MLFLOW_PASSWORD": "this MLflow asks nobody",
        "MODEL": model,
        "DATA": world.made.data["holdout.parquet"].uri,
        "TARGET": TARGET,
        "ROW": json.dumps(world.made.request),
    }
    words = {"ml": place.namespace, "platform": platform.namespace, "8080": str(free_port())}
    try:
        yield Reader(place, folder, values, words)
    finally:
        for one in (place, platform):
            world.kube.run("kubectl", "delete", "namespace", one.namespace, "--ignore-not-found", "--wait=false")
        world.upgrade()


def _chart(world: World, folder: Path) -> None:
    """The chart, whose defaults are the images and pools of this cluster: no page can know their names."""
    chart = folder / "charts" / "slipway"
    shutil.copytree(ROOT / "charts" / "slipway", chart)
    nodes = json.loads(world.kube.run("kubectl", "get", "nodes", "-o", "json"))["items"]
    here = install._values(world.images, nodes) | usual(world.kube, world.images)
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    for name in ("image", "runner", "store", "pools"):
        defaults[name] = _merged(defaults[name], here[name])
    (chart / "values.yaml").write_text(yaml.safe_dump(defaults, sort_keys=False))


def _merged(default: Any, here: Any) -> Any:
    if not isinstance(default, dict) or not isinstance(here, dict):
        return here
    return default | {key: _merged(default.get(key), value) for key, value in here.items()}


def followed(*pages: str) -> list[Block]:
    """The blocks of these pages, in the order in which they are followed."""
    found = (block for page in pages for block in blocks(ROOT / page))
    return [block for block in found if block.is_run or block.mark == "values"]


@pytest.mark.parametrize("block", followed(FOLLOWED[0]), ids=lambda block: block.where)
def test_from_nothing_to_a_served_model(block: Block, reader: Reader) -> None:
    reader.follow(block)


def test_argo_cd_would_show_what_is_so(reader: Reader) -> None:
    def shown() -> dict[str, tuple[str, str]]:
        kinds = "registeredmodels.slipway.dev,modelversions.slipway.dev"
        found = {f"{one['kind']}/{one['metadata']['name']}": health(one) for one in reader.place.every(kinds)}
        return {} if any(status == "Progressing" for status, _ in found.values()) else found

    seen = poll("nothing is on the move any more", 60, shown, reader.place.told)
    assert {name: status for name, (status, _) in seen.items()} == {
        "RegisteredModel/flights": "Healthy",
        "ModelVersion/flights-v1": "Healthy",
        "ModelVersion/flights-v2": "Degraded",
        "ModelVersion/flights-v3": "Healthy",
    }
    assert "must be lower by at least" in seen["ModelVersion/flights-v2"][1]


@pytest.mark.parametrize("block", followed(*FOLLOWED[1:]), ids=lambda block: block.where)
def test_the_pages_that_go_on_from_there(block: Block, reader: Reader) -> None:
    reader.follow(block)
