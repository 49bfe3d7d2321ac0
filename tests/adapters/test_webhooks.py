"""Webhooks of a real MLflow: made, kept as they should be, and delivered to a receiver that listens here."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from slipway.adapters.cluster import REGISTRY
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.mlflow_webhooks import EVENTS
from slipway.adapters.ports import Connection, Registry
from slipway.controller.subscriber import AGAIN_SECONDS, HEARD_SECONDS, Home
from slipway.core.registry import Silent
from slipway.core.webhooks import Subscription, Trial, subscription

from tests.adapters.conftest import PATIENT
from tests.adapters.registry_shelf import MLMODEL, MLflowShelf
from tests.controller.receiver_world import PLACE, SECRET, Listening
from tests.controller.registry_world import FLIGHTS, World
from tests.controller.subscriber_world import WEBHOOK, Hooks
from tests.memory_registry import MemoryRegistry, Model
from tests.mlflow_server import MLflowServer, running_mlflow
from tests.ports import free_port

# As docs/webhooks.md asks for; its list of webhooks is read anew for each event, and nothing is sent twice.
ENVIRONMENT = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "SGludHMgYXJlIG5vIHRydXRoLCBzd2VlcHMgYXJlLi4=",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0",
}


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """A server that sends webhooks."""
    with running_mlflow(tmp_path_factory.mktemp("sender"), environment=ENVIRONMENT) as server:
        yield server


@dataclass
class Hooked:
    """That server, a receiver, and the webhook that should be there."""

    server: MLflowServer
    registry: MLflowRegistry
    listening: Listening
    wanted: Subscription

    @property
    def webhooks(self) -> list[Any]:
        found: list[Any] = self.server.get("webhooks").get("webhooks", [])
        return found

    async def do(self, path: str, **document: object) -> None:
        """A person does this in MLflow."""
        await asyncio.to_thread(self.server.post, path, **document)

    async def register(self, name: str) -> None:
        """A person registers a version."""
        shelf = MLflowShelf(self.registry, self.server)
        await asyncio.to_thread(lambda: shelf.register(name, shelf.log(Model(MLMODEL))))

    async def heard(self, count: int) -> None:
        """Wait until so many deliveries were taken."""
        while len(self.listening.hurried) < count:
            self.listening.came.clear()
            await asyncio.wait_for(self.listening.came.wait(), 20)
        assert len(self.listening.hurried) == count


@pytest.fixture
async def hooked(sender: MLflowServer) -> AsyncIterator[Hooked]:
    listening = Listening()
    listening.now = time.time()
    runner = await listening.receiver().serve(listening.port)
    registry = MLflowRegistry(Connection(sender.uri), patience=PATIENT)
    wanted = subscription("prod", *PLACE, f"http://127.0.0.1:{listening.port}", SECRET)
    yield Hooked(sender, registry, listening, wanted)
    await registry.unsubscribe(wanted.name)
    await registry.close()
    await runner.cleanup()


async def test_what_moves_in_mlflow_reaches_the_receiver(hooked: Hooked, name: str) -> None:
    assert await hooked.registry.subscribe(hooked.wanted) == Trial(204)
    await hooked.heard(1)  # the one on trial
    await hooked.register(name)
    await hooked.heard(3)  # a model, and a version
    await hooked.do("registered-models/alias", name=name, alias="champion", version="1")
    await hooked.heard(4)
    await asyncio.to_thread(hooked.server.delete, "registered-models/alias", name=name, alias="champion")
    await hooked.heard(5)
    assert set(hooked.listening.hurried) == {PLACE}
    assert hooked.listening.count("taken") == 5
    assert hooked.listening.count("forged") == hooked.listening.count("malformed") == 0


async def test_a_moved_alias_wakes_its_model_long_before_the_next_sweep(hooked: Hooked, name: str) -> None:
    world = World(connect=lambda _: hooked.registry, now=time.monotonic())
    world.registry(sync={"interval": "1h"})
    world.model(name=name)
    await hooked.register(name)
    stop = asyncio.Event()
    running = asyncio.create_task(world.sweeper.run(stop))
    await world.until_woken(FLIGHTS)
    hooked.listening.heed = world.sweeper.heed
    await hooked.registry.subscribe(hooked.wanted)
    world.now += 3600  # as long as the registry waits by itself
    world.woken.clear()
    await hooked.do("registered-models/alias", name=name, alias="champion", version="1")
    await world.until_woken(FLIGHTS)
    stop.set()
    await running


async def test_it_stays_while_its_modelregistry_is_suspended_and_goes_when_that_is_deleted(hooked: Hooked) -> None:
    hooks = Hooks(Home("prod", f"http://127.0.0.1:{hooked.listening.port}", True))
    hooks.world.connect = lambda connection: MLflowRegistry(connection, patience=PATIENT)
    hooks.registry(hooked.server.uri, webhook=WEBHOOK)
    await hooks.look()
    assert (hooks.reason, [one["name"] for one in hooked.webhooks]) == ("WebhookHeard", [hooked.wanted.name])
    hooks.registry(hooked.server.uri, webhook=WEBHOOK, suspend=True)
    await hooks.look(HEARD_SECONDS)
    assert (hooks.reason, [one["status"] for one in hooked.webhooks]) == ("Suspended", ["ACTIVE"])
    hooks.registry(hooked.server.uri, webhook=WEBHOOK)
    await hooks.look(AGAIN_SECONDS)
    assert hooks.reason == "WebhookHeard"
    hooks.registry(hooked.server.uri, webhook=WEBHOOK, suspend=True)
    await hooks.look()
    hooks.world.cache.remove(REGISTRY, *PLACE)
    await hooks.look()
    assert hooked.webhooks == []
    await hooks.world.registries.close()


async def test_an_operator_that_stands_by_passes_it_on(hooked: Hooked, name: str) -> None:
    standby = Listening(acts=False, leader=f"127.0.0.1:{hooked.listening.port}", now=time.time())
    runner = await standby.receiver().serve(standby.port)
    wanted = subscription("prod", *PLACE, f"http://127.0.0.1:{standby.port}", SECRET)
    assert await hooked.registry.subscribe(wanted) == Trial(204)
    await hooked.do("registered-models/create", name=name)
    await hooked.heard(2)
    assert standby.hurried == [] and standby.count("passed-on") >= 1
    await runner.cleanup()


class TestRepair:
    @pytest.mark.parametrize(
        ("because", "change"),
        [
            ("switched off", {"status": "DISABLED"}),
            ("led elsewhere", {"url": "http://127.0.0.1:1/x"}),
            ("of other events", {"events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}),
            ("described otherwise", {"description": "mine"}),
            ("given another secret", {"secret": "a secret of somebody else"}),
        ],
    )
    async def test_what_somebody_changed_is_set_back(
        self, hooked: Hooked, because: str, change: dict[str, object]
    ) -> None:
        assert await hooked.registry.subscribe(hooked.wanted) == Trial(204)
        (found,) = hooked.webhooks
        await asyncio.to_thread(
            hooked.server._call, "PATCH", f"mlflow/webhooks/{found['webhook_id']}", json.dumps(change).encode()
        )
        assert await hooked.registry.subscribe(hooked.wanted) == Trial(204), because
        (after,) = hooked.webhooks
        told = ("webhook_id", "name", "url", "description", "status")
        assert [after[key] for key in told] == [found[key] for key in told]
        assert {(one["entity"], one["action"]) for one in after["events"]} == set(EVENTS)

    async def test_a_second_one_of_its_name_is_removed_and_those_of_others_are_not(self, hooked: Hooked) -> None:
        events = [{"entity": "MODEL_VERSION", "action": "CREATED"}]
        for name in (hooked.wanted.name, hooked.wanted.name, "another-team"):
            await hooked.do("webhooks", name=name, url="http://127.0.0.1:1/", events=events)
        assert await hooked.registry.subscribe(hooked.wanted) == Trial(204)
        assert sorted(one["name"] for one in hooked.webhooks) == sorted(["another-team", hooked.wanted.name])
        assert await hooked.registry.unsubscribe(hooked.wanted.name) is None
        (other,) = hooked.webhooks
        assert other["url"] == "http://127.0.0.1:1/"
        assert await hooked.registry.unsubscribe("another-team") is None

    async def test_where_all_is_so_it_is_only_read_and_tried(self, hooked: Hooked) -> None:
        calls: list[str] = []
        registry = MLflowRegistry(Connection(hooked.server.uri), lambda what, _, __: calls.append(what), PATIENT)
        assert await registry.subscribe(hooked.wanted) == Trial(204)
        assert calls == ["webhooks/list", "webhooks/set", "webhooks/test"]
        calls.clear()
        assert await registry.subscribe(hooked.wanted) == Trial(204)
        assert calls == ["webhooks/list", "webhooks/test"]
        await registry.close()


class TestTrouble:
    async def test_nobody_listens(self, hooked: Hooked) -> None:
        trial = await hooked.registry.subscribe(replace(hooked.wanted, url=f"http://127.0.0.1:{free_port()}/ml/mlflow"))
        assert isinstance(trial, Trial) and trial.status is None and "Connection refused" in trial.said

    async def test_another_receiver_listens(self, hooked: Hooked) -> None:
        path = hooked.wanted.url.replace("/ml/", "/other/")
        assert await hooked.registry.subscribe(replace(hooked.wanted, url=path)) == Trial(401)

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("http://slipway-webhooks.slipway-system.svc:8081/ml/mlflow", "Allowed schemes are: https"),
            ("https://127.0.0.1/ml/mlflow", "must not resolve to a non-public IP address"),
            ("https://nobody.invalid/ml/mlflow", "Cannot resolve"),
        ],
    )
    async def test_a_server_that_was_not_started_for_it(self, mlflow: MLflowShelf, url: str, says: str) -> None:
        refused = await mlflow.registry.subscribe(Subscription("slipway-x", url, "", SECRET))
        assert isinstance(refused, Silent) and refused.reason == "WebhookRefused" and says in refused.message
        assert SECRET not in refused.message

    async def test_who_is_no_administrator(self, guarded: MLflowShelf) -> None:
        guarded.server.post("users/create", username="sender", password="sender's password")
        sender = MLflowRegistry(Connection(guarded.where, username="sender", password="sender's password"))
        for said in (
            await sender.subscribe(Subscription("slipway-x", "https://example.com", "", SECRET)),
            await sender.unsubscribe("slipway-x"),
        ):
            assert isinstance(said, Silent) and said.reason == "WebhookForbidden"
            assert "does not allow this credential to list its webhooks" in said.message
        await sender.close()

    async def test_secrets_under_a_lost_key(self, hooked: Hooked) -> None:
        """As after a restart without MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY."""
        await hooked.registry.subscribe(hooked.wanted)
        with sqlite3.connect(hooked.server.directory / "mlflow.db", timeout=30) as database:
            ((kept,),) = database.execute("SELECT secret FROM webhooks WHERE deleted_timestamp IS NULL")
            database.execute("UPDATE webhooks SET secret = 'encrypted otherwise' WHERE deleted_timestamp IS NULL")
        for said in (
            await hooked.registry.subscribe(hooked.wanted),
            await hooked.registry.unsubscribe(hooked.wanted.name),
        ):
            assert isinstance(said, Silent) and said.reason == "WebhookKeyLost"
        with sqlite3.connect(hooked.server.directory / "mlflow.db", timeout=30) as database:
            database.execute("UPDATE webhooks SET secret = ? WHERE deleted_timestamp IS NULL", (kept,))
        database.close()
        assert await hooked.registry.subscribe(hooked.wanted) == Trial(204)


@pytest.fixture(params=["memory", "mlflow"])
def either(request: pytest.FixtureRequest) -> Registry:
    """Both registries, one after the other."""
    if request.param == "memory":
        return MemoryRegistry()
    registry: Registry = request.getfixturevalue("hooked").registry
    return registry


async def test_to_ask_again_changes_nothing(either: Registry, hooked: Hooked) -> None:
    for _ in range(2):
        assert await either.subscribe(hooked.wanted) == Trial(204)
    for _ in range(2):
        assert await either.unsubscribe(hooked.wanted.name) is None
