"""A model that runs in packages of its own: another process, behind a Unix socket, asked as MLflow's application is."""

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..outcome import say
from .bodies import Receive
from .mlflows import LATE
from .replies import JSON, TEXT, Reply

MODULE = "slipway.runner.inside"
_HOP = (b"connection", b"content-length", b"transfer-encoding", b"keep-alive")  # of one connection, not of a request
_LINE = 1024 * 1024  # of headers
_POLL_SECONDS = 0.05

CONNECTIONS = 32  # requests at a time in the model's process: as many as MLflow's application has threads
PROBES = 8  # besides: whether the process lives is answered however busy it is
ENDING_SECONDS = 3  # for a process that was told to end

Answer = tuple[int, list[list[str]], bytes]  # status, headers, body
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gone(Exception):
    """The model's process has ended; its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the model's process ended with exit code {code}")
        self.code = code


@dataclass
class Guest:
    """The model's process and the connections to it."""

    process: subprocess.Popen[bytes]
    socket: Path
    timeout_seconds: float
    code: int = field(default=0, init=False)  # what this process ends with, where the model's ended by itself
    _free: list[Streams] = field(default_factory=list, init=False)
    _at_work: set[asyncio.Future[Answer]] = field(default_factory=set, init=False)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS), init=False)
    _probes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PROBES), init=False)

    async def take(self, body: bytes, content_type: str = JSON) -> Reply:
        """The model's answer to an invocation."""
        asked = {"method": "POST", "path": "/invocations", "query": "", "headers": [["content-type", content_type]]}
        status, headers, content = await self._ask(asked, body)
        kind = next((value for name, value in headers if name.lower() == "content-type"), JSON)
        return Reply(status, content, kind)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Any) -> None:
        """An ASGI application: every other path is that of the model's own application."""
        if scope["type"] != "http":
            return
        # The front has read and bounded the body of a POST; nothing else that MLflow answers has one.
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
        kept = [one for one in scope["headers"] if one[0] not in _HOP]
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in kept]
        raw, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
        asked = {"method": scope["method"], "path": raw.decode("latin-1"), "query": query.decode("latin-1")}
        status, found, content = await self._ask({**asked, "headers": headers}, body)
        given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in found]
        given = [one for one in given if one[0] not in _HOP] + [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": given})
        await send({"type": "http.response.body", "body": content})

    async def _ask(self, asked: dict[str, Any], body: bytes) -> Answer:
        """The answer; 504 if it takes too long. Where the model works on, its place is taken until it has answered."""
        work = asyncio.ensure_future(self._in_turn({**asked, "size": len(body)}, body))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(work), self.timeout_seconds)
        except TimeoutError:
            work.cancel()
            return 504, [["content-type", JSON]], LATE
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})  # whoever counts what is at work counts it until then
            raise

    async def _in_turn(self, head: dict[str, Any], body: bytes) -> Answer:
        async with self._turns if head["method"] == "POST" else self._probes:
            try:
                return await _to_its_end(self._exchange(head, body))
            except (OSError, asyncio.IncompleteReadError):
                return _broken(b"The model's process has ended, or closed the connection")
            except (asyncio.LimitOverrunError, ValueError, KeyError, TypeError):
                return _broken(b"The model's process gave an answer that cannot be read")

    async def _exchange(self, head: dict[str, Any], body: bytes) -> Answer:
        streams = self._free.pop() if self._free else await asyncio.open_unix_connection(self.socket, limit=_LINE)
        reader, writer = streams
        try:
            writer.write(json.dumps(head).encode() + b"\n")
            writer.write(body)
            await writer.drain()
            said = json.loads(await reader.readuntil(b"\n"))
            content = await reader.readexactly(said["size"])
            status, headers = int(said["status"]), [[str(name), str(value)] for name, value in said["headers"]]
        except BaseException:
            writer.close()  # what is on its way would answer the next request
            raise
        self._free.append(streams)
        return status, headers, content

    @contextlib.contextmanager
    def watched(self, ended: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `ended` is called if the process ends by itself; it ends with the block."""
        over = threading.Event()

        def watch() -> None:
            code = self.process.wait()
            if not over.is_set():
                say(str(Gone(code)))
                self.code = code if code > 0 else 128 - code
                ended()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            self.process.terminate()
            watcher.join(ENDING_SECONDS)
            self.process.kill()
            watcher.join()


async def _to_its_end(exchange: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer. Cancelled, it ends with the exchange: the model answers, whether somebody waits for it or not."""
    work = asyncio.ensure_future(exchange)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()
        raise


def _broken(why: bytes) -> Answer:
    return 502, [["content-type", TEXT]], why


def started(folder: Path, environment: Path, socket: Path, timeout_seconds: float) -> Guest:
    """The model's process, once it answers; `Gone` if it ends before."""
    socket.unlink(missing_ok=True)
    command = [sys.executable, "-m", MODULE, str(environment), "guest.py", str(folder), str(socket)]
    # Its MLflow has a limit of its own, which must not come before ours.
    patience = {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": str(math.ceil(timeout_seconds))}
    process = subprocess.Popen(command, env={**os.environ, **patience})
    while not socket.is_socket():
        if process.poll() is not None:
            raise Gone(process.returncode)
        time.sleep(_POLL_SECONDS)
    return Guest(process, socket, timeout_seconds)
