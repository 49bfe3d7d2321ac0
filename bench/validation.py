"""Scoring and judging a model on many rows, against `mlflow.models.evaluate` called by hand on the same.

Both read the same Parquet files and the same model. Slipway is its two programs, one after the other, each in a process
of its own; by hand is one process. Starting a pod and fetching its files are in neither.
"""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.api.report import PREFIX
from slipway.api.tasks import CANDIDATE, CANDIDATE_PREDICTIONS, FEATURES, TRUTH, VARIABLE, JudgeTask, ScoreTask

from bench.figures import Found, figure
from bench.imports import Ran, run
from dev.demo.console import Console
from tests.runner.pods import OPERATOR

RATIO, COLUMNS = 1.2, 10
JUDGE = """
import sys
from pathlib import Path
from slipway.runner.pod import Pod
from slipway.runner.judge import main
sys.stdout = open({report!r}, "w")
main(Pod(Path({root!r}), Path({root!r}, "termination-log")))
"""
BY_HAND = """
import json, sys
import mlflow, pandas
model, features, target, report, store = sys.argv[1:]
mlflow.set_tracking_uri(f"sqlite:///{store}")
data = pandas.read_parquet(features).assign(target=pandas.read_parquet(target)["target"])
with mlflow.start_run():
    found = mlflow.models.evaluate(
        model, data, targets="target", model_type="regressor", evaluators="default",
        evaluator_config={"log_model_explainability": False, "log_explainer": False},
    )
json.dump(found.metrics, open(report, "w"))
"""


@dataclass(frozen=True)
class Amounts:
    """How many rows are judged, and how often."""

    rows: int = 1_000_000
    rounds: int = 5


def measure(amounts: Amounts) -> Found:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        root, console = Path(name), Console(steps=2)
        with console.step(f"a model and {amounts.rows} rows"):
            _made(root, amounts.rows)
        with console.step(f"judged by Slipway and by hand, {amounts.rounds} times in turns"):
            rounds = [_round(root, number, console) for number in range(1, amounts.rounds + 1)]
    seconds = [(score.seconds + judge.seconds, by_hand.seconds) for score, judge, by_hand in rounds]
    memory = [(max(score.memory_mib, judge.memory_mib), by_hand.memory_mib) for score, judge, by_hand in rounds]
    found = Found(details={"seconds": seconds, "MiB": memory})
    found.figures += [
        figure("scored and judged by Slipway", [ours for ours, _ in seconds], " s"),
        figure("the same by hand", [theirs for _, theirs in seconds], " s"),
        figure("time, by Slipway against by hand", [ours / theirs for ours, theirs in seconds], "", RATIO),
        figure("memory of the larger program", [ours for ours, _ in memory], " MiB"),
        figure("memory, by Slipway against by hand", [ours / theirs for ours, theirs in memory], "", RATIO),
    ]
    return found


def _made(root: Path, rows: int) -> None:
    import mlflow.xgboost  # noqa: PLC0415 - seconds that no other benchmark needs
    import numpy  # noqa: PLC0415
    import pandas  # noqa: PLC0415
    import xgboost  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    drawn = numpy.random.default_rng(3).normal(0.0, 10.0, (rows, COLUMNS))
    frame = pandas.DataFrame(drawn, columns=[f"column {number}" for number in range(COLUMNS)])
    target = frame.sum(axis=1)
    for folder in (FEATURES, TRUTH, CANDIDATE_PREDICTIONS):
        _at(root, folder).mkdir(parents=True)
    frame.to_parquet(_at(root, FEATURES) / "data.parquet")
    target.to_frame("target").to_parquet(_at(root, TRUTH) / "target.parquet")
    (_at(root, TRUTH) / "facts.json").write_text(json.dumps({"data_digest": "of the rows", "rows": rows}))
    model = xgboost.XGBRegressor(n_estimators=50).fit(frame[:2000], target[:2000])
    signature = infer_signature(frame[:10], target[:10])
    mlflow.xgboost.save_model(model, _at(root, CANDIDATE), signature=signature, pip_requirements=[])


def _round(root: Path, number: int, console: Console) -> tuple[Ran, Ran, Ran]:
    here = str(_at(root, CANDIDATE)), str(_at(root, FEATURES)), str(_at(root, CANDIDATE_PREDICTIONS))
    task = ScoreTask(model=here[0], features=here[1], predictions=here[2])
    score = run([sys.executable, "-m", "slipway.runner.score"], root, _variables(task))
    judging = JudgeTask(revision="r", candidate_digest="c", model_type="regressor", with_data=True)
    report = str(root / "report")
    judge = run([sys.executable, "-c", JUDGE.format(root=str(root), report=report)], root, _variables(judging))
    files = str(_at(root, FEATURES) / "data.parquet"), str(_at(root, TRUTH) / "target.parquet")
    theirs, store = str(root / "theirs"), str(root / f"mlflow-{number}.db")
    by_hand = run([sys.executable, "-c", BY_HAND, here[0], *files, theirs, store], root, _variables())
    _agree(Path(report), Path(theirs))
    told = f"Slipway {score.seconds:.1f} + {judge.seconds:.1f} s, by hand {by_hand.seconds:.1f} s"
    console.say(f"round {number}: {told}")
    return score, judge, by_hand


def _agree(report: Path, theirs: Path) -> None:
    """SystemExit if the two have measured something else."""
    line = next(line for line in report.read_text().splitlines() if line.startswith(PREFIX))
    ours, wanted = json.loads(line.removeprefix(PREFIX))["candidate"]["metrics"], json.loads(theirs.read_text())
    differing = [name for name, value in ours.items() if abs(value - wanted[name]) > 1e-9 * max(1.0, abs(value))]
    if differing:
        raise SystemExit(f"the two measure otherwise: {', '.join(differing)}")


def _variables(task: Any = None) -> dict[str, str]:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": str(os.cpu_count()), "GIT_PYTHON_REFRESH": "quiet"}
    return quiet | ({"PYTHONPATH": str(OPERATOR), VARIABLE: json.dumps(task.wire())} if task else {})


def _at(root: Path, folder: str) -> Path:
    return root / folder.lstrip("/")
