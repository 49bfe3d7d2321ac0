"""Starts a real MLflow server on a free port of this machine, and stops it with all its children."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.ports import free_port

START_SECONDS = 180.0  # five on an idle machine; two busy cores took ninety


class DidNotStart(RuntimeError):
    """The server is not there; the message ends with its log."""


@dataclass(frozen=True)
class MLflowServer:
    """A running server, and the few REST calls that tests prepare it with."""

    uri: str
    directory: Path
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        """Where `mlflow-artifacts:/` lies on this disk."""
        return self.directory / "artifacts"

    def get(self, path: str, **query: str) -> Any:
        """The JSON that answers a GET below /api/2.0/mlflow."""
        return self._call("GET", f"mlflow/{path}?{urllib.parse.urlencode(query)}", None)

    def post(self, path: str, **document: object) -> Any:
        """The JSON that answers a POST below /api/2.0/mlflow."""
        return self._call("POST", f"mlflow/{path}", json.dumps(document).encode())

    def delete(self, path: str, **document: object) -> Any:
        """The JSON that answers a DELETE below /api/2.0/mlflow."""
        return self._call("DELETE", f"mlflow/{path}", json.dumps(document).encode())

    def grant(self, user: str, kind: str, what: str, permission: str) -> None:
        """The user has this permission, as the administrator whose headers these are says."""
        asked = {"username": user, "resource_type": kind, "resource_id": what, "permission": permission}
        self._call("POST", "mlflow/users/permissions/grant", json.dumps(asked).encode(), version="3.0")

    def patch(self, path: str, **document: object) -> Any:
        """The JSON that answers a PATCH below /api/2.0/mlflow."""
        return self._call("PATCH", f"mlflow/{path}", json.dumps(document).encode())

    def upload(self, artifact_uri: str, path: str, content: bytes) -> None:
        """The file lies under a `mlflow-artifacts:/` URI."""
        folder = urllib.parse.urlsplit(artifact_uri).path.strip("/")
        self._call("PUT", f"mlflow-artifacts/artifacts/{urllib.parse.quote(f'{folder}/{path}')}", content)

    def file(self, artifact_uri: str, path: str) -> Path:
        """Where an artifact lies on this disk."""
        return self.artifacts / urllib.parse.urlsplit(artifact_uri).path.strip("/") / path

    def stop(self) -> None:
        """Neither the server nor any process that it started runs any more."""
        try:
            server = psutil.Process(self.pid)
            family = [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(family, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=5)

    def _call(self, method: str, path: str, body: bytes | None, version: str = "2.0") -> Any:
        request = urllib.request.Request(f"{self.uri}/api/{version}/{path}", method=method, data=body)
        request.add_header("Content-Type", "application/json")
        for key, value in self.headers.items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None


@contextmanager
def running_mlflow(
    directory: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[MLflowServer]:
    """An MLflow server with its database, artifacts and log in `directory`; one worker, no jobs.

    `environment` is added to ours without its MLFLOW_ variables; `headers` go with each preparing call.
    """
    server = start_mlflow(directory, options, environment, headers)
    try:
        yield server
    finally:
        server.stop()


def start_mlflow(
    directory: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    port: int | None = None,
) -> MLflowServer:
    """A server that answers /health; the caller stops it. Raises `DidNotStart`."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    database, artifacts, log = directory / "mlflow.db", directory / "artifacts", directory / "server.log"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    usual = {"--backend-store-uri": f"sqlite:///{database}", "--artifacts-destination": str(artifacts)}
    command += [word for option, value in usual.items() if option not in options for word in (option, value)]
    prefix = options[options.index("--static-prefix") + 1] if "--static-prefix" in options else ""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    env |= {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=directory,
            env=env | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = MLflowServer(f"http://127.0.0.1:{port}{prefix}", directory, process.pid, dict(headers or {}))
    try:
        _wait_until_healthy(server, process, log)
    except BaseException:
        server.stop()
        raise
    return server


@contextmanager
def talking_to(uri: str, experiment: str) -> Iterator[None]:
    """MLflow's client talks to this server meanwhile, and to none afterwards.

    It keeps its two servers and its experiment in the process and, for child processes, in the environment: whatever
    is not given back there is where the next test registers its models.
    """
    import mlflow  # noqa: PLC0415 - seconds that most tests do not need

    before = {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        mlflow.set_experiment(experiment)
        yield
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        for key in [key for key in os.environ if key.startswith("MLFLOW_")]:
            del os.environ[key]
        os.environ.update(before)


def _wait_until_healthy(server: MLflowServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"mlflow server ended with {process.returncode}:\n{_tail(log)}")
        try:
            with urllib.request.urlopen(f"{server.uri}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.05)  # another process: there is nothing to be woken by
    raise DidNotStart(f"mlflow server is not healthy after {START_SECONDS:g} seconds:\n{_tail(log)}")


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """One open server for the whole session; name models uniquely."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
