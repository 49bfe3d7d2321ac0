"""The same pods without an operator: a Deployment and a Service each, applied by a person. What the machine can do."""

import asyncio
import time

from bench.api import Object, for_each
from bench.figures import Found, figure
from bench.population import Place
from bench.world import World

LONGEST_SECONDS = 600


async def measure(world: World, found: Found) -> None:
    """Several rounds, each in an empty namespace: from the first apply until the last pod is ready."""
    took, names = [], [f"plain-{number:03}" for number in range(world.sizes.fresh)]
    for number in range(world.sizes.rounds):
        place = world.place(f"plain-{number}")

        async def apply(name: str, place: Place = place) -> None:
            for path, manifest in _manifests(place.namespace, name).items():
                await place.person.apply(path, manifest, manager="person")

        began = time.monotonic()
        ready = asyncio.create_task(_ready(place, len(names)))
        await for_each(names, apply)
        await asyncio.wait_for(ready, LONGEST_SECONDS)
        took.append(time.monotonic() - began)
        world.console.say(f"{took[-1]:.1f} s")
        world.simulation.kubectl("delete", "namespace", place.namespace, "--timeout=180s")
    found.figures.append(figure(f"{len(names)} plain Deployments with a Service to ready", took, " s"))


def _manifests(namespace: str, name: str) -> dict[str, Object]:
    """By path: a Deployment of one pod, and its Service."""
    meta, labels = {"name": name, "namespace": namespace}, {"app": name}
    pod = {"containers": [{"name": "serve", "image": "example.com/serve:1", "ports": [{"containerPort": 8080}]}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec,
        },
        f"/api/v1/namespaces/{namespace}/services/{name}": {
            "apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": ports},
        },
    }  # fmt: skip


async def _ready(place: Place, wanted: int) -> None:
    """So many Deployments have their pod."""
    path, ready = f"/apis/apps/v1/namespaces/{place.namespace}/deployments", set[str]()
    listed = await place.person.get(path)
    async for event in place.person.watch(path, listed["metadata"]["resourceVersion"]):
        if event["object"].get("status", {}).get("readyReplicas"):
            ready.add(event["object"]["metadata"]["name"])
        if len(ready) == wanted:
            return
