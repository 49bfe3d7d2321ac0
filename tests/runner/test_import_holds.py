"""An import whose server falters: what has come is kept, what is cut off is noticed, and an outage is waited for."""

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from slipway.api.tasks import ImportTask
from slipway.runner import tree

from tests.mlflow_server import MLflowServer, start_mlflow
from tests.ports import free_port
from tests.runner.pods import Answer, Ended, Pod, StoreOnDisk, answering, wait_until

MLMODEL = b"flavors: {python_function: {}}\n"
CONTENT = bytes(range(256)) * 4096  # a MiB
WHOLE = '"the-same"'


@dataclass
class Faltering:
    """A server that speaks MLflow's artifact proxy, and how its answers for `model.bin` go wrong, one after the other."""

    faults: list[Callable[[dict[str, str]], Answer]]
    asked: list[str] = field(default_factory=list)  # ranges that were asked for

    def __call__(self, path: str, headers: dict[str, str]) -> Answer:
        if "?path=" in path:
            files = {"MLmodel": MLMODEL, "model.bin": CONTENT}
            listed = [{"path": name, "is_dir": False, "file_size": len(one)} for name, one in files.items()]
            return 200, {}, json.dumps({"files": listed}).encode()
        if path.endswith("/MLmodel"):
            return 200, {}, MLMODEL
        self.asked.append(headers.get("range", ""))
        return self.faults.pop(0)(headers) if self.faults else sends()(headers)


def sends(upto: int = len(CONTENT), etag: str = WHOLE, announced: int = len(CONTENT)) -> Callable[..., Answer]:
    """An answer that gives what was asked for, up to a byte, and ends there although it announced more."""

    def answer(headers: dict[str, str]) -> Answer:
        resumes = "range" in headers and headers.get("if-range") == etag
        start = int(headers["range"].removeprefix("bytes=").rstrip("-")) if resumes else 0
        more = {"Content-Range": f"bytes {start}-{announced - 1}/{announced}"} if resumes else {}
        length = {"Content-Length": str(announced - start)} if announced != upto else {}
        return (206 if resumes else 200), {"ETag": etag, **length, **more}, CONTENT[start:upto]

    return answer


def ill(_: dict[str, str]) -> Answer:
    return 503, {}, b"restarting"


def imported(pod: Pod, uri: str, store: StoreOnDisk, source: str = "mlflow-artifacts:/1/model") -> Ended:
    task = ImportTask(registry_uri=uri, source=source, model_name="m", version=1, store=store.store)
    return pod.run("import_", task)


def digest_of(files: dict[str, bytes]) -> str:
    return tree.digest(tuple(tree.File(k, len(v), hashlib.sha256(v).hexdigest()) for k, v in sorted(files.items())))


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    faults: list[Callable[[dict[str, str]], Answer]]
    asked: list[str]


