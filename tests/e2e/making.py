"""What the tests register: tiny models, good ones and broken ones, and a few hundred rows to judge them on."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from dev.demo.console import Console  # first: it tells MLflow to be quiet

import mlflow  # isort: skip
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression, Ridge

from tests.mlflow_server import talking_to

from .defects.only_here import OnlyHere

EXPERIMENT = "slipway-e2e"
TARGET, COLUMNS = "minutes", ["distance", "hour"]
METRIC = "root_mean_squared_error"
PACKAGES = ("mlflow", "scikit-learn", "pandas", "numpy")
DEFECTS = Path(__file__).parent / "defects"
WRONG_PACKAGES = {"outdated": "scikit-learn==0.1", "older-mlflow": "mlflow==2.9.2", "newer-mlflow": "mlflow==3.9999.0"}
# The same files as `good`, each where something can be done to them without harm to the others.
COPIES = ("link-out", "link-loop", "link-broken", "swapped", "unstated", "no-mlmodel")
# Each is better than the one before; `worse` is far from all of them.
RIDGES = {"fair": 300.0, "good": 100.0, "fine": 30.0}


@dataclass(frozen=True)
class Data:
    """One file of evaluation data, in MLflow."""

    uri: str
    digest: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Made:
    """What MLflow holds for the tests."""

    tracking_uri: str
    models: Mapping[str, str]  # role → MLflow's id of the logged model
    runs: Mapping[str, str]  # role → run
    data: Mapping[str, Data]  # file name → where it is
    errors: Mapping[str, float]  # role → root mean squared error on the hold-out rows
    request: Mapping[str, Any]  # the body of a scoring request
    predictions: Mapping[str, list[float]]  # role → the only right answer to it
    registered: set[str] = field(default_factory=set)

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client."""
        return MlflowClient(self.tracking_uri)

    def register(self, name: str, *roles: str) -> None:
        """A registered model of the test's own, whose versions 1, 2, … play these parts."""
        self.client.create_registered_model(name)
        self.registered.add(name)
        for role in roles:
            model = self.models[role]
            self.client.create_model_version(name, f"models:/{model}", run_id=self.runs[role], model_id=model)

    def folder(self, role: str) -> str:
        """Where the files of a logged model lie on the disk of MLflow's server."""
        location = str(self.client.get_logged_model(self.models[role]).artifact_location)
        return f"/data/artifacts/{location.removeprefix('mlflow-artifacts:/').strip('/')}"

    def forget(self) -> None:
        """Remove what the tests registered."""
        for name in sorted(self.registered):
            try:
                self.client.delete_registered_model(name)
            except MlflowException as error:
                print(f"{name} stays in MLflow: {error}")

    def answers(self, **versions: str) -> dict[str, list[float]]:
        """The right answers by version, such as `v1="fair"`."""
        return {version.removeprefix("v"): self.predictions[role] for version, role in versions.items()}


@contextmanager
def made(tracking_uri: str, console: Console) -> Iterator[Made]:
    """Everything trained and logged once."""
    with talking_to(tracking_uri, EXPERIMENT):
        ready = _make(tracking_uri, console)
        yield ready
        ready.forget()


def _make(tracking_uri: str, console: Console) -> Made:
    rows = _rows(600)
    training, holdout = rows.iloc[:300].reset_index(drop=True), rows.iloc[300:].reset_index(drop=True)
    estimators = _train(training)
    logged: dict[str, tuple[str, str]] = {}
    signature = infer_signature(holdout[COLUMNS], estimators["better"].predict(holdout[COLUMNS]))
    for role, estimator in estimators.items():
        with _logging(role, logged, console):
            mlflow.sklearn.log_model(estimator, name="model", signature=signature, pip_requirements=_requirements())
    for role, wrong in WRONG_PACKAGES.items():
        with _logging(role, logged, console):
            wanted = [*(one for one in _requirements() if one.split("==")[0] != wrong.split("==")[0]), wrong]
            mlflow.sklearn.log_model(estimators["good"], name="model", signature=signature, pip_requirements=wanted)
    with _logging("only-here", logged, console):
        mlflow.pyfunc.log_model(
            name="model", python_model=OnlyHere(), signature=signature, pip_requirements=_requirements()
        )
    for role in ("raises", "eats_memory", "answers_nan", "sleeps", "leaves", "needs_two", "dies_served", "cheats"):
        with _logging(role, logged, console):
            mlflow.pyfunc.log_model(
                name="model",
                loader_module=role,
                code_paths=[str(DEFECTS / f"{role}.py")],
                signature=signature,
                pip_requirements=_requirements(),
            )
    with _logging("needs_key", logged, console), pytest.MonkeyPatch.context() as environment:
        environment.setenv("FLIGHTS_API_KEY", "the key of who trains")  # MLflow writes down which variables are read
        mlflow.pyfunc.log_model(
            name="model",
            loader_module="needs_key",
            code_paths=[str(DEFECTS / "needs_key.py")],
            signature=signature,
            input_example=holdout[COLUMNS].head(2),
            pip_requirements=_requirements(),
        )
    with tempfile.TemporaryDirectory() as folder:
        _copies(logged, Path(folder), console)
    asked = holdout.head(5)
    return Made(
        tracking_uri=tracking_uri,
        models={role: model for role, (model, _) in logged.items()},
        runs={role: run for role, (_, run) in logged.items()},
        data=_data(holdout),
        errors={role: _error(holdout, one.predict(holdout[COLUMNS])) for role, one in estimators.items()}
        | {"cheats": _error(holdout, np.zeros(len(holdout)))},
        request={"dataframe_split": {"columns": COLUMNS, "data": asked[COLUMNS].to_numpy().tolist()}},
        predictions={role: [float(value) for value in one.predict(asked[COLUMNS])] for role, one in estimators.items()},
    )


