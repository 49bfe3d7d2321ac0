"""A model behind a socket answers as one in the front's own process does: the same packages, asked both ways."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from slipway.api.tasks import ENVIRONMENT
from slipway.runner.guest import Answer, Ask, Server, with_words_of_two
from slipway.runner.serving.guests import CONNECTIONS, Guest

from tests.runner.pods import OPERATOR, wait_until
from tests.runner.test_serve import JSON, ROW, Serving, serving

CSV = {"Content-Type": "text/csv"}
# What differs from one answer to the next, or is the server's own.
PASSING = ("date", "content-length", "connection", "server", "transfer-encoding")


@dataclass(frozen=True)
class Both:
    """The same model, in the front's process and behind a socket."""

    alone: Serving
    guest: Serving

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> list[tuple[int, bytes, dict[str, str]]]:
        """Status, body and headers of both answers."""
        found = []
        for one in (self.alone, self.guest):
            answer = requests.request(method, one.url + path, headers=headers, data=body, timeout=30)
            kept = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in PASSING}
            found.append((answer.status_code, answer.content, kept))
        return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, flights: Path) -> Iterator[Both]:
    root = tmp_path_factory.mktemp("guest")
    packages = root / ENVIRONMENT.lstrip("/")
    packages.mkdir(parents=True)
    (packages / "those-of-this-image.pth").write_text(sysconfig.get_path("purelib") + "\n")
    settings = {"SLIPWAY_CONNECTION_SECONDS": "60", "SLIPWAY_DRAIN_SECONDS": "0"}
    with (
        serving(tmp_path_factory.mktemp("alone"), flights, 3, **settings) as alone,
        serving(root, flights, 3, SLIPWAY_ENVIRONMENT="sha256:aa", **settings) as guest,
    ):
        yield Both(alone, guest)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/invocations", JSON, json.dumps(ROW).encode()),
        ("POST", "/invocations", CSV, b"distance,hour\n200,5\n300,6\n"),
        ("POST", "/invocations", JSON, json.dumps({"dataframe_records": [{"distance": 200, "hour": 5}] * 3000}).encode()),
        ("POST", "/invocations", JSON, b"{"),
        ("POST", "/invocations", JSON, b'{"dataframe_split": {"columns": ["hour"], "data": [[1.0]]}}'),
        ("POST", "/invocations", JSON, b'{"dataframe_split": 3}'),
        ("POST", "/invocations", JSON, b""),
        ("POST", "/invocations", {"Content-Type": "application/x-pickle"}, b"x"),
        ("POST", "/invocations?a=%2F&b", JSON, json.dumps(ROW).encode()),
        ("GET", "/invocations", {}, b""),
        ("GET", "/ping", {}, b""),
        ("HEAD", "/ping", {}, b""),
        ("GET", "/version", {}, b""),
        ("GET", "/nowhere/%C3%BC%2Fx", {}, b""),
        ("POST", "/nowhere", JSON, b"{}"),
        ("DELETE", "/ping", {}, b""),
        ("PUT", "/ping", {}, bytes(80 * 2**20)),
        ("GET", "/v2/models/flights", {}, b""),
        ("GET", "/v2/health/ready", {}, b""),
        ("POST", "/v2/models/flights/infer", JSON, b'{"inputs": [{"name": "distance", "datatype": "FP64", "shape": [1], '
         b'"data": [200.0]}, {"name": "hour", "datatype": "FP64", "shape": [1], "data": [5.0]}]}'),
        ("POST", "/v2/models/flights/infer", JSON, b'{"inputs": []}'),
    ],
)  # fmt: skip
def test_the_answer_is_the_same(both: Both, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    alone, guest = both.ask(method, path, headers, body)
    assert guest == alone


def test_connections_to_the_model_are_used_again_by_many_callers(both: Both) -> None:
    def ask(number: int) -> bool:
        row = {"dataframe_split": {"columns": ["distance", "hour"], "data": [[float(number), 5.0]]}}
        bad = {"dataframe_split": {"columns": ["distance"], "data": [[float(number)]]}}
        assert requests.post(f"{both.guest.url}/invocations", json=bad, timeout=30).status_code == 400
        found, wanted = (
            requests.post(f"{one.url}/invocations", json=row, timeout=30).content for one in (both.guest, both.alone)
        )
        return bool(found == wanted)

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(ask, range(120)))


