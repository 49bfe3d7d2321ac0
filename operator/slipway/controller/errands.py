"""Calls of the registry that a pass asks for and does not wait for: their answers are there at a later pass."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from ..adapters.errors import AdapterError
from .queue import Queue

log = logging.getLogger("slipway")
Errand = TypeVar("Errand", bound=Hashable)
Answer = TypeVar("Answer")


class Errands(Generic[Errand, Answer]):
    """One call at a time for each errand, few at the same time in all, failures later and later."""

    def __init__(
        self,
        queue: Queue[Errand],
        call: Callable[[Errand], Awaitable[Answer]],
        came: Callable[[Errand], None],
        failed: Callable[[AdapterError], Answer],
        again_seconds: Callable[[Answer], float | None] = lambda _: None,
    ) -> None:
        self._queue, self._call, self._came, self._failed = queue, call, came, failed
        self._again_seconds = again_seconds  # after an answer: when to ask once more
        self._answers: dict[Errand, Answer | None] = {}  # of every errand that somebody wants done

    def ask(self, errand: Errand) -> Answer | None:
        """The last answer; None while there is none yet. An errand goes on until it is forgotten."""
        if errand not in self._answers:
            self._answers[errand] = None
            self._queue.wake(errand)
        return self._answers[errand]

    def forget(self, errand: Errand) -> None:
        """Nobody needs the answer any more."""
        self._answers.pop(errand, None)

    def hurry(self, which: Callable[[Errand], bool]) -> None:
        """These are done again as soon as may be, although they failed a moment ago."""
        for errand in self._answers:
            if which(errand):
                self._queue.wake(errand)

    async def work(self) -> None:
        """Call after call until the queue is closed."""
        while (taken := await self._queue.take()) is not None:
            errand, _ = taken
            if errand not in self._answers:
                self._queue.done(errand)
                continue
            try:
                answer = await self._call(errand)
                self._queue.done(errand, self._again_seconds(answer))
            except AdapterError as error:
                answer = self._failed(error)
                self._queue.failed(errand)
            except Exception:
                log.exception("an errand broke: %s", errand)
                self._queue.failed(errand)
                continue
            if errand in self._answers and self._answers[errand] != answer:
                self._answers[errand] = answer
                self._came(errand)

    async def run(self, workers: int, stop: asyncio.Event) -> None:
        """Work with so many workers until it is time to stop."""
        tasks = [asyncio.create_task(self.work()) for _ in range(workers)]
        await stop.wait()
        self._queue.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
