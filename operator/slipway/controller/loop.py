"""The operator's life: list, watch, work, relist, and an end that lets running passes finish."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..adapters.errors import AdapterError, Conflict
from ..core.reasons import Reason
from ..logs import about
from .queue import Key, Queue
from .reconcile import KINDS
from .telemetry import Telemetry
from .watch import Kopf, Watch

log = logging.getLogger("slipway")
Pass = Callable[[Key], Awaitable[float | None]]
DRAIN_SECONDS = 30.0


class Loop:
    """Workers that take keys from the queue until they are told to stop."""

    def __init__(self, queue: Queue[Key], reconcile: Pass, telemetry: Telemetry) -> None:
        self._queue, self._reconcile, self._telemetry = queue, reconcile, telemetry

    async def work(self) -> None:
        """Pass after pass until the queue is closed. The one broad `except`: a failed pass is logged and retried."""
        while (taken := await self._queue.take()) is not None:
            key, late = taken
            self._telemetry.waited.observe(late)
            started = time.monotonic()
            result = "done"
            try:
                self._queue.done(key, await self._reconcile(key))
            except Conflict:
                result = "conflict"
                self._queue.done(key, 0.2)
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

    async def drain(self, workers: list[asyncio.Task[None]]) -> None:
        """No new pass begins; those that run are given time to end."""
        self._queue.close()
        _, late = await asyncio.wait(workers, timeout=DRAIN_SECONDS)
        for worker in late:
            worker.cancel()


async def run(
    watch: Watch,
    queue: Queue[Key],
    loop: Loop,
    kopf: Kopf,
    namespaces: tuple[str, ...],
    own_namespace: str,
    concurrency: int,
    relist_seconds: int,
    stop: asyncio.Event,
) -> None:
    """List everything, then watch and work until `stop`; a dead watch ends the process, since only a restart helps."""
    while not stop.is_set():
        try:
            await watch.relist(namespaces, own_namespace)
            break
        except AdapterError as error:
            log.warning("waiting for the API server and the CRDs: %s", error)
            await _pause(stop, 2.0)
    kopf.start(watch.saw, stop.set)
    workers = [asyncio.create_task(loop.work()) for _ in range(concurrency)]
    while not await _pause(stop, float(relist_seconds)):
        try:
            await watch.relist(namespaces, own_namespace)
        except AdapterError as error:
            log.warning("the relist failed: %s", error)
    log.info("stopping: %d passes are running", queue.running)
    await loop.drain(workers)
    await asyncio.to_thread(kopf.stop)


def _about(key: Key, reason: str) -> dict[str, Any]:
    return about(KINDS[key.reconciler].kind, key.namespace, key.name, reason)


async def _pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True as soon as it is time to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
