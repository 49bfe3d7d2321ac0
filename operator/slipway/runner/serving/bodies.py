"""Bounds what the requests of a serving pod hold in memory: each body, all bodies together, and requests at a time.

MLflow's application reads whole bodies into memory without a bound, and takes any number of requests.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

MAX_BODY_BYTES = 64 * 1024 * 1024
RETRY_SECONDS = 1
SILENT_SECONDS = 30  # between two parts of a body: one that stalls keeps its place in memory

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Declined(Exception):
    """A request that is not worked on: the status of the answer, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Load:
    """The bounds of one pod, and what is in its memory now."""

    max_working: int = 128  # requests whose body is complete; MLflow's application has threads for fewer
    max_bytes: int = 2 * MAX_BODY_BYTES
    working: int = field(default=0, init=False)
    held_bytes: int = field(default=0, init=False)

    @contextlib.asynccontextmanager
    async def body(self, declared: int, receive: Receive) -> AsyncIterator[bytes]:
        """The body, read; it counts until the block ends. Declined if it does not fit."""
        if declared > MAX_BODY_BYTES:
            raise _too_large()
        if self.held_bytes + declared > self.max_bytes:
            raise _busy()  # before it is sent in vain
        held, working, chunks = 0, 0, list[bytes]()
        try:
            async for chunk in _chunks(receive):
                held += len(chunk)
                self.held_bytes += len(chunk)
                if held > MAX_BODY_BYTES:
                    raise _too_large()
                if self.held_bytes > self.max_bytes:
                    raise _busy()
                chunks.append(chunk)
            if self.working >= self.max_working:  # counted from here on: a slow sender keeps no place
                raise _busy()
            working = 1
            self.working += working
            whole = b"".join(chunks)
            chunks.clear()
            yield whole
        finally:
            self.held_bytes -= held
            self.working -= working


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    message = await receive()
    yield message.get("body", b"")
    while message["type"] != "http.disconnect" and message.get("more_body"):
        try:
            message = await asyncio.wait_for(receive(), SILENT_SECONDS)
        except TimeoutError as error:
            raise Declined(408, f"nothing came of the rest of the body for {SILENT_SECONDS} s") from error
        yield message.get("body", b"")


def _too_large() -> Declined:
    return Declined(413, f"the body is larger than {MAX_BODY_BYTES} bytes")


def _busy() -> Declined:
    return Declined(503, f"this pod is at work on as much as it takes; ask again in {RETRY_SECONDS} s")
