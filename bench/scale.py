"""The operator with thousands of versions, on simulated nodes: at rest, with a hanging registry, with many new models.

The API server, the scheduler, the controllers and MLflow are real; only kubelets and their pods are simulated.
"""

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench import new_models, plain, population, registry
from bench.api import Object, for_each
from bench.figures import Found, figure
from bench.population import Place
from bench.process import QUIET, Running, started
from bench.registry import hanging
from bench.world import Sizes, World, programs, world
from dev.demo.console import Console

TICK_SECONDS = 30  # of the registry's polls
MODELS_PER_TICK = 200
LONGEST_SECONDS = 600
ROLLBACK_SECONDS = 120  # not worth waiting for any longer
SERVED = "served"


def measure(sizes: Sizes, logs: Path) -> Found:
    """All figures of one run; everything that was started has ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        return asyncio.run(_measure(Path(folder), sizes, logs))


async def _measure(folder: Path, sizes: Sizes, logs: Path) -> Found:
    found, console = Found(), Console(steps=7)
    async with AsyncExitStack() as stack:
        with console.step("a control plane with simulated nodes, and MLflow"):
            parts = stack.enter_context(programs(folder, logs))
            here = await stack.enter_async_context(world(*parts, sizes, console))
        with console.step(f"{sizes.fresh} new models, {sizes.rounds} times, and once with a profile"):
            await new_models.measure(here, found)
        with console.step(f"{sizes.fresh} plain Deployments, {sizes.rounds} times"):
            await plain.measure(here, found)
        with console.step(f"{sizes.models} models with {sizes.models * sizes.versions} versions"):
            place = await _populate(here)
        with console.step(f"{sizes.rounds} starts"):
            _starts(here, found)
        with started(here.operator) as (running, _):
            with console.step(f"{sizes.rest_minutes:g} minutes at rest, {sizes.rounds} times"):
                _rest(here, running, found)
            with console.step(f"{sizes.rounds} rollbacks while the registry hangs"):
                await _rollbacks(here, place, found)
    return found


async def _populate(world: World) -> Place:
    """All models serve their last version, as the operator left them two hours ago; then it makes what is missing."""
    sizes, place = world.sizes, world.place(SERVED)
    names = {name: "24h" if number < sizes.rounds else "" for number, name in enumerate(_names(sizes))}
    registry.fill(world.mlflow, await population.served(place, world.past, names, sizes.versions))
    world.console.say("written")
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments"
    with started(world.operator) as (running, _):
        deadline = time.monotonic() + LONGEST_SECONDS
        while (ready := _serving(await world.person.get(path), sizes.versions)) < sizes.models:
            if time.monotonic() > deadline:
                raise SystemExit(f"{ready} of {sizes.models} models serve after {LONGEST_SECONDS} s")
            await asyncio.sleep(2)
        world.console.say("all serve")
        running.quiet(QUIET)
    return place


def _names(sizes: Sizes) -> list[str]:
    return [f"served-{number:04}" for number in range(sizes.models)]


def _serving(deployments: Object, champion: int) -> int:
    """Models whose last version has a pod that is ready."""
    found = (one for one in deployments["items"] if one["metadata"]["name"].endswith(f"-v{champion}"))
    return sum(one.get("status", {}).get("readyReplicas", 0) > 0 for one in found)


def _starts(world: World, found: Found) -> None:
    took = []
    for _ in range(world.sizes.rounds):
        with started(world.operator) as (_, seconds):
            took.append(seconds)
            world.console.say(f"{seconds:.1f} s")
    found.figures.append(figure("start to first decision", took, " s", 20))


def _rest(world: World, running: Running, found: Found) -> None:
    if not running.quiet(QUIET):
        world.console.say("the operator does not come to rest")
    requests = registry.Requests(world.mlflow)
    shares, usual, most = [], [], []
    for _ in range(world.sizes.rounds):
        share, per_tick, memory = _one_rest(world.sizes, running)
        shares.append(share)
        # A slow full read now and then is not what every tick costs: it is told in the details.
        usual.append(statistics.median(per_tick) / max(1.0, world.sizes.registered / MODELS_PER_TICK))
        most.append(max(memory))
        found.details.setdefault("registry calls per tick", []).append(per_tick)
        world.console.say(f"{share:.2f} % of a core, {most[-1]:.0f} MiB")
    found.details["registry requests at rest"] = dict(requests.counted())
    found.figures += [
        figure("CPU at rest", shares, " % of a core", 1),
        figure(f"registry requests per tick and {MODELS_PER_TICK} models", usual, "", 3),
        figure("memory at rest", most, " MiB", 300),
    ]


def _one_rest(sizes: Sizes, running: Running) -> tuple[float, list[float], list[float]]:
    """Percent of a core; calls to the registry in each tick, and the memory after it (MiB)."""
    cpu, began = running.cpu_seconds, time.monotonic()
    calls, memory = [running.registry_calls], [running.memory_mib]
    for _ in range(max(1, round(sizes.rest_minutes * 60 / TICK_SECONDS))):
        time.sleep(TICK_SECONDS)
        calls.append(running.registry_calls)
        memory.append(running.memory_mib)
    share = (running.cpu_seconds - cpu) / (time.monotonic() - began) * 100
    return share, [after - before for before, after in itertools.pairwise(calls)], memory


async def _rollbacks(world: World, place: Place, found: Found) -> None:
    """Each model has something to tell the registry, which does not answer; then models are rolled back."""
    took, names = [], _names(world.sizes)

    async def archive(name: str) -> None:
        await place.person.merge(place.ours("modelversions", f"{name}-v1"), {"spec": {"stage": "Archived"}})

    with hanging(world.mlflow):
        await for_each(names, archive)
        for name in names[: world.sizes.rounds]:
            took.append(await _rollback(place, name))
            world.console.say(f"{took[-1]:.2f} s")
    found.figures.append(figure(f"a rollback while {len(names)} models wait for the registry", took, " s", 1))


async def _rollback(place: Place, name: str) -> float:
    """Seconds from the annotation until the Service selects other pods."""
    path = f"/api/v1/namespaces/{place.namespace}/services"
    alone = f"{path}?fieldSelector=metadata.name%3D{name}"
    listed = await place.person.get(alone)
    (found,), since = listed["items"], listed["metadata"]["resourceVersion"]

    async def moved() -> float:
        async for event in place.person.watch(alone, since):
            if event["object"]["spec"]["selector"] != found["spec"]["selector"]:
                return time.monotonic()
        raise AssertionError("a watch goes on until it is left")

    at = asyncio.create_task(moved())
    began = time.monotonic()
    asked = {"metadata": {"annotations": {"slipway.dev/rollback": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}}
    await place.person.merge(place.ours("registeredmodels", name), asked)
    try:
        return await asyncio.wait_for(at, ROLLBACK_SECONDS) - began
    except TimeoutError:
        return float(ROLLBACK_SECONDS)


def conditions(sizes: Sizes) -> dict[str, Any]:
    """Where and with how much it was measured."""
    return {"cores": os.cpu_count(), "python": sys.version.split()[0], **vars(sizes)}
