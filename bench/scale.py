"""The operator with thousands of versions, on simulated nodes: at rest, with a hanging registry, with many new models.

The API server, the scheduler, the controllers and MLflow are real; only kubelets and their pods are simulated.
"""

import asyncio
import itertools
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from slipway import settings

from bench import population, registry
from bench.api import Api, Object, connected, for_each
from bench.figures import Figure, figure
from bench.population import Place
from bench.process import Running, started
from bench.proven import Past
from bench.registry import hanging
from bench.simulation import REGISTRY, SYSTEM, Requests, Simulation, build
from dev.demo.console import Console
from tests.integration.control_plane import Operator
from tests.mlflow_server import MLflowServer, start_mlflow

TICK_SECONDS = 30  # of the registry's polls
MODELS_PER_TICK = 200
LONGEST_SECONDS = 600
SERVED = "served"
STEPS = 6


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything."""

    models: int = 1000
    versions: int = 10
    fresh: int = 300
    rounds: int = 5
    rest_minutes: float = 5.5


@dataclass
class Found:
    """Figures, and what explains them."""

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    profile: str = ""


@dataclass(frozen=True)
class World:
    """Everything that runs, and who talks to it."""

    simulation: Simulation
    mlflow: MLflowServer
    operator: Operator
    person: Api
    account: Api
    past: Past
    sizes: Sizes
    console: Console

    def place(self, name: str) -> Place:
        """A namespace for models."""
        self.simulation.apply(population.namespace(name))
        return Place(name, self.person, self.account)


def measure(sizes: Sizes, logs: Path) -> Found:
    """All figures of one run; everything that was started has ended afterwards."""
    console = Console(STEPS)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        with _logs(folder, logs), _running(folder, console) as parts:
            return asyncio.run(_measure(*parts, sizes, console))


@contextmanager
def _logs(folder: Path, to: Path) -> Iterator[None]:
    """What the programs said is kept where a run breaks."""
    try:
        yield
    except BaseException:
        to.mkdir(parents=True, exist_ok=True)
        for log in (*folder.glob("*.log"), *folder.glob("mlflow/*.log")):
            shutil.copy(log, to / log.name)
        print(f"\nlogs: {to}", flush=True)
        raise


@contextmanager
def _running(folder: Path, console: Console) -> Iterator[tuple[Simulation, MLflowServer]]:
    with console.step("a control plane with simulated nodes, and MLflow"):
        simulation = Simulation(build(), folder)
        server = None
        try:
            simulation.start()
            server = start_mlflow(folder / "mlflow")
        except BaseException:
            simulation.stop()
            raise
    try:
        yield simulation, server
    finally:
        server.stop()
        simulation.stop()


async def _measure(simulation: Simulation, mlflow: MLflowServer, sizes: Sizes, console: Console) -> Found:
    found, url = Found(), simulation.url
    names = {"defaultRegistry_name": REGISTRY, "defaultRegistry_namespace": SYSTEM, "registries_namespaces[0]": SYSTEM}
    # Twice as often as by default: a complete list falls into the time of rest.
    config = simulation.install(clusterName="bench", relistInterval="5m", **names)
    simulation.apply(population.registry(mlflow.uri))
    token = simulation.token()
    kubeconfig = simulation.folder / "operator.kubeconfig"
    kubeconfig.write_text(simulation.config(token))
    operator = Operator(simulation.folder, kubeconfig, config, TZ="UTC")
    platform = settings.load({"SLIPWAY_CONFIG": str(simulation.folder / "config.yaml"), "SLIPWAY_NAMESPACE": SYSTEM})
    async with connected(url, simulation.admin) as person, connected(url, token) as account:
        resource = await person.get(f"/apis/slipway.dev/v1alpha1/namespaces/{SYSTEM}/modelregistries/{REGISTRY}")
        past = Past(platform, resource | {"kind": "ModelRegistry"})
        world = World(simulation, mlflow, operator, person, account, past, sizes, console)
        with console.step(f"{sizes.fresh} new models, {sizes.rounds} times, and once with a profile"):
            await _new_models(world, found)
        with console.step(f"{sizes.models} models with {sizes.models * sizes.versions} versions"):
            place = await _populate(world)
        with console.step(f"{sizes.rounds} starts"):
            _starts(world, found)
        with started(operator) as (running, _):
            with console.step(f"{sizes.rest_minutes:g} minutes at rest"):
                _rest(world, running, found)
            with console.step(f"{sizes.rounds} rollbacks while the registry hangs"):
                await _rollbacks(world, place, found)
    return found


async def _new_models(world: World, found: Found) -> None:
    sizes = world.sizes
    took, asked, cpu = [], [], []
    for number in range(sizes.rounds):
        seconds, requests, used = await _round(world, number)
        took.append(seconds)
        asked.append(sum(requests.values()) / sizes.fresh)
        cpu.append(used * 1000 / sizes.fresh)
        world.console.say(f"{seconds:.1f} s, {asked[-1]:.1f} requests and {cpu[-1]:.1f} ms of CPU each")
        found.details["requests of new models"] = {key: round(n / sizes.fresh, 2) for key, n in requests.items()}
    file = world.simulation.folder / "profile"
    await _round(world, sizes.rounds, file)
    found.profile = _told(file)
    of = f"{sizes.fresh} new models to healthy"
    found.figures += [
        figure(of, took, " s", 13.5),
        figure(f"{of}: requests of the operator each, without Events and Leases", asked, "", 11.3),
        figure(f"{of}: CPU of the operator each", cpu, " ms", 13),
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
        running.quiet(0.1)
        requests, before, began = Requests(world.simulation.audit), running.cpu_seconds, time.monotonic()
        healthy = asyncio.create_task(_healthy(place, len(names)))

        async def create(name: str) -> None:
            await place.person.create(place.ours("registeredmodels"), population.model(name))

        await for_each(names, create)
        await asyncio.wait_for(healthy, LONGEST_SECONDS)
        seconds = time.monotonic() - began
        running.quiet(0.1)
        counted, used = requests.counted(), running.cpu_seconds - before
    world.simulation.kubectl("delete", "namespace", place.namespace, "--timeout=120s")
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


async def _populate(world: World) -> Place:
    """All models serve their last version, as the operator left them two hours ago; then it makes what is missing."""
    sizes, place = world.sizes, world.place(SERVED)
    names = {f"served-{one:04}": "24h" if one < sizes.rounds else "" for one in range(sizes.models)}
    registry.fill(world.mlflow, await population.served(place, world.past, names, sizes.versions))
    world.console.say("written")
    with started(world.operator) as (running, _):
        selector = f"{place.ours('registeredmodels')}?limit=2000"
        deadline = time.monotonic() + LONGEST_SECONDS
        while (ready := _serving(await world.person.get(selector))) < sizes.models:
            if time.monotonic() > deadline:
                raise SystemExit(f"{ready} of {sizes.models} models serve after {LONGEST_SECONDS} s")
            await asyncio.sleep(2)
        world.console.say("all serve")
        running.quiet(0.1)
    return place


def _serving(models: Object) -> int:
    """Models whose champion has a pod that is ready."""
    live = (one.get("status", {}).get("champion") or {} for one in models["items"])
    return sum(one.get("ready") == "1/1" for one in live)


def _starts(world: World, found: Found) -> None:
    took = []
    for _ in range(world.sizes.rounds):
        with started(world.operator) as (_, seconds):
            took.append(seconds)
            world.console.say(f"{seconds:.1f} s")
    found.figures.append(figure("start to first decision", took, " s", 20))


def _rest(world: World, running: Running, found: Found) -> None:
    if not running.quiet(0.1):
        world.console.say("the operator does not come to rest")
    requests, cpu, began = registry.Requests(world.mlflow), running.cpu_seconds, time.monotonic()
    calls, memory = [running.registry_calls], [running.memory_mib]
    for _ in range(max(1, round(world.sizes.rest_minutes * 60 / TICK_SECONDS))):
        time.sleep(TICK_SECONDS)
        calls.append(running.registry_calls)
        memory.append(running.memory_mib)
    share = (running.cpu_seconds - cpu) / (time.monotonic() - began) * 100
    per_tick = [after - before for before, after in itertools.pairwise(calls)]
    hundreds = max(1.0, world.sizes.models / MODELS_PER_TICK)
    found.details["registry requests at rest"] = dict(requests.counted())
    found.details["registry calls per tick"] = per_tick
    found.details["memory at rest, MiB"] = [round(one, 1) for one in memory]
    usual = sorted(per_tick)[len(per_tick) // 2]  # a slow full read now and then is told in the details
    found.figures += [
        figure("CPU at rest, a complete list included", share, " % of a core", 1),
        figure(f"registry requests per tick and {MODELS_PER_TICK} models", usual / hundreds, "", 3),
        figure("memory at rest, at most", max(memory), " MiB", 300),
    ]


async def _rollbacks(world: World, place: Place, found: Found) -> None:
    """Each model has something to tell the registry, which does not answer; then models are rolled back."""
    took = []
    names = [f"served-{one:04}" for one in range(world.sizes.models)]

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
    found = await place.person.get(f"{path}/{name}")
    selector, since = found["spec"]["selector"], found["metadata"]["resourceVersion"]

    async def moved() -> float:
        async for event in place.person.watch(f"{path}?fieldSelector=metadata.name%3D{name}", since):
            if event["object"].get("spec", {}).get("selector", selector) != selector:
                break
        return time.monotonic()

    at = asyncio.create_task(moved())
    began = time.monotonic()
    asked = {"metadata": {"annotations": {"slipway.dev/rollback": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}}
    await place.person.merge(place.ours("registeredmodels", name), asked)
    try:
        return await asyncio.wait_for(at, LONGEST_SECONDS) - began
    except TimeoutError:
        return float(LONGEST_SECONDS)


def _told(file: Path) -> str:
    """Where the operator's time went: the functions that took most of it themselves."""
    text = StringIO()
    stats = pstats.Stats(str(file), stream=text)
    stats.strip_dirs().sort_stats("tottime").print_stats(40)
    stats.sort_stats("cumulative").print_stats("slipway|reconcile|observe|apply|watch|cluster|mlflow|lifecycle", 40)
    return text.getvalue()


def conditions(sizes: Sizes) -> dict[str, Any]:
    """Where and with how much it was measured."""
    return {"cores": os.cpu_count(), "python": sys.version.split()[0], **vars(sizes)}
