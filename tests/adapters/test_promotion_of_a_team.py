"""A model that follows MLflow as a team runs it: people and the operator come in by the same front door, each with a
name and a password."""

from collections.abc import Iterator

import mlflow
import pytest

from tests.adapters.live_world import LiveWorld, Registered
from tests.adapters.registry_shelf import NUMBERS
from tests.team_mlflow import AUTHORITY, Team

ENGINEER, HERS = "ann", "the password of ann"
OPERATOR, SECRET = "slipway-promotes", "the password of an operator that leaves reports, too"
SERVING = ("Production", ("champion",), "Serving")


@pytest.fixture(scope="module")
def client(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mlflow.MlflowClient]:
    """An ML engineer's, who may edit models and do nothing else."""
    team.user(ENGINEER, HERS, registered_model="EDIT", experiment="EDIT")
    team.user(OPERATOR, SECRET, registered_model="MANAGE", experiment="EDIT")
    bundle = tmp_path_factory.mktemp("ann") / "ca.crt"
    bundle.write_text(AUTHORITY.public)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_USERNAME", ENGINEER)
        environment.setenv("MLFLOW_TRACKING_PASSWORD", HERS)
        environment.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(bundle))
        yield mlflow.MlflowClient(team.uri, team.uri)


@pytest.fixture
def flights(team: Team, client: mlflow.MlflowClient) -> Registered:
    found = Registered(team.server, client, f"Flight air time (v{next(NUMBERS)}) & Üb'ung")
    found.registers(3)
    return found


@pytest.fixture
def world(team: Team, flights: Registered, caplog: pytest.LogCaptureFixture) -> Iterator[LiveWorld]:
    """An operator with a credential from a Secret, and the authority from a ConfigMap."""
    found = LiveWorld(team.uri, flights.name)
    found.keeps_secret("credential", username=OPERATOR, password=SECRET)
    found.keeps_bundle("authority", AUTHORITY.public)
    auth = {"basic": {"secretRef": {"name": "credential"}}}
    found.connects({"auth": auth, "caBundle": {"configMapKeyRef": {"name": "authority", "key": "ca.crt"}}})
    yield found
    found.close()
    assert not [one for one in caplog.records if one.exc_info], caplog.text
    assert SECRET not in caplog.text


def test_a_stage_and_then_an_alias_that_people_move_become_deployments(world: LiveWorld, flights: Registered) -> None:
    world.declares(promotion={"source": "Registry"})
    flights.moves(1, "Production")
    world.passes()
    assert (world.routes, flights.labels(1)) == (["1"], [SERVING])
    flights.names(2)
    world.passes()
    assert (world.routes, flights.labels(1, 2)) == (["1", "2"], [("Archived", (), "Archived"), SERVING])
    assert world.condition("ModelRegistry", "mlflow", "Authorized")["status"] == "True"


def test_a_worse_version_is_refused_and_its_stage_goes_back_with_the_numbers(
    world: LiveWorld, flights: Registered
) -> None:
    world.declares(promotion={"source": "Registry"})
    world.bad.add(2)
    flights.moves(1, "Production")
    world.passes()
    flights.moves(2, "Production", archive_others=True)
    world.passes(120)
    assert (world.routes, flights.labels(1, 2)) == (["1"], [SERVING, ("Archived", (), "Refused")])
    said = flights.says(2)
    assert "root_mean_squared_error is 99, must be at most 12" in said.why
    assert "must be at most 12" in said.line and flights.keeps_report(2)


def test_a_label_that_drifts_from_the_cluster_is_told_of_and_then_corrected(
    world: LiveWorld, flights: Registered
) -> None:
    world.declares(promotion={"source": "Cluster"})
    world.declares_version(1)
    flights.moves(2, "Production", archive_others=True)
    flights.names(2)
    world.passes(120)
    synced = world.condition("ModelVersion", "flights-v1", "Synced")
    assert (world.routes, synced["reason"]) == (["1"], "RegistryDrifted")
    assert "its stage is Archived" in synced["message"] and "champion is on version 2" in synced["message"]
    world.declares(promotion={"source": "Cluster", "onDrift": "Correct"})
    world.passes(120)
    assert (world.routes, flights.labels(1, 2)) == (["1"], [SERVING, ("Archived", (), "")])
