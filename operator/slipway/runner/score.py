"""Loads one model and writes its predictions: one file on the standard library and the environment's mlflow.

It imports nothing of Slipway, since it may run in another environment than the one that Slipway is built for; the task
is read as plain JSON (`slipway.api.tasks.ScoreTask`). Run it by `exec`, so that an out-of-memory kill is seen.
"""

import json
import math
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

VARIABLES = "environment_variables.txt"  # that MLflow saw the model read; beside MLmodel
LOAD_FAILED, PREDICT_FAILED, WRONG_SHAPE = 10, 11, 12
BATCH_ROWS = 10_000


class WrongShape(Exception):
    """The predictions are not one value per row."""


def load(folder: str) -> Any:
    """The model as a pyfunc."""
    import mlflow.pyfunc  # noqa: PLC0415 - whose failure is the model's failure to load

    return mlflow.pyfunc.load_model(folder)


def predict_features(model: Any, folder: str) -> "tuple[list[Any], float]":
    """One value per row of data.parquet, and the seconds that predicting took."""
    import pandas  # noqa: PLC0415

    features = pandas.read_parquet(Path(folder, "data.parquet"))
    rows, seconds = len(features), 0.0
    found: list[Any] = []
    for start in range(0, rows, BATCH_ROWS):
        batch = features.iloc[start : start + BATCH_ROWS]
        began = time.perf_counter()
        predicted = model.predict(batch)
        seconds += time.perf_counter() - began
        found += flat(predicted, len(batch))
        say(f"predicted {len(found)} of {rows} rows, {seconds:.1f} s")
    return found, seconds


def predict_example(model: Any, folder: str) -> "tuple[list[Any], float]":
    """Predict the model's own input example, if it has one: that it can is all that counts."""
    example = model.input_example
    if example is None:
        say("the model has no input example: it was loaded, not called")
        return [], 0.0
    began = time.perf_counter()
    model.predict(example, params=model.metadata.load_input_example_params(folder))
    seconds = time.perf_counter() - began
    say(f"the model's input example was predicted, {seconds:.3f} s")
    return [], seconds


def flat(predicted: Any, rows: int) -> "list[Any]":
    """Predictions as a list of plain values, one per row; non-finite numbers become None."""
    if hasattr(predicted, "to_numpy"):
        predicted = predicted.to_numpy()
    shape = getattr(predicted, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        predicted = predicted.reshape(-1)
    values = predicted.tolist() if hasattr(predicted, "tolist") else predicted
    if not isinstance(values, (list, tuple)):
        raise WrongShape(f"predictions are a {type(values).__name__}, not an array of {rows} values")
    values = [value.item() if hasattr(value, "item") else value for value in values]
    if len(values) != rows or any(not isinstance(value, (bool, int, float, str, type(None))) for value in values):
        raise WrongShape(f"predictions have the shape {shape or len(values)}, not ({rows},)")
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def write(folder: str, predictions: "list[Any]", seconds: float) -> None:
    """Write predictions.json, whole or not at all."""
    part = Path(folder, "predictions.json.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump({"predictions": predictions, "seconds": round(seconds, 6)}, file)
    part.replace(Path(folder, "predictions.json"))


def say(line: str) -> None:
    """A line for whoever reads the pod's log."""
    print(line, file=sys.stderr, flush=True)


def unset(folder: str) -> str:
    """The variables that the model was logged with and that are not set, as a sentence; "" if there are none."""
    try:
        with Path(folder, VARIABLES).open(encoding="utf-8") as file:
            lines = file.read(65_536).split("\n")
    except (OSError, ValueError):
        return ""
    names = [line.strip() for line in lines if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", line.strip())]
    missing = [name for name in names if name not in os.environ]
    if not missing:
        return ""
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    named = f"{', '.join(missing[:8])}{more}, which {'is' if len(missing) == 1 else 'are'} not set"
    remedy = "add to spec.serving.pod.env of its RegisteredModel, under `validation` what the scoring steps get"
    return f"the model was logged with {named}: {remedy}"


def fail(code: int, error: BaseException, folder: str, hidden: "list[str]") -> NoReturn:
    """End with a traceback and one last line for a person, in which no secret variable is told."""

    def scrubbed(text: str) -> str:
        for value in hidden:
            text = text.replace(value, "***")
        return text

    say(scrubbed("".join(traceback.format_exception(type(error), error, error.__traceback__))))
    summary = " ".join(scrubbed(str(error)).split())[:500]
    say("; ".join([f"slipway-error: {type(error).__name__}: {summary}", *filter(None, [unset(folder)])]))
    sys.exit(code)


def main() -> None:
    """The whole program."""
    task = json.loads(os.environ["SLIPWAY_TASK"])
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    secrets = [os.environ.get(name, "") for name in task.get("secrets") or ()]
    hidden = [line for secret in secrets for line in secret.split("\n") if len(line) > 3]
    began = time.perf_counter()
    try:
        model = load(task["model"])
    except Exception as error:  # noqa: BLE001 - whatever the model's code raises
        fail(LOAD_FAILED, error, task["model"], hidden)
    say(f"loaded the model, {time.perf_counter() - began:.1f} s")
    try:
        features = task.get("features")
        predicted = predict_features(model, features) if features else predict_example(model, task["model"])
        write(task["predictions"], *predicted)
    except WrongShape as error:
        fail(WRONG_SHAPE, error, task["model"], hidden)
    except Exception as error:  # noqa: BLE001
        fail(PREDICT_FAILED, error, task["model"], hidden)


if __name__ == "__main__":
    main()
