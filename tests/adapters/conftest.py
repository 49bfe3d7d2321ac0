"""Registries for the tests: both, the real one, and one whose artifacts are far away."""

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.mlflow_answers import Patience
from slipway.adapters.ports import Connection

from tests.adapters.registry_shelf import MLMODEL, NUMBERS, PASSWORD, MemoryShelf, MLflowShelf, Shelf
from tests.memory_registry import MemoryRegistry, Model
from tests.mlflow_server import MLflowServer, mlflow_server, running_mlflow
from tests.team_mlflow import Team, running_team

__all__ = ["mlflow_server"]

PATIENT = Patience(total_seconds=60)  # a machine busy with other tests is no outage


@pytest.fixture(params=["memory", "mlflow"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    """Both registries, one after the other."""
    if request.param == "memory":
        yield MemoryShelf(MemoryRegistry())
        return
    server: MLflowServer = request.getfixturevalue("mlflow_server")
    registry = MLflowRegistry(Connection(server.uri), patience=PATIENT)
    yield MLflowShelf(registry, server)
    await registry.close()


@pytest.fixture
async def mlflow(mlflow_server: MLflowServer) -> AsyncIterator[MLflowShelf]:
    """Only the real one."""
    registry = MLflowRegistry(Connection(mlflow_server.uri), patience=PATIENT)
    yield MLflowShelf(registry, mlflow_server)
    await registry.close()


@pytest.fixture
def name() -> str:
    """A model name that no other test uses, with what people put into names."""
    return f"Flight air time (v{next(NUMBERS)}) & Üb'ung"


@pytest.fixture
def run_id(shelf: Shelf) -> str:
    """A run that exists."""
    run_id = shelf.log(Model(MLMODEL)).run_id
    assert run_id is not None
    return run_id


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """MLflow as a team runs it; nobody but its administrator has an account yet."""
    with running_team(tmp_path_factory.mktemp("team")) as found:
        yield found


@pytest.fixture(scope="session")
def guarded_server(mlflow_server: MLflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """A server with passwords, that answers as localhost only, and whose artifacts lie behind the network.

    Its artifact store is the other server: like S3, and unlike a disk, it makes MLflow answer 500 for a missing file.
    """
    pytest.importorskip("flask_wtf", reason="MLflow's basic-auth app needs Flask-WTF (mlflow[auth])")
    store = f"{mlflow_server.uri}/api/2.0/mlflow-artifacts/artifacts/far"
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_AUTH_CONFIG_PATH": str(directory / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for a test",
    }
    options = ["--app-name", "basic-auth", "--allowed-hosts", "localhost:*", "--artifacts-destination", store]
    headers = {"Authorization": f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"}
    with running_mlflow(directory, options, environment, headers) as server:
        yield replace(server, uri=server.uri.replace("127.0.0.1", "localhost"))


@pytest.fixture
async def guarded(guarded_server: MLflowServer) -> AsyncIterator[MLflowShelf]:
    """The guarded server, as its administrator."""
    registry = MLflowRegistry(Connection(guarded_server.uri, username="admin", password=PASSWORD), patience=PATIENT)
    yield MLflowShelf(registry, guarded_server)
    await registry.close()
