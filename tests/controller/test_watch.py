"""What a relist finds, and when the watch is not to be believed."""

import time

import pytest
from slipway.adapters.cluster import (
    BUDGET,
    LEDGER,
    MODEL,
    NAMESPACE,
    POD,
    REGISTRY,
    SERVICE,
    VERSION,
    WATCHED,
)
from slipway.adapters.errors import AdapterError, Expired, NotFound, Unauthorized, Unreachable
from slipway.controller.cache import Cache
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import FAILED_RELISTS, Wakes, Watch

from tests.controller.watch_world import Cluster, Woken, thing


class TestRelists:
    async def test_it_finds_a_deletion_that_no_watch_told(self, watch: Watch, cluster: Cluster, woken: Woken) -> None:
        cluster.holds[VERSION] = [thing(VERSION, "flights-v1")]
        await watch.relist((), "slipway-system")
        cluster.holds[VERSION] = []
        woken.clear()
        await watch.relist((), "slipway-system")
        assert "model flights" in woken

    async def test_it_reads_only_what_no_watch_has_told(self, watch: Watch, cluster: Cluster, cache: Cache) -> None:
        cluster.holds[VERSION] = [thing(VERSION, f"flights-v{number}") for number in (1, 2, 3)]
        await watch.relist((), "slipway-system")
        told, untold = thing(VERSION, "flights-v1", 5), thing(VERSION, "flights-v2", 6)
        watch.saw(VERSION, "MODIFIED", told)
        cluster.holds[VERSION][:2] = [told, untold]
        await watch.relist((), "slipway-system")
        assert cluster.read == ["flights-v2"]
        assert cache.uids(VERSION).keys() == {("ml", f"flights-v{number}") for number in (1, 2, 3)}

    async def test_a_watch_that_misses_changes_at_every_relist_is_dead(self, watch: Watch, cluster: Cluster) -> None:
        cluster.holds[VERSION] = [thing(VERSION, "flights-v1")]
        await watch.relist((), "slipway-system")
        for number in (2, 3):
            assert watch.wrong == ""
            cluster.holds[VERSION] = [thing(VERSION, "flights-v1", number)]
            await watch.relist((), "slipway-system")
        assert watch.wrong == "the watch of modelversions is dead"

    async def test_a_watch_that_tells_in_time_is_alive(self, watch: Watch, cluster: Cluster) -> None:
        await watch.relist((), "slipway-system")
        for number in range(2, 6):
            newer = thing(VERSION, "flights-v1", number)
            cluster.holds[VERSION] = [newer]
            watch.saw(VERSION, "MODIFIED", newer)
            await watch.relist((), "slipway-system")
        assert watch.wrong == ""

    async def test_a_kind_that_fails_does_not_hold_up_the_others(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        cluster.fails[REGISTRY] = [Unreachable("etcd is slow")]
        cluster.holds[SERVICE] = [thing(SERVICE, "flights")]
        with pytest.raises(Unreachable):
            await watch.relist((), "slipway-system")
        assert cache.get(SERVICE, "ml", "flights") is not None
        assert watch.listed_at is None, "the list was not complete"

    async def test_a_list_whose_pages_were_forgotten_begins_anew(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        cluster.fails[VERSION] = [Expired("The provided continue parameter is too old")]
        cluster.holds[VERSION] = [thing(VERSION, f"flights-v{number}") for number in range(1, 6)]
        await watch.relist((), "slipway-system")
        assert len(cache.names("ml", "flights", VERSION)) == 5

    async def test_relists_that_fail_in_a_row_are_said(self, watch: Watch, cluster: Cluster) -> None:
        await watch.relist((), "slipway-system")
        for _ in range(FAILED_RELISTS):
            assert watch.failing == ""
            cluster.fails[POD] = [Unreachable("etcd is slow")]
            with pytest.raises(Unreachable):
                await watch.relist((), "slipway-system")
        assert watch.failing == f"the last {FAILED_RELISTS} relists failed: etcd is slow"
        assert watch.wrong == "", "another start would not help"
        await watch.relist((), "slipway-system")
        assert watch.failing == ""

    @pytest.mark.parametrize("error", [NotFound("no such kind"), Unauthorized("may not list")])
    async def test_an_optional_kind_may_be_missing_and_is_not_watched(
        self, watch: Watch, cluster: Cluster, cache: Cache, error: AdapterError
    ) -> None:
        cluster.fails[BUDGET] = [error]
        await watch.relist((), "slipway-system")
        assert watch.listed_at is not None
        assert {row.kind for row in watch.begin()} == {*WATCHED} - {BUDGET}
        for number in (1, 2, 3):  # it came since: relists tell of it, and nobody was to have told before
            cluster.holds[BUDGET] = [thing(BUDGET, "flights", number)]
            await watch.relist((), "slipway-system")
            assert cache.get(BUDGET, "ml", "flights") is not None
            assert watch.wrong == ""

    async def test_a_kind_that_is_needed_may_not(self, watch: Watch, cluster: Cluster) -> None:
        cluster.fails[LEDGER] = [NotFound("no such kind")]
        with pytest.raises(NotFound):
            await watch.relist((), "slipway-system")

    async def test_an_operator_of_some_namespaces_looks_into_those_and_beside_itself_for_its_own(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        for kind in (MODEL, REGISTRY):
            cluster.holds[kind] = [
                thing(kind, "flights", namespace=where) | {} for where in ("ml", "other", "slipway-system")
            ]
        cluster.holds[NAMESPACE] = [{"metadata": {"name": "ml", "uid": "ml", "resourceVersion": "1"}}]
        await watch.relist(("ml",), "slipway-system")
        assert sorted(cache.uids(MODEL)) == [("ml", "flights")]
        assert sorted(cache.uids(REGISTRY)) == [("ml", "flights"), ("slipway-system", "flights")]
        assert not cache.uids(NAMESPACE), "without rights over all namespaces none is watched"

    async def test_prometheus_is_told_when_everything_was_listed_and_how_often_it_could_not_be(
        self, cluster: Cluster
    ) -> None:
        telemetry = Telemetry()
        watch = Watch(cluster, Cache(), Wakes(Woken(), lambda _: None), telemetry, patience_seconds=0)  # type: ignore[arg-type]
        told = telemetry.registry.get_sample_value
        cluster.fails[POD] = [Unreachable("no answer")]
        with pytest.raises(Unreachable):
            await watch.relist((), "slipway-system")
        assert told("slipway_last_relist_timestamp_seconds") == 0
        assert told("slipway_relist_failures_total") == 1
        await watch.relist((), "slipway-system")
        assert told("slipway_last_relist_timestamp_seconds") == pytest.approx(time.time(), abs=60)
        assert told("slipway_relist_failures_total") == 1


def test_what_is_known_is_not_handed_over_again(watch: Watch) -> None:
    watch.saw(VERSION, None, thing(VERSION, "flights-v1", 5))
    assert not watch.lacks(VERSION, None, thing(VERSION, "flights-v1", 5))
    assert watch.lacks(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 6))
    assert watch.lacks(VERSION, "DELETED", thing(VERSION, "flights-v1", 5))


async def test_a_namespace_is_served_once_it_has_the_label(watch: Watch, cluster: Cluster) -> None:
    assert watch.serves("ml"), "where no namespace can be seen, admission alone decides"
    cluster.holds[NAMESPACE] = [thing(NAMESPACE, "ml", namespace=""), thing(NAMESPACE, "team", namespace="")]
    cluster.holds[NAMESPACE][0]["metadata"]["labels"] = {"slipway.dev/models": "true"}
    await watch.relist((), "slipway-system")
    assert (watch.serves("ml"), watch.serves("team"), watch.serves("unheard-of")) == (True, False, False)
