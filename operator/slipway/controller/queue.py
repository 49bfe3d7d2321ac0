"""The work queue: each key once, one pass per key at a time, failures later and later, and what is urgent first."""

import asyncio
import heapq
import random
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 120.0
LEAST_SECONDS = 5.0  # between a failure and the next pass, whatever happens meanwhile
URGENT_SECONDS = 0.5  # the same, for what a person or the traffic waits for
SPARE = 1000


class Key(NamedTuple):
    """What a pass is about."""

    reconciler: str  # version, model or registry
    namespace: str
    name: str


class Wait(NamedTuple):
    """When an item is due, and in which lane."""

    due: float
    urgent: bool


Item = TypeVar("Item")


class Queue(Generic[Item]):
    """A deduplicating queue with delays and two lanes. Times come from `clock` (seconds, monotonic).

    Urgent items come first. Of the others at most `usual_at_once` are out at the same time, so that with one worker
    more than that an urgent item never waits for a long pass to end.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        usual_at_once: int | None = None,
    ) -> None:
        self._clock, self._jitter, self._usual_at_once = clock, jitter, usual_at_once
        self._later: dict[Item, Wait] = {}
        self._heap: list[tuple[float, int, Item]] = []
        self._urgent: dict[Item, float] = {}  # due, in their order, since when
        self._usual: dict[Item, float] = {}
        self._running: dict[Item, bool] = {}  # whether it came by the urgent lane
        self._usual_running = 0
        self._again: dict[Item, Wait] = {}  # woken while running
        self._failures: dict[Item, tuple[int, float]] = {}  # how many in a row, and when the last was
        self._count = 0
        self._changed = asyncio.Event()
        self._closed = False

    def wake(self, item: Item, after_seconds: float = 0.0, urgent: bool = False) -> None:
        """The item is due by then at the latest; a wake-up while its pass runs makes one more pass."""
        wait = Wait(self._clock() + max(0.0, after_seconds), urgent)
        if item in self._running:
            self._again[item] = _both(wait, self._again.get(item))
            return
        self._enter(item, Wait(max(wait.due, self._earliest(item, urgent)), urgent))

    async def take(self) -> tuple[Item, float] | None:
        """The next item that is due and how long it was overdue (seconds); None once the queue is closed."""
        while not self._closed:
            now = self._clock()
            self._ripen(now)
            if self._urgent:
                return self._out(self._urgent, now)
            if self._usual and (self._usual_at_once is None or self._usual_running < self._usual_at_once):
                return self._out(self._usual, now)
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
        self._back(item)
        again = self._again.pop(item, None)
        if again is not None:
            self._enter(item, again)
        if after_seconds is not None:
            self.wake(item, after_seconds)

    def failed(self, item: Item, first_seconds: float = FIRST_SECONDS) -> float:
        """The pass failed; the item comes back after the seconds returned, more each time, in the lane it came by."""
        now = self._clock()
        count = self._failures.get(item, (0, 0.0))[0]
        self._failures[item] = (count + 1, now)
        delay: float = min(LONGEST_SECONDS, first_seconds * 2 ** min(count, 16)) * (0.5 + self._jitter())
        urgent = self._back(item)
        again = self._again.pop(item, None)
        if again is not None:  # an echo of the pass's own writes, or somebody who cannot wait
            urgent = urgent or again.urgent
            delay = min(delay, URGENT_SECONDS if again.urgent else LEAST_SECONDS)
        self._enter(item, Wait(now + delay, urgent))
        return delay

    def close(self) -> None:
        """No item is given out any more."""
        self._closed = True
        self._changed.set()

    @property
    def depths(self) -> Mapping[str, int]:
        """Items that are due and wait, by lane; those whose time has not come are not counted."""
        self._ripen(self._clock())
        return {"urgent": len(self._urgent), "usual": len(self._usual)}

    @property
    def depth(self) -> int:
        """Items that are due and wait."""
        return sum(self.depths.values())

    @property
    def running(self) -> int:
        """Passes that run."""
        return len(self._running)

    def _earliest(self, item: Item, urgent: bool) -> float:
        """When an item may come back at the earliest: one that failed is given a pause."""
        failure = self._failures.get(item)
        return failure[1] + (URGENT_SECONDS if urgent else LEAST_SECONDS) if failure else 0.0

    def _enter(self, item: Item, wait: Wait) -> None:
        """The item waits; if it does already, the earlier time and the better lane count."""
        if item in self._urgent:
            return
        if item in self._usual:
            if wait.urgent and wait.due <= self._clock():
                del self._usual[item]
                self._urgent[item] = wait.due
                self._changed.set()
            return
        merged = _both(wait, self._later.get(item))
        if self._later.get(item) == merged:
            return
        self._later[item] = merged
        self._count += 1
        heapq.heappush(self._heap, (merged.due, self._count, item))
        if len(self._heap) > 2 * len(self._later) + SPARE:  # entries that earlier due times replaced
            self._heap = [(wait.due, number, one) for number, (one, wait) in enumerate(self._later.items())]
            heapq.heapify(self._heap)
            self._count = len(self._heap)
        self._changed.set()

    def _ripen(self, now: float) -> None:
        """What has become due goes into its lane."""
        while self._heap and self._heap[0][0] <= now:
            due, _, item = heapq.heappop(self._heap)
            wait = self._later.get(item)
            if wait is None or wait.due != due:
                continue  # an entry that an earlier due time replaced
            del self._later[item]
            (self._urgent if wait.urgent else self._usual)[item] = due

    def _out(self, lane: dict[Item, float], now: float) -> tuple[Item, float]:
        item = next(iter(lane))
        due = lane.pop(item)
        urgent = lane is self._urgent
        self._running[item] = urgent
        self._usual_running += not urgent
        return item, now - due

    def _back(self, item: Item) -> bool:
        """The item's pass has ended; whether it had come by the urgent lane."""
        urgent = self._running.pop(item)
        self._usual_running -= not urgent
        self._changed.set()  # there may be room for a usual item now
        return urgent


def _both(one: Wait, other: Wait | None) -> Wait:
    return one if other is None else Wait(min(one.due, other.due), one.urgent or other.urgent)
