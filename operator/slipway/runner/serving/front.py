"""What every request of a serving pod meets first: bounds, the age of its connection, the way that answers it, a count.

`/invocations` is answered by the fast way or by MLflow's; the Open Inference Protocol is the same in other words; all
other paths are those of MLflow's application.
"""

import contextlib
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from slipway.api.scoring import Batching, Scoring
from slipway.api.tasks import ABOUT

from .batches import Batches
from .bodies import RETRY_SECONDS, Declined, Load, Message, Receive, Turn
from .fast import Turns
from .metrics import NO_WAY, Metrics
from .mlflows import LATE
from .openinference import HEADER, INLINE_BYTES, Endpoint
from .predictions import Predictions
from .replies import JSON, TEXT, Reply
from .threads import apart, in_thread

OPENED = "slipway.opened"  # in a scope's state: when its connection was made
INVOCATIONS = "/invocations"
V2 = "/v2/"
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
    metrics_port: int = 8081
    answering_seconds: int = Scoring().answering_seconds  # for requests in flight when the drain time is over
    batching: Batching | None = None
    load: Load = field(default_factory=Load)
    draining: bool = field(default=False, init=False)


@dataclass(slots=True)
class Asked:
    """A question for predictions, and what is counted of its answer."""

    turn: Turn
    protocol: str  # "": it is none
    way: str = NO_WAY
    predicted: bytes = b""  # in MLflow's protocol

    def seconds(self) -> float:
        """Since its body is whole."""
        return time.monotonic() - self.turn.since


@dataclass(frozen=True)
class Front:
    """An ASGI application in front of MLflow's."""

    app: App
    chosen: Settings
    mlflows: Answers
    metrics: Metrics
    fast: Turns | Batches | None = None
    endpoint: Endpoint | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every answer names the version, and ends a connection that is old."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        marked = self._marked(scope, send)
        if scope["method"] != "POST":
            found = self.endpoint.get(scope["path"]) if self.endpoint else None
            found = self._about() if scope["path"] == ABOUT else found
            return await (_answer(marked, found) if found else self.app(scope, receive, marked))
        headers = dict(reversed(scope["headers"]))  # the first of a name counts, as for MLflow's application
        turn = self.chosen.load.turn(int(headers.get(b"content-length", b"0")), receive)
        asked = Asked(turn, self._protocol(scope["path"]))
        try:
            if b"content-type" not in headers and scope["path"] == INVOCATIONS:  # MLflow's application answers 500
                raise Declined(415, "no-content-type", "give the Content-Type of the body, such as application/json")
            async with turn:
                if reply := await self._predicted(scope["path"], headers, asked):
                    return await self._answered(marked, asked, reply)
                return await self.app(scope, _replayed(turn.body, receive), marked)
        except Declined as declined:
            self.metrics.declined(asked.protocol, declined)
            return await _refuse(marked, declined)
        except Exception:
            self.metrics.answered(asked.protocol, asked.way, 500, asked.seconds())  # which is what uvicorn answers
            raise

    def _about(self) -> Reply:
        """What this server tells of itself."""
        why_not = self.metrics.why_not
        return Reply(200, json.dumps({"fastWay": not why_not, "why": why_not or self.metrics.note}).encode())

    def _protocol(self, path: str) -> str:
        if path == INVOCATIONS:
            return "mlflow"
        return "openinference" if self.endpoint and path.startswith(V2) else ""

    async def _predicted(self, path: str, headers: dict[bytes, bytes], asked: Asked) -> Reply | None:
        """The answer to what is asked of the model; None if the path is another one."""
        body = asked.turn.body
        if path == INVOCATIONS:
            kind = headers[b"content-type"]
            return await (self._ask(asked, body) if kind in _JSON else self._take(asked, body, kind.decode("latin-1")))
        if not self.endpoint:
            return None
        return await self.endpoint.post(path, headers.get(HEADER), body, lambda question: self._ask(asked, question))

    async def _ask(self, asked: Asked, body: bytes) -> Reply:
        """The answer to JSON of MLflow's protocol."""
        if not self.fast:
            return await self._take(asked, body)
        asked.way = "fast"
        if isinstance(self.fast, Batches):
            return await self._take(asked, body, together=self.fast)
        if not self.fast.is_short(body):
            return await self._take(asked, body, threaded=self.fast)
        if (predicted := self.fast.take(body)) is None:
            return await self._take(asked, body)
        asked.predicted = predicted
        return Reply(200, predicted)

    async def _take(
        self,
        asked: Asked,
        body: bytes,
        kind: str = JSON,
        threaded: Turns | None = None,
        together: Batches | None = None,
    ) -> Reply:
        """The answer of what may take long: within the time of the request."""
        try:
            reply = await asked.turn.within(self._slowly(asked, body, kind, threaded, together))
        except TimeoutError:
            return Reply(504, LATE)
        if reply.status == 200:
            asked.predicted = reply.body
        return reply

    async def _slowly(
        self, asked: Asked, body: bytes, kind: str, threaded: Turns | None, together: Batches | None
    ) -> Reply:
        if together and (predicted := await together.take(body)) is not None:
            return Reply(200, predicted)
        if threaded and (predicted := await in_thread(threaded.take, body)) is not None:
            return Reply(200, predicted)
        asked.way = self.metrics.slow_way
        return await self.mlflows.take(body, kind)

    async def _answered(self, send: Send, asked: Asked, reply: Reply) -> None:
        """Answer, and count it."""
        self.metrics.answered(asked.protocol, asked.way, reply.status, asked.seconds())
        await _answer(send, reply)
        if not asked.predicted:
            return
        with contextlib.suppress(ValueError, RecursionError):  # what a model's own process answered may be no JSON
            if len(asked.predicted) <= INLINE_BYTES:
                self.metrics.predicted(asked.predicted)
            else:
                found = Predictions()
                self.metrics.predicted_in(found, await apart(found.add, asked.predicted))

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


async def _refuse(send: Send, declined: Declined) -> None:
    # Closing: what is left of the body will not be read, and another pod may have room.
    headers = [(b"content-type", TEXT.encode()), (b"connection", b"close")]
    if declined.status in (429, 503):
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    await send({"type": "http.response.start", "status": declined.status, "headers": headers})
    await send({"type": "http.response.body", "body": str(declined).encode() + b"\n"})
