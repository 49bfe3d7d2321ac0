"""Models as teams logged them years ago: with the MLflow and the scikit-learn of that time, really installed."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas

OPERATOR = Path(__file__).parents[1] / "operator"
PYTHON = Path(sys.executable)
# Trains on two columns and writes the model, the rows, its own predictions of them, and the versions that did it.
TRAINING = """
import json, sys
import mlflow, numpy, pandas, sklearn
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
folder, requirements, rows = sys.argv[1], sys.argv[2].split(","), pandas.read_parquet(sys.argv[3])
columns, target = rows[["distance", "hour"]], rows["minutes"]
model = make_pipeline(StandardScaler(), RandomForestRegressor(20, random_state=1)).fit(columns, target)
mlflow.sklearn.save_model(
    model, folder, signature=infer_signature(columns, model.predict(columns)), input_example=columns[:2],
    pip_requirements=requirements,
)
json.dump([[mlflow.__version__, sklearn.__version__], model.predict(columns).tolist()], open(folder + ".json", "w"))
"""


@dataclass(frozen=True)
class Past:
    """What a team had installed."""

    mlflow: str
    sklearn: str
    more: tuple[str, ...]
    python: Path = PYTHON

    @property
    def requirements(self) -> tuple[str, ...]:
        """As its models state it."""
        return (f"mlflow=={self.mlflow}", f"scikit-learn=={self.sklearn}", *self.more)


OF_2023 = Past("2.9.2", "1.3.2", ("numpy<2", "pandas<2.2", "pyarrow<19", "setuptools<80"))
# For a Python that the packages of 2023 have no wheels for: see `tests.pythons`.
OF_2024 = Past("2.19.0", "1.5.2", ("numpy<2.2", "pandas<2.3", "pyarrow<19", "setuptools<80"))
OF_2022 = Past("1.30.1", "1.2.2", ("numpy<2", "pandas<2", "pyarrow<11", "setuptools<80"))


@dataclass(frozen=True)
class Trained:
    """A model in a folder, and what it predicts of the rows, in the packages of its time."""

    folder: Path
    versions: list[str]
    predictions: list[float]


def wheels(past: Past) -> Path:
    """A folder with wheels of all that is needed."""
    return cached(f"mlflow-{past.mlflow}", past.requirements, python=past.python)


def cached(name: str, requirements: Sequence[str], small: Sequence[str] = (), python: Path = PYTHON) -> Path:
    """A folder with these wheels and what they need, from wherever this machine's pip gets its packages.

    Those of `small` are taken as they are published for older systems, without what only a GPU needs.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SLIPWAY_CACHE") or Path(caches, "slipway")) / "wheels" / name
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
        command = [*pip, "download", "-q", "--only-binary", ":all:", "-d", str(folder)]
        subprocess.run([*command, *requirements], check=True)
        older = ["--no-deps", "--platform", f"manylinux2014_{platform.machine()}"]
        for one in small:
            subprocess.run([*command, *older, one], check=True)
        (folder / "complete").touch()
    return folder


def installed(wheels: Path, requirements: Sequence[str], scratch: Path, *more: str, python: Path = PYTHON) -> Path:
    """A folder with these packages of a folder of wheels."""
    packages = scratch / "packages"
    offline = ["--offline", "--no-index", "--find-links", str(wheels), "--cache-dir", str(scratch / "uv")]
    install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "-q", "--python", str(python), *offline]
    subprocess.run([*install, "--target", str(packages), *more, *requirements], check=True)
    return packages


def ran(packages: Path, script: Path, *arguments: str, python: Path = PYTHON) -> None:
    """Run a program in these packages."""
    command = [str(python), "-m", "slipway.runner.inside", str(packages), str(script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(OPERATOR)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def trained(past: Past, rows: pandas.DataFrame, scratch: Path) -> Trained:
    """Train in the packages of that time."""
    script, model, data = (scratch / name for name in ("training.py", "model", "rows.parquet"))
    packages = installed(wheels(past), past.requirements, scratch, python=past.python)
    script.write_text(TRAINING)
    rows.to_parquet(data)
    ran(packages, script, str(model), ",".join(past.requirements), str(data), python=past.python)
    versions, predictions = json.loads((scratch / "model.json").read_text())
    assert versions == [past.mlflow, past.sklearn]
    return Trained(model, versions, predictions)
