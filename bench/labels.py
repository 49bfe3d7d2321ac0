"""A label is moved in MLflow: how long until the import of that version begins, with webhooks and without.

And what the registry is asked while nothing happens, and what is written in the cluster while it is away. The API
server and MLflow are real; there are no nodes, so that no import ends.
"""

import asyncio
import base64
import itertools
import random
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import population
from bench.api import SLIPWAY, Object, for_each
from bench.figures import Found, figure
from bench.population import API_VERSION, Place
from bench.process import QUIET, Running, started
from bench.registry import Registered, fill
from bench.simulation import REGISTRY, SYSTEM, Requests, Simulation, build
from bench.world import Sizes, World, world
from dev.demo.console import Console
from tests.integration.control_plane import ControlPlane
from tests.mlflow_server import MLflowServer, start_mlflow
from tests.ports import free_port

INTERVAL_SECONDS, SOON_SECONDS = 30, 2.0
TICKS = 4
AWAY_INTERVAL_SECONDS = 5  # the shortest: so many sweeps in ten minutes as in an hour at the usual interval
PROGRAMS = ("etcd", "kube-apiserver", "kubectl", "helm")
SERVES = ("deployments", "services", "controllerrevisions", "modelledgers", "poddisruptionbudgets", "replicasets")
WRITES = ("create", "update", "patch", "delete")
SECRET = "between MLflow and the receiver"
SENDS = {  # as docs/webhooks.md asks for
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}


@dataclass(frozen=True)
class Amounts:
    """How much there is of everything."""

    models: int = 200
    versions: int = 10
    moves: int = 10
    away_minutes: float = 10.0


class Plane(Simulation):
    """The API server alone, with the chart's rights and policies."""

    def start(self) -> None:
        """It answers."""
        ControlPlane.start(self)


