"""Rehearses the candidate's server, compares predictions with the truth, and reports. Never loads a model."""

import hashlib
import json
import logging
import math
import os
import platform
import tempfile
import warnings
from typing import Any, NoReturn

import pandas

from slipway.api.report import PREFIX, Measured, Report, Summary
from slipway.api.tasks import CANDIDATE_PREDICTIONS, CHAMPION_PREDICTIONS, TRUTH, JudgeTask

from . import predictions
from .outcome import Refused, run, say
from .pod import THIS_POD, Pod
from .predictions import CANDIDATE_REASON, CHAMPION_REASON, Predictions
from .rehearsal import rehearse

TARGET, PREDICTION = "target", "prediction"


def judge(task: JudgeTask, pod: Pod) -> Summary:
    """The whole program."""
    report = _report(task, pod)
    text = json.dumps(report.wire(), sort_keys=True, separators=(",", ":"), allow_nan=False)
    print(PREFIX + text, flush=True)
    return Summary(report_digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", revision=task.revision)


def _report(task: JudgeTask, pod: Pod) -> Report:
    if not task.with_data:
        return _without_data(task, pod)
    truth, facts = _truth(pod)
    kind = _kind(truth, task)
    candidate = predictions.read(pod.at(CANDIDATE_PREDICTIONS), len(truth), kind, CANDIDATE_REASON)
    rehearsed = rehearse(task, pod, candidate.values)
    champion = None
    if task.champion_digest:
        found = predictions.read(pod.at(CHAMPION_PREDICTIONS), len(truth), kind, CHAMPION_REASON)
        champion = _measured(task, truth, found, task.champion_digest, CHAMPION_REASON)
    return Report(
        revision=task.revision,
        candidate=_measured(task, truth, candidate, task.candidate_digest, CANDIDATE_REASON),
        champion=champion,
        data_digest=str(facts["data_digest"]),
        rows=len(truth),
        python=_python(),
        rehearsal=rehearsed,
    )


def _without_data(task: JudgeTask, pod: Pod) -> Report:
    # That the model loaded and predicted its example is proven by the scoring program having written its file.
    found = predictions.read(pod.at(CANDIDATE_PREDICTIONS), 0, float, CANDIDATE_REASON)
    if task.metrics:
        raise Refused("MetricNotComputed", f"without data there is no {', '.join(task.metrics)}")
    return Report(
        revision=task.revision,
        candidate=Measured(digest=task.candidate_digest, metrics={}, seconds=found.seconds),
        python=_python(),
        rehearsal=rehearse(task, pod, ()),
    )


def _python() -> str:
    """The minor version of Python: the judge runs in the image of the score steps."""
    return ".".join(platform.python_version_tuple()[:2])


def _truth(pod: Pod) -> tuple["pandas.Series[Any]", dict[str, Any]]:
    folder = pod.at(TRUTH)
    facts = json.loads((folder / "facts.json").read_text())
    frame = pandas.read_parquet(folder / "target.parquet")
    if len(frame) != facts["rows"]:
        raise Refused("DataInvalid", f"the target has {len(frame)} rows, not {facts['rows']}")
    return frame.iloc[:, 0], facts


def _kind(truth: "pandas.Series[Any]", task: JudgeTask) -> type:
    """What a prediction has to be: a number, or a label of the target's own kind."""
    if task.model_type is None:
        raise Refused("ModelTypeMissing", "metrics need a model type: regressor or classifier")
    if pandas.api.types.is_bool_dtype(truth.dtype):
        kind: type = bool
    else:
        kind = float if pandas.api.types.is_numeric_dtype(truth.dtype) else str
    if task.model_type == "regressor" and kind is not float:
        raise Refused("DataInvalid", f"the target of a regressor is {truth.dtype}, not numbers")
    return kind


def _measured(task: JudgeTask, truth: "pandas.Series[Any]", found: Predictions, digest: str, reason: str) -> Measured:
    try:
        computed = _evaluate(truth, found, str(task.model_type))
    except Exception as error:  # MLflow's and scikit-learn's, over values that this program did not choose
        said = " ".join(str(error).split())[:400]
        raise Refused(reason, f"the metrics of {digest} cannot be computed: {said}") from error
    metrics = {
        name: float(value)
        for name, value in sorted(computed.items())
        if isinstance(value, int | float) or hasattr(value, "item")
        if math.isfinite(float(value))
    }
    missing = [name for name in task.metrics if name not in metrics]
    if missing:
        raise Refused(
            "MetricNotComputed", f"{digest} has no finite {', '.join(missing)}; there are: {', '.join(metrics)}"
        )
    say(f"{digest}: {', '.join(f'{name}={value:.6g}' for name, value in metrics.items())}")
    return Measured(digest=digest, metrics=metrics, seconds=found.seconds)


def _evaluate(truth: "pandas.Series[Any]", found: Predictions, model_type: str) -> dict[str, Any]:
    """MLflow's own metrics, so that a gate means what `mlflow.models.evaluate` means."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # two seconds faster than a fresh database
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())  # the home is read-only
    import mlflow  # noqa: PLC0415 - seconds, which a refusal of the predictions does not wait for

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    frame = pandas.DataFrame({TARGET: truth.to_numpy(), PREDICTION: list(found.values)})
    if pandas.api.types.is_integer_dtype(truth.dtype) and model_type == "classifier":
        frame[TARGET] = frame[TARGET].astype(float)  # labels as predictions are read: 1 is 1.0
    with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
        mlflow.set_tracking_uri(f"file://{scratch}/mlruns")
        mlflow.set_experiment("judge")  # whatever the environment or the process names is not in this store
        with mlflow.start_run():
            result = mlflow.models.evaluate(
                data=frame,
                predictions=PREDICTION,
                targets=TARGET,
                model_type=model_type,
                evaluators="default",
                evaluator_config={"log_model_explainability": False, "log_explainer": False},
            )
    return dict(result.metrics)


def main(pod: Pod = THIS_POD) -> NoReturn:
    """Run the program in its pod."""
    run(judge, JudgeTask, pod)


if __name__ == "__main__":
    main()
