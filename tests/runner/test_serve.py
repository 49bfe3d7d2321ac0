"""The scoring server: answers, says which version answered, and lets go of its connections when it must."""

import asyncio
import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy
import pytest
import requests
import tritonclient.http as triton
from slipway.api.tasks import CANDIDATE, ENVIRONMENT
from slipway.runner.score import VARIABLES
from slipway.runner.serving.bodies import MAX_BODY_BYTES, Declined, Load

from tests.ports import free_port
from tests.runner.pods import Pod, answers, running, wait_until
from tests.runner.test_score import model_of

ROW = {"dataframe_split": {"columns": ["distance", "hour"], "data": [[200.0, 5.0]]}}
JSON = {"Content-Type": "application/json"}
# The last line of the program, with a folder, a port and bounds of a test; the rest is from the environment.
START = """
from dataclasses import replace
from pathlib import Path
from slipway.runner.pod import Pod
from slipway.runner.serve import main, settings
chosen = settings()
main(Pod(Path({root!r})), replace(chosen, host="127.0.0.1", port={port}, metrics_port={metrics}, load=replace(chosen.load{bounds})))
"""


@dataclass(frozen=True)
class Serving:
    port: int
    metrics_port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(root: Path, model: Path, version: int, bounds: str = "", **settings: str) -> Iterator[Serving]:
    pod, port, metrics = Pod(root), free_port(), free_port()
    shutil.copytree(model, pod.at(CANDIDATE), dirs_exist_ok=True)
    environment = pod.environment(SLIPWAY_MODEL="flights", SLIPWAY_MODEL_VERSION=str(version), **settings)
    command = [
        sys.executable,
        "-c",
        START.format(root=str(root), port=port, metrics=metrics, bounds=bounds and f", {bounds}"),
    ]
    ready = f"http://127.0.0.1:{port}/ping"
    with running(command, root / "log", lambda: answers(ready), environment, root) as process:
        yield Serving(port, metrics, process, root / "log")


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


@pytest.mark.parametrize("packages", ["", "sha256:aa"], ids=["in the image's packages", "in packages of its own"])
def test_the_log_of_a_model_that_does_not_load_names_the_variables_that_are_not_set(
    tmp_path: Path, packages: str
) -> None:
    pod = Pod(tmp_path / "pod")
    model_of(pod.at(CANDIDATE), load="import os; os.environ['SEARCH_API_KEY']")
    (pod.at(CANDIDATE) / VARIABLES).write_text("# of MLflow\nSEARCH_API_KEY\n")
    (pod.at(ENVIRONMENT) / "those-of-this-image.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-c", START.format(root=str(pod.root), port=free_port(), metrics=free_port(), bounds="")]
    environment = pod.environment(SLIPWAY_ENVIRONMENT=packages)
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "the model was logged with SEARCH_API_KEY, which is not set: " in ended.stderr


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


SLOW = """
import time
from pathlib import Path

def _load_pyfunc(path):
    return Model()

class Model:
    def predict(self, data, params=None):
        began, go = Path("began"), Path("go")
        began.touch()
        while not go.exists():
            time.sleep(0.02)
        return [1.0] * len(data)
"""


