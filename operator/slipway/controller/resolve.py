"""What is read from a registry once, or left there: a new version's entry, and the report of a validation."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ..adapters.errors import NotFound, Rejected, Unreachable
from ..adapters.ports import silence
from ..api.facts import Facts
from ..core.decision import Document
from ..core.registry import Absent, Entry, Silent
from ..logs import about
from .errands import Errands
from .outside import Lookup
from .queue import Key, Queue
from .registries import Registries

log = logging.getLogger("slipway")
WORKERS = 4
TRACERS = 2  # a slow run keeps nobody from being resolved
ABSENT_SECONDS = 60.0  # until a registry is asked once more for what it did not have
SELDOM_SECONDS = 3600.0  # at the longest, until it is asked once more how a version was made
Answer = Entry | Absent | Silent


class Resolver:
    """Reads versions from registries; wakes who waits for one."""

    def __init__(
        self, registries: Registries, wake: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registries = registries
        self._asked: dict[Key, Lookup] = {}  # the last of who waits: another one takes its place
        self._errands: Errands[Lookup, Answer] = Errands(
            Queue(clock), self._resolve, lambda lookup: wake(lookup.key), silence, self._again
        )
        seldom: Queue[Lookup] = Queue(clock, longest_seconds=SELDOM_SECONDS)
        self._traces: Errands[Lookup, Facts | Silent] = Errands(
            seldom, self._trace, lambda lookup: wake(lookup.key), silence, self._again
        )

    def ask(self, lookup: Lookup) -> Answer | None:
        """What the registry says; None if it has not said it yet."""
        self._waits(lookup)
        return self._errands.ask(lookup)

    def forget(self, lookup: Lookup) -> None:
        """It is known."""
        self._errands.forget(lookup)

    def facts(self, lookup: Lookup) -> Facts | None:
        """How the version was made; None if that was not read yet. An answer that is none is asked for again."""
        self._waits(lookup)
        found = self._traces.ask(lookup)
        return found if isinstance(found, Facts) else None

    def forget_facts(self, lookup: Lookup) -> None:
        """They are known, or nobody asks."""
        self._traces.forget(lookup)

    def drop(self, key: Key) -> None:
        """Who waited is not there any more, or has nothing to look up."""
        lookup = self._asked.pop(key, None)
        if lookup is not None:
            self._errands.forget(lookup)
            self._traces.forget(lookup)

    def _waits(self, lookup: Lookup) -> None:
        if self._asked.get(lookup.key) != lookup:
            self.drop(lookup.key)
            self._asked[lookup.key] = lookup

    def again(self, registry: tuple[str, str]) -> None:
        """The registry answers again: nobody waits longer than need be."""
        for errands in (self._errands, self._traces):
            errands.hurry(lambda lookup: lookup.registry == registry)

    async def run(self, stop: asyncio.Event) -> None:
        """Read until it is time to stop."""
        await asyncio.gather(self._errands.run(WORKERS, stop), self._traces.run(TRACERS, stop))

    async def _trace(self, lookup: Lookup) -> Facts | Silent:
        reached = await self._registries.at(lookup.registry)
        if isinstance(reached, Silent):
            return reached
        found = await reached.client.facts(lookup.name, lookup.version)
        if isinstance(found, Absent):
            raise NotFound(found.message)
        return found

    async def _resolve(self, lookup: Lookup) -> Answer:
        reached = await self._registries.at(lookup.registry)
        if isinstance(reached, Silent):
            return reached
        return await reached.client.resolve(lookup.name, lookup.version)

    def _again(self, answer: Answer | Facts) -> float | None:
        return None if isinstance(answer, Entry | Facts) else ABSENT_SECONDS


class Upload(NamedTuple):
    """A document on its way to a registry."""

    registry: tuple[str, str]
    document: Document


class Keeper:
    """Leaves documents in registries; one that a registry refuses is not worth more than a line in the log."""

    def __init__(self, registries: Registries, clock: Callable[[], float] = time.monotonic) -> None:
        self._registries = registries
        self._errands: Errands[Upload, str] = Errands(
            Queue(clock), self._keep, self._done, lambda error: f"tried again: {error}"
        )

    def keep(self, registry: tuple[str, str], document: Document) -> None:
        """The document will be there, as soon as the registry takes it."""
        self._errands.ask(Upload(registry, document))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until it is time to stop."""
        await self._errands.run(1, stop)

    async def _keep(self, upload: Upload) -> str:
        reached = await self._registries.at(upload.registry)
        if isinstance(reached, Silent):
            raise Unreachable(reached.message)
        try:
            await reached.client.keep(upload.document.run_id, upload.document.path, upload.document.content)
        except Rejected as error:
            return str(error)
        return ""

    def _done(self, upload: Upload) -> None:
        answer = self._errands.ask(upload)
        if answer:
            what = about("ModelRegistry", *upload.registry, "Rejected")
            log.warning("the report %s could not be kept in the registry: %s", upload.document.path, answer, extra=what)
        if not (answer or "").startswith("tried again"):
            self._errands.forget(upload)
