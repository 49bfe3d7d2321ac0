"""A real artifact store, a real MLflow server, and a real model for the runner's programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mlflow_server import mlflow_server
from tests.runner.pods import Pod, StoreOnDisk, artifact_store, program

__all__ = ["mlflow_server"]


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """A pod of this test's own."""
    return Pod(tmp_path)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreOnDisk]:
    """The CNCF distribution registry, as the chart brings it."""
    binary = program("registry")
    if not binary.exists():
        pytest.skip(f"{binary} is not there: build the distribution registry")
    with artifact_store(binary, tmp_path_factory.mktemp("store")) as running_store:
        yield running_store


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny regressor, as MLflow saves it."""
    import mlflow.sklearn  # noqa: PLC0415 - seconds that most tests here do not need
    import pandas  # noqa: PLC0415
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("flights") / "model"
    features = pandas.DataFrame({"distance": [100.0, 200.0, 300.0], "hour": [1.0, 5.0, 9.0]})
    model = LinearRegression().fit(features, [20.0, 35.0, 50.0])
    mlflow.sklearn.save_model(model, folder, input_example=features.head(2), pip_requirements=["scikit-learn"])
    return folder
