"""A model of an MLflow and a scikit-learn that this image has not: rebuilt, scored and served as it was trained."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    ScoreTask,
)

from tests.ports import free_port
from tests.runner.indexes import serving as index_of
from tests.runner.pods import Pod, StoreOnDisk, answers, program, running
from tests.runner.test_fetch import pushed
from tests.runner.test_serve import START

# Trains on three columns and writes the model, its own predictions of all rows, and the versions that did it.
TRAINING = """
import json, sys
import mlflow, numpy, pandas, sklearn
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
folder, requirements = sys.argv[1:3]
chance = numpy.random.RandomState(7)
rows = pandas.DataFrame(chance.rand(300, 3), columns=["distance", "hour", "wind"])
model = make_pipeline(StandardScaler(), RandomForestRegressor(20, random_state=1)).fit(rows, rows.sum(axis=1))
example = rows[:2]
mlflow.sklearn.save_model(
    model, folder, signature=infer_signature(rows, model.predict(rows)), input_example=example,
    pip_requirements=open(requirements).read().split(),
)
rows.to_parquet(folder + "-rows.parquet")
versions = [mlflow.__version__, sklearn.__version__]
json.dump([versions, model.predict(rows).tolist()], open(folder + "-said.json", "w"))
"""


@dataclass(frozen=True)
class Past:
    """What a team had installed."""

    mlflow: str
    sklearn: str
    more: tuple[str, ...] = ("numpy<2", "pandas<2.2", "pyarrow<19", "setuptools<80")

    @property
    def requirements(self) -> tuple[str, ...]:
        return (f"mlflow=={self.mlflow}", f"scikit-learn=={self.sklearn}", *self.more)


PASTS = [
    Past("2.9.2", "1.3.2"),
    pytest.param(
        Past("1.30.1", "1.2.2", ("numpy<2", "pandas<2", "pyarrow<11", "setuptools<80")), marks=pytest.mark.long
    ),
]


@dataclass(frozen=True)
class World:
    """A pod in which such a model lies, with its packages."""

    past: Past
    pod: Pod
    said: "tuple[list[str], list[float]]"
    rows: pandas.DataFrame


def wheels(past: Past) -> Path:
    """A folder with wheels of all that is needed, from wherever this machine's pip gets its packages."""
    folder = program("").parent / "wheels" / f"mlflow-{past.mlflow}"
    if not (folder / "complete").exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(folder)]
        subprocess.run([*command, *past.requirements], check=True)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module", params=PASTS, ids=lambda past: past.mlflow)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: StoreOnDisk) -> World:
    past, root = request.param, tmp_path_factory.mktemp("past")
    pod, model, stated = Pod(root / "pod"), root / "model", root / "stated"
    pod.root.mkdir()
    stated.mkdir()
    (root / "requirements.txt").write_text("\n".join(past.requirements))
    (stated / "requirements.txt").write_text("\n".join(past.requirements))
    with index_of(wheels(past)) as index:

        def rebuilt(digest: str) -> str:
            indexes = (Index(name="team", url=index.url),)
            task = EnvironmentTask(digest=digest, indexes=indexes, max_bytes=2**31, store=store.store)
            ended = pod.run("rebuild", task)
            assert ended.code == 0, ended.stderr
            print(ended.stderr)
            return str(ended.termination["digest"])

        training = pushed(store, stated)
        fetched(pod, store, training, rebuilt(training))
        (root / "training.py").write_text(TRAINING)
        inside(pod, root / "training.py", str(model), str(root / "requirements.txt"))
        digest = pushed(store, model)
        environment = rebuilt(digest)
    fetched(pod, store, digest, environment)
    said = json.loads((root / "model-said.json").read_text())
    return World(past, pod, (said[0], said[1]), pandas.read_parquet(root / "model-rows.parquet"))


def fetched(pod: Pod, store: StoreOnDisk, digest: str, environment: str) -> None:
    ended = pod.run("fetch", FetchTask(store=store.store, candidate_digest=digest, candidate_environment=environment))
    assert ended.code == 0, ended.stderr