def _rows(count: int) -> pd.DataFrame:
    chance = np.random.default_rng(7)
    distance, hour = chance.uniform(0, 10, count), chance.uniform(0, 10, count)
    noise = chance.normal(0, 0.1, count)
    return pd.DataFrame({"distance": distance, "hour": hour, TARGET: 3 * distance - 2 * hour + 5 + noise})


def _train(rows: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {
        role: Ridge(alpha=alpha).fit(rows[COLUMNS], rows[TARGET]) for role, alpha in RIDGES.items()
    }
    found["better"] = LinearRegression().fit(rows[COLUMNS], rows[TARGET])
    mixed_up = rows[TARGET].sample(frac=1, random_state=7).reset_index(drop=True)
    return found | {"worse": LinearRegression().fit(rows[COLUMNS], mixed_up)}


def _error(rows: pd.DataFrame, predicted: Any) -> float:
    return float(np.sqrt(np.mean((predicted - rows[TARGET].to_numpy()) ** 2)))


def _requirements() -> list[str]:
    return [f"{package}=={installed(package)}" for package in PACKAGES]


@contextmanager
def _logging(role: str, logged: dict[str, tuple[str, str]], console: Console) -> Iterator[None]:
    with mlflow.start_run(run_name=role) as started:
        yield
    run = mlflow.get_run(started.info.run_id)
    logged[role] = run.outputs.model_outputs[0].model_id, started.info.run_id
    console.say(f"logged the model '{role}'")


def _copies(logged: dict[str, tuple[str, str]], folder: Path, console: Console) -> None:
    """Logged models of their own; `unstated` says nothing of its packages, `no-mlmodel` is of an upload that broke off."""
    client, (good, run) = MlflowClient(), logged["good"]
    files = Path(mlflow.artifacts.download_artifacts(f"models:/{good}", dst_path=str(folder)))
    experiment = client.get_run(run).info.experiment_id
    for role in COPIES:
        if role == "unstated":
            for name in ("requirements.txt", "conda.yaml", "python_env.yaml"):
                (files / name).unlink()
        if role == "no-mlmodel":
            (files / "MLmodel").unlink()
        copy = client.create_logged_model(experiment, name="model", source_run_id=run)
        client.log_model_artifacts(copy.model_id, str(files))
        client.finalize_logged_model(copy.model_id, "READY")
        logged[role] = copy.model_id, run
    console.say(f"copied the model 'good' as {', '.join(COPIES)}")


def _data(holdout: pd.DataFrame) -> dict[str, Data]:
    """The hold-out rows, and files in which something is wrong."""
    gaps = holdout.copy()
    gaps.loc[3:5, TARGET] = np.nan
    writers: dict[str, Callable[[Path], Any]] = {
        "holdout.parquet": lambda file: holdout.to_parquet(file, index=False),
        "holdout.csv": lambda file: holdout.to_csv(file, index=False),
        "empty.parquet": lambda file: holdout.head(0).to_parquet(file, index=False),
        "featureless.parquet": lambda file: holdout.drop(columns="hour").to_parquet(file, index=False),
        "untargeted.parquet": lambda file: holdout[COLUMNS].to_parquet(file, index=False),
        "gaps.parquet": lambda file: gaps.to_parquet(file, index=False),
    }
    found = {}
    with mlflow.start_run(run_name="data") as started, tempfile.TemporaryDirectory() as folder:
        for name, write in writers.items():
            file = Path(folder) / name
            write(file)
            content = file.read_bytes()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            found[name] = Data(f"runs:/{started.info.run_id}/{name}", digest, content)
        mlflow.log_artifacts(folder)
    return found
