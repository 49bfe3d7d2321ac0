"""Writes labels into registries: by model, with workers and pauses of its own, so that no pass waits for a registry."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..adapters.errors import AdapterError, Conflict, NotActing, Rejected, Unreachable
from ..adapters.ports import Registry, silence
from ..core.reasons import Reason
from ..core.registry import Absent, Contest, Labels, RegistryModel, Silent, Write
from ..core.snapshot import kept_tags
from ..logs import about
from .identity import Place
from .queue import Key, Queue
from .registries import Registries
from .sweeper import Sweeper
from .telemetry import Telemetry

log = logging.getLogger("slipway")
WORKERS = 4
FIRST_SECONDS = 2.0  # after a write that found nobody
LONGEST_SECONDS = 120.0
REFUSED_SECONDS = 300.0  # after one that was refused, unless something changes before
FIGHT_WRITES, FIGHT_SECONDS = 6, 600.0  # as often as this within so long, and somebody else moves them each time
DRAIN_SECONDS = 15.0  # for a write that runs when the operator ends


@dataclass(frozen=True)
class _Wanted:
    """What the registry should say of a model's versions."""

    registry: Place
    name: str
    writes: tuple[Write, ...]


@dataclass
class _Model:
    """One model's labels."""

    wanted: _Wanted | None = None
    refusals: dict[int, tuple[Write, Silent]] = field(default_factory=dict)  # by version: what, and why
    failures: int = 0  # in a row
    due: float = 0.0  # when what was refused is worth trying again
    written: dict[int, tuple[Place, str, Write]] = field(default_factory=dict)  # what the registry was seen to say
    writing: frozenset[int] = frozenset()  # versions whose labels are on their way: a sweep may see one half of them
    moves: dict[tuple[int, str | None, str | None], list[float]] = field(default_factory=dict)  # when labels were set

    def fights(self, write: Write, now: float) -> bool:
        """Whether these labels were set so often lately that somebody else must set others each time."""
        recent = [at for at in self.moves.get(_move(write), ()) if now - at < FIGHT_SECONDS]
        return len(recent) >= FIGHT_WRITES

    def moved(self, write: Write, now: float) -> None:
        """The labels were set now."""
        recent = [at for at in self.moves.get(_move(write), ()) if now - at < FIGHT_SECONDS]
        self.moves = {key: times for key, times in self.moves.items() if now - times[-1] < FIGHT_SECONDS}
        self.moves[_move(write)] = [*recent, now][-FIGHT_WRITES:]


