"""Many new models at once, of versions that were proven before: from their creation until they serve."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from bench import population, registry, whereabouts
from bench.api import for_each
from bench.figures import Found, figure
from bench.population import Place
from bench.process import QUIET, started
from bench.simulation import Requests
from bench.world import World

LONGEST_SECONDS = 600
# Argo Rollouts with raised limits of its client, measured on such a machine, for what it does of the same.
SECONDS, REQUESTS, MILLISECONDS = 13.5, 11.3, 13


async def measure(world: World, found: Found) -> None:
    """Several rounds, each in an empty namespace, and one more with a profile."""
    sizes = world.sizes
    took, asked, cpu = [], [], []
    for number in range(sizes.rounds):
        seconds, requests, used = await _round(world, number)
        took.append(seconds)
        asked.append(sum(requests.values()) / sizes.fresh)
        cpu.append(used * 1000 / sizes.fresh)
        world.console.say(f"{seconds:.1f} s, {asked[-1]:.1f} requests and {cpu[-1]:.1f} ms of CPU each")
        found.details["requests of a new model"] = {key: round(n / sizes.fresh, 2) for key, n in requests.items()}
    file = world.simulation.folder / "profile"
    await _round(world, sizes.rounds, file)
    found.profile = whereabouts.told(file)
    of = f"{sizes.fresh} new models to healthy"
    found.figures += [
        figure(of, took, " s", SECONDS),
        figure(f"{of}: requests of the operator each", asked, "", REQUESTS),
        figure(f"{of}: CPU of the operator each", cpu, " ms", MILLISECONDS),
    ]


async def _round(world: World, number: int, profile: Path | None = None) -> tuple[float, Counter[str], float]:
    """Seconds until all are healthy; requests and CPU seconds until the operator has nothing more to do.

    The versions and their proof are there before the operator starts: it has seen them when the models come.
    """
    names = [f"new-{number}-{one:03}" for one in range(world.sizes.fresh)]
    registry.fill(world.mlflow, population.unproven(names))
    place = world.place(f"new-{number}")
    await population.proven(place, world.past, names)
    with started(world.operator, profile) as (running, _):
        running.quiet(QUIET)
        requests, before, began = Requests(world.simulation.audit), running.cpu_seconds, time.monotonic()
        healthy = asyncio.create_task(_healthy(place, len(names)))

        async def create(name: str) -> None:
            await place.person.create(place.ours("registeredmodels"), population.model(name))

        await for_each(names, create)
        await asyncio.wait_for(healthy, LONGEST_SECONDS)
        seconds = time.monotonic() - began
        running.quiet(QUIET)
        counted, used = requests.counted(), running.cpu_seconds - before
    world.simulation.kubectl("delete", "namespace", place.namespace, "--timeout=180s")
    return seconds, counted, used


async def _healthy(place: Place, wanted: int) -> None:
    """So many models serve."""
    path, ready = place.ours("registeredmodels"), set[str]()
    listed = await place.person.get(path)
    async for event in place.person.watch(path, listed["metadata"]["resourceVersion"]):
        status = event["object"].get("status", {})
        holds = {one["type"] for one in status.get("conditions", []) if one["status"] == "True"}
        if "Ready" in holds and status.get("champion"):
            ready.add(event["object"]["metadata"]["name"])
        if len(ready) == wanted:
            return
