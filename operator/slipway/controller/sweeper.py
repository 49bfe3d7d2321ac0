"""Reads every registry at its interval, keeps what it says of the cluster's models, and wakes those that differ.

A sweep costs the pages of one search and one or two requests; a model of which something cannot be explained is read
whole, and all of them rarely, since only that finds a tag of an older version. A model that a webhook names is read by
itself, meanwhile.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ..adapters.cluster import MODEL, REGISTRY
from ..adapters.errors import AdapterError
from ..adapters.ports import silence
from ..api.base import seconds
from ..core.reasons import Reason
from ..core.registry import Absent, Labels, RegistryModel, RegistryState, Silent
from ..logs import about
from ..resources import naming
from .cache import Cache
from .identity import Place, place_of, registered_name
from .queue import Key
from .registries import Registries
from .swept import Swept
from .telemetry import Telemetry

log = logging.getLogger("slipway")
SILENT_SECONDS = 30.0  # between two tries at most, while a registry is silent
HURRY_SECONDS = 1.0  # between the begins of two sweeps, and of two looks at a model, whoever waits for them
LOOK_SECONDS = 5.0  # until a ModelRegistry that nobody has asked about is noticed
Wanted = Mapping[str, tuple[Key, ...]]  # the models of the cluster, by their name in the registry


class Sweeper:
    """What the registries say, as last swept. Its answers come at once and ask nobody."""

    def __init__(
        self,
        cache: Cache,
        registries: Registries,
        wake: Callable[[Key], None],
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cache, self._registries, self._wake, self._telemetry = cache, registries, wake, telemetry
        self._clock, self._now, self._jitter = clock, now, jitter
        self._swept: dict[Place, Swept] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._asked = asyncio.Event()  # about a registry that is not swept yet
        self._back: list[Callable[[Place], None]] = []
        registries.listen(self._renewed)

    def listen(self, back: Callable[[Place], None]) -> None:
        """Call this with a registry that answers again, or has another credential."""
        self._back.append(back)

    def model(self, registry: Place, name: str) -> RegistryModel | Absent | Silent | None:
        """What the registry says of a registered model; None: not swept yet, and a name that is new soon will be.

        What is known stays known while the registry is silent.
        """
        swept = self._swept.get(registry)
        if swept is None or swept.state is None:
            self._asked.set()
            return None
        if name in swept.left_out:
            return Silent(Reason.ModelTooLarge, Reason.ModelTooLarge.meaning, False)
        labels = swept.snapshot.labels(name)
        if labels is not None:
            known = swept.snapshot.models[name]
            return RegistryModel(
                labels,
                read_at=max(swept.state.swept_at or "", swept.looked_at.get(name, "")),
                created=known.created,
                updated=known.updated,
                unexplained=known.unexplained,
                gone=swept.gone(name),
                answers_since=swept.answers_since,
            )
        if name in swept.snapshot.absent:
            said = (
                f'The model "{name}" is not registered in the MLflow at {swept.uri}, or the credential may not read '
                "it: register it, or correct the name, which is case-sensitive."
            )
            return Absent("VersionNotFound", said)
        if swept.state.silence is None:
            swept.hurry.set()
        return swept.state.silence

    def models(self, registry: Place, name: str) -> tuple[Key, ...]:
        """The RegisteredModels that name a registered model."""
        return tuple(
            Key("model", *place_of(model))
            for model in self._cache.all(MODEL)
            if registered_name(model) == name and self._registries.place(model) == registry
        )

    def registry(self, registry: Place) -> RegistryState | None:
        """What the sweeps have learned of a registry; None before the first. One that was edited is swept at once."""
        swept = self._swept.get(registry)
        if swept is None:
            self._asked.set()
            return None
        found = self._cache.get(REGISTRY, *registry)
        if found is not None and found["metadata"].get("generation") != swept.generation:
            swept.hurry.set()
            return swept.state and replace(swept.state, found=None)
        return swept.state

    def hurry(self, registry: Place) -> None:
        """Something has changed there: it is swept before its interval is over."""
        if (swept := self._swept.get(registry)) is not None:
            swept.hurry.set()

    def heed(self, registry: Place, name: str) -> None:
        """A webhook says that something has changed there, and of which model; "": it does not say."""
        if (swept := self._swept.get(registry)) is not None:
            swept.heed(name)

    def confirm(self, registry: Place, name: str, version: int, labels: Labels) -> None:
        """A version was read by itself: a sweep that began before does not know better."""
        swept = self._swept.get(registry)
        if swept is not None and swept.confirm(name, version, labels) and len(swept.wanted.get(name, ())) > 1:
            swept.changed.add(name)  # others use the model, too

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every ModelRegistry of the cache until `stop`."""
        while not stop.is_set():
            self._asked.clear()
            there = {place_of(one) for one in self._cache.all(REGISTRY) if not one["metadata"].get("deletionTimestamp")}
            for place, task in list(self._tasks.items()):
                if task.done() and not task.cancelled() and (error := task.exception()):
                    what = about("ModelRegistry", *place, Reason.InternalError)
                    log.error(
                        "the sweeps of the registry %s/%s broke and begin anew", *place, exc_info=error, extra=what
                    )
                if place not in there:
                    task.cancel()
                    self._swept.pop(place, None)
                    await self._registries.forget(place)
                    self._wake_all(place)
                if task.done() or place not in there:
                    del self._tasks[place]
            for place in there - self._tasks.keys():
                self._tasks[place] = asyncio.create_task(self._keep_reading(place))
            await _first(LOOK_SECONDS, stop, self._asked)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def sweep(self, registry: Place) -> float:
        """One sweep; seconds until the next. Raises what the API server says when it is asked for the credential."""
        swept = self._swept.setdefault(registry, Swept())
        swept.hurry.clear()
        before, swept.wanted = swept.wanted, self._wanted(registry)
        wanted = swept.wanted
        if before:  # who shares a registered model is told when others come or go: one of them sets its labels
            swept.changed |= {name for name, keys in wanted.items() if set(keys) != set(before.get(name, keys))}
        resource = self._registries.resource(registry)
        if isinstance(resource, Silent):
            swept.usable = False
            self._tell(registry, swept, wanted, resource)
            return SILENT_SECONDS
        edited = swept.begin(resource)
        interval = float(seconds(resource.spec.sync.interval))
        reached = await self._registries.reach(resource, anew=True)
        began = self._clock()
        silent = reached if isinstance(reached, Silent) else None
        if edited or (swept.usable is False and silent is None):  # who may use it is another matter now
            self._wake_all(registry)
        swept.usable = silent is None
        if not isinstance(reached, Silent):
            try:
                silent = await swept.read(reached.client, resource, frozenset(wanted), began)
                if silent is None:
                    await swept.look_for(reached.client, self._used(wanted), began)
                    await swept.ask_rights(reached.client, frozenset(wanted), began)
            except AdapterError as error:
                silent = silence(error)
        self._tell(registry, swept, wanted, silent, self._clock() - began)
        return interval if silent is None else min(interval, SILENT_SECONDS)

    async def look(self, registry: Place) -> None:
        """Read the models that were named, and wake whom they concern; where that does not do, a sweep is due."""
        swept = self._swept[registry]
        names, swept.hinted = swept.hinted, set()
        explained = False
        try:
            reached = await self._registries.at(registry)
            if not isinstance(reached, Silent) and reached.resource.metadata.generation == swept.generation:
                said = [await swept.look_at(reached.client, name, self._stamp()) for name in sorted(names)]
                explained = all(said)
        except AdapterError as error:
            log.info("a model of the registry %s/%s could not be looked at: %s", *registry, error)
        for name in names & swept.changed:
            swept.changed.discard(name)
            for key in swept.wanted.get(name, ()):
                self._wake(key)
        if not explained:
            swept.hurry.set()

    async def _keep_reading(self, registry: Place) -> None:
        self._swept.setdefault(registry, Swept())
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep_sweeping(registry))
            both.create_task(self._keep_looking(registry))

    async def _keep_looking(self, registry: Place) -> None:
        swept = self._swept[registry]
        while await swept.look.wait():
            swept.look.clear()
            began = self._clock()
            await self.look(registry)
            await asyncio.sleep(max(0.0, began + HURRY_SECONDS - self._clock()))

    async def _keep_sweeping(self, registry: Place) -> None:
        while True:
            began = self._clock()
            try:
                pause = await self.sweep(registry)
            except AdapterError as error:
                what = about("ModelRegistry", *registry, type(error).__name__)
                log.warning("the registry %s/%s could not be swept: %s", *registry, error, extra=what)
                pause = SILENT_SECONDS
            rest = until_next(pause, self._clock() - began, self._jitter())
            await _first(rest, self._swept[registry].hurry)
            await asyncio.sleep(max(0.0, began + HURRY_SECONDS - self._clock()))

    def _tell(
        self, registry: Place, swept: Swept, wanted: Wanted, silent: Silent | None, took_seconds: float = 0.0
    ) -> None:
        """The registry's state is this; whom it concerns is woken."""
        before = swept.state
        swept_at = before.swept_at if before else None
        versions = sum(len(known.labels) for known in swept.snapshot.models.values())
        if silent is None:
            swept_at = self._stamp()
            swept.looked_at.clear()
            self._telemetry.swept.labels(*registry).set(self._now().timestamp())
            self._telemetry.registry_models.labels(*registry).set(swept.counted)
            self._telemetry.registry_versions.labels(*registry).set(versions)
        swept.state = RegistryState(
            silence=silent,
            version=swept.version,
            swept_at=swept_at,
            models=swept.counted,
            versions=versions,
            latency_seconds=took_seconds,
            found=swept.found,
            rights=swept.rights,
            left_out=tuple(sorted(swept.left_out)),
            by_name=swept.by_name,
        )
        reason, was = silent and silent.reason, before and before.silence and before.silence.reason
        turned = before is None or reason != was
        if turned and swept_at and silent is None:
            swept.answers_since = swept_at
        if turned:  # what was swept before is not taken back by silence; what was not, was told the reason
            swept.changed |= {name for name in wanted if silent is not None and swept.snapshot.labels(name) is None}
        asks = turned or before is None or _told_by(before) != _told_by(swept.state)
        if asks or swept.whole_at >= self._clock() - took_seconds:  # the rare reading is the beat of the status
            self._wake(Key("registry", *registry))
        for name in swept.changed:
            for key in wanted.get(name, ()):
                self._wake(key)
        swept.changed.clear()
        if turned and silent is None:
            for key in self._waiting(registry):
                self._wake(key)
            for back in self._back if before is not None else ():
                back(registry)

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _renewed(self, registry: Place) -> None:
        """It has another credential: who waits for it asks again, and an import that runs is handed it."""
        for key in self._waiting(registry):
            self._wake(key)
        for back in self._back:
            back(registry)

    def _wake_all(self, registry: Place) -> None:
        """Whatever names the registry: it may be used now, or no longer, or otherwise."""
        for keys in self._wanted(registry).values():
            for key in keys:
                self._wake(key)
        for key in self._waiting(registry):
            self._wake(key)

    def _wanted(self, registry: Place) -> Wanted:
        found: dict[str, tuple[Key, ...]] = {}
        for model in self._cache.all(MODEL):
            if self._registries.place(model) == registry:
                name = registered_name(model)
                found[name] = (*found.get(name, ()), Key("model", *place_of(model)))
        return found

    def _used(self, wanted: Wanted) -> Mapping[str, frozenset[int]]:
        """The versions of the cluster that the registry had once, by their model's name in the registry."""
        names = {(key.namespace, key.name): name for name, keys in wanted.items() for key in keys}
        found: dict[str, set[int]] = {}
        for version in self._cache.briefs():
            name = names.get((version.namespace, version.model))
            number = naming.number(version.name.rpartition("-v")[2])
            if name is not None and number is not None and "Resolved" in version.holds:
                found.setdefault(name, set()).add(number)
        return {name: frozenset(numbers) for name, numbers in found.items()}

    def _waiting(self, registry: Place) -> Iterator[Key]:
        """Versions that need the registry for what comes next: they are not resolved, or their files not imported."""
        for version in self._cache.briefs():
            if version.holds >= {"Resolved", "Imported"}:
                continue
            model = self._cache.get(MODEL, version.namespace, version.model)
            if model and self._registries.place(model) == registry:
                yield Key("version", version.namespace, version.name)


def until_next(interval_seconds: float, took_seconds: float, chance: float) -> float:
    """Seconds from the end of a sweep to the next, whose beginnings are no further apart than the interval.

    A little less by chance (0 to 1), so that operators do not all ask one server at the same moment.
    """
    return max(0.0, interval_seconds * (0.95 - 0.1 * chance) - took_seconds)


def _told_by(state: RegistryState) -> object:
    """What a ModelRegistry's status is to tell at once."""
    return state.found, state.rights, state.left_out, state.by_name


async def _first(pause_seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of the events is set, and no longer than so many seconds."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=pause_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
