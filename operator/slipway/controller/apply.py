"""Carry a Decision out, in the order of its fields: objects, replicas, retirements, registry, status, events.

What was applied and has not changed since is not applied again until its turn comes, at a jittered interval: a no-op
apply changes nothing, so drift that nobody reported is mended without comparing defaults.
"""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..adapters.cluster import DEPLOYMENT, SERVICE, Cluster, Kind, Object, kind_of
from ..adapters.errors import NotFound, Occupied
from ..api.base import API_VERSION
from ..core.decision import Decision, Event
from ..resources import naming
from .cache import Cache
from .telemetry import Telemetry

REAPPLY_SECONDS = 600.0


class Applier:
    """Writes to the cluster, and into the cache what the API server made of it."""

    def __init__(self, cluster: Cluster, cache: Cache, telemetry: Telemetry) -> None:
        self._cluster, self._cache, self._telemetry = cluster, cache, telemetry
        self._applied: dict[tuple[str, str, str], tuple[str, str, float]] = {}

    async def objects(self, decision: Decision) -> None:
        """What the decision wants of the cluster is so."""
        for manifest in decision.ensure:
            await self._ensure(manifest)
        for scale in decision.scale:
            self._count("scale")
            ref = scale.deployment
            await self._cluster.scale(kind_of(_manifest(ref)), ref.namespace, ref.name, scale.replicas)
        for retire in decision.retire:
            self._count("retire")
            ref = retire.what
            kind = kind_of(_manifest(ref))
            await self._cluster.delete(kind, ref.namespace, ref.name)
            self._cache.remove(kind, ref.namespace, ref.name)
            self._applied.pop((ref.kind, ref.namespace, ref.name), None)

    async def status(self, found: Object, status: dict[str, Any]) -> bool:
        """The object's status is this; True if it had to be written."""
        if found.get("status") == status:
            return False
        meta = found["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": found["kind"],
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": status,
        }
        self._count("status")
        written = await self._cluster.apply(body, "status")
        self._cache.put(kind_of(body), written)
        return True

    async def events(self, about: Object, events: tuple[Event, ...]) -> None:
        """People are told; an Event that cannot be written is not worth a failed pass."""
        meta = about["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for event in events:
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
                "involvedObject": {
                    "apiVersion": about["apiVersion"],
                    "kind": about["kind"],
                    "name": meta["name"],
                    "namespace": meta["namespace"],
                    "uid": meta["uid"],
                },
                "type": event.type,
                "reason": event.reason,
                "message": event.message[:1000],
                "source": {"component": "slipway"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
            await self._cluster.create(body)

    async def _ensure(self, manifest: Mapping[str, Any]) -> None:
        meta = manifest["metadata"]
        kind = kind_of(manifest)
        key = (kind.kind, meta["namespace"], meta["name"])
        wanted = naming.short_hash(manifest)
        known = self._cache.get(kind, meta["namespace"], meta["name"])
        before = self._applied.get(key)
        unchanged = before is not None and known is not None and before[:2] == (wanted, _mark(known))
        same = before is not None and before[0] == wanted and (unchanged or kind.kind == "Secret")
        if same and before is not None and time.monotonic() < before[2]:
            return
        if kind.kind == "Job" and known is not None:
            return  # a Job's template never changes: it is there, or it is made
        if known is None and kind in (SERVICE, DEPLOYMENT):
            await self._unoccupied(kind, manifest)
        self._count("ensure")
        written = await self._cluster.apply(manifest)
        if kind.kind != "Secret":
            self._cache.put(kind, written)
        again = time.monotonic() + REAPPLY_SECONDS * random.uniform(0.8, 1.2)
        self._applied[key] = (wanted, _mark(written), again)

    async def _unoccupied(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Nobody else's object has that name: an apply would take it over, and its traffic with it."""
        meta = manifest["metadata"]
        try:
            there = (await self._cluster.get(kind, meta["namespace"], meta["name"]))["metadata"]
        except NotFound:
            return
        owners = {one["uid"] for one in meta["ownerReferences"]}
        if not owners & {one.get("uid") for one in there.get("ownerReferences") or []}:
            raise Occupied(f"A {kind.kind} {meta['namespace']}/{meta['name']} is there that Slipway did not make.")

    def _count(self, verb: str) -> None:
        self._telemetry.actions.labels(verb).inc()


def _mark(found: Mapping[str, Any]) -> str:
    """What changes when the desired state of the object does, and not when somebody scales it: apply does not."""
    meta = found["metadata"]
    if found["kind"] == DEPLOYMENT.kind:
        return f"{meta['uid']}/{naming.short_hash({**found['spec'], 'replicas': None})}"
    return f"{meta['uid']}/{meta.get('generation') or meta['resourceVersion']}"


def _manifest(ref: Any) -> dict[str, str]:
    return {"apiVersion": ref.api_version, "kind": ref.kind}
