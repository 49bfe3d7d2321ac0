"""The work queue: each key once, one pass per key at a time, failures later and later with jitter."""

import asyncio
import heapq
import random
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 120.0
LEAST_SECONDS = 5.0  # between a failure and the next pass, whatever happens meanwhile


class Key(NamedTuple):
    """What a pass is about."""

    reconciler: str  # version, model or registry
    namespace: str
    name: str


Item = TypeVar("Item")


class Queue(Generic[Item]):
    """A deduplicating queue with delays. Times come from `clock` (seconds, monotonic)."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._clock, self._jitter = clock, jitter
        self._due: dict[Item, float] = {}  # waiting items and when they are due
        self._heap: list[tuple[float, int, Item]] = []
        self._running: set[Item] = set()
        self._again: dict[Item, float] = {}  # woken while running
        self._failures: dict[Item, int] = {}
        self._count = 0
        self._changed = asyncio.Event()
        self._closed = False

    def wake(self, item: Item, after_seconds: float = 0.0) -> None:
        """The item is due by then at the latest; a wake-up while its pass runs makes one more pass."""
        least = LEAST_SECONDS if item in self._failures and item not in self._running else 0.0
        due = self._clock() + max(least, after_seconds)
        if item in self._running:
            self._again[item] = min(due, self._again.get(item, due))
            return
        if item in self._due and self._due[item] <= due:
            return
        self._due[item] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, item))
        self._changed.set()

    async def take(self) -> tuple[Item, float] | None:
        """The next item that is due and how long it was overdue (seconds); None once the queue is closed."""
        while not self._closed:
            now = self._clock()
            while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                heapq.heappop(self._heap)  # an entry that an earlier due time replaced
            if self._heap and self._heap[0][0] <= now:
                due, _, item = heapq.heappop(self._heap)
                del self._due[item]
                self._running.add(item)
                return item, now - due
            self._changed.clear()
            wait = self._heap[0][0] - now if self._heap else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue
        return None

    def done(self, item: Item, after_seconds: float | None = None) -> None:
        """The pass ended well; the item comes back after so many seconds, if any."""
        self._failures.pop(item, None)
        self._finish(item, after_seconds)

    def failed(self, item: Item) -> float:
        """The pass failed; the item comes back after the seconds returned, more each time."""
        count = self._failures.get(item, 0)
        self._failures[item] = count + 1
        delay: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(count, 16)) * (0.5 + self._jitter())
        if self._again.pop(item, None) is not None:  # an echo of the pass's own writes, or somebody who cannot wait
            delay = min(delay, LEAST_SECONDS)
        self._running.discard(item)
        self._due[item] = self._clock() + delay
        self._count += 1
        heapq.heappush(self._heap, (self._due[item], self._count, item))
        self._changed.set()
        return delay

    def _finish(self, item: Item, after_seconds: float | None) -> None:
        self._running.discard(item)
        again = self._again.pop(item, None)
        if again is not None:
            self.wake(item, again - self._clock())
        if after_seconds is not None:
            self.wake(item, after_seconds)

    def close(self) -> None:
        """No item is given out any more."""
        self._closed = True
        self._changed.set()

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._due)

    @property
    def running(self) -> int:
        """Passes that run."""
        return len(self._running)
