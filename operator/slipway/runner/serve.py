"""Serves a model as MLflow's own scoring application does, so that its connections can be moved to other pods.

What is added is what a rollout needs: connections that end after a while and while the pod drains, the version in every
answer, a bound on what is worked on at a time, and clear refusals of what the application would stumble over.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.api.tasks import CANDIDATE, ENVIRONMENT

from . import score
from .outcome import say
from .pod import THIS_POD, Pod
from .serving import guests, signature
from .serving.fast import Turns, fast_way
from .serving.front import OPENED, Front, Settings
from .serving.mlflows import MLflows
from .serving.native import NotNative
from .serving.openinference import Endpoint
from .serving.replies import Reply

GUEST_SECONDS = 65.0  # for an answer of a model in another process: its own MLflow's limit is 60
GRACE_SECONDS = 35  # for requests in flight when the drain time is over; Kubernetes' own limit comes first


def settings() -> Settings:
    """Settings from the environment, as the manifest gives them."""
    found = os.environ.get
    return Settings(
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
    from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT  # noqa: PLC0415
    from mlflow.pyfunc import scoring_server  # noqa: PLC0415 - what it imports takes seconds

    with _naming_variables(folder):
        model = scoring_server.load_model_with_mlflow_config(str(folder))
    mlflows = MLflows(model, MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get())
    endpoint = Endpoint(chosen.model, chosen.version, model.metadata.signature) if chosen.model else None
    way, why = _fast(mlflows, folder)
    front = Front(scoring_server.init(model), chosen, mlflows, way, endpoint, _about(why))
    return _serve(front, chosen)


def _serve_guest(pod: Pod, chosen: Settings) -> None:
    """Serve a model that has packages of its own: it runs in another process, and ends with this one."""
    folder = pod.at(CANDIDATE)
    try:
        with _naming_variables(folder):
            guest = guests.started(folder, pod.at(ENVIRONMENT), Path(tempfile.mkdtemp()) / "model", GUEST_SECONDS)
    except guests.Gone as gone:
        say(str(gone))
        sys.exit(gone.code if gone.code > 0 else 128 - gone.code)
    endpoint = Endpoint(chosen.model, chosen.version, signature.read(folder)) if chosen.model else None
    why = "the model runs in packages of its own"
    say(f"the fast way is off: {why}")
    _serve(Front(guest, chosen, guest, None, endpoint, _about(why)), chosen, guest)


def _about(why: str) -> Reply:
    """What this server tells of itself; `why` the fast way is off, "" if it is on."""
    return Reply(200, json.dumps({"fastWay": not why, "why": why}).encode())


@contextlib.contextmanager
def _naming_variables(folder: Path) -> Iterator[None]:
    """If the model does not load, the log says which variables it was logged with and does not have."""
    try:
        yield
    except Exception:
        if unset := score.unset(str(folder)):
            say(unset)
        raise


def _serve(front: Front, chosen: Settings, guest: guests.Guest | None = None) -> None:
    config = uvicorn.Config(
        front,
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
    server = Server(config, chosen)
    with guest.watched(server.end) if guest else contextlib.nullcontext():
        server.run()
    if guest and guest.code:  # it ended by itself, and the kubelet starts both anew
        sys.exit(guest.code)


def _fast(mlflows: MLflows, folder: Path) -> tuple[Turns | None, str]:
    """The fast way, where it was proven; otherwise why it was not, as the log says it."""
    example, began = folder / "serving_input_example.json", time.monotonic()

    def answer(body: bytes) -> bytes | None:
        reply = mlflows.answer(body)
        return reply.body if reply.status == 200 else None

    try:
        way = fast_way(mlflows.model, answer, example.read_bytes() if example.is_file() else None)
    except NotNative as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - MLflow's way needs none of it
        why = f"{type(error).__name__}: {error}"
    else:
        say(f"the fast way is on: it answers as MLflow's way does, {time.monotonic() - began:.1f} s")
        return Turns(way.answer), ""
    say(f"the fast way is off: {why}")
    return None, why or "it failed"


if __name__ == "__main__":
    main()
