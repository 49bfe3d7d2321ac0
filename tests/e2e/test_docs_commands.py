"""What the pages tell people to type works: every command of theirs, in their order, on a real cluster.

The commands are run as they stand, from a folder that holds the chart. What differs from a reader's cluster is in the
fixture: the values that the pages ask for, the names of the two namespaces, and the chart's defaults for images.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.demo import install
from dev.demo.manifests import MLFLOW, MLFLOW_PORT
from tests.argocd import health
from tests.pages import FOLLOWED, ROOT, Block, Step, blocks, prints, steps

from .conftest import World, usual
from .making import TARGET
from .place import POLL_SECONDS, Place, poll

BLOCK_SECONDS = 150  # the pages allow their waits ten minutes
SETTLED_SECONDS = 30  # within which a cluster comes to show what a page shows


@dataclass
class Reader:
    """Somebody who follows the pages, and stops where one of them is wrong."""

    place: Place
    folder: Path
    values: Mapping[str, str]
    words: Mapping[str, str]
    exported: dict[str, str] = field(default_factory=dict)
    stopped_at: str = ""

    def follow(self, block: Block) -> None:
        """Do what a block says, unless an earlier one could not be followed."""
        if self.stopped_at:
            pytest.skip(f"it goes on from {self.stopped_at}, which failed")
        self.stopped_at = block.where
        if block.mark == "values":
            self.exported |= {name: self.values[name] for name in block.exports}
        else:
            for step in steps(block):
                self._take(step)
        self.stopped_at = ""

    def _take(self, step: Step) -> None:
        """Run commands until they print what the page shows."""
        deadline = time.monotonic() + SETTLED_SECONDS
        command, shown = self._renamed(step.command), step._replace(printed=tuple(map(self._renamed, step.printed)))
        while not prints(shown, said := self._run(command)):
            missing = "\n".join(shown.printed)
            assert time.monotonic() < deadline, f"the page shows\n{missing}\nand it prints\n{said}"
            time.sleep(POLL_SECONDS)
        print(f"$ {command.strip()}\n{said.rstrip()}")

    def _renamed(self, text: str) -> str:
        """The names that must be this test's own, wherever they stand as a word."""
        return re.sub(rf"(?<![\w-])(?:{'|'.join(self.words)})(?![\w-])", lambda found: self.words[found[0]], text)

    def _run(self, command: str) -> str:
        """In a shell that stops at the first error, and leaves nothing running."""
        shell = ["bash", "-euo", "pipefail", "-c", command]
        environment = {**self.place.kube.environment, **self.exported}
        pipe, merged = subprocess.PIPE, subprocess.STDOUT
        process = subprocess.Popen(
            shell, cwd=self.folder, env=environment, stdout=pipe, stderr=merged, text=True, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            pytest.fail(f"not within {BLOCK_SECONDS} s: {command}\n{said}\n{self.place.told()}")
        assert process.returncode == 0, f"{command}\n{said}\n{self.place.told()}"
        return said


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
    words = {"ml": place.namespace, "platform": platform.namespace, "8080": str(_free_port())}
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


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


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
