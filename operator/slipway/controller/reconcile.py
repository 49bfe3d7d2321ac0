"""One pass: observe, decide, apply, write the status. The only place that knows all three reconcilers."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ..adapters.cluster import MODEL, REGISTRY, VERSION, Kind, Object
from ..adapters.errors import AdapterError, Occupied, Unauthorized, Unreachable
from ..api.base import seconds
from ..api.modelregistry import ModelRegistry, ModelRegistryStatus
from ..api.registeredmodel import RegisteredModel
from ..core import lifecycle, promotion
from ..core.conditions import clipped, failed, judged, passed
from ..core.decision import Decision, Event
from ..core.reasons import Reason, reason_named
from ..core.registry import Silent
from .apply import Applier
from .cache import Cache
from .observe import Observer, registered_name
from .pace import Pace
from .queue import Key
from .registries import Reached, Registries
from .telemetry import Telemetry

log = logging.getLogger("slipway")
LOOKS = 4  # traffic moves, labels are written, labels are read: three, and one to spare
LABELS_SECONDS = 2.0
SILENT_SECONDS = 60.0  # until a model whose registry may not be used looks again: namespaces are not watched
KINDS: dict[str, Kind] = {"version": VERSION, "model": MODEL, "registry": REGISTRY}


class Reconciler:
    """Passes over versions, models and registries."""

    def __init__(
        self, cache: Cache, observer: Observer, applier: Applier, registries: Registries, telemetry: Telemetry
    ) -> None:
        self._cache, self._observer, self._applier = cache, observer, applier
        self._registries, self._telemetry, self._pace = registries, telemetry, Pace()

    async def __call__(self, key: Key) -> float | None:
        """One pass over a key; seconds until the next one, None if nothing but a change asks for it."""
        found = self._cache.get(KINDS[key.reconciler], key.namespace, key.name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            self._pace.forget(key)
            return None
        try:
            if key.reconciler == "version":
                return await self._version(key, found)
            if key.reconciler == "model":
                return await self._model(key, found)
            return await self._registry(key, found)
        except ValidationError as error:  # stored before a rule of the CRD was there: say so, touch nothing
            wrong = "; ".join(f"{'.'.join(str(p) for p in one['loc'])}: {one['msg']}" for one in error.errors()[:5])
            log.warning("%s/%s cannot be read: %s", key.namespace, key.name, wrong)
            return None

    async def _version(self, key: Key, found: Object) -> float | None:
        seen = await self._observer.version(key.namespace, key.name)
        if seen is None:
            return None
        decision = lifecycle.decide(seen)
        await self._applier.objects(decision)
        if seen.model is not None:
            await self._documents(seen.model, decision)
        again = await self._tell(key, found, decision)
        self._measure(found.get("status", {}), decision.status or {})
        return soonest(decision.requeue_after_seconds, again)

    async def _model(self, key: Key, found: Object) -> float | None:
        """Look, decide and act until nothing more is wanted, then tell it all in one status."""
        happened: tuple[Event, ...] = ()
        looks = 0
        while (seen := await self._observer.model(key.namespace, key.name)) is not None:
            looks += 1
            decision = promotion.decide(seen)
            try:
                await self._applier.objects(decision)
            except Occupied as error:
                decision = promotion.blocked(seen, str(error))
            happened += decision.events
            labelling = asyncio.create_task(self._label(seen.model, decision))
            # A registry that is slow, or fails, does not keep the truth from people.
            quick, _ = await asyncio.wait({labelling}, timeout=LABELS_SECONDS)
            if decision.settled or looks == LOOKS or not quick or labelling.exception():
                break
        else:
            return None
        try:
            again = await self._tell(key, found, replace(decision, events=happened))
        finally:
            await labelling  # before the next pass may write others: a late write must not undo a newer one
        poll = SILENT_SECONDS if isinstance(seen.registry, Silent) else float(seconds(seen.registry.spec.sync.interval))
        return soonest(decision.requeue_after_seconds, again, poll)

    async def _label(self, model: RegisteredModel, decision: Decision) -> None:
        """Write every label; one that cannot be written does not hold the others up."""
        reached = await self._registries.of(model) if decision.labels else None
        if not isinstance(reached, Reached):
            return
        name = registered_name(model)
        failures: list[AdapterError] = []
        for write in decision.labels:
            try:
                await reached.client.write(name, write)
                self._telemetry.actions.labels("label").inc()
            except AdapterError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _registry(self, key: Key, found: Object) -> float:
        resource = ModelRegistry.model_validate(found)
        version, now = resource.status.version, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reached = await self._registries.reach(resource, anew=True)
        if isinstance(reached, Silent):
            verdict = failed(reason_named(reached.reason), reached.message)
        else:
            try:
                version = await reached.client.server_version()
                verdict = passed(Reason.RegistryReachable, f"MLflow {version} answers at {_uri(resource)}.")
            except Unreachable as error:
                verdict = failed(Reason.RegistryUnreachable, str(error))
            except Unauthorized as error:
                verdict = failed(Reason.RegistryUnauthorized, str(error))
            except AdapterError as error:
                verdict = failed(Reason.RegistryRejected, str(error))
        generation = resource.metadata.generation
        before = resource.status.condition("Ready")
        status = ModelRegistryStatus(
            observed_generation=generation,
            version=version,
            conditions=judged(resource.status.conditions, {}, verdict, now, generation),
        )
        changed = before is None or before.reason != verdict.reason
        news = Event("Normal" if verdict.holds else "Warning", verdict.reason, verdict.message)
        events = (news,) if changed else ()
        await self._tell(key, found, Decision(status=status.wire(), events=events))
        return float(seconds(resource.spec.sync.interval))

    async def _documents(self, model: Any, decision: Decision) -> None:
        """Reports are kept in the registry; one that cannot be is not worth holding a release up."""
        if not decision.documents:
            return
        reached = await self._registries.of(model)
        if isinstance(reached, Silent):
            return
        for document in decision.documents:
            try:
                await reached.client.keep(document.run_id, document.path, document.content)
            except AdapterError as error:
                log.warning("the report %s could not be kept in the registry: %s", document.path, error)

    async def _tell(self, key: Key, found: Object, decision: Decision) -> float | None:
        """Write the status; tell people what the status now says too. Seconds until it is worth telling otherwise."""
        if decision.status is None:
            return None
        meta, before = found["metadata"], found.get("status", {})
        if before != decision.status and (pause := self._pace.wait(key, before, decision.status)):
            return pause
        if not await self._applier.status(found, decision.status):
            return None
        self._pace.told(key, before, decision.status)
        for event in decision.events:
            said = clipped(event.message, 300)
            log.info("%s %s/%s %s: %s", found["kind"], meta["namespace"], meta["name"], event.reason, said)
            self._count(found["kind"], event)
        try:
            await self._applier.events(found, decision.events)
        except AdapterError as error:
            log.warning("an Event could not be written: %s", error)
        return None

    def _count(self, kind: str, event: Event) -> None:
        """The model tells when the traffic moves; a version, whether it got as far as that."""
        if kind == MODEL.kind and event.reason == Reason.Serving:
            self._telemetry.promotions.labels("released", event.reason).inc()
        elif kind == MODEL.kind and event.reason == Reason.RolledBack:
            self._telemetry.promotions.labels("rolled-back", event.reason).inc()
        elif event.about in ("Resolved", "Imported", "Validated") and reason_named(event.reason).outlook == "Stuck":
            self._telemetry.promotions.labels("refused", event.reason).inc()

    def _measure(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Durations of phases that ended in this pass."""
        for phase in ("imported", "validation"):
            record, old = after.get(phase, {}), before.get(phase, {})
            if (
                record.get("finishedAt")
                and record.get("finishedAt") != old.get("finishedAt")
                and record.get("startedAt")
            ):
                took = datetime.fromisoformat(record["finishedAt"]) - datetime.fromisoformat(record["startedAt"])
                self._telemetry.phases.labels(phase).observe(took.total_seconds())


def soonest(*pauses: float | None) -> float | None:
    """The shortest of the pauses that are any."""
    return min((one for one in pauses if one is not None), default=None)


def _uri(resource: ModelRegistry) -> str:
    return resource.spec.backend.mlflow.uri if resource.spec.backend.mlflow else ""
