"""Requests to the model's Service: single ones, and a load client in a process or pod of its own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from . import load, manifests
from .console import expect
from .kube import Kube, connects
from .load import Plan, Wrong

LOAD_FILE = Path(load.__file__)


@dataclass(frozen=True)
class Entrance:
    """How the Service is reached from here: `direct` at its cluster address, else through a forwarded port."""

    url: str  # of /invocations
    inside: str  # the same, as pods reach it
    host: str  # Host header
    direct: bool

    def ask(self, request: Mapping[str, Any], answers: Mapping[str, Sequence[float]]) -> str:
        """The version that answered with exactly its own predictions; Wrong or httpx.HTTPError otherwise."""
        reply = httpx.post(self.url, json=dict(request), headers={"Host": self.host}, timeout=10, trust_env=False)
        return load.version_of(answers, reply.status_code, reply.content, reply.headers.get("slipway-version"))

    def version(self, request: Mapping[str, Any], answers: Mapping[str, Sequence[float]]) -> str | None:
        """Like `ask`, for polling: None where there is no right answer yet."""
        try:
            return self.ask(request, answers)
        except (httpx.HTTPError, Wrong):
            return None


@contextmanager
def entrance(kube: Kube, url: str) -> Iterator[Entrance]:
    """Find out how the Service behind a status.url is reached from this machine."""
    parts = urlsplit(url)
    host = parts.netloc
    service, namespace = str(parts.hostname).split(".")[:2]
    port = parts.port or 80
    found = kube.get("service", namespace, service)
    expect(found is not None, f"status.url is {url}, but there is no Service {service} in {namespace}")
    assert found is not None
    address = found["spec"]["clusterIP"]
    inside = f"{url.rstrip('/')}/invocations"
    if connects(address, port):
        yield Entrance(f"http://{address}:{port}/invocations", inside, host, direct=True)
        return
    with kube.forwarded(namespace, service, port) as local:
        yield Entrance(f"{local}/invocations", inside, host, direct=False)


class Load:
    """A running load client; it ends by itself when its plan does, or when this process does."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], plan: Plan) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=dict(environment))
        self._lines = self._process.stdout
        self.tally: dict[str, Any] = {"requests": 0, "failed": 0, "failures": [], "answers": {}, "last_at": {}}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._lines
        for line in self._lines:
            if line.startswith("{"):
                self.tally = json.loads(line)

    @property
    def running(self) -> bool:
        """Whether it still asks."""
        return self._process.poll() is None

    def stop(self) -> dict[str, Any]:
        """End it, and return the last tally."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        return self.tally


@contextmanager
def offered(kube: Kube, way: Entrance, plan: Plan, image: str) -> Iterator[Load]:
    """A load client that runs for as long as the context: here, or in a pod where the Service is out of reach."""
    service, namespace = str(urlsplit(way.inside).hostname).split(".")[:2]
    pod = f"load-{service}"
    if way.direct:
        command = [sys.executable, str(LOAD_FILE)]
    else:
        kube.run("kubectl", "delete", "pod", pod, "-n", namespace, "--ignore-not-found")
        kube.apply(manifests.load_pod(image, LOAD_FILE.read_text(), namespace, pod))
        kube.run("kubectl", "wait", f"pod/{pod}", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
        command = kube.command(["kubectl", "attach", "-i", "-q", pod, "-n", namespace])
    running = Load(command, kube.environment, plan)
    try:
        yield running
    finally:
        running.stop()
        if not way.direct:
            kube.run("kubectl", "delete", "pod", pod, "-n", namespace, "--wait=false", "--ignore-not-found")