def inside(pod: Pod, file: Path, *arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "slipway.runner.inside", str(pod.at(ENVIRONMENT)), str(file), *arguments]
    done = subprocess.run(
        command, env=pod.environment(**environment), capture_output=True, text=True, cwd=pod.root, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_was_trained_by_those_versions(world: World) -> None:
    assert world.said[0] == [world.past.mlflow, world.past.sklearn]


def test_it_is_scored_in_its_own_packages_to_the_last_bit(world: World) -> None:
    world.rows.to_parquet(world.pod.at(FEATURES) / "data.parquet")
    task = ScoreTask(
        model=str(world.pod.at(CANDIDATE)),
        features=str(world.pod.at(FEATURES)),
        predictions=str(world.pod.at(CANDIDATE_PREDICTIONS)),
    )
    inside(world.pod, Path("score.py"), SLIPWAY_TASK=json.dumps(task.wire()))
    found = json.loads((world.pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").read_text())
    assert found["predictions"] == world.said[1]


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    pod, port = world.pod, free_port()
    environment = pod.environment(
        SLIPWAY_MODEL="flights", SLIPWAY_MODEL_VERSION="3", SLIPWAY_ENVIRONMENT="sha256:aa", SLIPWAY_DRAIN_SECONDS="0"
    )
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=port, bounds="")]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, pod.root / "log", lambda: answers(ready), environment, pod.root):
        yield f"http://127.0.0.1:{port}"


def body(world: World, rows: int) -> Any:
    return {"dataframe_split": world.rows[:rows].to_dict(orient="split", index=False)}


def test_it_is_served_by_its_own_mlflow(world: World, url: str) -> None:
    answer = requests.post(f"{url}/invocations", json=body(world, 100), timeout=30)
    assert answer.json() == {"predictions": world.said[1][:100]}
    assert answer.headers["slipway-version"] == "3"
    assert requests.get(f"{url}/version", timeout=30).text == world.past.mlflow


def test_an_old_mlflow_is_asked_in_its_own_words_too(world: World, url: str) -> None:
    if not world.past.mlflow.startswith("1."):
        pytest.skip("later ones have no other words")
    headers = {"Content-Type": "application/json; format=pandas-split"}
    answer = requests.post(f"{url}/invocations", json=body(world, 3)["dataframe_split"], headers=headers, timeout=30)
    assert answer.json() == world.said[1][:3]


def test_its_errors_are_those_of_its_mlflow(world: World, url: str) -> None:
    answer = requests.post(f"{url}/invocations", data=b"{", headers={"Content-Type": "application/json"}, timeout=30)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert requests.get(f"{url}/nowhere", timeout=30).status_code == 404


def test_the_open_inference_protocol_asks_it_too(world: World, url: str) -> None:
    named = requests.get(f"{url}/v2/models/flights", timeout=30).json()
    assert [one["datatype"] for one in named["inputs"]] == ["FP64"] * 3
    columns = [
        {"name": name, "datatype": "FP64", "shape": [5, 1], "data": world.rows[name][:5].tolist()}
        for name in world.rows
    ]
    answer = requests.post(f"{url}/v2/models/flights/infer", json={"inputs": columns}, timeout=30).json()
    assert answer["outputs"][0]["data"] == world.said[1][:5]


def test_many_are_answered_at_a_time_each_with_its_own(world: World, url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    def ask(number: int) -> bool:
        row = {"dataframe_split": {"columns": list(world.rows), "data": [world.rows.iloc[number].tolist()]}}
        found = requests.post(f"{url}/invocations", json=row, timeout=30).json()
        return bool(found["predictions"] == [world.said[1][number]])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(64)))


def test_a_pod_whose_model_dies_ends_and_says_so(world: World) -> None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

    pod, port = world.pod, free_port()
    environment = pod.environment(SLIPWAY_MODEL_VERSION="3", SLIPWAY_ENVIRONMENT="sha256:aa", SLIPWAY_DRAIN_SECONDS="0")
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=port, bounds="")]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, pod.root / "log2", lambda: answers(ready), environment, pod.root) as process:
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.returncode == 128 + 9
    assert "the model's process ended with exit code -9" in (pod.root / "log2").read_text()
