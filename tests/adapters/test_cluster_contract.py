"""The cluster in memory keeps the contract; tests/integration/test_cluster_contract.py asks a real API server."""

import pytest
from slipway.adapters.errors import Unauthorized, Unreachable

from tests.adapters.cluster_contract import ClusterContract, World
from tests.fake_cluster import FakeCluster


@pytest.fixture
def world() -> World:
    cluster = FakeCluster()
    return World(cluster, "ml", lambda manifest, sub: cluster.apply(manifest, sub, by="another"))


class TestInMemory(ClusterContract):
    """Every case."""


async def test_what_is_refused_is_not_written(world: World) -> None:
    world.cluster.refuses.append(
        lambda verb, manifest: Unauthorized("exceeded quota") if manifest["kind"] == "Job" and verb == "apply" else None
    )
    with pytest.raises(Unauthorized, match="exceeded quota"):
        await world.cluster.apply(world.job())
    assert not world.cluster.objects
    await world.cluster.apply(world.deployment())


async def test_an_answer_that_got_lost_was_a_write(world: World) -> None:
    world.cluster.losing = 1
    with pytest.raises(Unreachable):
        await world.cluster.apply(world.config_map(a="1"))
    assert ("ConfigMap", "ml", "settings") in world.cluster.objects
    await world.cluster.apply(world.config_map(a="2"))


async def test_whoever_listens_is_told_of_every_change_with_growing_versions(world: World) -> None:
    told: list[tuple[str, str, int]] = []
    world.cluster.hears.append(
        lambda kind, event, found: told.append((kind.kind, event, int(found["metadata"]["resourceVersion"])))
    )
    await world.cluster.apply(world.model())
    await world.cluster.apply(world.model())
    await world.cluster.apply(world.model(suspend=True))
    world.cluster.lose("RegisteredModel", "ml", "flights")
    assert [(kind, event) for kind, event, _ in told] == [
        ("RegisteredModel", e) for e in ("ADDED", "MODIFIED", "DELETED")
    ]
    assert [number for *_, number in told] == [1, 2, 3]


async def test_what_it_owned_goes_with_its_owner_and_others_stay(world: World) -> None:
    model = await world.cluster.apply(world.model())
    owner = {
        "apiVersion": model["apiVersion"],
        "kind": model["kind"],
        "name": "flights",
        "uid": model["metadata"]["uid"],
    }
    for name, owners in (("its", [owner]), ("another", [{**owner, "uid": "another-uid"}])):
        made = world.config_map(name, a="1")
        await world.cluster.apply(made | {"metadata": made["metadata"] | {"ownerReferences": owners}})
    world.cluster.lose("RegisteredModel", "ml", "flights")
    assert [place[2] for place in world.cluster.objects] == ["another"]
