"""The work queue: each key once, one pass per key at a time, failures later and later, and what cannot wait first."""

import asyncio
import heapq
import random
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 120.0
LEAST_SECONDS = 5.0  # between a failure and the next pass, whatever happens meanwhile
URGENT_SECONDS = 0.5  # the same, in the lanes before the usual one
SPARE = 1000


class Key(NamedTuple):
    """What a pass is about."""

    reconciler: str  # version, model or registry
    namespace: str
    name: str


class Lane(IntEnum):
    """Who is served first: the higher lane."""

    USUAL = 0
    URGENT = 1  # what somebody has edited, and the traffic
    COMMAND = 2  # what a person waits for, such as a rollback: a thousand edits at once do not hold it up


class Wait(NamedTuple):
    """When an item is due, and in which lane."""

    due: float
    lane: Lane


Item = TypeVar("Item")


class Queue(Generic[Item]):
    """A deduplicating queue with delays and lanes. Times come from `clock` (seconds, monotonic).

    Of the usual items at most `usual_at_once` are out at the same time, so that with one worker more than that an
    urgent item never waits for a long pass to end.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        usual_at_once: int | None = None,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._clock, self._jitter, self._usual_at_once = clock, jitter, usual_at_once
        self._longest_seconds = longest_seconds  # after a failure
        self._later: dict[Item, Wait] = {}
        self._heap: list[tuple[float, int, Item]] = []
        self._lanes: dict[Lane, dict[Item, float]] = {lane: {} for lane in sorted(Lane, reverse=True)}  # since when due
        self._running: dict[Item, Lane] = {}  # by which it came
        self._usual_running = 0
        self._again: dict[Item, Wait] = {}  # woken while running
        self._failures: dict[Item, tuple[int, float]] = {}  # how many in a row, and when the last was
        self._count = 0
        self._changed = asyncio.Event()
        self._closed = False

    def wake(self, item: Item, after_seconds: float = 0.0, lane: Lane = Lane.USUAL) -> None:
        """The item is due by then at the latest; a wake-up while its pass runs makes one more pass."""
        wait = Wait(self._clock() + max(0.0, after_seconds), lane)
        if item in self._running:
            self._again[item] = _both(wait, self._again.get(item))
            return
        self._enter(item, Wait(max(wait.due, self._earliest(item, lane)), lane))

    async def take(self) -> tuple[Item, float] | None:
        """The next item that is due and how long it was overdue (seconds); None once the queue is closed."""
        while not self._closed:
            now = self._clock()
            self._ripen(now)
            for lane, items in self._lanes.items():
                if items and (lane is not Lane.USUAL or self._room):
                    return self._out(lane, now)
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
        delay: float = min(self._longest_seconds, first_seconds * 2 ** min(count, 16)) * (0.5 + self._jitter())
        lane = self._back(item)
        again = self._again.pop(item, None)
        if again is not None:  # an echo of the pass's own writes, or somebody who cannot wait
            lane = max(lane, again.lane)
            delay = min(delay, _least(again.lane))
        self._enter(item, Wait(now + delay, lane))
        return delay

    def close(self) -> None:
        """No item is given out any more."""
        self._closed = True
        self._changed.set()

    @property
    def depths(self) -> Mapping[str, int]:
        """Items that are due and wait, by lane; those whose time has not come are not counted."""
        self._ripen(self._clock())
        return {lane.name.lower(): len(items) for lane, items in self._lanes.items()}

    @property
    def depth(self) -> int:
        """Items that are due and wait."""
        return sum(self.depths.values())

    @property
    def running(self) -> int:
        """Passes that run."""
        return len(self._running)

    @property
    def _room(self) -> bool:
        """Whether one more usual item may be out."""
        return self._usual_at_once is None or self._usual_running < self._usual_at_once

    def _earliest(self, item: Item, lane: Lane) -> float:
        """When an item may come back at the earliest: one that failed is given a pause."""
        failure = self._failures.get(item)
        return failure[1] + _least(lane) if failure else 0.0

    def _enter(self, item: Item, wait: Wait) -> None:
        """The item waits; if it does already, the earlier time and the better lane count."""
        for lane, items in self._lanes.items():
            if item in items:
                if wait.lane > lane:
                    due = items.pop(item)
                    self._lanes[wait.lane][item] = due
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
            self._lanes[wait.lane][item] = due

    def _out(self, lane: Lane, now: float) -> tuple[Item, float]:
        items = self._lanes[lane]
        item = next(iter(items))
        due = items.pop(item)
        self._running[item] = lane
        self._usual_running += lane is Lane.USUAL
        return item, now - due

    def _back(self, item: Item) -> Lane:
        """The item's pass has ended; the lane by which it had come."""
        lane = self._running.pop(item)
        self._usual_running -= lane is Lane.USUAL
        self._changed.set()  # there may be room for a usual item now
        return lane


def _least(lane: Lane) -> float:
    return LEAST_SECONDS if lane is Lane.USUAL else URGENT_SECONDS


def _both(one: Wait, other: Wait | None) -> Wait:
    return one if other is None else Wait(min(one.due, other.due), max(one.lane, other.lane))
