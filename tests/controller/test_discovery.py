"""Discovery, from a label in the registry to a RegisteredModel: what is absent is made, and nothing else is touched."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from slipway.adapters.cluster import DISCOVERY, MODEL, NAMESPACE, REGISTRY, WATCHED, Kind, Object
from slipway.adapters.errors import AdapterError, Rejected, Unreachable
from slipway.api import names
from slipway.controller.apply import Applier
from slipway.controller.cache import Cache
from slipway.controller.observe import Observer
from slipway.controller.outside import Outside
from slipway.controller.queue import Key
from slipway.controller.reconcile import Hands, Reconciler
from slipway.controller.refusals import Refusals
from slipway.controller.registries import Registries
from slipway.controller.slots import Slots
from slipway.controller.sweeper import Sweeper
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Wakes, Watch
from slipway.core.registry import Write

from tests.controller.registry_world import PLATFORM
from tests.fake_cluster import FakeCluster
from tests.memory_registry import MemoryRegistry, Model

PLACE = ("platform", "mlflow")
KEY = Key("registry", *PLACE)
TICK_SECONDS = 30


class World:
    """A registry whose discovery makes models in the namespace `models`, and the operator over a cluster in memory."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cluster, self.server, self.cache = FakeCluster(), MemoryRegistry(), Cache()
        self.woken: set[Key] = set()
        telemetry, me = Telemetry(), cast(Any, self.cluster)
        refusals = Refusals(lambda: self.now)
        registries = Registries(me, self.cache, PLATFORM, lambda _: cast(Any, self.server), lambda: self.now)
        self.sweeper = Sweeper(
            self.cache, registries, self.woken.add, telemetry, lambda: self.now, self._calendar, lambda: 0.5
        )
        nobody = cast(Any, None)
        observer = Observer(me, self.cache, Outside(registries, self.sweeper, nobody, nobody), refusals, PLATFORM)
        hands = Hands(nobody, nobody, self.woken.add, nobody)
        slots = Slots({}, 1, lambda: {})
        self.served = {"models"}
        self.reconciler = Reconciler(
            self.cache, observer, Applier(me, self.cache, refusals, telemetry), refusals, slots, hands,
            self.sweeper.registry, telemetry, serves=lambda namespace: namespace in self.served,
        )  # fmt: skip
        watch = Watch(me, self.cache, Wakes(lambda key, **_: self.woken.add(key), registries.place), telemetry)
        self._watch, self._again_at = watch, 0.0
        self.cluster.hears.append(self._hear)
        self.cluster.put(made(NAMESPACE, "models", labels={"team": "a"}))
        self.discovers()

    def _hear(self, kind: Kind, event: str, found: Object) -> None:
        if kind in WATCHED:
            self._watch.saw(kind, event, found)

    def _calendar(self) -> datetime:
        return datetime(2026, 3, 6, 17, 0, tzinfo=UTC) + timedelta(seconds=self.now)

    def discovers(self, **discovery: Any) -> None:
        """The owner of the registry says what discovery is about."""
        backend = {"mlflow": {"uri": "http://mlflow:5000"}}
        allowed = {"selector": {"matchLabels": {"team": "a"}}}
        found = {"namespace": "models", "models": ["*"], **discovery}
        self.cluster.put(
            made(
                REGISTRY, *reversed(PLACE), spec={"backend": backend, "allowedNamespaces": allowed, "discovery": found}
            )
        )

    async def label(self, name: str, stage: str | None = "Production", alias: str | None = None) -> None:
        """The newest version of a registered model gets a label; without one it is only registered."""
        number = self.server.register(name, Model(b"flavors: {sklearn: {}}"))
        await self.server.write(name, Write(number, stage, alias=alias))

    async def tick(self, seconds: float = TICK_SECONDS) -> None:
        """A sweep, and passes over the registry until nothing wakes it any more."""
        self.now += seconds
        await self.sweeper.sweep(PLACE)
        for _ in range(20):
            if KEY not in self.woken and not self._again_at < self.now:
                return
            self.woken.discard(KEY)
            again = await self.reconciler(KEY)
            self._again_at = self.now + again if again is not None else float("inf")
        raise AssertionError("it does not settle")

    @property
    def models(self) -> dict[str, str]:
        """The registered model of each RegisteredModel in the namespace."""
        there = (one for one in self.cluster.of(MODEL) if one["metadata"]["namespace"] == "models")
        return {one["metadata"]["name"]: one["spec"].get("source", {}).get("name", "") for one in there}

    @property
    def said(self) -> tuple[str, str]:
        """What the ModelRegistry says of discovery: reason and message."""
        found = self.cluster.objects[REGISTRY.kind, *PLACE]["status"]["conditions"]
        one = next(one for one in found if one["type"] == "Discovered")
        return one["reason"], one["message"]

    @property
    def count(self) -> int:
        return int(self.cluster.objects[REGISTRY.kind, *PLACE]["status"]["discovered"])


