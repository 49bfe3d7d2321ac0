"""Who acts: the Lease as several operators take, renew, lose and give it back."""

import asyncio
from typing import Any, cast

import pytest
from slipway.adapters.cluster import LEASE, Object
from slipway.adapters.errors import Unreachable
from slipway.controller.lease import Lease, Sight, Terms

from tests.fake_cluster import FakeCluster

TERMS = Terms()
QUICK = Terms(renew_seconds=0.05, retry_seconds=0.01)


def seen(holder: str, since: float = 0.0, **spec: Any) -> Sight:
    return Sight({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec}}, since)


@pytest.mark.parametrize(
    ("because", "sight", "now", "want"),
    [
        ("there is no Lease", Sight(None), 0, True),
        ("it was given back", seen(""), 0, True),
        ("it is ours, from before a restart of the container", seen("me"), 0, True),
        ("somebody renewed it a moment ago", seen("her"), 1, False),
        ("it has not run out by our clock", seen("her"), 14.9, False),
        ("nobody renewed it for as long as it lasts", seen("her"), 15, True),
        ("its holder said that it lasts longer", seen("her", leaseDurationSeconds=60), 20, False),
        ("its holder did not say how long it lasts", seen("her", leaseDurationSeconds=None), 15, True),
    ],
)
def test_who_may_take_it(because: str, sight: Sight, now: float, want: bool) -> None:
    assert sight.free_for("me", TERMS, now) is want, because


def test_only_a_renewal_counts_as_a_sign_of_life() -> None:
    renewed = seen("her", renewTime="2026-03-06T17:00:02.000000Z").found
    assert renewed is not None
    first = Sight().then(renewed, 3.0)
    assert first.since == 3.0, "counted from when we saw it, whatever the times in it say"
    labelled: Object = {**renewed, "metadata": {"labels": {"team": "a"}, "resourceVersion": "9"}}
    assert first.then(labelled, 9.0).since == 3.0
    later = {"spec": renewed["spec"] | {"renewTime": "2026-03-06T17:00:04.000000Z"}}
    assert first.then(later, 9.0).since == 9.0


def test_taking_it_counts_a_transition_and_keeping_it_does_not() -> None:
    taken = seen("her", leaseTransitions=4, acquireTime="then", strategy="x").claimed("me", TERMS, "now")
    assert (taken["holderIdentity"], taken["leaseTransitions"], taken["acquireTime"]) == ("me", 5, "now")
    assert taken["strategy"] == "x", "what others keep there stays"
    kept = Sight({"spec": taken}).claimed("me", TERMS, "later")
    assert (kept["leaseTransitions"], kept["acquireTime"], kept["renewTime"]) == (5, "now", "later")
    assert Sight(None).claimed("me", TERMS, "now")["leaseTransitions"] == 0


class Time:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def time() -> Time:
    return Time()


def lease(cluster: FakeCluster, holder: str, time: Time, terms: Terms = TERMS) -> Lease:
    return Lease(cast(Any, cluster), ("slipway-system", "slipway"), holder, terms, time)


def holder(cluster: FakeCluster) -> Any:
    return cluster.objects[("Lease", "slipway-system", "slipway")]["spec"]["holderIdentity"]