@contextlib.contextmanager
def asked_by(ask: Ask, folder: Path, seconds: float) -> Iterator[Guest]:
    """A guest that is a thread of this process."""
    server = Server(str(folder / "socket"), ask)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Guest(cast(Any, None), folder / "socket", seconds)
    finally:
        server.shutdown()
        server.server_close()


async def test_who_is_not_waited_for_any_more_keeps_a_place_until_it_has_answered(tmp_path: Path) -> None:
    working, most, go_on = 0, 0, threading.Event()

    def ask(head: dict[str, Any], body: bytes) -> Answer:
        nonlocal working, most
        working += 1
        most = max(most, working)
        go_on.wait(30)
        working -= 1
        return 200, [], body

    with asked_by(ask, tmp_path, 0.5) as guest:
        for _ in range(3):
            replies = await asyncio.gather(*(guest.take(b"x") for _ in range(100)))
            assert {one.status for one in replies} == {504}
        assert most == CONNECTIONS
        go_on.set()
        patient = Guest(cast(Any, None), guest.socket, 30)
        assert (await patient.take(b"y")).body == b"y"


@pytest.mark.parametrize(
    "answer", [(200, [["x", "y" * 2**21]], b""), (200, "none", b""), ("fine", [], b"")], ids=["large", "none", "words"]
)
async def test_an_answer_that_cannot_be_read_is_said_so(tmp_path: Path, answer: Any) -> None:
    with asked_by(lambda *_: answer, tmp_path, 5) as guest:
        reply = await guest.take(b"x")
        assert (reply.status, b"cannot be read" in reply.body) == (502, True)


def test_a_process_that_does_not_want_to_end_is_ended(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    guest = Guest(cast(Any, process), tmp_path, 1)
    with guest.watched(lambda: None):
        pass
    assert (process.returncode, guest.code) == (-9, 0)


EXITS = """
import sys
from slipway.runner.guest import Server, asker
class App:
    async def __call__(self, scope, receive, send):
        sys.exit(7)
def wsgi(environ, start):
    sys.exit(7)
Server(sys.argv[1], asker(App() if sys.argv[2] == "asgi" else wsgi)).serve_forever()
"""


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_model_that_exits_ends_its_process_with_that_code(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "socket"
    command = [sys.executable, "-c", EXITS, str(place), kind]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(OPERATOR)}, stderr=subprocess.DEVNULL)
    wait_until(place.is_socket, "the socket")
    assert asyncio.run(Guest(process, place, 20).take(b"x")).status == 502
    assert process.wait(20) == 7


def test_the_models_process_has_the_variables_of_its_container(tmp_path: Path) -> None:
    given = {"API_KEY": "hush", "OMP_NUM_THREADS": "3", "PYTHONPATH": str(OPERATOR)}
    (asked := tmp_path / "asked.py").write_text(f"import os; print([os.environ.get(one) for one in {[*given]}])")
    command = [sys.executable, "-m", "slipway.runner.inside", str(tmp_path), str(asked)]
    said = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['hush', '3', None]"


def test_mlflow_1_is_told_that_it_knows_no_params() -> None:
    head = {"method": "POST", "path": "/invocations", "headers": [["Content-Type", "application/json"]]}
    asked = with_words_of_two(lambda *_: (200, [["Content-Length", "3"]], b"[1]"))
    assert asked(head, b'{"dataframe_split": {}}') == (200, [], b'{"predictions": [1]}')
    status, _, said = asked(head, b'{"dataframe_split": {}, "params": {"a": 1}}')
    assert (status, b"knows no params" in said) == (400, True)
    assert asked(head, b"[" * 100_000)[0] == 200, "its own MLflow says what is wrong with it"
