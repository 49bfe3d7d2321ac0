"""Bounds what the requests of a serving pod hold: each body, all bodies together, requests at work and in the queue.

MLflow's application reads whole bodies into memory without a bound, and takes any number of requests.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

MAX_BODY_BYTES = 64 * 1024 * 1024
RETRY_SECONDS = 1
SILENT_SECONDS = 30  # between two parts of a body: one that stalls keeps its place in memory

Answered = TypeVar("Answered")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Declined(Exception):
    """A request that is not worked on: the status of the answer, why in a word for the metrics, and for a person."""

    def __init__(self, status: int, cause: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.cause = cause


@dataclass
class Load:
    """The bounds of one pod, and what is in its memory now."""

    max_working: int = 128  # requests whose body is complete; MLflow's application has threads for fewer
    max_bytes: int = 2 * MAX_BODY_BYTES
    max_waiting: int = 0
    max_body_bytes: int = MAX_BODY_BYTES
    timeout_seconds: float = 60.0
    working: int = field(default=0, init=False)
    held_bytes: int = field(default=0, init=False)
    queue: "deque[asyncio.Future[None]]" = field(default_factory=deque, init=False)

    def turn(self, declared: int, receive: Receive) -> "Turn":
        """A request, to be entered: then its body is there, and it has its place."""
        return Turn(self, declared, receive)

    def hold(self, size: int, so_far: int) -> None:
        """Count a part of a body. Declined if it does not fit."""
        self.held_bytes += size
        if so_far > self.max_body_bytes:
            raise self.too_large()
        if self.held_bytes > self.max_bytes:
            raise no_memory()

    def too_large(self) -> Declined:
        """The refusal of a body that no pod of this model takes."""
        return Declined(413, "body-too-large", f"the body is larger than {self.max_body_bytes} bytes")

    async def enter(self, until: float) -> None:
        """Have a place among those at work, in the order of coming. Declined if there is none, or not in time."""
        if self.working < self.max_working:  # nobody waits then: a place that is free goes to who waits
            self.working += 1
            return
        if len(self.queue) >= self.max_waiting:
            raise Declined(
                429, "queue-full", f"this pod is at work on as much as it takes; ask again in {RETRY_SECONDS} s"
            )
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self.queue.append(place)
        late = loop.call_later(until - time.monotonic(), self._late, place)
        try:
            await place
        except asyncio.CancelledError:
            self._forget(place)
            raise
        finally:
            late.cancel()

    def leave(self) -> None:
        """Give a place away: to who has waited longest."""
        while self.queue:
            if not (place := self.queue.popleft()).done():
                place.set_result(None)
                return
        self.working -= 1

    def _late(self, place: "asyncio.Future[None]") -> None:
        if not place.done():
            self.queue.remove(place)
            why = f"there was no place for this request within {self.timeout_seconds:g} s"
            place.set_exception(Declined(504, "queue-timeout", why))

    def _forget(self, place: "asyncio.Future[None]") -> None:
        if place in self.queue:
            self.queue.remove(place)
        elif place.done() and not place.cancelled() and place.exception() is None:
            self.leave()


@dataclass
class Turn:
    """One request, from its body to its answer. What it holds is free when all work for it has ended."""

    load: Load
    declared: int
    receive: Receive
    body: bytes = b""
    since: float = 0.0  # when its body was whole
    _held: int = 0
    _placed: bool = False
    _work: "asyncio.Future[Any] | None" = None

    async def __aenter__(self) -> Self:
        """Read the body, and have a place."""
        try:
            self.body = await self._read()
            self.since = time.monotonic()
            await self.load.enter(self.since + self.load.timeout_seconds)  # here: a slow sender keeps no place
        except BaseException:
            self._end()
            raise
        self._placed = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what it holds, or let its work do so."""
        if self._work is None or self._work.done():
            self._end()
        else:
            self._work.add_done_callback(self._end_with)

    async def within(self, work: Coroutine[Any, Any, Answered]) -> Answered:
        """What the work gives; TimeoutError when the request's time is over. Its place is free once the work ends."""
        self._work = asked = asyncio.ensure_future(work)
        try:
            await asyncio.wait({asked}, timeout=self.since + self.load.timeout_seconds - time.monotonic())
        finally:
            if not asked.done():
                asked.cancel()
        if not asked.done():
            raise TimeoutError
        return asked.result()

    async def _read(self) -> bytes:
        load = self.load
        if self.declared > load.max_body_bytes:
            raise load.too_large()
        if load.held_bytes + self.declared > load.max_bytes:
            raise no_memory()  # before it is sent in vain
        chunks, message = list[bytes](), await self.receive()
        while True:
            if message["type"] == "http.disconnect":
                raise Declined(400, "client-gone", "the client went away before its body was whole")
            chunk = message.get("body", b"")
            self._held += len(chunk)
            load.hold(len(chunk), self._held)
            chunks.append(chunk)
            if not message.get("more_body"):
                return chunk if len(chunks) == 1 else b"".join(chunks)
            try:
                message = await asyncio.wait_for(self.receive(), SILENT_SECONDS)
            except TimeoutError as error:
                why = f"nothing came of the rest of the body for {SILENT_SECONDS} s"
                raise Declined(408, "body-stalled", why) from error

    def _end(self) -> None:
        self.load.held_bytes -= self._held
        if self._placed:
            self.load.leave()

    def _end_with(self, work: "asyncio.Future[Any]") -> None:
        if not work.cancelled():
            work.exception()  # whatever became of it, nobody waits for it
        self._end()


def no_memory() -> Declined:
    """The refusal of a body for which another pod may have room."""
    return Declined(503, "memory", f"this pod holds as much of bodies as it may; ask again in {RETRY_SECONDS} s")
