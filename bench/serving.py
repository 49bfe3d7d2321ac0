"""What a serving pod answers, beside MLflow's own scoring application with the same model on the same machine.

One process serves on 127.0.0.1 at a time, with one thread for the model; the clients share its cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.api.tasks import CANDIDATE, SCORING

from bench.figures import Figure, Found, figure
from dev.demo.console import Console
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, TRAINED = 10, 2000
CONNECTIONS, MANY = (1, 8), 32
START_SECONDS = 120
SLIPWAY = """
from dataclasses import replace
from pathlib import Path
from slipway.runner.pod import Pod
from slipway.runner.serve import main, settings
main(Pod(Path({root!r})), replace(settings(), host="127.0.0.1", port={port}, metrics_port=0, connection_seconds=600))
"""
NOTHING = """
import numpy

def _load_pyfunc(path):
    return Nothing()

class Nothing:
    def predict(self, data, params=None):
        return numpy.zeros(len(data))
"""


@dataclass(frozen=True)
class Amounts:
    """How long each server is asked, and how often."""

    seconds: float = 4.0
    rounds: int = 5


@dataclass(frozen=True)
class Goal:
    """What must hold of a model: answers a second at 8 connections, also against MLflow's; p50 at one (ms)."""

    times: float | None = None
    rate: float | None = None
    p50: float | None = None
    times_at_one: float | None = None
    together: float | None = None  # against MLflow's at many connections, with batching


MODELS: Mapping[str, Goal] = {
    "XGBoost, 50 trees": Goal(times=15, rate=3000, p50=0.5),
    "scikit-learn, a scaled line": Goal(times=8),
    "a pyfunc that costs nothing": Goal(times_at_one=1.2),
    "a forest of 100 trees": Goal(together=8),
}


def measure(amounts: Amounts) -> Found:
    """All figures of one run; everything that was started has ended afterwards."""
    found, console = Found(), Console(steps=len(MODELS))
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        for number, (model, goal) in enumerate(MODELS.items()):
            folder = Path(name, str(number))
            with console.step(f"{model}, {amounts.rounds} times by Slipway and by MLflow, in turns"):
                body = _saved(model, folder / str(CANDIDATE).lstrip("/"))
                rounds = [_round(folder, body, amounts.seconds, goal) for _ in range(amounts.rounds)]
            found.details[model] = rounds
            found.figures += _figures(model, goal, rounds)
    return found


def _figures(model: str, goal: Goal, rounds: list[dict[str, Any]]) -> list[Figure]:
    def times(connections: int) -> list[float]:
        return [one["slipway"][connections]["rate"] / one["mlflow"][connections]["rate"] for one in rounds]

    if goal.together:
        return [figure(f"{model}, batching: against MLflow's, {MANY} connections", times(MANY), at_least=goal.together)]
    ours = {connections: [one["slipway"][connections] for one in rounds] for connections in CONNECTIONS}
    return [
        figure(f"{model}: answers a second, against MLflow's, 8 connections", times(8), at_least=goal.times),
        figure(f"{model}: the same, 1 connection", times(1), at_least=goal.times_at_one),
        figure(f"{model}: answers a second, 8 connections", [one["rate"] for one in ours[8]], at_least=goal.rate),
        figure(f"{model}: p50, 1 connection", [one["p50"] for one in ours[1]], " ms", goal.p50),
    ]


def _round(folder: Path, body: bytes, seconds: float, goal: Goal) -> dict[str, Any]:
    """Both servers, one after the other: by number of connections, what the clients saw."""
    found: dict[str, Any] = {}
    answers = set()
    for who, server in (("mlflow", _mlflow), ("slipway", _slipway)):
        port = free_port()
        with _running(server(folder, port), folder / f"{who}.log", port, folder, bool(goal.together)):
            answers.add(_post(port, body))
            numbers = (MANY,) if goal.together else CONNECTIONS
            found[who] = {connections: _asked(port, connections, seconds, body) for connections in numbers}
    assert len(answers) == 1, f"the two answer otherwise: {answers}"
    return found


def _asked(port: int, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.clients", str(port), str(connections), str(seconds)]
    ended = subprocess.run(
        command, input=body, cwd=ROOT, capture_output=True, check=False, timeout=seconds + START_SECONDS
    )
    if ended.returncode:
        raise SystemExit(ended.stderr.decode()[-2000:])
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def _mlflow(_folder: Path, port: int) -> list[str]:
    """What `mlflow models serve` runs, with one worker."""
    options = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log")
    return [sys.executable, "-m", "uvicorn", *options, "mlflow.pyfunc.scoring_server.app:app"]


def _slipway(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-c", SLIPWAY.format(root=str(folder), port=port)]


@contextmanager
def _running(command: list[str], log: Path, port: int, folder: Path, batching: bool) -> Iterator[None]:
    environment = {
        **({SCORING: json.dumps({"batching": {}})} if batching else {}),
        **os.environ, "PYTHONPATH": str(ROOT / "operator"), "OMP_NUM_THREADS": "1",
        "__pyfunc_model_path__": str(folder / str(CANDIDATE).lstrip("/")),
    }  # fmt: skip
    with log.open("w") as said, subprocess.Popen(command, env=environment, cwd=folder, stdout=said, stderr=said) as one:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                if one.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"it did not start: {log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield
        finally:
            one.kill()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _post(port: int, body: bytes) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def _saved(model: str, folder: Path) -> bytes:
    """Save a model there; a request of one row."""
    import mlflow  # noqa: PLC0415 - seconds that no other benchmark needs
    import numpy  # noqa: PLC0415
    import pandas  # noqa: PLC0415

    drawn = numpy.random.default_rng(2).normal(0.0, 10.0, (TRAINED, COLUMNS))
    frame = pandas.DataFrame(drawn, columns=[f"column {number}" for number in range(COLUMNS)])
    signature = mlflow.models.infer_signature(frame, frame["column 0"].to_numpy())
    _SAVE[model](frame, frame.sum(axis=1).to_numpy(), folder, {"signature": signature, "pip_requirements": []})
    return json.dumps({"dataframe_split": frame.head(1).to_dict(orient="split")}).encode()


def _xgboost(frame: Any, target: Any, folder: Path, options: dict[str, Any]) -> None:
    import mlflow.xgboost  # noqa: PLC0415
    import xgboost  # noqa: PLC0415

    model = xgboost.XGBRegressor(n_estimators=50, n_jobs=1).fit(frame, target)
    mlflow.xgboost.save_model(model, folder, **options)


def _line(frame: Any, target: Any, folder: Path, options: dict[str, Any]) -> None:
    import mlflow.sklearn  # noqa: PLC0415
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    mlflow.sklearn.save_model(make_pipeline(StandardScaler(), LinearRegression()).fit(frame, target), folder, **options)


def _nothing(_frame: Any, _target: Any, folder: Path, options: dict[str, Any]) -> None:
    import mlflow.pyfunc  # noqa: PLC0415

    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / "theirs.py").write_text(NOTHING)
    mlflow.pyfunc.save_model(folder, loader_module="theirs", code_paths=[str(folder.parent / "theirs.py")], **options)


def _forest(frame: Any, target: Any, folder: Path, options: dict[str, Any]) -> None:
    import mlflow.sklearn  # noqa: PLC0415
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    model = RandomForestRegressor(100, n_jobs=1, random_state=1).fit(frame, target)
    mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle", **options)


_SAVE: Mapping[str, Callable[[Any, Any, Path, dict[str, Any]], None]] = dict(
    zip(MODELS, (_xgboost, _line, _nothing, _forest), strict=True)
)
