"""The operator's life: list, watch, hold the Lease, work, relist, and an end that lets running passes finish."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..adapters.errors import AdapterError, Conflict
from ..core.reasons import Reason
from ..logs import about
from .events import Kopf
from .lease import Lease
from .queue import Key, Queue
from .reconcile import KINDS
from .telemetry import Telemetry
from .watch import Watch

log = logging.getLogger("slipway")
Pass = Callable[[Key], Awaitable[float | None]]
DRAIN_SECONDS = 30.0
# With CPython's own (700, 10, 10), a third of the processor's time at a start went into looking for garbage.
GC_THRESHOLDS = (20_000, 10, 10)
CONFLICT_SECONDS = 0.2  # before the first look after somebody else wrote; later and later if it goes on


class Loop:
    """Workers that take keys from the queue until they are told to stop."""

    def __init__(self, queue: Queue[Key], reconcile: Pass, telemetry: Telemetry) -> None:
        self._queue, self._reconcile, self._telemetry = queue, reconcile, telemetry
        self._since = time.monotonic()  # a standby has no workers: nothing waited for one before

    async def work(self) -> None:
        """Pass after pass until the queue is closed. The one broad `except`: a failed pass is logged and retried."""
        while (taken := await self._queue.take()) is not None:
            key, late = taken
            started = time.monotonic()
            self._telemetry.waited.observe(min(late, started - self._since))
            result = "done"
            try:
                self._queue.done(key, await self._reconcile(key))
            except Conflict:
                result = "conflict"
                self._queue.failed(key, CONFLICT_SECONDS)
            except AdapterError as error:
                result = "failed"
                delay = self._queue.failed(key)
                log.warning(
                    "%s %s/%s: %s; again in %.1f s", *key, error, delay, extra=_about(key, type(error).__name__)
                )
            except Exception:
                result = "failed"
                delay = self._queue.failed(key)
                log.exception(
                    "%s %s/%s: the pass broke; again in %.1f s", *key, delay, extra=_about(key, Reason.InternalError)
                )
            self._telemetry.passes.labels(key.reconciler, result).inc()
            self._telemetry.took.labels(key.reconciler).observe(time.monotonic() - started)
            # Most passes find nothing to do and wait for nobody: thousands in a row would keep the Lease from its turn.
            await asyncio.sleep(0)

    async def run(self, workers: int, stop: asyncio.Event) -> None:
        """Work with so many workers until `stop`; then no pass begins, and those that run are given time to end."""
        self._since = time.monotonic()
        tasks = [asyncio.create_task(self.work()) for _ in range(workers)]
        await stop.wait()
        log.info("stopping: %d passes are running", self._queue.running)
        self._queue.close()
        _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in late:
            task.cancel()


@dataclass(frozen=True)
class Relists:
    """Where everything is listed anew, and how often."""

    namespaces: tuple[str, ...]
    own_namespace: str
    seconds: float

    async def first(self, watch: Watch, stop: asyncio.Event) -> None:
        """The first list, as soon as the API server and the CRDs are there."""
        while not stop.is_set():
            try:
                await watch.relist(self.namespaces, self.own_namespace)
                return
            except AdapterError as error:
                log.warning("waiting for the API server and the CRDs: %s", error)
                await _pause(stop, 2.0)

    async def go_on(self, watch: Watch, stop: asyncio.Event, now: asyncio.Event) -> None:
        """List until `stop`, every so often and once when `now` is set."""
        while not await _pause(now, self.seconds):
            await self._again(watch)
        await self._again(watch)
        while not await _pause(stop, self.seconds):
            await self._again(watch)

    async def _again(self, watch: Watch) -> None:
        try:
            await watch.relist(self.namespaces, self.own_namespace)
        except AdapterError as error:
            log.warning("the relist failed: %s", error)


async def run(
    watch: Watch, kopf: Kopf, relists: Relists, lease: Lease, act: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> str:
    """List and watch; hold the Lease; `act` until `stop`. What is wrong if the Lease was lost; "" if not.

    A dead watch sets `stop`, since only a restart helps. Whoever loses the Lease must end at once: nothing is tidied.
    """
    await relists.first(watch, stop)
    _keep()
    kopf.start(watch.saw, stop.set)
    acting = asyncio.Event()
    listing = asyncio.create_task(relists.go_on(watch, stop, acting))
    listing.add_done_callback(lambda _: stop.set())
    if await lease.take(stop):
        acting.set()
        keeping, work = asyncio.create_task(lease.keep()), asyncio.ensure_future(act())
        await asyncio.wait({keeping, work}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            return keeping.result()
        keeping.cancel()
        await asyncio.wait({keeping})
        work.result()  # raises what broke it: the Lease is then not given back, but runs out
        await lease.give_back()
    listing.cancel()
    await asyncio.to_thread(kopf.stop)
    await asyncio.wait({listing})
    if not listing.cancelled():
        listing.result()  # raises what broke it
    return ""


def _keep() -> None:
    """What was listed stays: the garbage collector does not walk it over and over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _about(key: Key, reason: str) -> dict[str, Any]:
    return about(KINDS[key.reconciler].kind, key.namespace, key.name, reason)


async def _pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True as soon as it is time to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
