"""Carry a Decision out: its acts in their order, past what the API server refuses; then status and events.

What was applied and has not changed since is not applied again. A status that a pass wrote does not wake its own key:
it is the last that a pass does, and holds nothing that the pass does not know.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..adapters.cluster import (
    BUDGET,
    DEPLOYMENT,
    DISCOVERY,
    JOB,
    LEDGER,
    SECRET,
    SERVICE,
    Cluster,
    Kind,
    Object,
    kind_of,
)
from ..adapters.errors import Conflict, NotFound, Occupied, Rejected, TakenInHand
from ..api import names
from ..api.base import API_VERSION
from ..core.decision import Act, Create, Decision, Delete, Event, Ref
from ..core.statuses import fit
from ..resources import naming
from .cache import Cache
from .identity import uid_of
from .queue import Key
from .refusals import Refusals, refusal_of
from .telemetry import Telemetry

REMEMBERED = 50_000  # objects, of which it is known what was applied last


class Applier:
    """Writes to the cluster, and into the cache what the API server made of it."""

    def __init__(self, cluster: Cluster, cache: Cache, refusals: Refusals, telemetry: Telemetry) -> None:
        self._cluster, self._cache, self._refusals, self._telemetry = cluster, cache, refusals, telemetry
        self._applied: OrderedDict[Ref, tuple[str, str]] = OrderedDict()

    async def carry_out(self, key: Key, decision: Decision) -> bool:
        """The acts are done, or refused; True if the next decision has something new to look at.

        An act that needs a refused one is left out, and so is everything behind a refused ledger. Errors other than
        a refusal end the pass.
        """
        refused: set[Ref] = set()
        news = False
        for act in decision.acts:
            if not isinstance(act, Delete) and act.needs in refused:
                continue
            ref = act.what if isinstance(act, Delete) else Ref.of(act.manifest)
            asked = "" if isinstance(act, Delete) else naming.short_hash(act.manifest)
            if self._refusals.standing(key, ref, asked):
                refused.add(ref)
            else:
                try:
                    news |= await self._do(act, asked)
                except Rejected as error:
                    refused.add(ref)
                    refusal = refusal_of(ref, error)
                    self._telemetry.refusals.labels(refusal.reason).inc()
                    news |= self._refusals.note(key, refusal, asked)
            if ref in refused and ref.kind == LEDGER.kind:
                break
        return self._refusals.keep(key, refused) or news

    async def _do(self, act: Act, asked: str) -> bool:
        if isinstance(act, Delete):
            await self._retire(act.what)
            return False
        if isinstance(act, Create):
            return await self._make(act.manifest)
        if act.rank == "ledger":
            await self._ledger(act.manifest)
            return True
        await self._ensure(act.manifest, asked)
        return False

    async def _retire(self, ref: Ref) -> None:
        """Just the object that was seen goes; one that has its name by now is looked at first."""
        kind = kind_of(_manifest(ref))
        known = self._cache.get(kind, ref.namespace, ref.name)
        if known is not None:
            self._count("retire")
            await self._cluster.delete(kind, ref.namespace, ref.name, uid_of(known))
            self._cache.remove(kind, ref.namespace, ref.name, uid_of(known))
        self._applied.pop(ref, None)

    async def _ledger(self, manifest: Mapping[str, Any]) -> None:
        """The ledger replaces just the one that was seen; anything else is a Conflict."""
        self._count("ledger")
        first = "resourceVersion" not in manifest["metadata"]
        written = await (self._cluster.create(manifest) if first else self._cluster.update(manifest))
        self._cache.put(LEDGER, written)

    async def status(self, key: Key, found: Object, status: dict[str, Any]) -> bool:
        """The object's status is this; True if it had to be written. Conflict if the object is another one by now."""
        status = fit(status)
        if found.get("status") == status:
            return False
        meta = found["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": found["kind"],
            "metadata": {key: meta[key] for key in ("name", "namespace", "resourceVersion")},
            "status": status,
        }
        self._count("status")
        written = await self._cluster.apply(body, "status")
        self._cache.put(kind_of(body), written, key)
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

    async def _ensure(self, manifest: Mapping[str, Any], asked: str) -> None:
        meta = manifest["metadata"]
        kind, ref = kind_of(manifest), Ref.of(manifest)
        known = self._cache.get(kind, meta["namespace"], meta["name"])
        if known is None and kind in (SERVICE, DEPLOYMENT, BUDGET):
            known = await self._there(kind, meta)
        if known is not None:
            _check_owner(kind, manifest, known)
            _check_glass(kind, known)
        if kind is JOB and known is not None:
            return  # a Job's template never changes: it is there, or it is made
        mark = _mark(known) if known is not None else ""
        if self._applied.get(ref) == (asked, mark) and (known is not None or kind is SECRET):
            return
        self._count("ensure")
        written = await self._cluster.apply(manifest)
        if kind is not SECRET:
            self._cache.put(kind, written)
        self._applied[ref] = (asked, _mark(written) if kind is not SECRET else "")
        self._applied.move_to_end(ref)
        while len(self._applied) > REMEMBERED:
            self._applied.popitem(last=False)

    async def _make(self, manifest: Mapping[str, Any]) -> bool:
        """An object where there is none; one that is there stays as it is. True if the cache had none."""
        kind, meta = kind_of(manifest), manifest["metadata"]
        if self._cache.get(kind, meta["namespace"], meta["name"]) is not None:
            return False
        there = await self._there(kind, meta)
        if there is None:
            self._count("ensure")
            try:
                there = await self._cluster.apply(manifest, by=DISCOVERY, force=False)
            except Conflict:  # it came a moment ago
                return False
        return self._cache.put(kind, there)

    async def _there(self, kind: Kind, meta: Mapping[str, Any]) -> Object | None:
        """An object that lacks our labels is not in the cache."""
        try:
            return await self._cluster.get(kind, meta["namespace"], meta["name"])
        except NotFound:
            return None

    def _count(self, verb: str) -> None:
        self._telemetry.actions.labels(verb).inc()


def _check_owner(kind: Kind, manifest: Mapping[str, Any], known: Object) -> None:
    """Nobody else's object has that name: an apply would take it over, and its traffic with it."""
    wanted = {one["uid"] for one in manifest["metadata"].get("ownerReferences", [])}
    there = {one.get("uid") for one in known["metadata"].get("ownerReferences") or []}
    if wanted and not wanted & there:
        meta = manifest["metadata"]
        raise Occupied(f"a {kind.kind} {meta['namespace']}/{meta['name']} is there that Slipway did not make")


def _check_glass(kind: Kind, known: Object) -> None:
    """What a person holds is not written over: they have said why, and the API server has checked that they may."""
    meta = known["metadata"]
    if why := (meta.get("annotations") or {}).get(names.BREAK_GLASS):
        raise TakenInHand(f"{kind.kind} {meta['namespace']}/{meta['name']} is in a person's hands: {why[:200]}")


def _mark(found: Mapping[str, Any]) -> str:
    """What changes whenever somebody changes the desired state of an object."""
    meta = found["metadata"]
    return f"{meta['uid']}/{meta.get('generation') or meta['resourceVersion']}"


def _manifest(ref: Ref) -> dict[str, str]:
    return {"apiVersion": ref.api_version, "kind": ref.kind}
