"""MLflow's client is one for the whole process; the tests that use it hand it on as they found it."""

import os
from pathlib import Path

import mlflow
import pytest

from tests.mlflow_server import talking_to


def test_who_comes_after_registers_with_the_server_that_was_named_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # files are enough here
    first, second = f"file://{tmp_path}/first", f"file://{tmp_path}/second"
    unset = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    before = dict(os.environ)

    with talking_to(first, "mine"):
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == (first, first)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == unset
    assert dict(os.environ) == before

    with talking_to(second, "theirs"), mlflow.start_run() as run:
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == (second, second)
        assert mlflow.get_experiment(run.info.experiment_id).name == "theirs"
