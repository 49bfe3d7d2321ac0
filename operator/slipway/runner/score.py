"""Loads one model and writes its predictions: on the standard library and the environment's mlflow and pandas.

It imports nothing of Slipway but the file `typed.py` beside it, since it may run in another environment than the one
that Slipway is built for; the task is read as plain JSON (`slipway.api.tasks.ScoreTask`). Run it by `exec`, so that an
out-of-memory kill is seen.
"""

import base64
import datetime
import decimal
import importlib.util
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
LOAD_FAILED, PREDICT_FAILED, WRONG_SHAPE, DATA_DIFFERS = 10, 11, 12, 13
BATCH_ROWS = 10_000


class WrongShape(Exception):
    """The predictions are not one value, list or mapping per row."""


def beside(name: str) -> Any:
    """A module beside this file, by its path: no folder of ours is searched for what a model imports."""
    spec = importlib.util.spec_from_file_location(f"slipway_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


typed = beside("typed")


def load(folder: str) -> Any:
    """The model as a pyfunc."""
    import mlflow.pyfunc  # noqa: PLC0415 - whose failure is the model's failure to load

    return mlflow.pyfunc.load_model(folder)


def features_of(folder: str, schema: Any) -> Any:
    """The rows of data.parquet or data.csv, of the signature's types where there is one."""
    import pandas  # noqa: PLC0415

    text = Path(folder, "data.csv")
    if text.exists():
        return typed.typed(typed.of_csv(text, schema), schema)
    return typed.typed(pandas.read_parquet(Path(folder, "data.parquet")), schema)


def predict_features(model: Any, features: Any) -> "tuple[list[Any], float]":
    """The prediction of each row, and the seconds that predicting took."""
    rows, seconds = len(features), 0.0
    found: list[Any] = []
    for start in range(0, rows, BATCH_ROWS):
        batch = features.iloc[start : start + BATCH_ROWS]
        began = time.perf_counter()
        predicted = model.predict(batch)
        seconds += time.perf_counter() - began
        found += by_row(predicted, len(batch))
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


def by_row(predicted: Any, rows: int) -> "list[Any]":
    """The prediction of each row as JSON has it: a value, a list of outputs, or a mapping of their names.

    What has one output is that output. Non-finite numbers are None.
    """
    if hasattr(predicted, "toarray"):  # scipy's sparse matrix
        predicted = predicted.toarray()
    if hasattr(predicted, "to_frame"):  # pandas' Series
        predicted = predicted.to_frame()
    if hasattr(predicted, "to_dict"):  # pandas' DataFrame
        names = [str(name) for name in predicted.columns]
        if len(set(names)) < len(names):
            raise WrongShape(f"predictions have two outputs of one name: {', '.join(names)}")
        parts = [predicted.iloc[:, place].tolist() for place in range(len(names))]
        values: Any = [dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True)]
    elif isinstance(predicted, dict):  # outputs by name, each with all rows
        parts = [by_row(part, rows) for part in predicted.values()]
        values = [dict(zip(map(str, predicted), row, strict=True)) for row in zip(*parts, strict=True)]
    else:
        values = predicted.tolist() if hasattr(predicted, "tolist") else predicted
    if not isinstance(values, (list, tuple)) or len(values) != rows:
        count = f"{len(values)} values" if isinstance(values, (list, tuple)) else f"a {type(values).__name__}"
        raise WrongShape(f"predictions are {count}, not one for each of {rows} rows")
    return [_only(_plain(value)) for value in values]


def _only(value: Any) -> Any:
    while isinstance(value, (list, dict)) and len(value) == 1:
        (value,) = value.values() if isinstance(value, dict) else value
    return value


def _plain(value: Any) -> Any:
    """The value as JSON has it, and as MLflow's server writes it."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, decimal.Decimal):
        return _plain(float(value))
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas'
        return None if type(value).__name__ == "NAType" else "NaT"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    raise WrongShape(f"predictions hold a {type(value).__name__}, which JSON has no word for")


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


def spellings(secrets: "list[str]") -> "list[str]":
    """How secrets may be spelt in a message, the longest first: one may begin another."""
    lines = [line.strip() for secret in secrets for line in secret.splitlines()]
    found = {spelt for line in [*secrets, *lines] for spelt in (line, repr(line)[1:-1]) if len(spelt) > 3}
    return sorted(found, key=len, reverse=True)


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
    hidden = spellings(secrets)
    began = time.perf_counter()
    try:
        model = load(task["model"])
    except Exception as error:  # noqa: BLE001 - whatever the model's code raises
        fail(LOAD_FAILED, error, task["model"], hidden)
    say(f"loaded the model, {time.perf_counter() - began:.1f} s")
    try:
        if folder := task.get("features"):
            predicted = predict_features(model, features_of(folder, model.metadata.get_input_schema()))
        else:
            predicted = predict_example(model, task["model"])
        write(task["predictions"], *predicted)
    except typed.DoesNotFit as error:
        fail(DATA_DIFFERS, error, task["model"], hidden)
    except WrongShape as error:
        fail(WRONG_SHAPE, error, task["model"], hidden)
    except Exception as error:  # noqa: BLE001
        fail(PREDICT_FAILED, error, task["model"], hidden)


if __name__ == "__main__":
    main()