def measure(amounts: Amounts) -> Found:
    """All figures of one run; everything that was started has ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        return asyncio.run(_measure(Path(folder), amounts))


async def _measure(folder: Path, amounts: Amounts) -> Found:
    found, console, port = Found(), Console(steps=5), free_port()
    receiver = {"SLIPWAY_WEBHOOK_PORT": str(port), "SLIPWAY_WEBHOOK_URL": f"http://127.0.0.1:{port}"}
    moved = 3 * amounts.moves
    sizes = Sizes(models=amounts.models - moved, versions=amounts.versions)
    async with AsyncExitStack() as stack:
        with console.step("an API server and MLflow"):
            plane = Plane(build(*PROGRAMS), folder)
            stack.callback(plane.stop)
            plane.start()
            mlflow = start_mlflow(folder / "mlflow", environment=SENDS)
            stack.callback(mlflow.stop)
            many = {"imports_maxConcurrent": "1000"}
            here = await stack.enter_async_context(world(plane, mlflow, sizes, console, receiver, **many))
        with console.step(f"{amounts.models} models with {amounts.models * amounts.versions} versions"):
            place, names = await _populate(here, amounts, moved)
        with started(here.operator) as (running, _):
            await _serve(here, place)
            running.quiet(QUIET)
            with console.step(f"{amounts.moves} aliases moved with webhooks, {2 * amounts.moves} labels without"):
                await _moves(here, place, names, amounts, found)
            with console.step(f"{TICKS} ticks at rest"):
                _rest(here, running, found)
            with console.step(f"the registry is away for {amounts.away_minutes:g} minutes"):
                await _away(here, running, amounts, found)
    return found


async def _populate(world: World, amounts: Amounts, moved: int) -> tuple[Place, list[str]]:
    """Models that serve where Git decides, and models that wait for a label, whose last version can be imported."""
    place = world.place("labels")
    serve = {f"served-{number:03}": "" for number in range(amounts.models - moved)}
    fill(world.mlflow, await population.served(place, world.past, serve, amounts.versions))
    names = [f"asked-{number:03}" for number in range(moved)]
    fill(world.mlflow, (Registered(name, one, "models:/m-0") for name in names for one in range(1, amounts.versions)))
    for name in names:
        _log(world.mlflow, name)

    async def follow(name: str) -> None:
        spec = {"promotion": {"source": "Registry"}}
        one = {"apiVersion": API_VERSION, "kind": "RegisteredModel", "metadata": {"name": name}, "spec": spec}
        await place.person.create(place.ours("registeredmodels"), one)

    await for_each(names, follow)
    return place, names


def _log(server: MLflowServer, name: str) -> None:
    """One more version, with an MLmodel file: it is resolved, and its import begins."""
    run = server.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    made = server.post("logged-models", experiment_id="0", name="m", source_run_id=run)["model"]["info"]
    mlmodel = {"flavors": {"python_function": {}}, "mlflow_version": "3.17.2", "model_size_bytes": 10}
    server.upload(made["artifact_uri"], "MLmodel", yaml.safe_dump(mlmodel).encode())
    source = f"models:/{made['model_id']}"
    server.post("model-versions/create", name=name, source=source, run_id=run, model_id=made["model_id"])


async def _serve(world: World, place: Place) -> None:
    """There are no nodes: somebody says of each Deployment that its pods are ready."""
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments"
    deadline = time.monotonic() + 300
    while len(found := (await place.person.get(path))["items"]) < world.sizes.models:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(found)} Deployments are there")
        await asyncio.sleep(1)

    async def ready(one: Object) -> None:
        pods = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
        status = {"observedGeneration": one["metadata"]["generation"], **pods}
        await place.person.merge(f"{path}/{one['metadata']['name']}/status", {"status": status})

    await for_each(found, ready)


async def _moves(world: World, place: Place, names: list[str], amounts: Amounts, found: Found) -> None:
    """With webhooks one after the other; then, without, at moments that have nothing to do with the sweeps."""
    by_hook, by_alias, by_stage = (names[one::3] for one in range(3))
    await _set_webhook(world, on=True)
    took = await _imports(world, place, [(name, "alias") for name in by_hook], amounts, 3.0, found)
    found.figures.append(figure("alias to ImportRunning, with webhooks", took, " s", SOON_SECONDS))
    await _set_webhook(world, on=False)
    spread = 2 * INTERVAL_SECONDS / len(by_alias + by_stage)
    moves = [*((name, "alias") for name in by_alias), *((name, "stage") for name in by_stage)]
    random.shuffle(moves)
    took = await _imports(world, place, moves, amounts, spread, found)
    found.figures.append(figure("label to ImportRunning, without", took, " s", INTERVAL_SECONDS + SOON_SECONDS))


async def _set_webhook(world: World, on: bool) -> None:
    """The ModelRegistry asks for webhooks, and one on trial has arrived; or there is none any more."""
    meta = {"name": "hooks", "namespace": SYSTEM, "labels": {"slipway.dev/registry": ""}}
    data = {"secret": base64.b64encode(SECRET.encode()).decode()}
    world.simulation.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    path = f"{SLIPWAY}/namespaces/{SYSTEM}/modelregistries/{REGISTRY}"
    await world.person.merge(path, {"spec": {"webhook": {"secretRef": {"name": "hooks"}} if on else None}})
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        said = (await world.person.get(path)).get("status", {}).get("conditions", [])
        reasons = [one["reason"] for one in said if one["type"] == "Notified"]
        if reasons == (["WebhookHeard"] if on else []):
            return
        await asyncio.sleep(0.2)
    raise SystemExit(f"after three minutes the registry's webhook is {reasons or 'not told of'}")


async def _imports(
    world: World, place: Place, moves: list[tuple[str, str]], amounts: Amounts, spread_seconds: float, found: Found
) -> list[float]:
    """Move the labels, so far apart; seconds from each request to MLflow until the status says ImportRunning."""
    path, began, made, ended = place.ours("modelversions"), dict[str, float](), dict[str, float](), dict[str, float]()
    listed = await place.person.get(f"{path}?limit=1")

    async def watch() -> None:
        async for event in place.person.watch(path, listed["metadata"]["resourceVersion"]):
            said = event["object"].get("status", {}).get("conditions", [])
            name = event["object"]["spec"]["model"]
            made.setdefault(name, time.monotonic())
            if name in began and any(one["reason"] == "ImportRunning" for one in said):
                ended.setdefault(name, time.monotonic())
            if len(ended) == len(moves):
                return

    watching = asyncio.create_task(watch())
    for name, label in moves:
        await asyncio.sleep(spread_seconds * random.uniform(0.5, 1.5))
        began[name] = time.monotonic()
        await asyncio.to_thread(_move, world.mlflow, name, label, amounts.versions)
    await asyncio.wait_for(watching, 120)
    took = [ended[name] - began[name] for name in began]
    world.console.say(", ".join(f"{one:.2f}" for one in took) + " s")
    found.details[f"seconds until {len(moves)} ModelVersions were made"] = [made[one] - began[one] for one in began]
    return took


def _move(server: MLflowServer, name: str, label: str, version: int) -> None:
    if label == "alias":
        server.post("registered-models/alias", name=name, alias="champion", version=str(version))
    else:
        moved: dict[str, Any] = {"stage": "Production", "archive_existing_versions": False}
        server.post("model-versions/transition-stage", name=name, version=str(version), **moved)


def _rest(world: World, running: Running, found: Found) -> None:
    running.quiet(QUIET)
    calls = [running.registry_calls]
    for _ in range(TICKS):
        time.sleep(INTERVAL_SECONDS)
        calls.append(running.registry_calls)
    per_tick = [after - before for before, after in itertools.pairwise(calls)]
    found.details["registry calls per tick"] = per_tick
    # The interval is jittered: some ticks hold two sweeps, others none.
    found.figures.append(figure("registry requests per tick at rest", sum(per_tick) / TICKS, "", 3))


async def _away(world: World, running: Running, amounts: Amounts, found: Found) -> None:
    """MLflow's processes end; the operator goes on asking, at short intervals."""
    path = f"{SLIPWAY}/namespaces/{SYSTEM}/modelregistries/{REGISTRY}"
    await world.person.merge(path, {"spec": {"sync": {"interval": f"{AWAY_INTERVAL_SECONDS}s"}}})
    running.quiet(QUIET)
    requests, labels = Requests(world.simulation.audit), 'operation="registered-models/search",result="unreachable"'
    world.mlflow.stop()
    await asyncio.sleep(amounts.away_minutes * 60)
    wrote = {what: count for what, count in requests.counted().items() if what.split("/")[0] in WRITES}
    serving = sum(count for what, count in wrote.items() if what.split("/")[1] in SERVES)
    found.details["writes while the registry is away"] = wrote
    found.figures += [
        figure("sweeps that found nobody", running.metric("slipway_registry_calls_total", labels)),
        figure("writes to what serves meanwhile", serving, "", 0),
    ]