class Labeller:
    """The newest set of writes that each model wants, and what became of it."""

    def __init__(
        self,
        sweeper: Sweeper,
        registries: Registries,
        wake: Callable[[Key], None],
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        may_write: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._sweeper, self._registries, self._wake, self._telemetry = sweeper, registries, wake, telemetry
        self._queue: Queue[Key] = Queue(clock)
        self._clock, self._jitter, self._may_write = clock, jitter, may_write
        self._models: dict[Key, _Model] = {}
        self._trying: set[Place] = set()  # silent registries at which one worker tries
        sweeper.listen(self.again)
        registries.listen(self.again)

    def want(self, model: Key, registry: Place, registered_name: str, writes: tuple[Write, ...]) -> None:
        """The registry should say this of the model's versions; it replaces what was wanted before."""
        if not writes:
            if known := self._models.get(model):
                known.wanted = None
            return
        known = self._models.setdefault(model, _Model())
        wanted = _Wanted(registry, registered_name, writes)
        if known.wanted == wanted:
            return
        known.wanted = wanted
        known.written = {n: one for n, one in known.written.items() if one[:2] == (registry, registered_name)}
        others = {write.version for write in writes if known.refusals.get(write.version, (write,))[0] != write}
        known.refusals = {number: why for number, why in known.refusals.items() if number not in others}
        if all(write.version in known.refusals for write in writes):  # each was refused as it is
            self._queue.wake(model, max(0.0, known.due - self._clock()))
        else:
            known.failures = 0
            self._queue.wake(model)

    def refusal(self, model: Key, version: int) -> Silent | None:
        """Why the last write of a version did not come to be, until another is wanted; also that it is under way."""
        known = self._models.get(model)
        if known and version in known.writing and version not in known.refusals:
            return Silent(Reason.LabelsPending, "")
        refused = known.refusals.get(version) if known else None
        return refused[1] if refused else None

    def contested(self, model: Key, version: int) -> Contest | None:
        """Whether somebody else writes Slipway's tags on a version: they say something else than was written there."""
        known = self._models.get(model)
        if known is None or version not in known.written:
            return None
        registry, name, write = known.written[version]
        seen = self._sweeper.model(registry, name)
        labels = seen.labels.get(version) if isinstance(seen, RegistryModel) else None
        for key, value in write.tags.items() if labels else ():
            if labels and labels.tags.get(key, value) != value:
                said = (
                    f'the tag "{key}" of version {version} says "{labels.tags[key][:100]}" and was written as '
                    f'"{value[:100]}": another operator with the same clusterName writes into this registry, or a '
                    "person does; give each operator a name of its own."
                )
                return Contest(said, write.tags)
        return None

    def forget(self, model: Key) -> None:
        """The model is gone."""
        self._models.pop(model, None)

    def again(self, registry: Place) -> None:
        """The registry answers again, or has another credential: what waits for it is tried at once."""
        for key, known in self._models.items():
            known.due, known.failures = 0.0, 0
            if known.wanted is not None and known.wanted.registry == registry:
                self._queue.wake(key)

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop`; a write that runs then is given time to end."""
        stopping = asyncio.create_task(stop.wait())
        workers = {asyncio.create_task(self._work()) for _ in range(WORKERS)}
        while not stop.is_set():
            ended, _ = await asyncio.wait({stopping, *workers}, return_when=asyncio.FIRST_COMPLETED)
            for worker in workers & ended:
                log.error("a worker of the labels broke and begins anew", exc_info=worker.exception())
                workers = workers - {worker} | {asyncio.create_task(self._work())}
        self._queue.close()
        _, late = await asyncio.wait(workers, timeout=DRAIN_SECONDS)
        for worker in late:
            worker.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _work(self) -> None:
        while (taken := await self._queue.take()) is not None:
            key, pause = taken[0], REFUSED_SECONDS
            try:
                pause = await self.label(key)
            except AdapterError as error:  # the API server, asked for the credential
                here = (key.namespace, key.name)
                what = about("RegisteredModel", *here, type(error).__name__)
                log.warning("the labels of the model %s/%s wait: %s", *here, error, extra=what)
                pause = FIRST_SECONDS
            finally:
                self._queue.done(key, pause or None)

    async def label(self, model: Key) -> float:
        """Write what the model wants; seconds until it is worth trying again, 0 when nothing is left."""
        known = self._models.get(model)
        if known is None or (wanted := known.wanted) is None:
            return 0.0
        known.writing = frozenset(write.version for write in wanted.writes)
        try:
            found = await self._write_all(model, known, wanted)
        finally:
            known.writing = frozenset()
        if self._models.get(model) is not known or known.wanted != wanted:
            self._wake(model)  # it may want nothing since, by what a sweep saw in between
            return 0.0
        refusals = {write.version: (write, found[write.version]) for write in wanted.writes if write.version in found}
        if refusals != known.refusals or not refusals:
            self._wake(model)
        known.refusals = refusals
        if not refusals:
            known.wanted, known.failures = None, 0
            return 0.0
        pause = REFUSED_SECONDS
        if any(why.retry for _, why in refusals.values()):
            pause = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(known.failures, 16)) * (0.75 + 0.5 * self._jitter())
        known.failures += 1
        known.due = self._clock() + pause
        return pause

    async def _write_all(self, model: Key, known: _Model, wanted: _Wanted) -> dict[int, Silent]:
        """Write each; why what did not come to be, by version."""
        versions = {write.version for write in wanted.writes}
        reached = await self._registries.at(wanted.registry)
        if isinstance(reached, Silent):
            return dict.fromkeys(versions, reached)
        state = self._sweeper.registry(wanted.registry)
        silent = state.silence if state else None
        if silent is not None and silent.retry:  # one worker is enough to find out whether it takes writes
            if wanted.registry in self._trying:
                return dict.fromkeys(versions, silent)
            self._trying.add(wanted.registry)
        try:
            refusals = await self._write_each(model, known, wanted, reached.client)
        finally:
            self._trying.discard(wanted.registry)
        if any(why.reason in (Reason.RegistryUnauthorized, Reason.PermissionsMissing) for why in refusals.values()):
            await self._registries.reach(reached.resource, anew=True)  # it may have been rotated; listeners are told
        return refusals

    async def _write_each(self, model: Key, known: _Model, wanted: _Wanted, client: Registry) -> dict[int, Silent]:
        """One after the other; the first that finds nobody ends it."""
        refusals: dict[int, Silent] = {}
        for number, write in enumerate(wanted.writes):
            contest, said, asked = self.contested(model, write.version), "", write
            if contest and contest.tags == write.tags:  # two who insist would write for ever
                said, asked = contest.said, replace(write, tags={}, notes={}, line="")
            if known.fights(write, self._clock()):
                said, asked = _fought(write), Write(write.version, tags=asked.tags)
            try:
                why = await self._write(known, wanted, asked, client)
            except Unreachable as error:
                left = {one.version for one in wanted.writes[number:]}
                return refusals | dict.fromkeys(left, silence(error))
            if why is not None or said:
                refusals[write.version] = why or Silent("RegistryContested", said, False)
        return refusals

    async def _write(self, known: _Model, wanted: _Wanted, write: Write, client: Registry) -> Silent | None:
        """Write one and read it back; why it did not come to be."""
        if self._may_write() <= 0:  # it stood still, and another operator may act by now
            raise NotActing("another operator acts, or may act: this one writes no label")
        why: Silent | None = None
        before = self._sweeper.model(wanted.registry, wanted.name)
        there = before.labels.get(write.version) if isinstance(before, RegistryModel) else None
        try:
            await client.write(wanted.name, write)
            if there is not None and not _labelled(there, write):
                known.moved(write, self._clock())
            self._telemetry.actions.labels("label").inc()
        except Conflict as error:  # the next sweep shows what somebody asks for
            why = Silent(Reason.LabelsPending, str(error))
            self._sweeper.hurry(wanted.registry)
        except Rejected as error:
            why = silence(error)
        try:
            labels = await client.labels(wanted.name, write.version)
        except Rejected as error:
            return why or silence(error)
        if isinstance(labels, Absent):
            return Silent(labels.reason, labels.message, False)
        self._sweeper.confirm(wanted.registry, wanted.name, write.version, labels)
        if write.tags and _tagged(labels, write):
            known.written[write.version] = (wanted.registry, wanted.name, write)
        return _outcome(why, write, labels)


def _outcome(why: Silent | None, write: Write, labels: Labels) -> Silent | None:
    """Why a write did not come to be, by what is there now and what the next pass reads of it."""
    read = replace(labels, tags=kept_tags(labels.tags))
    telling = _labelled(read, write) and _has(read, write.tags)
    if why is not None:
        return replace(why, telling=telling)
    if _says(read, write):
        return None
    said = f"the registry took the labels of version {write.version} and does not show them: it says {labels}"
    if _says(labels, write):
        said = f"version {write.version} has more tags of Slipway's than are read: remove those that are nobody's"
    return Silent(Reason.RegistryRejected, said, False, telling)


def _says(labels: Labels, write: Write) -> bool:
    return _labelled(labels, write) and _tagged(labels, write)


def _labelled(labels: Labels, write: Write) -> bool:
    stage = write.stage is None or labels.stage.lower() == write.stage.lower()
    alias = (write.alias is None or write.alias in labels.aliases) and write.without not in labels.aliases
    return stage and alias


def _tagged(labels: Labels, write: Write) -> bool:
    return _has(labels, write.all_tags) and (not write.line or write.line in labels.lines)


def _has(labels: Labels, tags: Mapping[str, str]) -> bool:
    return all(labels.tags.get(key) == value for key, value in tags.items())


def _move(write: Write) -> tuple[int, str | None, str | None]:
    return write.version, write.stage, write.alias


def _fought(write: Write) -> str:
    labels = " and ".join([f"stage {write.stage}"] * bool(write.stage) + [f"alias {write.alias}"] * bool(write.alias))
    return (
        f"the {labels} of version {write.version} was set {FIGHT_WRITES} times within {FIGHT_SECONDS / 60:.0f} minutes "
        "and moved by somebody else each time: find the other writer, or let each have labels of its own."
    )
