"""Trains, tunes and registers the three versions; also a program: `python -m dev.demo.train --tracking-uri …`."""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hyperopt  # type: ignore[import-untyped]
import mlflow
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from . import flights, pipeline, tracking
from .flights import SEED, TARGET, Flights

MODEL_NAME = "Flight air time"
HOLDOUT_ROWS, SAMPLE_ROWS = 20_000, 50
Say = Callable[[str], None]
FIRST_TRY: dict[str, Any] = {"n_estimators": 20, "max_depth": 3, "learning_rate": 0.3}
SPACE = {
    "max_depth": hyperopt.hp.choice("max_depth", [5, 6, 7, 8]),
    "learning_rate": hyperopt.hp.loguniform("learning_rate", np.log(0.05), np.log(0.3)),
    "min_child_weight": hyperopt.hp.choice("min_child_weight", [1, 5, 20]),
}


@dataclass(frozen=True)
class Size:
    """How much work a training is."""

    first_rows: int = 30_000
    tuning_rows: int = 30_000
    final_rows: int = 150_000
    trials: int = 5
    trees: int = 150


NORMAL = Size()


@dataclass(frozen=True)
class Registered:
    """One registered version and its error on the hold-out data; the role is good, bad or better."""

    role: str
    version: int
    run_id: str
    root_mean_squared_error: float
    reused: bool


@dataclass(frozen=True)
class Trained:
    """What the registry holds after a training; the versions in the order of the story."""

    model_name: str
    versions: tuple[Registered, ...]
    data_uri: str
    data_digest: str
    target: str = TARGET

    def version(self, role: str) -> Registered:
        """The version that plays this part."""
        return next(one for one in self.versions if one.role == role)


def train(
    tracking_uri: str, data: Flights, size: Size = NORMAL, model_name: str = MODEL_NAME, say: Say = print
) -> Trained:
    """Make sure that the three versions and the hold-out data are registered; what equals this code's output stays."""
    client = tracking.connect(tracking_uri)
    content = _content(data, size)
    data_uri, data_digest = tracking.holdout_uri(client, data, content)
    versions: list[Registered] = []
    for role, make in (("good", _good), ("bad", _bad), ("better", _better)):
        newest = versions[-1].version if versions else 0  # the story needs them in this order
        found = tracking.find(client, model_name, role, content, above=newest)
        reused = found is not None
        if found is None:
            with tracking.run(f"{role} version", role, content) as run_id:
                tracking.log_model(make(data, size, content, say), data)
            found = tracking.register(client, model_name, role, content, run_id)
        error = client.get_run(str(found.run_id)).data.metrics["root_mean_squared_error"]
        say(f"{'found' if reused else 'registered'} version {found.version}, the {role} one: error {error:.2f} minutes")
        versions.append(Registered(role, int(found.version), str(found.run_id), error, reused))
    return Trained(model_name, tuple(versions), data_uri, data_digest)


def predictions(tracking_uri: str, trained: Trained, rows: pd.DataFrame) -> dict[str, Any]:
    """A scoring request, and what each version, loaded from the registry by plain MLflow, says to it."""
    tracking.connect(tracking_uri)
    told = {}
    for one in trained.versions:
        model = mlflow.pyfunc.load_model(f"models:/{trained.model_name}/{one.version}")
        told[str(one.version)] = [float(value) for value in model.predict(flights.inputs(rows))]
    return {"request": flights.dataframe_split(rows), "predictions": told}


def _good(data: Flights, size: Size, content: str, say: Say) -> Pipeline:
    """A first try: few shallow trees."""
    return _fit(data, size.first_rows, FIRST_TRY)


def _bad(data: Flights, size: Size, content: str, say: Say) -> Pipeline:
    """An accident: the rows and their targets were joined in the wrong order."""
    return _fit(data, size.first_rows, FIRST_TRY, mixed_up=True)


def _better(data: Flights, size: Size, content: str, say: Say) -> Pipeline:
    """Tuned on part of the data, each trial a run of its own, then trained on more of it."""
    judged = data.training.tail(10_000)

    def trial(params: dict[str, Any]) -> dict[str, Any]:
        with tracking.run(f"trial {len(trials.trials)}", "trial", content, nested=True):
            error = pipeline.metrics(_fit(data, size.tuning_rows, params | {"n_estimators": 60}), judged)
            mlflow.log_metrics(error)
            say(f"trial {len(trials.trials)} of {size.trials}: error {error['root_mean_squared_error']:.2f} minutes")
        return {"loss": error["root_mean_squared_error"], "status": hyperopt.STATUS_OK}

    trials = hyperopt.Trials()
    best = hyperopt.fmin(
        trial,
        SPACE,
        algo=hyperopt.tpe.suggest,
        max_evals=size.trials,
        trials=trials,
        rstate=np.random.default_rng(SEED),
        show_progressbar=False,
        verbose=False,
    )
    return _fit(data, size.final_rows, hyperopt.space_eval(SPACE, best) | {"n_estimators": size.trees})


def _fit(data: Flights, count: int, params: dict[str, Any], mixed_up: bool = False) -> Pipeline:
    """Fit on the first rows, and track with which parameters and on what."""
    rows = data.training.head(count)
    target = rows[TARGET]
    if mixed_up:
        target = target.sample(frac=1, random_state=SEED).reset_index(drop=True)
    mlflow.log_params({**params, "rows": count})
    tracking.log_rows(rows, "training")
    return pipeline.fit(rows, target, params)


def _content(data: Flights, size: Size) -> str:
    """A hash of what the versions are made of: this code, the packages and the amount of work."""
    here = Path(__file__).resolve().parent
    sources = [(here / f"{name}.py").read_text() for name in ("flights", "pipeline", "tracking", "train")]
    made_of = json.dumps([*sources, tracking.requirements(), asdict(size), len(data.holdout)])
    return hashlib.sha256(made_of.encode()).hexdigest()[:16]


def main() -> None:
    """Train against a server and write what was made as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--result", required=True, type=Path)
    arguments = parser.parse_args()
    data = flights.load_flights(HOLDOUT_ROWS)
    trained = train(arguments.tracking_uri, data, say=lambda text: print(text, flush=True))
    told = predictions(arguments.tracking_uri, trained, data.holdout.head(SAMPLE_ROWS))
    arguments.result.write_text(json.dumps({"trained": asdict(trained), **told}))


if __name__ == "__main__":
    main()