async def test_one_of_two_acts(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    await first.attempt()
    await second.attempt()
    assert first.seconds_left == TERMS.renew_seconds
    assert second.seconds_left <= 0


async def test_of_two_that_write_at_once_one_acts(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    for each in (first, second):
        await each.look()  # both see that there is none
    await first.renew()
    await second.renew()
    assert (first.seconds_left > 0, second.seconds_left > 0) == (True, False)
    assert holder(cluster) == "first"


async def test_a_holder_has_lost_it_before_anybody_else_may_take_it(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    await first.attempt()
    await second.attempt()
    for _ in range(5):
        time.now += 3
        await second.attempt()
        assert not (first.seconds_left > 0 and second.seconds_left > 0)
    assert second.seconds_left > 0
    await first.renew()
    assert first.seconds_left <= 0, "who comes back finds another name in it"
    assert holder(cluster) == "second"


async def test_a_lease_that_is_renewed_is_not_taken(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    await first.attempt()
    for _ in range(30):
        time.now += 2
        await first.renew()
        await second.attempt()
        assert first.seconds_left == TERMS.renew_seconds
        assert second.seconds_left <= 0


async def test_what_is_given_back_is_taken_at_once(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    await first.attempt()
    await second.attempt()
    await first.give_back()
    assert first.seconds_left <= 0
    await second.attempt()
    assert second.seconds_left > 0


async def test_it_is_given_back_behind_a_renewal_whose_answer_got_lost(cluster: FakeCluster, time: Time) -> None:
    first = lease(cluster, "first", time)
    await first.attempt()
    cluster.losing = 1
    with pytest.raises(Unreachable):
        await first.renew()
    await first.give_back()
    assert holder(cluster) == ""


async def test_nobody_gives_back_what_is_anothers(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time), lease(cluster, "second", time)
    await first.attempt()
    await second.attempt()
    time.now += 15
    await second.attempt()
    await first.give_back()
    assert holder(cluster) == "second"


async def test_a_label_on_the_lease_takes_it_from_nobody(cluster: FakeCluster, time: Time) -> None:
    first = lease(cluster, "first", time)
    await first.attempt()
    found = await cluster.get(LEASE, "slipway-system", "slipway")
    cluster.put({**found, "metadata": {**found["metadata"], "labels": {"team": "a"}}})
    time.now += 2
    await first.renew()  # meets a conflict, and looks
    await first.renew()
    assert first.seconds_left == TERMS.renew_seconds
    labels = (await cluster.get(LEASE, "slipway-system", "slipway"))["metadata"]["labels"]
    assert labels == {"team": "a"}


async def test_a_lease_that_somebody_deleted_is_made_again(cluster: FakeCluster, time: Time) -> None:
    first = lease(cluster, "first", time)
    await first.attempt()
    cluster.lose("Lease", "slipway-system", "slipway")
    await first.renew()
    await first.renew()
    assert holder(cluster) == "first"


class Mute(FakeCluster):
    """An API server that takes what it is sent and never answers."""

    mute = False

    async def update(self, manifest: Any) -> Object:
        if self.mute:
            await asyncio.Event().wait()
        return await super().update(manifest)


async def test_renewals_that_hang_lose_it() -> None:
    cluster = Mute()
    first = Lease(cast(Any, cluster), ("slipway-system", "slipway"), "first", QUICK)
    assert await first.take(asyncio.Event())
    cluster.mute = True
    why = await asyncio.wait_for(first.keep(), 5)
    assert "could not be renewed in time: no answer" in why
    assert first.seconds_left <= 0


async def test_the_one_that_took_it_is_named_to_the_one_that_lost_it(cluster: FakeCluster, time: Time) -> None:
    first, second = lease(cluster, "first", time, QUICK), lease(cluster, "second", time)
    await first.attempt()
    found = await cluster.get(LEASE, "slipway-system", "slipway")
    cluster.put({**found, "spec": {**found["spec"], "holderIdentity": "second"}})
    assert await asyncio.wait_for(first.keep(), 5) == "second holds the Lease slipway-system/slipway now"
    assert first.seconds_left <= 0
    assert second.seconds_left <= 0


async def test_a_standby_stops_when_it_is_asked_to(cluster: FakeCluster, time: Time) -> None:
    await lease(cluster, "first", time).attempt()
    stop = asyncio.Event()
    waiting = asyncio.create_task(lease(cluster, "second", time, QUICK).take(stop))
    stop.set()
    assert await asyncio.wait_for(waiting, 5) is False


async def test_the_holder_says_where_it_takes_what_others_pass_on(cluster: FakeCluster, time: Time) -> None:
    here, there = "10.0.0.7:8081", "10.0.0.8:8081"
    first = Lease(cast(Any, cluster), ("slipway-system", "slipway"), "one", TERMS, time, here)
    second = Lease(cast(Any, cluster), ("slipway-system", "slipway"), "two", TERMS, time, there)
    assert second.leader_address == ""
    await first.attempt()
    await second.attempt()
    assert (first.leader_address, second.leader_address) == ("", here)
    await first.give_back()
    await second.look()
    assert second.leader_address == "", "nobody acts"
    await second.attempt()
    await first.look()
    assert (first.leader_address, second.leader_address) == (there, "")
    silent = Lease(cast(Any, cluster), ("slipway-system", "slipway"), "three", TERMS, time)
    await second.give_back()
    await silent.attempt()
    await second.look()
    assert second.leader_address == "", "who takes nothing does not say where"
