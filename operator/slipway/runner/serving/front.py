"""What every request of a serving pod meets first: bounds, the age of its connection, and the way that answers it.

`/invocations` is answered by the fast way or by MLflow's; the Open Inference Protocol is the same in other words; all
other paths are those of MLflow's application.
"""

import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from slipway.api.tasks import ABOUT

from .bodies import RETRY_SECONDS, Declined, Load, Message, Receive
from .fast import Turns
from .openinference import HEADER, Endpoint
from .replies import JSON, TEXT, Reply

OPENED = "slipway.opened"  # in a scope's state: when its connection was made
INVOCATIONS = "/invocations"
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Answers(Protocol):
    """MLflow's way: in this process, or in that of the model."""

    async def take(self, body: bytes, content_type: str = JSON) -> Reply:
        """The answer to an invocation, while the event loop goes on."""
        ...


@dataclass
class Settings:
    """How this pod serves; `load` and `draining` are what changes."""

    connection_seconds: float = 15.0  # age at which a connection is ended
    drain_seconds: float = 5.0  # between SIGTERM and the end of listening
    model: str = ""
    version: str = ""
    host: str = "0.0.0.0"
    port: int = 8080
    load: Load = field(default_factory=Load)
    draining: bool = field(default=False, init=False)


@dataclass(frozen=True)
class Front:
    """An ASGI application in front of MLflow's."""

    app: App
    chosen: Settings
    mlflows: Answers
    fast: Turns | None = None
    endpoint: Endpoint | None = None
    about: Reply | None = None  # what this server tells of itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every answer names the version, and ends a connection that is old."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        marked = self._marked(scope, send)
        if scope["method"] != "POST":
            found = self.endpoint.get(scope["path"]) if self.endpoint else None
            found = self.about if scope["path"] == ABOUT else found
            return await (_answer(marked, found) if found else self.app(scope, receive, marked))
        headers = dict(reversed(scope["headers"]))  # the first of a name counts, as for MLflow's application
        if b"content-type" not in headers and scope["path"] == INVOCATIONS:  # MLflow's application answers 500
            return await _refuse(marked, 415, "give the Content-Type of the body, such as application/json")
        try:
            async with self.chosen.load.body(int(headers.get(b"content-length", b"0")), receive) as body:
                if reply := await self._predicted(scope["path"], headers, body):
                    return await _answer(marked, reply)
                return await self.app(scope, _replayed(body, receive), marked)
        except Declined as declined:
            return await _refuse(marked, declined.status, str(declined))

    async def _predicted(self, path: str, headers: dict[bytes, bytes], body: bytes) -> Reply | None:
        """The answer to what is asked of the model; None if the path is another one."""
        if path == INVOCATIONS:
            kind = headers[b"content-type"]
            return await (self._ask(body) if kind in _JSON else self.mlflows.take(body, kind.decode("latin-1")))
        return await self.endpoint.post(path, headers.get(HEADER), body, self._ask) if self.endpoint else None

    async def _ask(self, body: bytes) -> Reply:
        if self.fast and (predicted := await self.fast.take(body)) is not None:
            return Reply(200, predicted)
        return await self.mlflows.take(body)

    def _marked(self, scope: Scope, send: Send) -> Send:
        opened = scope.get("state", {}).get(OPENED, math.inf)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(message.get("headers", ()))
                if self.chosen.version:
                    message["headers"].append((b"slipway-version", self.chosen.version.encode()))
                if self.chosen.draining or time.monotonic() - opened > self.chosen.connection_seconds:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        return marked


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


async def _answer(send: Send, reply: Reply) -> None:
    headers = [(b"content-length", str(len(reply.body)).encode()), (b"content-type", reply.media_type.encode())]
    if reply.head_bytes is not None:
        headers.append((HEADER, str(reply.head_bytes).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _refuse(send: Send, status: int, why: str) -> None:
    # Closing: what is left of the body will not be read.
    headers = [(b"content-type", TEXT.encode()), (b"connection", b"close")]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode() + b"\n"})
