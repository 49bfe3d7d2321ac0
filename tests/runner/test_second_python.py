"""A model of a Python that the runner image has not: on the image of that Python it is rebuilt, scored and served."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
from slipway.api.tasks import (
    CANDIDATE,
    CANDIDATE_PREDICTIONS,
    ENVIRONMENT,
    FEATURES,
    EnvironmentTask,
    FetchTask,
    Index,
    ScoreTask,
)

from tests.pasts import OF_2024, trained, wheels
from tests.ports import free_port
from tests.pythons import image_of
from tests.runner.indexes import serving as index_of
from tests.runner.pods import Ended, Pod, StoreOnDisk, answers, running
from tests.runner.test_fetch import pushed
from tests.runner.test_old_environment import COLUMNS, ROWS, body
from tests.runner.test_serve import START

pytestmark = pytest.mark.long
SECOND = "3.13"


@dataclass(frozen=True)
class World:
    """Such a model, and a pod of each image in which it lies with its packages."""

    first: Pod  # of the runner image
    second: Pod
    answers: tuple[Ended, Ended]  # of the step that brings the packages, on each
    predictions: list[float]  # of all rows


@pytest.fixture(scope="module")
def python() -> Path:
    return image_of(SECOND)


@pytest.fixture(scope="module")
def world(python: Path, tmp_path_factory: pytest.TempPathFactory, store: StoreOnDisk) -> World:
    root = tmp_path_factory.mktemp("second")
    past = replace(OF_2024, python=python)
    model = trained(past, ROWS, root)
    first, second = Pod(root / "first"), Pod(root / "second", python=python)
    for one in (first, second):
        one.root.mkdir()
    digest = pushed(store, model.folder)
    with index_of(wheels(past)) as index:
        indexes = (Index(name="team", url=index.url),)
        task = EnvironmentTask(
            digest=digest, indexes=indexes, max_bytes=2**31, store=store.store, pythons=(SECOND, "3.99")
        )
        told = first.run("rebuild", task)
        brought = second.run("rebuild", task.model_copy(update={"python": SECOND}))
    assert (told.code, brought.code) == (0, 0), told.stderr + brought.stderr
    fetch = FetchTask(
        store=store.store, candidate_digest=digest, candidate_environment=str(brought.termination["digest"])
    )
    # A validation fetches on the runner image for a step on another one; a serving pod is of one image.
    for pod, stated in ((first, SECOND), (second, None)):
        ended = pod.run("fetch", fetch.model_copy(update={"candidate_python": stated}))
        assert ended.code == 0, ended.stderr
    return World(first, second, (told, brought), model.predictions)


def test_the_runner_image_says_which_python_it_needs_and_that_image_brings_its_packages(world: World) -> None:
    told, brought = world.answers
    assert told.termination == {"python": SECOND, "packages": 0, "sizeBytes": 0, "notes": ""}
    assert (brought.termination["python"], brought.termination["packages"] > 30) == (SECOND, True)


def test_their_byte_code_is_of_that_python(world: World) -> None:
    files = [one.name for one in world.second.at(ENVIRONMENT).glob("sklearn/__pycache__/*.pyc")]
    assert files and all(re.search(r"\.cpython-313\.pyc$", one) for one in files), files[:3]


def test_it_is_scored_on_that_python_to_the_last_bit(world: World, python: Path) -> None:
    pod = world.first
    ROWS[COLUMNS].to_parquet(pod.at(FEATURES) / "data.parquet")
    folders = {"model": CANDIDATE, "features": FEATURES, "predictions": CANDIDATE_PREDICTIONS}
    task = ScoreTask(**{name: str(pod.at(folder)) for name, folder in folders.items()})
    command = [str(python), "-m", "slipway.runner.inside", str(pod.at(ENVIRONMENT)), "score.py"]
    environment = pod.environment(SLIPWAY_TASK=json.dumps(task.wire()))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=pod.root, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").read_text())
    assert found["predictions"] == world.predictions


def test_it_is_served_on_that_python_by_its_own_mlflow(world: World) -> None:
    with served(world.second, SLIPWAY_ENVIRONMENT="sha256:aa") as url:
        answer = requests.post(f"{url}/invocations", json=body(100), timeout=30)
        assert answer.json() == {"predictions": world.predictions[:100]}
        assert requests.get(f"{url}/version", timeout=30).text == OF_2024.mlflow


def test_a_model_that_needs_nothing_else_runs_on_the_packages_of_that_image(
    python: Path, flights: Path, store: StoreOnDisk, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(flights, folder)
    (folder / "python_env.yaml").write_text(f"python: {SECOND}.2\n")
    pod, digest = Pod(tmp_path / "pod", python=python), pushed(store, folder)
    pod.root.mkdir()
    nobody = (Index(name="team", url=f"http://127.0.0.1:{free_port()}/simple"),)
    task = EnvironmentTask(digest=digest, indexes=nobody, max_bytes=2**31, store=store.store, python=SECOND)
    said = pod.run("rebuild", task)
    assert (said.code, "digest" in said.termination, said.termination["python"]) == (0, False, SECOND), said.stderr
    fetch = FetchTask(store=store.store, candidate_digest=digest, check_environment=False)
    assert pod.run("fetch", fetch).code == 0
    with served(pod) as url:
        answer = requests.post(f"{url}/invocations", json=body(3), timeout=30)
        assert len(answer.json()["predictions"]) == 3, answer.text
    assert "the fast way is on" in (pod.root / "log").read_text()


@contextlib.contextmanager
def served(pod: Pod, **settings: str) -> Iterator[str]:
    """Where the model of the pod answers."""
    port = free_port()
    environment = pod.environment(SLIPWAY_MODEL="flights", SLIPWAY_MODEL_VERSION="3", **settings)
    environment["SLIPWAY_DRAIN_SECONDS"] = "0"
    command = [str(pod.python), "-c", START.format(root=str(pod.root), port=port, metrics=free_port(), bounds="")]
    url = f"http://127.0.0.1:{port}"
    with running(command, pod.root / "log", lambda: answers(f"{url}/ping"), environment, pod.root):
        yield url
