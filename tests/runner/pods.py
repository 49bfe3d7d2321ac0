"""A pod on this machine: the runner's programs as real processes, and the servers that they talk to."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from slipway.api.base import Value
from slipway.api.tasks import DataAccess, Store
from slipway.runner.pod import Pod as Inside

from tests.ports import free_port

OPERATOR = Path(__file__).parents[2] / "operator"
# The last line of each program, with the folders of a test in place of those of a pod.
START = """
from pathlib import Path
from slipway.runner.pod import Pod
from slipway.runner.{program} import main
main(Pod(Path({root!r}), Path({log!r}), 1, 5, {patience}))
"""

HERE = DataAccess(allowed_hosts=("127.0.0.1",))  # servers of tests: a pod is not allowed its own address


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What the condition returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    termination: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        return str(self.termination.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.termination.get("message", ""))


class Pod:
    """The fixed folders of a pod, below a temporary one, and the programs that run in it."""

    def __init__(self, root: Path, patience_seconds: float = 1, python: Path = Path(sys.executable)) -> None:
        self.root = root
        self.python = python  # of its image
        self.patience_seconds = patience_seconds  # with a registry that does not answer
        self.log = root / "termination-log"
        self.inside = Inside(root, self.log, store_patience_seconds=1, registry_patience_seconds=1)

    def at(self, folder: str) -> Path:
        """One of the fixed folders, made if need be."""
        path = self.root / folder.lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """What a container's process sees."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "TMPDIR": str(self.root),
            "PYTHONPATH": str(OPERATOR),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            **more,
        }

    def run(self, program: str, task: Value) -> Ended:
        """Run a program to its end."""
        log = self.log
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [str(self.python), *self._start(program)],
            env=self.environment(SLIPWAY_TASK=json.dumps(task.wire())),
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120 + self.patience_seconds,
            check=False,
        )
        said = json.loads(log.read_text()) if log.exists() and log.stat().st_size else {}
        assert not log.exists() or log.stat().st_size <= 4096
        return Ended(done.returncode, said, done.stdout, done.stderr)

    def _start(self, program: str) -> list[str]:
        if program == "score":  # its folders are in its task
            return ["-m", "slipway.runner.score"]
        return [
            "-c",
            START.format(program=program, root=str(self.root), log=str(self.log), patience=self.patience_seconds),
        ]


def program(name: str) -> Path:
    """Where `dev/cluster` puts this program when it builds it."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SLIPWAY_CACHE") or Path(caches, "slipway")) / "bin" / name


@dataclass(frozen=True)
class StoreOnDisk:
    """A running artifact store and the folder of its files."""

    store: Store
    folder: Path

    def blob(self, digest: str) -> Path:
        """Where the store keeps a blob."""
        algorithm, hexdigest = digest.split(":")
        return self.folder / "docker/registry/v2/blobs" / algorithm / hexdigest[:2] / hexdigest / "data"


@contextlib.contextmanager
def running(
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs while the block does."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: ready() or process.poll() is not None, " ".join(command))
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether a server answers there with success."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextlib.contextmanager
def artifact_store(binary: Path, folder: Path) -> Iterator[StoreOnDisk]:
    """The CNCF distribution registry, as the chart brings it, with its files in a folder that is there."""
    config, port = folder / "config.yml", free_port()
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    url = f"http://127.0.0.1:{port}"
    with running([str(binary), "serve", str(config)], folder / "log", lambda: answers(f"{url}/v2/")):
        yield StoreOnDisk(Store(url=url), folder)


Answer = tuple[int, dict[str, str], bytes]


@contextlib.contextmanager
def answering(answer: Callable[[str, dict[str, str]], Answer], certified: Path | None = None) -> Iterator[str]:
    """The URL of a web server that somebody else wrote: `answer` maps path and headers to a response.

    With `certified`, a PEM file with key and certificate, it speaks TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http{'s' if certified else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