def made(kind: Kind, name: str, namespace: str = "", labels: dict[str, str] | None = None, **more: Any) -> Object:
    meta = {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **more}


def declared(name: str, **spec: Any) -> Object:
    """A RegisteredModel as Argo CD applies it."""
    return made(MODEL, name, "models", {"app.kubernetes.io/instance": "models"}, spec=spec)


@pytest.fixture
async def world() -> World:
    """A labelled model, one without a label, and one that was archived."""
    world = World()
    await world.label("Flight Air Time")
    await world.label("idea", stage=None)
    await world.label("old", stage="Archived")
    return world


async def test_a_labelled_model_gets_a_registered_model_at_the_first_sweep(world: World) -> None:
    await world.tick()
    assert world.models == {"flight-air-time": "Flight Air Time"}
    found = world.cluster.objects[MODEL.kind, "models", "flight-air-time"]
    assert found["metadata"]["annotations"] == {names.DISCOVERED: "platform/mlflow"}
    assert found["spec"]["promotion"]["source"] == "Cluster"
    assert (world.said[0], world.count) == ("ModelsDiscovered", 1)


async def test_it_costs_no_request_more_than_the_sweep(world: World) -> None:
    for _ in range(2):
        await world.tick()
    before = world.server.requests
    await world.tick()
    with_discovery = world.server.requests - before
    world.cluster.put(made(REGISTRY, *reversed(PLACE), spec={"backend": {"mlflow": {"uri": "http://mlflow:5000"}}}))
    await world.tick()
    before = world.server.requests
    await world.tick()
    assert world.server.requests - before == with_discovery


async def test_a_label_that_moves_later_is_found_by_its_sweep_and_a_quiet_one_writes_nothing(world: World) -> None:
    await world.tick()
    await world.server.write("idea", Write(1, alias="champion"))
    await world.tick()
    assert set(world.models) == {"flight-air-time", "idea"}
    written = len(world.cluster.writes)
    await world.tick()
    assert len(world.cluster.writes) == written


async def test_what_is_declared_is_left_alone_whatever_its_name(world: World) -> None:
    mine = world.cluster.put(declared("planes", source={"name": "Flight Air Time", "registryRef": ref()}))
    await world.tick()
    assert (world.models, world.count) == ({"planes": "Flight Air Time"}, 0)
    assert world.cluster.objects[MODEL.kind, "models", "planes"] == mine
    assert "0 were made in the namespace models, 1 are declared" in world.said[1]


async def test_what_was_declared_a_moment_ago_is_left_alone(world: World) -> None:
    """The cache does not know it yet."""
    hears, world.cluster.hears = world.cluster.hears, []
    mine = world.cluster.put(declared("flight-air-time", suspend=True))
    world.cluster.hears = hears
    await world.tick()
    assert world.cluster.objects[MODEL.kind, "models", "flight-air-time"] == mine


