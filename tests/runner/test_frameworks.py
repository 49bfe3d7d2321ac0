"""Models of other frameworks, and of another version of ours: rebuilt, scored and served as they were trained."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import requests
from slipway.api.tasks import CANDIDATE, CANDIDATE_PREDICTIONS, FEATURES, EnvironmentTask, Index, ScoreTask

from tests import frameworks
from tests.pasts import cached, installed, ran
from tests.ports import free_port
from tests.runner.indexes import serving as index_of
from tests.runner.indexes import wheel
from tests.runner.pods import Pod, StoreOnDisk, answers, running
from tests.runner.test_fetch import pushed
from tests.runner.test_old_environment import fetched, inside
from tests.runner.test_serve import START

pytestmark = pytest.mark.long

BASE = ("numpy==2.2.6", "pandas==2.3.3", "pyarrow==21.0.0", "scikit-learn==1.7.2")
OWN = ("mlflow==3.14.0", *BASE)
# One environment of a team that has tried all of them: bringing one takes half a minute.
TEAMS = ("lightgbm==4.6.0", "catboost==1.2.8", "xgboost==2.1.4", "skops==0.13.0", "onnx==1.19.1", "onnxruntime==1.22.1")
NUMBERS = ["distance", "hour"]
# By its training (and what is special): what a model states, and the columns that it is asked with.
NEEDS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "lightgbm": ((*OWN, *TEAMS), [*NUMBERS, "carrier"]),
    "catboost": ((*OWN, *TEAMS), [*NUMBERS, "airport"]),
    "catboost_words": ((*OWN, *TEAMS), NUMBERS),
    "onnx": ((*OWN, *TEAMS), NUMBERS),
    "xgboost": ((*OWN, *TEAMS), NUMBERS),
    "skops": ((*OWN, *TEAMS), NUMBERS),
    "skops without all of MLflow": (("mlflow-skinny==3.14.0", "skops==0.13.0", *BASE), NUMBERS),
    "text": ((*OWN, "code/words-1.0-py3-none-any.whl"), ["remark"]),
    "project": (OWN, NUMBERS),
}
ONLY_TO_TRAIN = ("skl2onnx==1.19.1", "protobuf<7")
ALL = sorted({*ONLY_TO_TRAIN, *(one for needs, _ in NEEDS.values() for one in needs if "/" not in one)})
SMALL = tuple(one for one in ALL if one.startswith("xgboost"))

_NUMBERS = numpy.random.default_rng(7).random((300, 3))
ROWS = pandas.DataFrame(_NUMBERS, columns=["distance", "hour", "minutes"]).assign(
    carrier=[one % 5 for one in range(300)],
    airport=[("BRE", "HAM", "MUC")[one % 3] for one in range(300)],
    remark=[("Late again", "On TIME", "Storm ahead")[one % 3] + f" at gate {one % 7}" for one in range(300)],
)


@dataclass(frozen=True)
class Team:
    """Where models are trained: packages of all frameworks, and an index that has them."""

    packages: Path
    wheels: Path
    url: str


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    kept = cached("frameworks-of-2025", [one for one in ALL if one not in SMALL], SMALL)
    root = tmp_path_factory.mktemp("team")
    ROWS.to_parquet(root / "rows.parquet")
    left_out = root / "left-out.txt"
    left_out.write_text("nvidia-nccl-cu12\n")
    packages = installed(kept, ALL, root, "--excludes", str(left_out))
    with index_of(kept) as index:
        yield Team(packages, kept, index.url)


@dataclass(frozen=True)
class World:
    """A pod in which a model lies with its packages, and what it predicted where it was trained."""

    name: str
    pod: Pod
    predictions: list[Any]
    notes: str

    @property
    def rows(self) -> pandas.DataFrame:
        """The columns that it is asked with."""
        return ROWS[NEEDS[self.name][1]]


@pytest.fixture(scope="module", params=NEEDS)
def world(
    request: pytest.FixtureRequest, team: Team, tmp_path_factory: pytest.TempPathFactory, store: StoreOnDisk
) -> Iterator[World]:
    name, root = request.param, tmp_path_factory.mktemp("framework")
    model, needs = root / "model", NEEDS[name][0]
    wheel(root, "words", "1.0", files={"words.py": "def lowered(text):\n    return text.lower()\n"})
    if name == "project":
        project(root / "project", needs, team.url)
    ran(
        team.packages,
        Path(frameworks.__file__),
        name.split()[0],
        str(model),
        str(team.packages.parent / "rows.parquet"),
        ",".join(needs),
    )
    _, predictions = json.loads((root / "model.json").read_text())
    pod, digest = Pod(root / "pod"), pushed(store, model)
    pod.root.mkdir()
    indexes = (Index(name="team", url=team.url),)
    rebuilt = pod.run("rebuild", EnvironmentTask(digest=digest, indexes=indexes, max_bytes=2**32, store=store.store))
    assert rebuilt.code == 0, rebuilt.stderr
    fetched(pod, store, digest, str(rebuilt.termination["digest"]))
    yield World(name, pod, predictions, rebuilt.termination["notes"])
    shutil.rmtree(root)  # half a gigabyte each


def project(folder: Path, needs: tuple[str, ...], url: str) -> None:
    """A uv project that needs this, with its lock."""
    folder.mkdir()
    said = f'[project]\nname = "trainer"\nversion = "1"\nrequires-python = "==3.11.*"\ndependencies = {json.dumps(needs)}\n'
    # The index has no wheels for other systems.
    (folder / "pyproject.toml").write_text(f"{said}[tool.uv]\nenvironments = [\"sys_platform == 'linux'\"]\n")
    uv = [str(Path(sys.executable).with_name("uv")), "lock", "-q", "--python", sys.executable, "--default-index", url]
    subprocess.run([*uv, "--cache-dir", str(folder / "cache")], cwd=folder, check=True)


def test_it_is_scored_in_its_own_packages_to_the_last_bit(world: World) -> None:
    world.rows.to_parquet(world.pod.at(FEATURES) / "data.parquet")
    task = ScoreTask(
        model=str(world.pod.at(CANDIDATE)),
        features=str(world.pod.at(FEATURES)),
        predictions=str(world.pod.at(CANDIDATE_PREDICTIONS)),
    )
    inside(world.pod, Path("score.py"), SLIPWAY_TASK=json.dumps(task.wire()))
    found = json.loads((world.pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").read_text())
    assert found["predictions"] == world.predictions


def test_it_is_served_as_it_was_trained(world: World) -> None:
    pod, port = world.pod, free_port()
    environment = pod.environment(
        SLIPWAY_MODEL="flights", SLIPWAY_MODEL_VERSION="3", SLIPWAY_ENVIRONMENT="sha256:aa", SLIPWAY_DRAIN_SECONDS="0"
    )
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=port, metrics=free_port(), bounds="")]
    url = f"http://127.0.0.1:{port}"
    with running(command, pod.root / "log", lambda: answers(f"{url}/ping"), environment, pod.root):
        body = {"dataframe_split": world.rows[:100].to_dict(orient="split", index=False)}
        answer = requests.post(f"{url}/invocations", json=body, timeout=60)
        assert plain(answer.json()) == world.predictions[:100], answer.text[:500]


def plain(answer: Any) -> Any:
    """The predictions of an answer, one per row."""
    found = answer["predictions"]
    alone = [list(one.values()) if isinstance(one, dict) else one for one in found]
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in alone]