def waiting_model(folder: Path) -> Path:
    """A model that predicts once the file `go` is there."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "theirs_waits.py").write_text(SLOW)
    flavor = {"loader_module": "theirs_waits", "code": "code", "python_version": "3"}
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"python_function": flavor}}))
    return folder


def rows(count: int) -> dict[str, dict[str, list[object]]]:
    """A request of some 12 bytes a row."""
    return {"dataframe_split": {"columns": ["distance", "hour"], "data": [[200.0, 5.0]] * count}}


@pytest.mark.parametrize(
    ("bounds", "count", "status"),
    [("max_working=1", 1, 429), ("max_bytes=2**20", 60_000, 503)],
    ids=["many", "large"],
)
def test_more_than_a_pod_takes_is_sent_away_and_probes_are_not(
    tmp_path: Path, bounds: str, count: int, status: int
) -> None:
    root = tmp_path / "pod"
    root.mkdir()
    with (
        serving(root, waiting_model(tmp_path / "model"), 7, bounds=bounds) as server,
        ThreadPoolExecutor(1) as client,
    ):
        ask = partial(requests.post, f"{server.url}/invocations", json=rows(count), timeout=60)
        first = client.submit(ask)
        wait_until((root / "began").exists, "the first request in the model")
        refused = ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (status, "1")
        assert refused.headers["connection"] == "close", "the next connection may lead to a pod with room"
        assert "ask again in 1 s" in refused.text
        assert requests.get(f"{server.url}/ping", timeout=30).ok, "a pod at its bound is not a broken one"
        (root / "go").touch()
        assert first.result().ok
        assert ask().ok, "its place is free again"


@dataclass
class Sender:
    """A client that sends its body as the test says."""

    parts: "asyncio.Queue[dict[str, object]]" = field(default_factory=asyncio.Queue)
    all_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> MutableMapping[str, object]:
        if self.parts.empty():
            self.all_read.set()
        return await self.parts.get()

    def send(self, body: bytes, more: bool = True) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self.parts.put_nowait({"type": "http.disconnect"})


async def taken(load: Load, sender: Sender, declared: int = 0) -> int:
    """The size of the body, or the status of the refusal."""
    try:
        async with load.turn(declared, sender.receive) as turn:
            return len(turn.body)
    except Declined as declined:
        return declined.status


async def test_a_body_counts_while_it_comes_but_keeps_no_place_before_it_is_whole() -> None:
    load, slow = Load(max_working=1, max_bytes=100), Sender()
    slow.send(b"x" * 90)
    half = asyncio.create_task(taken(load, slow))
    await slow.all_read.wait()
    assert load.held_bytes == 90
    fits, large, liar = Sender(), Sender(), Sender()
    fits.send(b"x" * 10, more=False)
    assert await taken(load, fits, 10) == 10
    assert await taken(load, large, 11) == 503, "before it is sent in vain"
    liar.send(b"x" * 11)
    assert await taken(load, liar) == 503
    slow.leave()
    assert await half == 400, "a body that is not whole is none"
    assert (load.held_bytes, load.working) == (0, 0)


async def test_what_is_too_large_for_every_pod_is_told_so() -> None:
    load, sender = Load(), Sender()
    sender.send(bytes(MAX_BODY_BYTES))
    sender.send(b"x")
    assert await taken(load, sender) == 413
    assert await taken(load, Sender(), MAX_BODY_BYTES + 1) == 413
    assert load.held_bytes == 0


# ---------------------------------------------------------------------------------------------- two protocols, two ways
def test_the_fast_way_answers_as_mlflows_application_does_head_and_body(server: Serving) -> None:
    assert "the fast way is on" in server.log.read_text()
    fast = requests.post(f"{server.url}/invocations", json=ROW, timeout=30)
    slow = requests.post(f"{server.url}/invocations", json={**ROW, "params": {}}, timeout=30)
    assert fast.content == slow.content
    assert {name: fast.headers[name] for name in ("content-type", "content-length")} == {
        name: slow.headers[name] for name in ("content-type", "content-length")
    }


@pytest.mark.parametrize("binary", [True, False], ids=["as bytes", "as JSON"])
def test_the_public_client_of_the_open_inference_protocol_is_answered(server: Serving, binary: bool) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("flights", "3")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    inputs = []
    for told in client.get_model_metadata("flights", "3")["inputs"]:
        one = triton.InferInput(told["name"], [2, 1], told["datatype"])
        values = {"distance": [200.0, 100.0], "hour": [5.0, 1.0]}[told["name"]]
        one.set_data_from_numpy(numpy.array(values).reshape(2, 1), binary_data=binary)
        inputs.append(one)
    wanted = None if binary else [triton.InferRequestedOutput("output-0", binary_data=False)]
    found = client.infer("flights", inputs, outputs=wanted, request_id="7")
    assert found.as_numpy("output-0").tolist() == pytest.approx(numpy.array([[35.0], [20.0]]))
    assert found.get_response()["id"] == "7"


def test_what_the_open_inference_protocol_asks_in_vain_is_refused_in_mlflows_words(server: Serving) -> None:
    said = {"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [200.0]}]}
    answer = requests.post(f"{server.url}/v2/models/flights/infer", json=said, timeout=30)
    assert answer.status_code == 400 and "hour" in answer.json()["error"]
    assert answer.headers["slipway-version"] == "3"
    assert requests.get(f"{server.url}/v2/models/trains", timeout=30).status_code == 404
