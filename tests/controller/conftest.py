"""A watch that has seen nothing yet."""

import pytest
from slipway.adapters.cluster import (
    MODEL,
    VERSION,
)
from slipway.controller.cache import Cache
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Wakes, Watch

from tests.controller.watch_world import Cluster, Woken, thing


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def watch(cluster: Cluster, cache: Cache, woken: Woken) -> Watch:
    wakes = Wakes(woken, lambda model: ("ml", model["spec"].get("registry", "mlflow")))
    return Watch(cluster, cache, wakes, Telemetry(), patience_seconds=0)  # type: ignore[arg-type]


@pytest.fixture
def family(watch: Watch, woken: Woken) -> None:
    """A model and its two versions, known and seen to."""
    for one in (thing(MODEL, "flights"), thing(VERSION, "flights-v1"), thing(VERSION, "flights-v2")):
        watch.saw(MODEL if one["kind"] == MODEL.kind else VERSION, None, one)
    woken.clear()
