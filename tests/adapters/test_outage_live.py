"""MLflow goes away in the middle of a promotion, and comes back: nothing that serves is lost, and nothing done twice."""

from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import pytest
from slipway.adapters.cluster import Kind, Object
from slipway.api import names

from tests.adapters.live_world import LiveWorld, Registered
from tests.adapters.registry_shelf import NUMBERS
from tests.mlflow_server import MLflowServer
from tests.proxies import Door, before

SERVING = ("Production", ("champion",), "Serving")
Trips = Callable[[Kind, Object], bool]


def _ledger(found: Object, of: Callable[[Any], object]) -> bool:
    return found["kind"] == "ModelLedger" and bool(of(found["spec"]))


def _job(found: Object, purpose: str) -> bool:
    labels = found["metadata"].get("labels") or {}
    wanted = {names.PURPOSE: purpose, names.MODEL_VERSION: "2"}
    return found["kind"] == "Job" and wanted.items() <= labels.items()


PHASES: dict[str, Trips] = {
    "the request is seen": lambda _, found: _ledger(
        found, lambda spec: ((spec.get("following") or {}).get("request") or {}).get("version") == 2
    ),
    "its ModelVersion is made": lambda _, found: found["metadata"]["name"] == "flights-v2",
    "its files are imported": lambda _, found: _job(found, "import"),
    "it is validated": lambda _, found: _job(found, "validate"),
    "its pods start": lambda kind, found: (kind.kind, found["metadata"]["name"]) == ("Deployment", "flights-v2"),
    "its labels are about to be written": lambda _, found: _ledger(found, lambda spec: spec.get("champion") == 2),
}


@pytest.fixture
def door(mlflow_server: MLflowServer) -> Iterator[Door]:
    """The way to the server that the operator has; people have another."""
    with before(mlflow_server.uri) as found:
        yield found


@pytest.fixture
def flights(mlflow_server: MLflowServer) -> Registered:
    client = mlflow.MlflowClient(mlflow_server.uri, mlflow_server.uri)
    found = Registered(mlflow_server, client, f"Flight air time (v{next(NUMBERS)})")
    found.registers(3)
    return found


@pytest.fixture
def world(door: Door, flights: Registered, caplog: pytest.LogCaptureFixture) -> Iterator[LiveWorld]:
    """A model that follows MLflow, and version 1 serves."""
    found = LiveWorld(door.uri, flights.name)
    found.declares(promotion={"source": "Registry"})
    flights.moves(1, "Production")
    found.passes()
    assert (found.route(), flights.labels(1)) == ("1", [SERVING])
    yield found
    found.close()
    assert not [one for one in caplog.records if one.exc_info], caplog.text


def jobs(world: LiveWorld) -> list[str]:
    """What was done for version 2, each Job once."""
    return sorted(
        found["metadata"]["labels"][names.PURPOSE]
        for key, found in world.cluster.objects.items()
        if key[0] == "Job" and found["metadata"]["labels"].get(names.MODEL_VERSION) == "2"
    )


# What `make test` looks at: phases, and how many requests of a write are answered before MLflow is gone. `make test-long`
# has each of them.
PHASES_IN_EVERY_RUN = ("its files are imported", "its labels are about to be written")
IN_EVERY_RUN = (2, 5)


@pytest.mark.parametrize(
    "phase", [pytest.param(one, marks=() if one in PHASES_IN_EVERY_RUN else pytest.mark.long) for one in PHASES]
)
def test_mlflow_goes_away_when(phase: str, world: LiveWorld, flights: Registered, door: Door) -> None:
    cut: list[str] = []

    def cuts() -> None:
        cut.append(phase)
        door.cut()

    world.wires.append((PHASES[phase], cuts))
    flights.moves(2, "Production", archive_others=True)
    world.passes(600)
    assert cut == [phase]
    assert world.condition("ModelRegistry", "mlflow", "Reachable")["status"] == "False"
    assert world.routes in (["1"], ["1", "2"]), "somebody has served all the time"
    assert (flights.says(2).stage, flights.says(1).stage) == ("Production", "Archived"), "as people have set them"
    door.mend()
    world.passes(200)
    assert world.routes == ["1", "2"]
    assert flights.labels(1, 2) == [("Archived", (), "Archived"), SERVING]
    assert (world.reason(2), jobs(world)) == ("Serving", ["import", "validate"])


@pytest.mark.parametrize("refused", [False, True], ids=["promoted", "refused"])
@pytest.mark.parametrize(
    "after", [pytest.param(one, marks=() if one in IN_EVERY_RUN else pytest.mark.long) for one in range(1, 12)]
)
def test_mlflow_goes_away_in_the_middle_of_writing_its_labels(
    after: int, refused: bool, world: LiveWorld, flights: Registered, door: Door
) -> None:
    """After so many requests, whichever they are."""
    if refused:
        world.bad.add(2)
    decided: Trips = lambda _, found: _ledger(  # noqa: E731
        found,
        lambda spec: (spec.get("following") or {}).get("takenBack") if refused else spec.get("champion") == 2,
    )
    world.wires.append((decided, lambda: door.cut(after)))
    flights.moves(2, "Production", archive_others=True)
    world.passes(400)
    assert world.routes == (["1"] if refused else ["1", "2"])
    door.mend()
    world.passes(200)
    first, second = (SERVING, ("Archived", (), "Refused")) if refused else (("Archived", (), "Archived"), SERVING)
    assert flights.labels(1, 2) == [first, second]
    assert world.routes == (["1"] if refused else ["1", "2"])


def test_an_operator_that_starts_while_mlflow_is_away_takes_nothing_back(
    world: LiveWorld, flights: Registered, door: Door
) -> None:
    world.down.add(2)
    flights.moves(2, "Production", archive_others=True)
    world.passes()
    door.cut()
    world.restarts()
    world.passes(600)
    assert (world.routes, world.versions()) == (["1"], [1, 2])
    world.down.clear()
    door.mend()
    world.passes(200)
    assert (world.routes, flights.labels(2)) == (["1", "2"], [SERVING])
