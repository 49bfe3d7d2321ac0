"""What wakes which key, and when a watch is called dead."""

import time
from typing import Any

import pytest
from slipway.adapters.cluster import DEPLOYMENT, JOB, MODEL, POD, REGISTRY, SERVICE, VERSION, Kind
from slipway.adapters.errors import Unreachable
from slipway.controller.cache import Cache
from slipway.controller.queue import Key
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Watch


class Cluster:
    """An API server that lists what it is told to hold, unless it is away."""

    def __init__(self) -> None:
        self.holds: dict[str, list[dict[str, Any]]] = {}
        self.away = False

    async def every(self, kind: Kind, namespace: str = "", fields: str = "") -> list[dict[str, Any]]:
        if self.away:
            raise Unreachable("no answer")
        return list(self.holds.get(kind.kind, []))


def thing(kind: Kind, name: str, version: int = 1, **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ml", "uid": f"{name}-uid", "resourceVersion": str(version), "labels": labels}
    number = name.rsplit("-v", 1)[-1]
    spec = {"model": "flights", "version": int(number)} if kind is VERSION else {}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def woken() -> set[Key]:
    return set()


@pytest.fixture
def watch(cluster: Cluster, woken: set[Key]) -> Watch:
    return Watch(cluster, Cache(), woken.add, Telemetry(), patience_seconds=0)  # type: ignore[arg-type]


OF_V1 = {"slipway.dev/model": "flights", "slipway.dev/version": "1"}


@pytest.mark.parametrize(
    ("kind", "name", "labels", "want"),
    [
        (VERSION, "flights-v1", {}, {"version flights-v1", "model flights"}),
        (MODEL, "flights", {}, {"model flights", "version flights-v1", "version flights-v2"}),
        (JOB, "flights-v1-import", OF_V1, {"version flights-v1"}),
        (POD, "flights-v1-x", OF_V1 | {"slipway.dev/track": "production"}, {"model flights"}),
        (DEPLOYMENT, "flights-v1", OF_V1, {"model flights"}),
        (SERVICE, "flights", {"slipway.dev/model": "flights"}, {"model flights"}),
        (POD, "stranger", {}, set()),
        (VERSION, "flights-v2", {"slipway.dev/version": "mine"}, {"version flights-v2", "model flights"}),
    ],
)
def test_an_object_wakes_whom_it_concerns(
    watch: Watch, woken: set[Key], kind: Kind, name: str, labels: dict[str, str], want: set[str]
) -> None:
    for one in (thing(VERSION, "flights-v1"), thing(VERSION, "flights-v2"), thing(MODEL, "flights")):
        watch.saw(MODEL if one["kind"] == "RegisteredModel" else VERSION, None, one)
    woken.clear()
    watch.saw(kind, "MODIFIED", thing(kind, name, 2, **labels))
    assert {f"{key.reconciler} {key.name}" for key in woken} == want


def test_a_registry_wakes_every_model(watch: Watch, woken: set[Key]) -> None:
    watch.saw(MODEL, None, thing(MODEL, "flights"))
    woken.clear()
    watch.saw(REGISTRY, None, thing(REGISTRY, "mlflow"))
    assert {key.reconciler for key in woken} == {"registry", "model"}


async def test_a_relist_finds_a_deletion_that_no_watch_told(watch: Watch, cluster: Cluster, woken: set[Key]) -> None:
    cluster.holds["ModelVersion"] = [thing(VERSION, "flights-v1")]
    await watch.relist((), "slipway-system")
    cluster.holds["ModelVersion"] = []
    woken.clear()
    await watch.relist((), "slipway-system")
    assert Key("model", "ml", "flights") in woken


async def test_a_watch_that_misses_changes_at_every_relist_is_dead(watch: Watch, cluster: Cluster) -> None:
    cluster.holds["ModelVersion"] = [thing(VERSION, "flights-v1")]
    await watch.relist((), "slipway-system")
    for number in (2, 3):
        assert watch.stale == []
        cluster.holds["ModelVersion"] = [thing(VERSION, "flights-v1", number)]
        await watch.relist((), "slipway-system")
    assert watch.stale == ["modelversions"]


async def test_a_watch_that_tells_in_time_is_alive(watch: Watch, cluster: Cluster) -> None:
    await watch.relist((), "slipway-system")
    for number in range(2, 6):
        newer = thing(VERSION, "flights-v1", number)
        cluster.holds["ModelVersion"] = [newer]
        watch.saw(VERSION, "MODIFIED", newer)
        await watch.relist((), "slipway-system")
    assert watch.stale == []


async def test_prometheus_is_told_when_everything_was_listed_and_how_often_it_could_not_be(cluster: Cluster) -> None:
    telemetry = Telemetry()
    watch = Watch(cluster, Cache(), lambda _: None, telemetry, patience_seconds=0)  # type: ignore[arg-type]
    told = telemetry.registry.get_sample_value
    cluster.away = True
    with pytest.raises(Unreachable):
        await watch.relist((), "slipway-system")
    assert told("slipway_last_relist_timestamp_seconds") == 0
    assert told("slipway_relist_failures_total") == 1
    cluster.away = False
    await watch.relist((), "slipway-system")
    assert told("slipway_last_relist_timestamp_seconds") == pytest.approx(time.time(), abs=60)
    assert told("slipway_relist_failures_total") == 1
