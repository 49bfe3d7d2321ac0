"""Bounds and metrics of a serving pod: what waits, what is sent away, and what Prometheus reads of it."""

import asyncio
import json
import signal
import sysconfig
import threading
import time
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from slipway.api.scoring import Scoring
from slipway.api.tasks import ENVIRONMENT
from slipway.runner.serving.bodies import Declined, Load
from slipway.runner.serving.fast import Turns
from slipway.runner.serving.front import Front, Settings
from slipway.runner.serving.metrics import FAMILIES, Metrics
from slipway.runner.serving.mlflows import LATE
from slipway.runner.serving.predictions import BOUNDS, LABELS, OTHER, OUTPUTS, Predictions
from slipway.runner.serving.replies import Reply
from slipway.runner.serving.threads import in_thread

from tests.runner.pods import wait_until
from tests.runner.test_serve import ROW, Sender, Serving, rows, serving, waiting_model

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    """Every sample, without the labels that all of them have."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            key = one.name, frozenset(label for label in one.labels.items() if label[0] not in ("model", "version"))
            assert key not in found, "Prometheus refuses a series that comes twice"
            found[key] = one.value
    return found


def scraped(server: Serving) -> Series:
    answer = requests.get(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=30)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parsed(answer.text)


def value(found: Series, name: str, **labels: str) -> float:
    return found.get((f"slipway_serving_{name}", frozenset(labels.items())), 0.0)


def settings(**chosen: object) -> dict[str, str]:
    """The variable as the manifest gives it, for a pod that ends at once."""
    bounds = Scoring.model_validate(chosen).model_dump_json(by_alias=True, exclude_defaults=True)
    return {"SLIPWAY_SCORING": bounds, "SLIPWAY_DRAIN_SECONDS": "0"}


# ---------------------------------------------------------------------------------------------- what a pod tells
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, flights: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("metrics"), flights, 3, **settings(maxBodySize="1Mi")) as found:
        yield found


def test_what_a_pod_answers_is_counted_by_protocol_way_and_code(server: Serving) -> None:
    def post(path: str, said: object) -> int:
        return requests.post(server.url + path, json=said, timeout=30).status_code

    before = scraped(server)
    infer = {
        "inputs": [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in (("distance", 200.0), ("hour", 5.0))
        ]
    }
    assert post("/invocations", rows(7)) == 200
    assert post("/invocations", {**ROW, "params": {}}) == 200
    assert post("/invocations", {}) == 400
    assert post("/v2/models/flights/infer", infer) == 200
    assert post("/v2/models/trains/infer", infer) == 404
    assert requests.post(f"{server.url}/invocations", data=b"{}", timeout=30).status_code == 415
    assert requests.post(f"{server.url}/invocations", data=bytes(2**20 + 1), headers={"Content-Type": "text/csv"},
                         timeout=30).status_code == 413  # fmt: skip
    assert requests.get(f"{server.url}/ping", timeout=30).ok
    after = scraped(server)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    counted = {
        ("mlflow", "fast", "200"): 1,
        ("mlflow", "mlflow", "200"): 1,
        ("mlflow", "mlflow", "400"): 1,
        ("mlflow", "none", "415"): 1,
        ("mlflow", "none", "413"): 1,
        ("openinference", "fast", "200"): 1,
        ("openinference", "none", "404"): 1,
    }
    for (protocol, way, code), count in counted.items():
        assert more("requests_total", protocol=protocol, way=way, code=code) == count, (protocol, way, code)
    asked = [key for key in after if key[0] == "slipway_serving_requests_total"]
    assert len(asked) == len(counted), "nothing else is counted: no probe, no other path"
    assert more("request_seconds_count", protocol="mlflow", way="mlflow") == 2
    assert (more("request_rows_count"), more("request_rows_sum")) == (3, 9)
    assert (more("predicted_value_count", output=""), more("predicted_value_sum", output="")) == (9, pytest.approx(315))
    assert more("predicted_value_bucket", output="", le="30.0") == 0
    assert more("predicted_value_bucket", output="", le="50.0") == 9
    assert more("requests_refused_total", cause="body-too-large") == 1
    assert value(after, "fast_way", reason="") == 1
    assert value(after, "body_bytes_limit") == 2 * 2**20
    assert value(after, "requests_in_flight") == value(after, "body_bytes") == 0
    assert 0 < time.time() - value(after, "start_time_seconds") < 600


def test_every_metric_names_model_and_version_and_clients_of_the_service_read_none(server: Serving) -> None:
    text = requests.get(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=30).text
    for line in text.splitlines():
        assert line.startswith("#") or '{model="flights",version="3"' in line, line
    assert [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")] == [
        one.name for one in FAMILIES
    ]
    assert requests.get(f"{server.url}/metrics", timeout=30).status_code == 404
    assert requests.get(f"http://127.0.0.1:{server.metrics_port}/ping", timeout=30).status_code == 404


# ---------------------------------------------------------------------------------------------- the queue
def test_a_queue_is_answered_in_the_order_of_coming_and_what_exceeds_it_is_sent_away(tmp_path: Path) -> None:
    root = tmp_path / "pod"
    root.mkdir()
    chosen = settings(maxConcurrency=1, maxQueue=1)
    with (
        serving(root, waiting_model(tmp_path / "model"), 7, **chosen) as server,
        ThreadPoolExecutor(2) as clients,
    ):

        def ask() -> requests.Response:
            return requests.post(f"{server.url}/invocations", json=ROW, timeout=60)

        first = clients.submit(ask)
        wait_until((root / "began").exists, "the first request in the model")
        second = clients.submit(ask)
        wait_until(lambda: value(scraped(server), "queue_length") == 1, "the second one in the queue")
        assert ask().status_code == 429
        found = scraped(server)
        assert value(found, "requests_in_flight") == value(found, "concurrency_limit") == 1
        assert value(found, "queue_limit") == value(found, "requests_refused_total", cause="queue-full") == 1
        (root / "go").touch()
        assert first.result().ok and second.result().ok
        assert value(scraped(server), "requests_in_flight") == value(scraped(server), "queue_length") == 0


def test_what_has_timed_out_keeps_its_place_until_its_thread_is_free(tmp_path: Path) -> None:
    root = tmp_path / "pod"
    root.mkdir()
    chosen = settings(maxConcurrency=1, maxQueue=1, requestTimeout="1s")
    with serving(root, waiting_model(tmp_path / "model"), 7, **chosen) as server:

        def ask() -> requests.Response:
            return requests.post(f"{server.url}/invocations", json=ROW, timeout=60)

        late = ask()
        assert (late.status_code, late.content, late.headers["content-type"]) == (504, LATE, "application/json")
        assert value(scraped(server), "requests_in_flight") == 1
        waited = ask()
        assert (waited.status_code, "no place" in waited.text) == (504, True)
        found = scraped(server)
        assert value(found, "requests_total", protocol="mlflow", way="mlflow", code="504") == 1
        assert value(found, "requests_refused_total", cause="queue-timeout") == 1
        (root / "go").touch()
        wait_until(lambda: value(scraped(server), "requests_in_flight") == 0, "a free thread")
        assert ask().ok


@pytest.mark.long
def test_a_model_in_packages_of_its_own_is_counted_and_bounded_by_the_same_front(tmp_path: Path) -> None:
    root = tmp_path / "pod"
    packages = root / ENVIRONMENT.lstrip("/")
    packages.mkdir(parents=True)
    (packages / "those-of-this-image.pth").write_text(sysconfig.get_path("purelib") + "\n")
    chosen = {"SLIPWAY_ENVIRONMENT": "sha256:aa", **settings(maxConcurrency=1, requestTimeout="1s")}
    with serving(root, waiting_model(tmp_path / "model"), 7, **chosen) as server:

        def ask() -> requests.Response:
            return requests.post(f"{server.url}/invocations", json=ROW, timeout=60)

        late = ask()
        assert (late.status_code, late.content) == (504, LATE)
        assert ask().status_code == 429, "the model is at work on the first one still"
        (root / "go").touch()
        wait_until(lambda: value(scraped(server), "requests_in_flight") == 0, "the model's answer")
        assert ask().json() == {"predictions": [1.0]}
        found = scraped(server)
    for code in ("504", "200"):
        assert value(found, "requests_total", protocol="mlflow", way="guest", code=code) == 1
    assert value(found, "predicted_value_sum", output="") == 1
    assert value(found, "info", environment="own") == 1
    assert value(found, "fast_way", reason="the model runs in packages of its own") == 0


@pytest.mark.long
def test_a_request_in_flight_is_answered_by_a_pod_that_ends(tmp_path: Path) -> None:
    root = tmp_path / "pod"
    root.mkdir()
    chosen = settings(requestTimeout="50s")
    with (
        serving(root, waiting_model(tmp_path / "model"), 7, **chosen) as server,
        ThreadPoolExecutor(1) as clients,
    ):
        asked = clients.submit(requests.post, f"{server.url}/invocations", json=ROW, timeout=60)
        wait_until((root / "began").exists, "the request in the model")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(server.url), "the end of listening")
        assert server.process.poll() is None
        (root / "go").touch()
        assert asked.result().ok
        assert server.process.wait(30) == 0


def refuses(url: str) -> bool:
    """Whether nobody listens there any more."""
    try:
        requests.get(f"{url}/ping", timeout=5)
    except requests.ConnectionError:
        return True
    return False


async def test_the_fast_way_is_given_up_in_its_thread_as_mlflows_way_is(tmp_path: Path) -> None:
    go_on, sent = threading.Event(), list[int]()

    def slow(body: bytes) -> bytes:
        time.sleep(0.1)
        go_on.wait(30)
        return answer([1.0])

    class Nobody:
        async def take(self, body: bytes, content_type: str = "") -> Reply:
            raise AssertionError("the fast way has the answer")

    async def send(message: MutableMapping[str, Any]) -> None:
        if "status" in message:
            sent.append(message["status"])

    async def app(*_: Any) -> None:
        raise AssertionError

    load, sender, fast = Load(timeout_seconds=0.3), Sender(), Turns(slow, _seconds=1.0)
    front = Front(app, Settings(load=load), Nobody(), Metrics(load), fast)
    scope = {"type": "http", "method": "POST", "path": "/invocations",
             "headers": [(b"content-type", b"application/json")]}  # fmt: skip
    sender.send(b"{}", more=False)
    await front(scope, sender.receive, send)
    assert (sent, load.working) == ([504], 1), "its thread is not free"
    go_on.set()
    while load.working:  # noqa: ASYNC110 - nobody waits for it, which is what is tested
        await asyncio.sleep(0.001)
    assert load.held_bytes == 0
    assert (
        value(parsed(front.metrics.text().decode()), "requests_total", protocol="mlflow", way="fast", code="504") == 1
    )


async def placed(load: Load, names: list[str], name: str, go_on: asyncio.Event) -> int:
    """A request that is at work until `go_on`; the status of what became of it."""
    sender = Sender()
    sender.send(b"x", more=False)
    try:
        async with load.turn(1, sender.receive):
            names.append(name)
            await go_on.wait()
    except Declined as declined:
        return declined.status
    return 200


async def test_a_place_goes_to_who_has_waited_longest_and_is_never_lost() -> None:
    load, order, go_on = Load(max_working=1, max_waiting=2), list[str](), asyncio.Event()
    first, second, third = (asyncio.create_task(placed(load, order, name, go_on)) for name in ("1", "2", "3"))
    while len(load.queue) < 2:  # noqa: ASYNC110 - the queue tells nobody
        await asyncio.sleep(0)
    assert await placed(load, order, "4", go_on) == 429
    second.cancel()
    go_on.set()
    assert (await first, await third, order) == (200, 200, ["1", "3"])
    assert (load.working, len(load.queue), load.held_bytes) == (0, 0, 0)


async def test_work_without_a_thread_is_dropped_and_work_with_one_is_waited_for() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    began, go_on, done = threading.Event(), threading.Event(), list[str]()

    def work(name: str) -> None:
        began.set()
        go_on.wait(30)
        done.append(name)

    first = asyncio.create_task(in_thread(work, "first"))
    while not began.is_set():  # noqa: ASYNC110 - it is set by a thread
        await asyncio.sleep(0.001)
    second = asyncio.create_task(in_thread(work, "second"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second}, timeout=30)
    assert second.cancelled()
    first.cancel()
    await asyncio.sleep(0)
    assert not first.done(), "its thread is not free"
    go_on.set()
    await asyncio.wait({first}, timeout=30)
    assert done == ["first"]


# ---------------------------------------------------------------------------------------------- predictions
def answer(predictions: object) -> bytes:
    return json.dumps({"predictions": predictions}).encode()


@pytest.mark.parametrize(
    ("predictions", "count"),
    [
        ([1.0, 2, -3.5], 3),
        (7, 1),
        ([], 0),
        ([[0.1, 0.9], [0.2, 0.8]], 2),
        ({"a": [1, 2], "b": [3, 4]}, 2),
        ([{"a": 1, "b": "x"}], 1),
        ([float("nan"), float("inf"), 10**400, None, 1e308, 1e308], 6),
        (["late", True, ["deep", ["er"]]], 3),
        ([[f"{n}"] * 99 for n in range(99)], 99),
        ([{f"column {n}": n, "\ud800": 1, "line\nbreak": 2} for n in range(99)], 99),
        (["x" * 9999, "\ud800", 'a "quoted" \\ one', "zwei\nZeilen", "é"], 5),
    ],
    ids=lambda one: str(one)[:30].encode(errors="replace").decode() if not isinstance(one, int) else "",
)
def test_whatever_a_model_predicts_is_counted_within_bounds(predictions: object, count: int) -> None:
    metrics = Metrics(Load(), "flights", "3")
    metrics.predicted(answer(predictions))
    seen, elsewhere = metrics.predictions, Predictions()
    assert elsewhere.add(answer(predictions)) == count
    metrics.predicted_in(elsewhere, count)
    found = parsed(metrics.text().decode())
    assert value(found, "request_rows_sum") == 2 * count
    assert max(len(seen.numbers), len(seen.labels), len(seen.not_finite)) <= OUTPUTS
    assert all(len(labels) <= LABELS + 1 for labels in seen.labels.values())
    assert len(found) < 2 * OUTPUTS * (len(BOUNDS) + LABELS) + 100


def test_numbers_fall_into_the_buckets_of_prometheus_and_labels_past_the_bound_are_other() -> None:
    seen = Predictions()
    seen.add(answer([-1e9, -2.0, 0.0, 0.95, 1, 1e9, float("nan")]))
    numbers = dict(seen.numbers[""].cumulative())
    assert [numbers[bound] for bound in ("-1000000.0", "-2.0", "0.0", "0.9", "1.0", "1000000.0", "+Inf")] == [
        1, 2, 3, 3, 5, 5, 6]  # fmt: skip
    assert seen.not_finite == {"": 1}
    seen.add(answer([f"class {n}" for n in range(LABELS + 10)]))
    assert seen.labels[""][OTHER] == 10


def test_a_code_that_is_none_is_one_label() -> None:
    metrics = Metrics(Load())
    for code in range(600, 700):
        metrics.answered("mlflow", "guest", code, 0.1)
    found = parsed(metrics.text().decode())
    assert value(found, "requests_total", protocol="mlflow", way="guest", code="other") == 100
