"""An API server to list, objects to see, and who is woken by them: for tests of the watch."""

from collections.abc import AsyncIterator
from typing import Any

from slipway.adapters.cluster import VERSION, Kind
from slipway.adapters.errors import AdapterError, Expired
from slipway.controller.queue import Key, Lane

Object = dict[str, Any]
USUAL, URGENT, COMMAND = Lane.USUAL, Lane.URGENT, Lane.COMMAND
T = "2026-03-06T17:00:00Z"


class Cluster:
    """An API server that lists what it is told to hold, two objects a page, unless it fails for that kind."""

    def __init__(self) -> None:
        self.holds: dict[Kind, list[Object]] = {}
        self.fails: dict[Kind, list[AdapterError]] = {}  # one for each time that a second page, or any, is asked for
        self.read: list[str] = []  # objects that were asked for by name

    async def every(self, kind: Kind, namespace: str, fields: str) -> list[Object]:
        name = fields.removeprefix("metadata.name=")
        self.read.append(name)
        held = [one for one in self.holds.get(kind, []) if one["metadata"]["name"] == name]
        return [one for one in held if one["metadata"].get("namespace", "") == namespace]

    async def heads(self, kind: Kind, namespace: str = "") -> AsyncIterator[list[Object]]:
        async for page in self.pages(kind, namespace):
            yield [{"metadata": one["metadata"]} for one in page]

    async def pages(self, kind: Kind, namespace: str = "") -> AsyncIterator[list[Object]]:
        held = [one for one in self.holds.get(kind, []) if namespace in ("", one["metadata"].get("namespace", ""))]
        failures = self.fails.get(kind, [])
        if failures and not isinstance(failures[0], Expired):
            raise failures.pop(0)
        for at in range(0, max(1, len(held)), 2):
            if at and failures:
                raise failures.pop(0)
            yield held[at : at + 2]


class Woken(dict[str, Lane]):
    """Keys by `reconciler name`, and the lane by which they come."""

    def __call__(self, key: Key, *, lane: Lane = USUAL) -> None:
        self[f"{key.reconciler} {key.name}"] = max(lane, self.get(f"{key.reconciler} {key.name}", USUAL))


def thing(kind: Kind, name: str, version: int = 1, **more: Any) -> Object:
    """An object of the namespace `ml`; `labels` and `annotations` go into its metadata."""
    meta = {"name": name, "namespace": "ml", "uid": f"{name}-uid", "resourceVersion": str(version)}
    meta |= {key: more.pop(key) for key in ("labels", "annotations", "namespace") if key in more}
    if kind is VERSION:
        more["spec"] = {"model": "flights", "version": int(name.rpartition("-v")[2])} | more.get("spec", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": {}, **more}
