"""One pass: observe, decide, carry out, write the status. The only place that knows all three reconcilers."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..adapters.cluster import LEDGER, MODEL, REGISTRY, VERSION, Kind, Object, kind_of
from ..adapters.errors import AdapterError, Rejected
from ..api import names
from ..api.modelregistry import ModelRegistry
from ..core import lifecycle, promotion, registries
from ..core.conditions import Verdict, clipped, conditions_after, failed
from ..core.decision import Decision, Document, Event
from ..core.reasons import Reason, reason_named
from ..core.registry import RegistryState, Silent, Write
from ..logs import about
from .apply import Applier
from .cache import Cache, Unreadable, readable
from .identity import registry_place
from .observe import Observer
from .pace import Pace
from .queue import Key
from .refusals import Refusals
from .slots import Slots
from .telemetry import Telemetry

log = logging.getLogger("slipway")
UNREADABLE_SECONDS = 60.0  # until a version looks again whether its model can be read
LOOKS = 3  # what a look did is seen by the next: a ledger that was written, a refusal
KINDS: dict[str, Kind] = {"version": VERSION, "model": MODEL, "registry": REGISTRY}


class Hands(NamedTuple):
    """What a pass hands on, to be done in its own time."""

    label: Callable[[Key, tuple[str, str], str, tuple[Write, ...]], None]  # labels of a registered model
    keep: Callable[[tuple[str, str], Document], None]  # a document in a registry
    wake: Callable[[Key], None]
    forget: Callable[[Key], None]  # a model that is gone
    tell: Callable[[Mapping[str, Any], Object], None] = lambda before, now: None  # the status before; the object now


class Reconciler:
    """Passes over versions, models and registries."""

    def __init__(
        self,
        cache: Cache,
        observer: Observer,
        applier: Applier,
        refusals: Refusals,
        slots: Slots,
        hands: Hands,
        registry_state: Callable[[tuple[str, str]], RegistryState | None],
        telemetry: Telemetry,
        pace: Pace | None = None,
        serves: Callable[[str], bool] = lambda _: True,
        notified: Callable[[ModelRegistry], Verdict | None] = lambda _: None,
    ) -> None:
        self._cache, self._observer, self._applier = cache, observer, applier
        self._refusals, self._slots, self._hands = refusals, slots, hands
        self._registry_state, self._telemetry, self._pace = registry_state, telemetry, pace or Pace()
        self._serves = serves  # whether the operator may act in a namespace
        self._notified = notified  # whether a registry's webhooks arrive

    async def __call__(self, key: Key) -> float | None:
        """One pass over a key; seconds until the next one, None if nothing but a change asks for it."""
        found = self._cache.get(KINDS[key.reconciler], key.namespace, key.name)
        served = key.reconciler == "registry" or self._serves(key.namespace)  # its label wakes what is in it
        if found is None or found["metadata"].get("deletionTimestamp") or not served:
            self._forget(key)
            return None
        if key.reconciler == "version":
            return await self._version(key, found)
        if key.reconciler == "model":
            return await self._model(key, found)
        return await self._registry(key, found)

    def _forget(self, key: Key) -> None:
        self._pace.forget(key)
        self._refusals.forget(key)
        if key.reconciler == "model":
            self._hands.forget(key)
        if key.reconciler == "version":
            self._observer.forget(key)
            self._wake(self._slots.leave(key))

    async def _version(self, key: Key, found: Object) -> float | None:
        for _ in range(LOOKS):
            seen = await self._observer.version(key.namespace, key.name)
            if seen is None:
                return None
            if isinstance(seen, Unreadable):
                self._wake(self._slots.leave(key))
                if seen.kind is VERSION:
                    return await self._tell(key, found, _unreadable(found, seen))
                if (found.get("status") or {}).get("conditions"):  # they stay true of it, as far as anybody can say
                    return UNREADABLE_SECONDS
                return soonest(UNREADABLE_SECONDS, await self._tell(key, found, _unreadable(found, seen)))
            decision = lifecycle.decide(replace(seen, places=self._slots.look(key)))
            self._wake(self._slots.settle(key, decision.queues))
            registry = seen.registry
            if not await self._applier.carry_out(key, decision):
                break
        if not isinstance(registry, Silent):
            for document in decision.documents:  # first: the next pass has none, if the answer to the status gets lost
                self._hands.keep(registry_place(registry), document)
        again = await self._tell(key, found, decision)
        return soonest(decision.requeue_after_seconds, again, self._refusals.again_seconds(key))

    async def _model(self, key: Key, found: Object) -> float | None:
        """Look, decide and act until nothing more is wanted, then tell it all in one status."""
        for _ in range(LOOKS):
            seen = await self._observer.model(key.namespace, key.name)
            if seen is None:
                return None
            if isinstance(seen, Unreadable):
                self._hands.label(key, ("", ""), "", ())  # nothing is written of what may be wrong by now
                return await self._tell(key, found, _unreadable(found, seen))
            registry, name = seen.registry, seen.model.registered_name
            decision = promotion.decide(seen)
            before = self._cache.get(LEDGER, key.namespace, key.name)
            try:
                moved = await self._applier.carry_out(key, decision)
            finally:  # what the ledger says has happened, whatever became of the rest
                if self._cache.get(LEDGER, key.namespace, key.name) is not before:
                    await self._announce(found, decision.events)
            self._wake(tuple(Key("version", key.namespace, name) for name in decision.wake))
            if not moved:
                break
        try:
            again = await self._tell(key, found, replace(decision, events=()))
        except Rejected:  # a status that is refused keeps nothing from the registry
            self._label(key, registry, name, decision)
            raise
        self._label(key, registry, name, decision)
        return soonest(decision.requeue_after_seconds, again, self._refusals.again_seconds(key))

    def _label(self, key: Key, registry: ModelRegistry | Silent, name: str, decision: Decision) -> None:
        if not isinstance(registry, Silent) and not self._pace.passing(key):
            self._hands.label(key, registry_place(registry), name, decision.labels)

    def _wake(self, keys: tuple[Key, ...]) -> None:
        for key in keys:
            self._hands.wake(key)

    async def _registry(self, key: Key, found: Object) -> float | None:
        resource = self._cache.value(REGISTRY, key.namespace, key.name)
        if isinstance(resource, Unreadable):
            return await self._tell(key, found, _unreadable(found, resource))
        assert isinstance(resource, ModelRegistry)
        discovery = resource.spec.discovery
        served = discovery is not None and self._serves(discovery.namespace)
        for _ in range(LOOKS):
            state = self._registry_state((key.namespace, key.name))
            seen = await self._observer.registry(resource, state, served)
            wanted = registries.decide(replace(seen, notified=self._notified(resource)))
            decision = Decision(wanted.acts, status=wanted.status.wire(), events=wanted.events)
            if not await self._applier.carry_out(key, decision):
                break
        return soonest(await self._tell(key, found, decision), self._refusals.again_seconds(key))

    async def _tell(self, key: Key, found: Object, decision: Decision) -> float | None:
        """Write the status; tell people what the status now says too. Seconds until it is worth telling otherwise."""
        if decision.status is None:
            return None
        before = found.get("status", {})
        awaited = names.DISCOVERED in (found["metadata"].get("annotations") or {})
        pause = self._pace.wait(key, before, decision.status, awaited)
        if pause and before != decision.status:
            return pause
        if not await self._applier.status(key, found, decision.status):
            return None
        self._pace.written(key, before, decision.status)
        self._measure(before, decision.status)
        if (written := self._cache.get(KINDS[key.reconciler], key.namespace, key.name)) is not None:
            self._hands.tell(before, written)
        await self._announce(found, decision.events)
        return None

    async def _announce(self, found: Object, events: tuple[Event, ...]) -> None:
        """People are told what happened, in Events, the log and the metrics."""
        meta = found["metadata"]
        here = (found["kind"], meta["namespace"], meta["name"])
        for event in events:
            said = clipped(event.message, 300)
            log.info("%s %s/%s %s: %s", *here, event.reason, said, extra=about(*here, event.reason))
            self._count(found["kind"], event)
        try:
            await self._applier.events(found, events)
        except AdapterError as error:
            log.warning("an Event could not be written: %s", error, extra=about(*here, type(error).__name__))

    def _count(self, kind: str, event: Event) -> None:
        """The model tells when the traffic moves; a version, whether it got as far as that."""
        if kind == MODEL.kind and event.reason == Reason.Serving:
            self._telemetry.promotions.labels("released", event.reason).inc()
        elif kind == MODEL.kind and event.reason == Reason.RolledBack:
            self._telemetry.promotions.labels("rolled-back", event.reason).inc()
        elif event.about in ("Resolved", "Imported", "Validated") and reason_named(event.reason).outlook == "Stuck":
            self._telemetry.promotions.labels("refused", event.reason).inc()

    def _measure(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Durations of a version's phases that ended in this pass."""
        for phase in ("imported", "validation"):
            record, old = after.get(phase), before.get(phase)
            if not isinstance(record, Mapping) or record == old:
                continue
            ended = record.get("finishedAt")
            known = isinstance(old, Mapping) and old.get("finishedAt") == ended
            if ended and record.get("startedAt") and not known:
                took = datetime.fromisoformat(ended) - datetime.fromisoformat(record["startedAt"])
                self._telemetry.phases.labels(phase).observe(took.total_seconds())


