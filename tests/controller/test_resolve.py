"""What is asked of a registry for a version: for as long as somebody waits, and no longer."""

import asyncio

from slipway.controller.outside import Lookup
from slipway.controller.queue import Key
from slipway.controller.resolve import Resolver
from slipway.core.registry import Absent

from tests.controller.labels_world import by_registry, moved
from tests.controller.registry_world import PLACE, World

V1 = Key("version", "ml", "flights-v1")


async def asked(resolver: Resolver, world: World, lookup: Lookup) -> object:
    """The answer, once somebody was told that it is there."""
    stop = asyncio.Event()
    resolver.ask(lookup)
    running = asyncio.create_task(resolver.run(stop))
    await world.until_woken(lookup.key)
    stop.set()
    await running
    return resolver.ask(lookup)


async def test_what_nobody_waits_for_any_more_is_not_looked_up_again() -> None:
    world = World()
    world.registry()
    resolver, lookup = Resolver(world.registries, world._wake), Lookup(V1, PLACE, "flights", 1)
    assert isinstance(await asked(resolver, world, lookup), Absent)
    resolver.drop(V1)
    assert resolver.ask(lookup) is None, "it is asked anew"


async def test_a_version_waits_for_one_thing_at_a_time() -> None:
    world = World()
    world.registry()
    resolver, lookup = Resolver(world.registries, world._wake), Lookup(V1, PLACE, "flights", 1)
    assert isinstance(await asked(resolver, world, lookup), Absent)
    resolver.ask(lookup._replace(name="trains"))
    assert resolver.ask(lookup) is None, "the model has another name in the registry by now"


def test_a_version_that_is_deleted_waits_for_nothing() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    assert V1 not in of.registry.nobody_waits
    of.cluster.lose("ModelVersion", "ml", "flights-v1")
    of.settle()
    assert V1 in of.registry.nobody_waits
