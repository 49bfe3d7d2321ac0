"""A model behind a socket answers as one in the front's own process does: the same packages, asked both ways."""

import json
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from slipway.api.tasks import ENVIRONMENT

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