def _unreadable(found: Object, what: Unreadable) -> Decision:
    """What is said of an object that cannot be read, or whose ledger cannot; all else that its status says is kept."""
    generation = found["metadata"].get("generation", 0)
    status = readable(kind_of(found), "status", found.get("status"))
    reason = Reason.LedgerUnreadable if what.kind is LEDGER else Reason.InvalidSpec
    itself = what.kind.kind == found["kind"]
    verdict: Verdict = failed(reason, f"The {'object' if itself else what.kind.kind} cannot be read: {what.why}.")
    there = status.get("conditions", [])
    ready: Mapping[str, Any] = next((one for one in there if one["type"] == "Ready"), {})
    known = (ready.get("reason"), ready.get("message")) == (reason, clipped(verdict.message))
    if known and status.get("observedGeneration") == generation:
        return Decision()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    more = {"RollbackReady": verdict} if found["kind"] == MODEL.kind else {}  # without it, nothing can be moved
    if found["kind"] == VERSION.kind and not itself:
        more = {"Resolved": verdict}
    fresh = [one.wire() for one in conditions_after((), more, verdict, now, generation)]
    said = {one["type"] for one in fresh}
    conditions = [*fresh, *(one for one in there if one["type"] not in said)]
    kept = {key: value for key, value in status.items() if key != "rollback"}
    return Decision(
        status=kept | {"observedGeneration": generation, "conditions": conditions},
        events=() if known else (Event("Warning", verdict.reason, verdict.message),),
    )


def soonest(*pauses: float | None) -> float | None:
    """The shortest of the pauses that are any."""
    return min((one for one in pauses if one is not None), default=None)
