"""A model of an MLflow and a scikit-learn that this image has not: rebuilt, scored and served as it was trained."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
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
    JudgeTask,
    ScoreTask,
    Served,
)
from slipway.runner.rehearsal import rehearse

from tests.pasts import OF_2022, OF_2023, Past, trained, wheels
from tests.ports import free_port
from tests.runner.indexes import serving as index_of
from tests.runner.pods import Pod, StoreOnDisk, answers, running
from tests.runner.test_fetch import pushed
from tests.runner.test_rehearsal import EVERY
from tests.runner.test_serve import START

ROWS = pandas.DataFrame(numpy.random.default_rng(7).random((300, 3)), columns=["distance", "hour", "minutes"])
COLUMNS = ["distance", "hour"]
# The older one says nothing else; it takes half a minute.
PASTS = [pytest.param(OF_2023, id="of 2023"), pytest.param(OF_2022, id="of 2022", marks=pytest.mark.long)]


@dataclass(frozen=True)
class World:
    """A pod in which such a model lies, with its packages."""

    past: Past
    pod: Pod
    predictions: list[float]  # of all rows


@pytest.fixture(scope="module", params=PASTS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: StoreOnDisk) -> World:
    past, root = request.param, tmp_path_factory.mktemp("past")
    model = trained(past, ROWS, root)
    pod, digest = Pod(root / "pod"), pushed(store, model.folder)
    pod.root.mkdir()
    with index_of(wheels(past)) as index:
        indexes = (Index(name="team", url=index.url),)
        task = EnvironmentTask(digest=digest, indexes=indexes, max_bytes=2**31, store=store.store)
        rebuilt = pod.run("rebuild", task)
    assert rebuilt.code == 0, rebuilt.stderr
    fetched(pod, store, digest, str(rebuilt.termination["digest"]))
    return World(past, pod, model.predictions)


def fetched(pod: Pod, store: StoreOnDisk, digest: str, environment: str) -> None:
    ended = pod.run("fetch", FetchTask(store=store.store, candidate_digest=digest, candidate_environment=environment))
    assert ended.code == 0, ended.stderr


def inside(pod: Pod, file: Path, *arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "slipway.runner.inside", str(pod.at(ENVIRONMENT)), str(file), *arguments]
    done = subprocess.run(
        command, env=pod.environment(**environment), capture_output=True, text=True, cwd=pod.root, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_scored_in_its_own_packages_to_the_last_bit(world: World) -> None:
    ROWS[COLUMNS].to_parquet(world.pod.at(FEATURES) / "data.parquet")
    task = ScoreTask(
        model=str(world.pod.at(CANDIDATE)),
        features=str(world.pod.at(FEATURES)),
        predictions=str(world.pod.at(CANDIDATE_PREDICTIONS)),
    )
    inside(world.pod, Path("score.py"), SLIPWAY_TASK=json.dumps(task.wire()))
    found = json.loads((world.pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").read_text())
    assert found["predictions"] == world.predictions


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    pod, port = world.pod, free_port()
    environment = pod.environment(
        SLIPWAY_MODEL="flights", SLIPWAY_MODEL_VERSION="3", SLIPWAY_ENVIRONMENT="sha256:aa", SLIPWAY_DRAIN_SECONDS="0"
    )
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=port, metrics=free_port(), bounds="")]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, pod.root / "log", lambda: answers(ready), environment, pod.root):
        yield f"http://127.0.0.1:{port}"


def body(rows: int) -> Any:
    return {"dataframe_split": ROWS[COLUMNS][:rows].to_dict(orient="split", index=False)}


def test_it_is_served_by_its_own_mlflow(world: World, url: str) -> None:
    answer = requests.post(f"{url}/invocations", json=body(100), timeout=30)
    assert answer.json() == {"predictions": world.predictions[:100]}
    assert answer.headers["slipway-version"] == "3"
    assert requests.get(f"{url}/version", timeout=30).text == world.past.mlflow


def test_its_rehearsal_asks_what_its_own_mlflow_reads(world: World, url: str) -> None:
    ROWS[COLUMNS].to_parquet(world.pod.at(FEATURES) / "data.parquet")
    served = Served(model="flights", version=3, port=int(url.rpartition(":")[2]))
    task = JudgeTask(revision="r1", candidate_digest="sha256:aa", with_data=True, served=served)
    found = rehearse(task, world.pod.inside, tuple(world.predictions))
    assert found is not None
    assert (found.formats, found.rows, found.fast_way) == (EVERY, 100, False)


def test_an_old_mlflow_is_asked_in_its_own_words_too(world: World, url: str) -> None:
    if not world.past.mlflow.startswith("1."):
        pytest.skip("later ones have no other words")
    headers = {"Content-Type": "application/json; format=pandas-split"}
    answer = requests.post(f"{url}/invocations", json=body(3)["dataframe_split"], headers=headers, timeout=30)
    assert answer.json() == world.predictions[:3]


def test_its_errors_are_those_of_its_mlflow(world: World, url: str) -> None:
    answer = requests.post(f"{url}/invocations", data=b"{", headers={"Content-Type": "application/json"}, timeout=30)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert requests.get(f"{url}/nowhere", timeout=30).status_code == 404


def test_the_open_inference_protocol_asks_it_too(world: World, url: str) -> None:
    named = requests.get(f"{url}/v2/models/flights", timeout=30).json()
    assert [one["datatype"] for one in named["inputs"]] == ["FP64"] * 2
    columns = [{"name": name, "datatype": "FP64", "shape": [5, 1], "data": ROWS[name][:5].tolist()} for name in COLUMNS]
    answer = requests.post(f"{url}/v2/models/flights/infer", json={"inputs": columns}, timeout=30).json()
    assert answer["outputs"][0]["data"] == world.predictions[:5]


def test_many_are_answered_at_a_time_each_with_its_own(world: World, url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    def ask(number: int) -> bool:
        row = {"dataframe_split": {"columns": COLUMNS, "data": [ROWS[COLUMNS].iloc[number].tolist()]}}
        found = requests.post(f"{url}/invocations", json=row, timeout=30).json()
        return bool(found["predictions"] == [world.predictions[number]])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(64)))


def test_a_pod_whose_model_dies_ends_and_says_so(world: World) -> None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

    pod, port = world.pod, free_port()
    environment = pod.environment(SLIPWAY_MODEL_VERSION="3", SLIPWAY_ENVIRONMENT="sha256:aa", SLIPWAY_DRAIN_SECONDS="0")
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=port, metrics=free_port(), bounds="")]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, pod.root / "log2", lambda: answers(ready), environment, pod.root) as process:
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.returncode == 128 + 9
    assert "the model's process ended with exit code -9" in (pod.root / "log2").read_text()
