"""Clients that ask one server as fast as it answers, each over a connection that it keeps.

Run as a program, so that it takes none of the benchmark's time: `python -m bench.clients PORT CONNECTIONS SECONDS`,
with the body on standard input; prints a JSON object with `rate` (answers a second) and `p50` (milliseconds).
"""

import asyncio
import json
import statistics
import sys
import time
from typing import cast

import uvloop

WARM_SECONDS = 0.5
HEAD = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
_LENGTH = b"content-length: "


class Client(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole; connects again where the server ends it."""

    def __init__(self, port: int, body: bytes, until: float) -> None:
        self._request = HEAD.format(len(body)).encode() + body
        self._port, self._until, self._ended = port, until, False
        self._answer = b""
        self.times: list[tuple[float, float]] = []  # when, and the seconds that it took
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        """Begin."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport, self._ended = cast(asyncio.Transport, transport), False  # uvloop's is none by its type
        self._send()

    def data_received(self, data: bytes) -> None:
        """Read the answer."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(_LENGTH) + len(_LENGTH)
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._end()
            self.done.set_exception(RuntimeError(self._answer.decode(errors="replace")[:500]))
            return
        now = time.perf_counter()
        self.times.append((now, now - self._began))
        if now > self._until:
            self._end()
            self.done.set_result(None)
        elif b"connection: close" in lower:
            self._end()
            self._again = asyncio.ensure_future(self.connect())
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has ended the connection by itself, or the answer could not be read."""
        if not self._ended:
            self.done.set_exception(RuntimeError(f"connection lost: {exc!r}, after {self._answer[:500]!r}"))

    def _end(self) -> None:
        self._ended = True
        self._transport.close()

    def _send(self) -> None:
        self._answer, self._began = b"", time.perf_counter()
        self._transport.write(self._request)


async def ask(port: int, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    """Answers a second, and the median of their times in milliseconds; the first half second does not count."""
    began = time.perf_counter() + WARM_SECONDS
    clients = [Client(port, body, began + seconds) for _ in range(connections)]
    await asyncio.gather(*(one.connect() for one in clients))
    await asyncio.gather(*(one.done for one in clients))
    times = [took for one in clients for at, took in one.times if began <= at <= began + seconds]
    return {"rate": len(times) / seconds, "p50": statistics.median(times) * 1000}


if __name__ == "__main__":
    number, count, lasts = sys.argv[1:]
    print(json.dumps(uvloop.run(ask(int(number), int(count), float(lasts), sys.stdin.buffer.read()))))
