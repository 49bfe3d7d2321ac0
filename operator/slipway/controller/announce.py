"""Tells targets what changed: in order, with pauses of its own, and nobody waits for it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..adapters.cloudevents import Away, Stumbled
from ..adapters.cluster import MODEL, REGISTRY, VERSION, Object
from ..adapters.errors import Rejected, Unreachable
from ..core.news import News, changes, recent
from ..logs import about
from ..resources.platform import EventTarget
from .cache import Cache
from .telemetry import Telemetry

log = logging.getLogger("slipway")
Send = Callable[[str, bytes], Awaitable[None]]  # id and body; raises Unreachable or Rejected
WAITING = 1000  # events for one target; the oldest goes when there are more
AGAIN_SECONDS = 300.0  # what changed so long before an operator began to act is told again
SENT, RETRIED, FAILED, DROPPED = "sent", "retried", "failed", "dropped"


@dataclass(frozen=True)
class Patience:
    """How long a target is waited for."""

    first_seconds: float = 1.0  # twice as long each time
    longest_seconds: float = 60.0
    life_seconds: float = 3600.0  # of an event, from when it happened
    stumbles: int = 8  # so often a target may answer one event with an error of its own


class Line:
    """The events for one target, in their order."""

    def __init__(
        self,
        target: EventTarget,
        send: Send,
        telemetry: Telemetry,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target, self._send, self._patience, self._clock = target, send, patience or Patience(), clock
        self._counts = {
            result: telemetry.events.labels(target.name, result) for result in (SENT, RETRIED, FAILED, DROPPED)
        }
        self._depth = telemetry.events_waiting.labels(target.name)
        self._waiting: deque[tuple[float, News]] = deque()
        self._some = asyncio.Event()
        self._trouble = ""

    def offer(self, news: News) -> None:
        """The event will be sent, if the target asks for its type."""
        if self._target.types and news.type not in self._target.types:
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self._counts[DROPPED].inc()
            self._says(f"more than {WAITING} events wait, and the oldest are dropped")
        self._waiting.append((self._clock(), news))
        self._depth.set(len(self._waiting))
        self._some.set()

    async def work(self) -> None:
        """Send, one after the other, for ever."""
        while True:
            await self._some.wait()
            if not self._waiting:
                self._some.clear()
                continue
            since, news = self._waiting.popleft()
            self._counts[await self._deliver(since, news)].inc()
            self._depth.set(len(self._waiting))

    async def _deliver(self, since: float, news: News) -> str:
        """Try until it is there, or until it is no use any more."""
        pause, stumbles = self._patience.first_seconds, 0
        while True:
            try:
                await self._send(news.id, news.body)
            except Rejected as error:
                self._says(f"{news.type} of {news.subject} is given up: {error}")
                return FAILED
            except Unreachable as error:
                stumbles += isinstance(error, Stumbled)
                wait = max(pause, error.after_seconds if isinstance(error, Away) else 0.0)
                late = self._clock() + wait - since > self._patience.life_seconds
                if late or stumbles >= self._patience.stumbles:
                    self._says(f"{news.type} of {news.subject} is given up: {error}")
                    return FAILED
                self._says(str(error))
                self._counts[RETRIED].inc()
                self._depth.set(len(self._waiting) + 1)
                await asyncio.sleep(wait)
                pause = min(2 * pause, self._patience.longest_seconds)
            else:
                self._says("")
                return SENT

    def _says(self, trouble: str) -> None:
        """The target's last trouble is in the log, once."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        what = about("EventTarget", "", self._target.name, "EventsUndelivered" if trouble else "")
        if trouble:
            log.warning("events for %s: %s", self._target.name, trouble, extra=what)
        else:
            log.info("events reach %s", self._target.name, extra=what)


class Announcer:
    """Every target's line."""

    def __init__(self, cluster_name: str, cache: Cache, lines: Sequence[Line]) -> None:
        self._cluster_name, self._cache, self._lines = cluster_name, cache, lines

    def changed(self, before: Mapping[str, Any], now: Object) -> None:
        """The status of an object was `before`, and is written as it is `now`."""
        if self._lines:
            for news in changes(self._cluster_name, before, now, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")):
                self._offer(news)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until it is time to stop. What waits then is lost, or told again by the next operator."""
        tasks = [asyncio.create_task(line.work()) for line in self._lines]
        tasks += [asyncio.create_task(self._again())] if self._lines else []
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self) -> None:
        since = datetime.now(UTC) - timedelta(seconds=AGAIN_SECONDS)
        for kind in (REGISTRY, MODEL, VERSION):
            for found in self._cache.all(kind):
                for news in recent(self._cluster_name, found, since):
                    self._offer(news)
                await asyncio.sleep(0)  # there may be thousands, and others have their turn

    def _offer(self, news: News) -> None:
        for line in self._lines:
            line.offer(news)
