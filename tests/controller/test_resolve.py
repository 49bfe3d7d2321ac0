"""What is asked of a registry for a version: for as long as somebody waits, and no longer."""

import asyncio
from collections.abc import Callable

from slipway.adapters.errors import Rejected
from slipway.api.facts import Facts
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


async def until(so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not so():  # noqa: ASYNC110
            await asyncio.sleep(0)


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


async def test_facts_that_cannot_be_read_are_asked_for_ever_more_seldom() -> None:
    world, asked_for = World(), list[str]()
    world.registry()

    async def facts(name: str, _: int) -> Facts:
        asked_for.append(name)
        raise Rejected("what answers there is not the MLflow REST API: 404")

    world.server.facts = facts  # type: ignore[method-assign,assignment]
    resolver = Resolver(world.registries, world._wake, lambda: world.now)
    stop, lookup = asyncio.Event(), Lookup(V1, PLACE, "flights", 1)
    running = asyncio.create_task(resolver.run(stop))
    for minute in range(0, 24 * 60, 10):
        world.now = minute * 60.0
        resolver.facts(lookup)
        another = Lookup(Key("version", "ml", "trains-v1"), PLACE, f"trains {minute}", 1)
        resolver.facts(another)  # so that somebody looks what is due
        await until(lambda name=another.name: name in asked_for)  # type: ignore[misc]
        resolver.drop(another.key)
    assert 10 <= asked_for.count("flights") <= 60, "144 times it could have been"
    asked_for.clear()
    world.now += 10
    resolver.again(PLACE)
    await until(lambda: "flights" in asked_for)  # at once where the registry is back, or has another credential
    stop.set()
    await running


def test_a_version_that_is_deleted_waits_for_nothing() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    assert V1 not in of.registry.nobody_waits
    of.cluster.lose("ModelVersion", "ml", "flights-v1")
    of.settle()
    assert V1 in of.registry.nobody_waits
