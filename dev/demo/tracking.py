"""What MLflow is told: runs, data sets, one logged model a version, its registration, and what is there already."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pandas as pd
import skops.io  # type: ignore[import-untyped]
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.pipeline import Pipeline

from . import flights, pipeline
from .flights import TARGET, Flights

EXPERIMENT = "flight-air-time"
SOURCE = "https://github.com/tidyverse/nycflights13"
ROLE, CONTENT = "demo/role", "demo/content"  # tags: the part it plays in the story, and a hash of what it was made of
PACKAGES = ("mlflow", "scikit-learn", "skops", "xgboost", "pandas", "numpy", "scipy")


def requirements() -> list[str]:
    """What the model needs, pinned to what it was trained with."""
    return [f"{package}=={installed(package)}" for package in PACKAGES]


def connect(tracking_uri: str) -> MlflowClient:
    """Point MLflow's global state at the server and choose the experiment."""
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    mlflow.set_experiment(EXPERIMENT)
    return MlflowClient(tracking_uri)


@contextmanager
def run(name: str, role: str, content: str, nested: bool = False) -> Iterator[str]:
    """An MLflow run that is tagged as part of the story."""
    with mlflow.start_run(run_name=name, nested=nested, tags={ROLE: role, CONTENT: content}) as started:
        yield started.info.run_id


def log_rows(rows: pd.DataFrame, context: str) -> None:
    """Track which rows a run used."""
    mlflow.log_input(from_pandas(rows, source=SOURCE, name="nycflights13", targets=TARGET), context)


def log_model(model: Pipeline, data: Flights) -> None:
    """Log the model with its signature, an example, pinned requirements, and its preprocessor on its own."""
    example = flights.inputs(data.holdout.head(5))
    mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        pip_requirements=requirements(),
        serialization_format="skops",
        skops_trusted_types=pipeline.TRUSTED_TYPES,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preprocessor.skops"
        skops.io.dump(Pipeline(model.steps[:-1]), file)
        mlflow.log_artifact(str(file), "preprocessor")
    log_rows(data.holdout, "evaluation")
    mlflow.log_metrics(pipeline.metrics(model, data.holdout))


def register(client: MlflowClient, name: str, role: str, content: str, run_id: str) -> ModelVersion:
    """Register the model of a run as the next version; the tags come with it, so that a kill leaves none untagged."""
    try:
        client.create_registered_model(name, description="Minutes that a flight from New York spends in the air.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    outputs = client.get_run(run_id).outputs
    assert outputs is not None
    model_id = outputs.model_outputs[0].model_id
    tags = {ROLE: role, CONTENT: content}
    return client.create_model_version(name, f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id)


def find(client: MlflowClient, name: str, role: str, content: str, above: int) -> ModelVersion | None:
    """The newest version made of this content for this role, if it comes after the version `above`."""
    found = [
        one
        for one in client.search_model_versions(f"name = '{name}'")
        if one.tags.get(ROLE) == role and one.tags.get(CONTENT) == content and int(one.version) > above
    ]
    return max(found, key=lambda one: int(one.version), default=None)


def holdout_uri(client: MlflowClient, data: Flights, content: str) -> tuple[str, str]:
    """Where the hold-out data lie in MLflow, and their digest; uploaded when no run holds them."""
    file_content = flights.parquet(data.holdout)
    digest = flights.digest(file_content)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    # The tag is set after the upload: a run that carries it holds the whole file.
    known = client.search_runs([experiment.experiment_id], f"tags.`demo/holdout` = '{digest}'", max_results=1)
    if known:
        return f"runs:/{known[0].info.run_id}/holdout.parquet", digest
    with run("hold-out data", "data", content) as run_id, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "holdout.parquet"
        file.write_bytes(file_content)
        log_rows(data.holdout, "evaluation")
        mlflow.log_artifact(str(file))
        mlflow.set_tag("demo/holdout", digest)
    return f"runs:/{run_id}/holdout.parquet", digest
