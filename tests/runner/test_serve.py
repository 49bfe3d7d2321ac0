"""The scoring server: answers, says which version answered, and lets go of its connections when it must."""

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from slipway.api.tasks import CANDIDATE
from slipway.runner.serve import MAX_BODY_BYTES

from tests.mlflow_server import free_port
from tests.runner.pods import Pod, answers, running, wait_until

ROW = {"dataframe_split": {"columns": ["distance", "hour"], "data": [[200.0, 5.0]]}}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Serving:
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(root: Path, model: Path, version: int, **settings: str) -> Iterator[Serving]:
    pod, port = Pod(root), free_port()
    shutil.copytree(model, pod.at(CANDIDATE), dirs_exist_ok=True)
    environment = pod.environment(
        SLIPWAY_HOST="127.0.0.1", SLIPWAY_PORT=str(port), SLIPWAY_MODEL_VERSION=str(version), **settings
    )
    command = [sys.executable, "-m", "slipway.runner.serve"]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, root / "log", lambda: answers(ready), environment, root) as process:
        yield Serving(port, process, root / "log")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, flights: Path) -> Iterator[Serving]:
    with serving(
        tmp_path_factory.mktemp("serve"), flights, 3, SLIPWAY_CONNECTION_SECONDS="1", SLIPWAY_DRAIN_SECONDS="0"
    ) as found:
        yield found


def test_mlflows_application_answers_and_every_answer_names_the_version(server: Serving) -> None:
    answer = requests.post(f"{server.url}/invocations", json=ROW, timeout=30)
    assert answer.json()["predictions"] == pytest.approx([35.0])
    assert requests.get(f"{server.url}/version", timeout=30).text.startswith("3.")
    for answered in (answer, requests.get(f"{server.url}/ping", timeout=30), requests.get(server.url, timeout=30)):
        assert answered.headers["slipway-version"] == "3"


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (415, {}, b"{}"),
        (415, {"Content-Type": "application/x-pickle"}, b"{}"),
        (400, JSON, b"{"),
        (413, {**JSON, "Content-Length": str(MAX_BODY_BYTES + 1)}, b""),
    ],
    ids=["no type", "foreign type", "no json", "declared too large"],
)
def test_bad_requests_are_refused_by_name(server: Serving, status: int, headers: dict[str, str], body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/invocations")
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert answer.status == status, answer.read()
    assert answer.getheader("slipway-version") == "3"
    connection.close()


def test_a_body_of_unknown_length_is_bounded_too(server: Serving) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 1):
            yield bytes(2**20)

    with contextlib.suppress(requests.ConnectionError):  # the server may be gone before the last of it is sent
        answer = requests.post(f"{server.url}/invocations", data=endless(), headers=JSON, timeout=60)
        assert answer.status_code == 413
    assert requests.post(f"{server.url}/invocations", json=ROW, timeout=30).ok


def test_a_connection_is_kept_until_it_is_old_and_then_closed_by_an_answer(server: Serving) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    opened, kept = time.monotonic(), 0

    def asked() -> bool:
        nonlocal kept
        connection.request("POST", "/invocations", json.dumps(ROW), JSON)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        kept += 1
        return answer.getheader("connection") == "close"

    wait_until(asked, "Connection: close", seconds=30)
    assert time.monotonic() - opened >= 1
    assert kept > 2


@dataclass
class Clients:
    """Many clients with keep-alive and without, that never retry and check every body."""

    endpoints: list[Serving]  # what the Service selects; a client looks only when it connects
    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def work(self, keep_alive: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.done.is_set():
            try:
                if connection is None or connection.sock is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.endpoints[0].port, timeout=30)
                connection.request("POST", "/invocations", json.dumps(ROW), JSON)
                answer = connection.getresponse()
                body = json.loads(answer.read())
                assert answer.status == 200
                assert abs(body["predictions"][0] - 35.0) < 1e-6
                version = answer.getheader("slipway-version") or ""
                self.answered[version] = self.answered.get(version, 0) + 1
            except (OSError, http.client.HTTPException, AssertionError, ValueError, KeyError) as error:
                self.failures.append(repr(error))
                connection = None
            if connection is not None and not keep_alive:
                connection.close()

    @contextlib.contextmanager
    def at_work(self, count: int) -> Iterator[None]:
        threads = [threading.Thread(target=self.work, args=(number % 4 != 0,)) for number in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.done.set()
            for thread in threads:
                thread.join()


def test_a_pod_that_ends_moves_its_clients_without_one_failed_request(
    server: Serving, tmp_path: Path, flights: Path
) -> None:
    settings = {"SLIPWAY_DRAIN_SECONDS": "2", "SLIPWAY_CONNECTION_SECONDS": "600"}
    with serving(tmp_path, flights, 1, **settings) as old:
        clients = Clients([old])
        with clients.at_work(16):
            wait_until(lambda: clients.answered.get("1", 0) > 100, "traffic at the old pod")
            clients.endpoints[0] = server  # Kubernetes removes a pod from its Service, and tells it to end
            old.process.send_signal(signal.SIGTERM)
            wait_until(lambda: old.process.poll() is not None, "the old pod's end")
            seen = clients.answered.get("3", 0)
            wait_until(lambda: clients.answered.get("3", 0) > seen + 100, "traffic at the new pod")
        assert clients.failures == []
        assert old.process.returncode == 0, old.log.read_text()
