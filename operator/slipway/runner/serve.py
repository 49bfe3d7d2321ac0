"""Serves a model as MLflow's own scoring application does, so that its connections can be moved to other pods.

What is added is what a rollout needs: connections that end after a while and while the pod drains, the version in every
answer, a bound on what is worked on at a time, and clear refusals of what the application would stumble over.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.api import tasks
from slipway.api.base import seconds, size_bytes
from slipway.api.scoring import Batching, Scoring
from slipway.api.tasks import CANDIDATE, ENVIRONMENT

from . import score
from .outcome import say
from .pod import THIS_POD, Pod
from .serving import guests, signature
from .serving.batches import Batches, prove
from .serving.bodies import Load
from .serving.fast import FastWay, Turns, fast_way, probes
from .serving.front import OPENED, Front, Settings
from .serving.metrics import Exposed, Metrics
from .serving.mlflows import MLflows
from .serving.native import NotNative
from .serving.openinference import Endpoint
from .serving.threads import in_thread

GUEST_SECONDS = 5.0  # longer than requests may take: the limit of a model's own process must not come before ours


def settings() -> Settings:
    """Settings from the environment, as the manifest gives them."""
    found = os.environ.get
    scoring = Scoring.model_validate_json(found(tasks.SCORING, "{}"))
    most = size_bytes(scoring.max_body_size)
    return Settings(
        load=Load(
            scoring.max_concurrency,
            2 * most,
            scoring.max_queue,
            most,
            seconds(scoring.request_timeout),
        ),
        answering_seconds=scoring.answering_seconds,
        batching=scoring.batching,
        connection_seconds=float(found("SLIPWAY_CONNECTION_SECONDS", "15")),
        drain_seconds=float(found("SLIPWAY_DRAIN_SECONDS", "5")),
        model=found("SLIPWAY_MODEL", ""),
        version=found("SLIPWAY_MODEL_VERSION", ""),
    )


class Connection(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn's own types are skipped
    """A connection that knows its age: its opening time travels in the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note when it was opened."""
        self.app_state: dict[str, Any] = {**self.app_state, OPENED: time.monotonic()}
        super().connection_made(transport)


class Server(uvicorn.Server):  # type: ignore[misc]
    """A server that drains before it ends, and then ends with exit code 0; metrics have a port of their own."""

    def __init__(self, config: uvicorn.Config, chosen: Settings, metrics: Metrics) -> None:
        super().__init__(config)
        self._chosen = chosen
        self._metrics = uvicorn.Config(
            Exposed(metrics), lifespan="off", access_log=False, log_level="warning", server_header=False
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on both ports."""
        await super().startup(sockets)
        self._metrics.load()

        def accepted() -> HttpToolsProtocol:
            return HttpToolsProtocol(self._metrics, self.server_state, {})

        loop, chosen = asyncio.get_running_loop(), self._chosen
        self.servers.append(await loop.create_server(accepted, chosen.host, chosen.metrics_port))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Keep answering, so that clients learn by `Connection: close` to go elsewhere; then end."""
        if self._chosen.draining or sig != signal.SIGTERM:
            self.should_exit = True
            return
        self._chosen.draining = True
        say(f"draining for {self._chosen.drain_seconds:g} s")
        asyncio.get_running_loop().call_soon_threadsafe(self._end_later)

    def end(self) -> None:
        """End, as after a second signal."""
        self.should_exit = True

    def _end_later(self) -> None:
        asyncio.get_running_loop().call_later(self._chosen.drain_seconds, self.end)


def main(pod: Pod = THIS_POD, chosen: Settings | None = None) -> None:
    """Serve the model of this pod until it is told to end."""
    chosen = chosen or settings()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if os.environ.get("SLIPWAY_ENVIRONMENT"):
        return _serve_guest(pod, chosen)
    folder = pod.at(CANDIDATE)
    from mlflow.pyfunc import scoring_server  # noqa: PLC0415 - what it imports takes seconds

    with _naming_variables(folder):
        model = scoring_server.load_model_with_mlflow_config(str(folder))
    mlflows = MLflows(model)
    endpoint = Endpoint(chosen.model, chosen.version, model.metadata.signature) if chosen.model else None
    way, why_not = _fast(mlflows, folder)
    fast, note = _together(way, chosen.batching) if way else (None, "")
    metrics = Metrics(chosen.load, chosen.model, chosen.version, why_not, note=note)
    return _serve(Front(scoring_server.init(model), chosen, mlflows, metrics, fast, endpoint))


def _serve_guest(pod: Pod, chosen: Settings) -> None:
    """Serve a model that has packages of its own: it runs in another process, and ends with this one."""
    folder = pod.at(CANDIDATE)
    try:
        patience = chosen.load.timeout_seconds + GUEST_SECONDS
        with _naming_variables(folder):
            guest = guests.started(folder, pod.at(ENVIRONMENT), Path(tempfile.mkdtemp()) / "model", patience)
    except guests.Gone as gone:
        say(str(gone))
        sys.exit(gone.code if gone.code > 0 else 128 - gone.code)
    endpoint = Endpoint(chosen.model, chosen.version, signature.read(folder)) if chosen.model else None
    metrics = Metrics(chosen.load, chosen.model, chosen.version, "the model runs in packages of its own", guest=True)
    say(f"the fast way is off: {metrics.why_not}")
    _serve(Front(guest, chosen, guest, metrics, endpoint=endpoint), guest)


@contextlib.contextmanager
def _naming_variables(folder: Path) -> Iterator[None]:
    """If the model does not load, the log says which variables it was logged with and does not have."""
    try:
        yield
    except Exception:
        if unset := score.unset(str(folder)):
            say(unset)
        raise


def _serve(front: Front, guest: guests.Guest | None = None) -> None:
    chosen = front.chosen
    config = uvicorn.Config(
        front,
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http=Connection,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=max(60, int(chosen.connection_seconds)),
        timeout_graceful_shutdown=chosen.answering_seconds,
        server_header=False,
    )
    say(f"serving on port {chosen.port}")
    server = Server(config, chosen, front.metrics)
    with guest.watched(server.end) if guest else contextlib.nullcontext():
        server.run()
    if guest and guest.code:  # it ended by itself, and the kubelet starts both anew
        sys.exit(guest.code)


def _fast(mlflows: MLflows, folder: Path) -> tuple[FastWay | None, str]:
    """The fast way, where it was proven; why it was not, which the log says, too."""
    example, began = folder / "serving_input_example.json", time.monotonic()

    def answer(body: bytes) -> bytes | None:
        reply = mlflows.answer(body)
        return reply.body if reply.status == 200 else None

    try:
        way = fast_way(mlflows.model, answer, example.read_bytes() if example.is_file() else None)
    except Exception as error:  # noqa: BLE001 - MLflow's way needs none of it
        why_not = str(error) if isinstance(error, NotNative) else f"{type(error).__name__}: {error}"
        say(f"the fast way is off: {why_not}")
        return None, why_not
    say(f"the fast way is on: it answers as MLflow's way does, {time.monotonic() - began:.1f} s")
    return way, ""


def _together(way: FastWay, chosen: Batching | None) -> tuple[Turns | Batches, str]:
    """In batches, where they were asked for and proven; why they were not, which the log says, too."""
    if chosen is None:
        return Turns(way.answer), ""
    try:
        prove(way, probes(way.columns))
    except Exception as error:  # noqa: BLE001 - each request can be answered alone
        note = f"batching is off: {error}"
        say(note)
        return Turns(way.answer), note
    say(f"batching is on: {chosen.max_rows} rows at a time")
    return Batches(way, chosen.max_rows, in_thread), ""


if __name__ == "__main__":
    main()
