"""What MLflow's own client logs into a bucket, where no server hands it out: found, allowed, and copied to the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.ports import Connection
from slipway.api.modelregistry import ModelRegistry
from slipway.api.tasks import CREDENTIALS, ImportTask
from slipway.core import sources
from slipway.core.registry import Entry
from slipway.runner import tree

from tests.mlflow_server import MLflowServer, running_mlflow, talking_to
from tests.runner.buckets import KINDS, Kind
from tests.runner.pods import Pod, StoreOnDisk

BUCKET, NAME = "models", "flights"


@pytest.fixture(params=["s3", pytest.param("azure", marks=pytest.mark.long)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    """A store of each kind, with a bucket of models."""
    with KINDS[request.param](tmp_path) as found:
        found.make(BUCKET)
        yield found


@pytest.fixture
def server(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MLflowServer]:
    """MLflow as it keeps files there, and this process as a notebook that knows the bucket."""
    for name, value in {**kind.of_mlflow, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}.items():
        monkeypatch.setenv(name, value)
    options = ["--no-serve-artifacts", "--default-artifact-root", kind.at(BUCKET, "team air/mlflow")]
    with running_mlflow(tmp_path / "mlflow", options, kind.of_mlflow) as running, talking_to(running.uri, "notebook"):
        yield running


async def test_what_the_client_logs_into_a_bucket_is_imported_as_the_client_loads_it(
    kind: Kind, server: MLflowServer, pod: Pod, store: StoreOnDisk, tmp_path: Path
) -> None:
    import mlflow.pyfunc  # noqa: PLC0415 - seconds

    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="m", python_model=lambda rows: rows, pip_requirements=["mlflow"], registered_model_name=NAME
        )
    loaded = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", dst_path=str(tmp_path / "loaded")))
    (loaded / "registered_model_meta").unlink()  # that is of no bucket
    registry = MLflowRegistry(Connection(server.uri))
    entry = await registry.resolve(NAME, 1)
    await registry.close()
    assert isinstance(entry, Entry) and entry.location.startswith(kind.at(BUCKET, "team air/mlflow/"))

    root = {"prefix": kind.at(BUCKET, "").rstrip("/"), "endpoint": kind.url, "region": kind.region}
    resource = ModelRegistry.model_validate(
        {
            "metadata": {"name": "mlflow", "namespace": "ml"},
            "spec": {"backend": {"mlflow": {"uri": server.uri, "artifactRoots": [root]}}},
        }
    )
    assert sources.objection(entry.location, entry.via, resource, "ml", NAME) == ""
    for name, value in kind.right.items():
        (pod.at(CREDENTIALS) / name).write_text(value)
    task = ImportTask(
        registry_uri=server.uri,
        source=entry.location,
        bucket=sources.bucket_of(entry.location, resource),
        mlmodel_digest=entry.mlmodel_digest,
        model_name=NAME,
        version=1,
        store=store.store,
    )
    ended = pod.run("import_", task)
    assert ended.termination.get("digest") == tree.digest(tree.scan(loaded)), ended.stderr