HALF = len(CONTENT) // 2
MORE = HALF + 2**17
CASES = [
    Case("resumes", "what came is kept", [sends(HALF)], ["", f"bytes={HALF}-"]),
    Case("twice", "again and again", [sends(HALF), ill, sends(MORE)], ["", *[f"bytes={HALF}-"] * 2, f"bytes={MORE}-"]),
    Case("another file", "its ETag says so", [sends(HALF, '"before"')], ["", f"bytes={HALF}-"]),
    Case("weak", "a weak ETag proves nothing", [sends(HALF, 'W/"1"')], ["", ""]),
    Case("none", "without an ETag nobody knows", [sends(HALF, "")], ["", ""]),
    Case("cut off", "a proxy ended it as if it were whole", [sends(HALF, announced=HALF)], ["", f"bytes={HALF}-"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_that_breaks_off_goes_on(pod: Pod, store: StoreOnDisk, case: Case) -> None:
    server = Faltering(case.faults.copy())
    pod.patience_seconds = 30
    with answering(server) as url:
        ended = imported(pod, url, store)
    assert ended.termination.get("digest") == digest_of({"MLmodel": MLMODEL, "model.bin": CONTENT}), ended.stderr
    assert server.asked == case.asked, case.because


def test_a_file_that_never_comes_whole_is_told_with_both_sizes(pod: Pod, store: StoreOnDisk) -> None:
    with answering(Faltering([sends(HALF, "", HALF)] * 20)) as url:
        ended = imported(pod, url, store)
    assert (ended.code, ended.reason) == (1, "RegistryUnreachable"), ended.stderr
    assert f"{HALF} bytes of model.bin came, and {len(CONTENT)} are listed" in ended.message


def test_a_server_that_is_ill_for_a_while_is_not_taken_for_a_folder_that_is(pod: Pod, store: StoreOnDisk) -> None:
    """It fails on the folder and on the one above, and then on neither."""
    whole, fails = Faltering([]), iter(range(6))

    def answer(path: str, headers: dict[str, str]) -> Answer:
        return (500, {}, b"ill") if "?path=" in path and next(fails, None) is not None else whole(path, headers)

    pod.patience_seconds = 60
    with answering(answer) as url:
        ended = imported(pod, url, store)
    assert ended.termination.get("digest"), ended.stderr


class Line:
    """A line to a server, that can be cut: whoever talks is cut off, and nobody gets through until it is mended."""

    def __init__(self, port: int) -> None:
        self._port, self._cut = port, threading.Event()
        self.carried = 0  # bytes that came from the server
        self.cut_off = 0  # callers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._limit = 0

    def cut_after(self, count: int) -> None:
        """It is cut as soon as so many bytes have come."""
        self._limit = count

    def mend(self) -> None:
        self._limit = 0
        self._cut.clear()

    @contextlib.contextmanager
    def open(self) -> Iterator["Line"]:
        threading.Thread(target=self._listen, daemon=True).start()
        yield self
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=self._forward, args=(caller, server), daemon=True).start()
            with contextlib.suppress(OSError):
                while not self._cut.is_set() and (chunk := server.recv(65536)):
                    caller.sendall(chunk)
                    self.carried += len(chunk)
                    if self._limit and self.carried >= self._limit:
                        self._cut.set()
            self.cut_off += self._cut.is_set()

    def _forward(self, caller: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._cut.is_set() and (chunk := caller.recv(65536)):
                server.sendall(chunk)


def laid(server: MLflowServer, name: str, files: int, size: int) -> Path:
    """A model of many files on the server's disk."""
    folder = server.artifacts / "large" / name
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(MLMODEL)
    for number in range(files):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * size)
    return folder


@pytest.mark.long
def test_imports_go_on_when_the_registry_is_back(
    tmp_path: Path, mlflow_server: MLflowServer, store: StoreOnDisk
) -> None:
    """Three imports are cut off in the middle of their files; none of them begins anew."""
    folders = [laid(mlflow_server, f"short-{number}", 4, 4_000_000 + number) for number in range(3)]
    with Line(int(mlflow_server.uri.rpartition(":")[2])).open() as line, ThreadPoolExecutor(3) as pool:
        line.cut_after(20_000_000)

        def run(folder: Path) -> Ended:
            return imported(
                pod_at(tmp_path / folder.name, 60), line.url, store, f"mlflow-artifacts:/large/{folder.name}"
            )

        running = [pool.submit(run, folder) for folder in folders]
        wait_until(lambda: line.cut_off or any(one.done() for one in running), "the cut", 120)
        line.mend()
        ends = [one.result() for one in running]
    for folder, ended in zip(folders, ends, strict=True):
        assert ended.termination.get("digest") == tree.digest(tree.scan(folder)), ended.stderr
    assert any("again in" in ended.stderr for ended in ends)
    assert line.carried < 48_000_000 + 12_000_000, "what had come was not asked for again"


def pod_at(root: Path, patience_seconds: float) -> Pod:
    root.mkdir()
    return Pod(root, patience_seconds)


@pytest.mark.long
def test_ten_imports_outlast_three_minutes_without_the_registry(tmp_path: Path, store: StoreOnDisk) -> None:
    port, home = free_port(), tmp_path / "mlflow"
    server = start_mlflow(home, port=port)
    folders = [laid(server, f"long-{number}", 20, 10_000_000 + number) for number in range(10)]
    try:
        with ThreadPoolExecutor(10) as pool:

            def run(folder: Path) -> Ended:
                pod = pod_at(tmp_path / folder.name, 300)
                return imported(pod, server.uri, store, f"mlflow-artifacts:/large/{folder.name}")

            running = [pool.submit(run, folder) for folder in folders]
            wait_until(
                lambda: len(list(tmp_path.glob("long-*/work/import/model/1.bin"))) >= 5,
                "half of them to be under way",
                240,
            )
            server.stop()
            away = time.monotonic()
            assert not any(one.done() for one in running)
            wait_until(lambda: time.monotonic() - away > 180, "three minutes to pass", 200)
            assert not any(one.done() for one in running), "each of them waits"
            server = start_mlflow(home, port=port)
            ends = [one.result() for one in running]
    finally:
        server.stop()
    for folder, ended in zip(folders, ends, strict=True):
        assert ended.termination.get("digest") == tree.digest(tree.scan(folder)), ended.stderr
        assert "again in" in ended.stderr