async def test_a_declaration_adopts_what_was_made_and_drops_nothing(world: World) -> None:
    await world.tick()
    before = world.cluster.objects[MODEL.kind, "models", "flight-air-time"]
    asked = declared("flight-air-time", promotion={"source": "Registry"})
    await world.cluster.apply(asked, by="argocd-controller")
    await world.tick()
    after = world.cluster.objects[MODEL.kind, "models", "flight-air-time"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["source"] == before["spec"]["source"]
    assert (after["spec"]["promotion"]["source"], world.models.keys()) == ("Registry", {"flight-air-time"})
    assert after["metadata"]["labels"] == {"app.kubernetes.io/instance": "models"}


async def test_discovery_asks_by_a_field_manager_of_its_own(world: World) -> None:
    await world.tick()
    (holder,) = world.cluster._owned[MODEL.kind, "models", "flight-air-time"]
    assert holder == (DISCOVERY, "")


async def test_names_that_would_be_one_are_refused_and_told_until_one_is_declared(world: World) -> None:
    await world.label("flight_air_time")
    await world.tick()
    assert (world.models, world.said[0]) == ({}, "NamesCollide")
    assert '"Flight Air Time" and "flight_air_time" would all be flight-air-time' in world.said[1]
    world.cluster.put(declared("planes", source={"name": "flight_air_time", "registryRef": ref()}))
    await world.tick()
    assert world.models == {"planes": "flight_air_time", "flight-air-time": "Flight Air Time"}
    assert world.said[0] == "ModelsDiscovered"


async def test_many_models_are_all_made_up_to_the_limit(world: World) -> None:
    for number in range(120):
        await world.label(f"m{number:03}")
    await world.tick()
    assert (len(world.models), world.said[0], world.count) == (100, "DiscoveryLimited", 100)
    assert "21 more registered models have labels; spec.discovery.limit is 100" in world.said[1]
    world.discovers(limit=1000)
    await world.tick()
    assert (len(world.models), world.said[0]) == (121, "ModelsDiscovered")


async def test_a_registry_that_falls_silent_or_is_empty_takes_nothing_back(world: World) -> None:
    await world.tick()
    world.server.trouble = Unreachable("no connection")
    await world.tick()
    assert (set(world.models), world.said[0]) == ({"flight-air-time"}, "ModelsDiscovered")
    world.server.trouble = None
    models, world.server._models = world.server._models, {}
    for _ in range(3):
        await world.tick(60)
    assert set(world.models) == {"flight-air-time"}
    assert 'have such labels no longer, and stay: "Flight Air Time"' in world.said[1]
    world.server._models = models
    await world.tick()
    assert "no longer" not in world.said[1]


async def test_a_sweep_that_breaks_off_says_nothing_of_what_it_did_not_read(world: World) -> None:
    await world.tick()
    world.server.trouble, world.server.good_requests = Unreachable("no connection"), 1
    await world.tick()
    assert world.said[0] == "ModelsDiscovered" and "no longer" not in world.said[1]


async def test_one_that_a_person_deletes_comes_again_while_its_label_is_there(world: World) -> None:
    await world.tick()
    world.cluster.lose(MODEL.kind, "models", "flight-air-time")
    await world.tick()
    assert set(world.models) == {"flight-air-time"}
    world.discovers(models=["others-*"])
    await world.tick()
    world.cluster.lose(MODEL.kind, "models", "flight-air-time")
    await world.tick()
    assert world.models == {}


async def test_once_it_is_switched_off_nothing_is_made_deleted_or_told(world: World) -> None:
    await world.tick()
    await world.label("another")
    world.cluster.put(made(REGISTRY, *reversed(PLACE), spec={"backend": {"mlflow": {"uri": "http://mlflow:5000"}}}))
    await world.tick()
    assert set(world.models) == {"flight-air-time"}
    status = world.cluster.objects[REGISTRY.kind, *PLACE]["status"]
    assert "discovered" not in status and "Discovered" not in [one["type"] for one in status["conditions"]]


async def test_an_edit_is_followed_by_what_the_next_sweep_says(world: World) -> None:
    """What the labels said when other models, or another server, were asked about makes nothing."""
    world.discovers(models=["idea"])
    await world.tick()
    world.discovers(models=["old"], namespace="platform")
    world.served.add("platform")
    world.woken.clear()
    await world.reconciler(KEY)
    assert world.models == {}


async def test_a_namespace_that_may_not_use_the_registry_gets_nothing_until_it_may(world: World) -> None:
    world.cluster.put(made(NAMESPACE, "models", labels={"team": "b"}))
    await world.tick()
    assert (world.models, world.said[0]) == ({}, "DiscoveryNotAllowed")
    world.woken.clear()
    world.cluster.put(made(NAMESPACE, "models", labels={"team": "a"}))
    assert KEY in world.woken
    await world.tick()
    assert set(world.models) == {"flight-air-time"}


async def test_a_refusal_of_the_api_server_is_told_in_its_own_words(world: World) -> None:
    def refuse(verb: str, manifest: Any) -> AdapterError | None:
        quota = 'registeredmodels.slipway.dev "x" is forbidden: exceeded quota: models'
        return Rejected(quota) if manifest["kind"] == MODEL.kind else None

    world.cluster.refuses.append(refuse)
    await world.tick()
    assert world.said[0] == "QuotaExceeded" and "exceeded quota: models" in world.said[1]
    world.cluster.refuses.clear()
    await world.tick(400)
    assert (set(world.models), world.said[0]) == ({"flight-air-time"}, "ModelsDiscovered")


def ref() -> dict[str, str]:
    return {"name": PLACE[1], "namespace": PLACE[0]}
