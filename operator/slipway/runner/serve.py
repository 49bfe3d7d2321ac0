"""Serves a model by MLflow's own scoring application, so that its connections can be moved to other pods.

MLflow's application answers, or the fast way in its place where that gives the same bytes. What is added here is what a
rollout needs: connections that end after a while and while the pod drains, the version in every answer, a bound on what
is worked on at a time, and clear refusals of what the application would stumble over.
"""

import asyncio
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.api.tasks import CANDIDATE

from .outcome import say
from .pod import THIS_POD, Pod
from .serving.bodies import RETRY_SECONDS, Declined, Load, Message, Receive
from .serving.fast import Turns, fast_way
from .serving.native import NotNative

GRACE_SECONDS = 35  # for requests in flight when the drain time is over; Kubernetes' own limit comes first
_OPENED = "slipway.opened"
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
_PREDICTED = [(b"content-type", b"application/json")]

Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@dataclass
class Settings:
    """How this pod serves; `load` and `draining` are what changes."""

    connection_seconds: float = 15.0  # age at which a connection is ended
    drain_seconds: float = 5.0  # between SIGTERM and the end of listening
    version: str = ""
    host: str = "0.0.0.0"
    port: int = 8080
    load: Load = field(default_factory=Load)
    draining: bool = field(default=False, init=False)


def settings() -> Settings:
    """Settings from the environment, as the manifest gives them."""
    found = os.environ.get
    return Settings(
        connection_seconds=float(found("SLIPWAY_CONNECTION_SECONDS", "15")),
        drain_seconds=float(found("SLIPWAY_DRAIN_SECONDS", "5")),
        version=found("SLIPWAY_MODEL_VERSION", ""),
    )


class Connection(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn's own types are skipped
    """A connection that knows its age: its opening time travels in the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note when it was opened."""
        self.app_state: dict[str, Any] = {**self.app_state, _OPENED: time.monotonic()}
        super().connection_made(transport)


def movable(app: App, chosen: Settings, fast: Turns | None = None) -> App:
    """The application, with what a rollout needs of it, and the fast way in front of it."""
    version = [(b"slipway-version", chosen.version.encode())] if chosen.version else []

    async def answer(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        opened = scope.get("state", {}).get(_OPENED, math.inf)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *version]
                if chosen.draining or time.monotonic() - opened > chosen.connection_seconds:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        if scope["method"] != "POST":
            return await app(scope, receive, marked)
        headers = dict(scope["headers"])
        if b"content-type" not in headers:  # MLflow's application answers 500
            return await _refuse(marked, 415, "give the Content-Type of the body, such as application/json")
        try:
            async with chosen.load.body(int(headers.get(b"content-length", b"0")), receive) as body:
                certain = fast is not None and scope["path"] == "/invocations" and headers[b"content-type"] in _JSON
                if fast is not None and certain and (predicted := await fast.take(body)) is not None:
                    return await _answered(marked, predicted)
                return await app(scope, _replayed(body, receive), marked)
        except Declined as declined:
            return await _refuse(marked, declined.status, str(declined))

    return answer


async def _answered(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *_PREDICTED]  # as MLflow's application orders them
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


async def _refuse(send: Send, status: int, why: str) -> None:
    # Closing: what is left of the body will not be read.
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode() + b"\n"})


class Server(uvicorn.Server):  # type: ignore[misc]
    """A server that drains before it ends, and then ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, chosen: Settings) -> None:
        super().__init__(config)
        self._chosen = chosen

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Keep answering, so that clients learn by `Connection: close` to go elsewhere; then end."""
        if self._chosen.draining or sig != signal.SIGTERM:
            self.should_exit = True
            return
        self._chosen.draining = True
        say(f"draining for {self._chosen.drain_seconds:g} s")
        asyncio.get_running_loop().call_soon_threadsafe(self._end_later)

    def _end_later(self) -> None:
        asyncio.get_running_loop().call_later(self._chosen.drain_seconds, self._end)

    def _end(self) -> None:
        self.should_exit = True


def main(pod: Pod = THIS_POD, chosen: Settings | None = None) -> None:
    """Serve the model of this pod until it is told to end."""
    chosen = chosen or settings()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    folder = str(pod.at(CANDIDATE))
    from mlflow.pyfunc import scoring_server  # noqa: PLC0415 - what it imports takes seconds

    model = scoring_server.load_model_with_mlflow_config(folder)
    app = scoring_server.init(model)
    config = uvicorn.Config(
        movable(app, chosen, _fast(model, pod.at(CANDIDATE))),
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http=Connection,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=max(60, int(chosen.connection_seconds)),
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    say(f"serving on port {chosen.port}")
    Server(config, chosen).run()


def _fast(model: Any, folder: Path) -> Turns | None:
    """The fast way, where it was proven; the log says why it was not."""
    from mlflow.pyfunc.scoring_server import invocations  # noqa: PLC0415

    schema, example = model.metadata.get_input_schema(), folder / "serving_input_example.json"

    def mlflows(body: bytes) -> bytes | None:
        try:
            said = invocations(body, "application/json", model, schema)
        except Exception:  # noqa: BLE001 - whatever the model raises
            return None
        return said.response.encode() if said.status == 200 else None

    began = time.monotonic()
    try:
        way = fast_way(model, mlflows, example.read_bytes() if example.is_file() else None)
    except NotNative as error:
        say(f"the fast way is off: {error}")
        return None
    except Exception as error:  # noqa: BLE001 - MLflow's way needs none of it
        say(f"the fast way is off: {type(error).__name__}: {error}")
        return None
    say(f"the fast way is on: it answers as MLflow's way does, {time.monotonic() - began:.1f} s")
    return Turns(way.answer)


if __name__ == "__main__":
    main()
