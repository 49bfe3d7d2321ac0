"""The rehearsal: the judge asks the real server over HTTP, and refuses what a client could not use."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pandas
import pytest
from slipway.api.report import PREFIX, Rehearsal, Report
from slipway.api.tasks import CANDIDATE, CANDIDATE_PREDICTIONS, FEATURES, TRUTH, JudgeTask, Served
from slipway.runner.judge import judge
from slipway.runner.outcome import Refused
from slipway.runner.rehearsal import Bounds, rehearse
from slipway.runner.score import by_row

from tests.ports import free_port
from tests.runner.pods import Pod
from tests.runner.test_serve import Serving, serving
from tests.runner.ways import DOUBLES, MIXED, TARGET, booster, linear, saved

EVERY = ("dataframe_split", "dataframe_records", "inputs", "instances", "CSV", "V2")
SOON = Bounds(start_seconds=0.3, request_seconds=2, late_seconds=0, pause_seconds=0.02)


def task(port: int, with_data: bool = True) -> JudgeTask:
    served = Served(model="flights", version=3, port=port)
    return JudgeTask(
        revision="r1", candidate_digest="sha256:aa", model_type="regressor", with_data=with_data, served=served
    )


def data(pod: Pod, frame: pandas.DataFrame) -> None:
    frame.to_parquet(pod.at(FEATURES) / "data.parquet")


def asked(pod: Pod, server: Serving, predicted: list[Any], bounds: Bounds | None = None) -> Rehearsal:
    found = rehearse(task(server.port), pod.inside, tuple(predicted), bounds or Bounds())
    assert found is not None
    return found


@dataclass(frozen=True)
class Stage:
    """A model and its server, in one pod."""

    pod: Pod
    server: Serving
    model: Any


@contextmanager
def a_served(root: Path, model: Any, frame: Any, **options: Any) -> Iterator[Stage]:
    found = saved(model, frame, root / "saved", **options)
    with serving(root / "pod", root / "saved", 3, SLIPWAY_DRAIN_SECONDS="0") as server:
        yield Stage(Pod(root / "pod"), server, found)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("line")
    with a_served(root, linear(DOUBLES), DOUBLES, input_example=DOUBLES.head(2)) as found:
        yield found


def test_a_pipeline_answers_as_it_predicted_in_every_format_but_for_last_digits(line: Stage) -> None:
    """How many rows are added up at a time changes the last digit of a sum: BLAS does, and it is not the model."""
    many = pandas.concat([DOUBLES] * 50, ignore_index=True)
    data(line.pod, many)
    found = asked(line.pod, line.server, by_row(line.model.predict(many), len(many)))
    assert found.formats == EVERY
    assert (found.rows, found.at_once, found.example, found.note) == (100, 16, True, "")
    assert (found.fast_way, found.fast_way_reason) == (True, "")


@pytest.mark.parametrize("row", [0, 3, 42])
def test_another_number_is_refused_with_both(line: Stage, row: int) -> None:
    data(line.pod, DOUBLES)
    predicted = by_row(line.model.predict(DOUBLES), len(DOUBLES))
    other = [*predicted]
    other[row] += 0.01
    with pytest.raises(Refused, match=rf"as dataframe_split.* for row {row}, and {other[row]:.6f}") as refused:
        asked(line.pod, line.server, other)
    assert refused.value.reason == "AnswersDiffer"


def test_the_judge_asks_before_it_measures_and_the_report_tells_of_it(
    line: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    data(line.pod, DOUBLES)
    pandas.DataFrame({"y": TARGET}).to_parquet(line.pod.at(TRUTH) / "target.parquet")
    facts = json.dumps({"data_digest": "sha256:dd", "rows": len(TARGET)})
    (line.pod.at(TRUTH) / "facts.json").write_text(facts)
    predicted = by_row(line.model.predict(DOUBLES), len(DOUBLES))
    written = line.pod.at(CANDIDATE_PREDICTIONS) / "predictions.json"
    written.write_text(json.dumps({"predictions": predicted, "seconds": 1}))
    judge(task(line.server.port), line.pod.inside)
    (said,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith(PREFIX)]
    report = Report.model_validate_json(said.removeprefix(PREFIX))
    assert report.rehearsal is not None
    assert report.rehearsal.formats == EVERY


def test_without_data_it_answers_its_input_example(line: Stage) -> None:
    found = rehearse(task(line.server.port, with_data=False), line.pod.inside, ())
    assert found is not None
    assert (found.example, found.formats, found.rows, found.note) == (True, (), 0, "")


def test_trees_are_the_same_to_the_last_digit(tmp_path: Path) -> None:
    with a_served(tmp_path, booster(MIXED, TARGET), MIXED) as one:
        frame = MIXED.copy()
        frame.loc[5, "wind"] = None
        data(one.pod, frame)
        found = asked(one.pod, one.server, by_row(one.model.predict(frame), len(frame)))
        assert (found.exact, found.formats, found.rows) == (True, EVERY, 60)
        assert found.note == "It has no input example"


class Wayward(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Does to a request what its first row says; without a signature."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """The number of each row, unless it is told otherwise."""
        what, numbers = model_input["does"].iloc[0], model_input["number"].tolist()
        if what == "state":
            self.last = numbers
            time.sleep(0.05)
            return self.last
        if what == "counts":
            self.count = getattr(self, "count", 0.0) + 1
            return [one + self.count for one in numbers]
        if what == "one" and len(numbers) == 1:
            raise ValueError("a single row \x1b[31m has no spread")
        if what == "slow":
            time.sleep(3)
        if what == "die":
            os._exit(7)
        return {"few": numbers[1:], "nan": [float("nan")] * len(numbers), "words": "so so"}.get(what, numbers)


NUMBERS = [float(one) for one in range(20)]


def doing(what: str) -> pandas.DataFrame:
    return pandas.DataFrame({"does": [what] * len(NUMBERS), "number": NUMBERS})


@contextmanager
def a_wayward(root: Path) -> Iterator[Stage]:
    # By value: a server knows nothing of tests.
    import cloudpickle  # noqa: PLC0415 - which MLflow brings

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    mlflow.pyfunc.save_model(root / "saved", python_model=Wayward(), pip_requirements=[])
    with serving(root / "pod", root / "saved", 3, SLIPWAY_DRAIN_SECONDS="0") as server:
        yield Stage(Pod(root / "pod"), server, None)


@pytest.fixture(scope="module")
def wayward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with a_wayward(tmp_path_factory.mktemp("wayward")) as found:
        yield found


def test_without_a_signature_only_what_json_says_is_asked(wayward: Stage) -> None:
    data(wayward.pod, doing("well"))
    found = asked(wayward.pod, wayward.server, NUMBERS)
    assert (found.formats, found.exact) == (("dataframe_split", "dataframe_records"), True)
    assert (found.fast_way, found.fast_way_reason) == (False, "it has no signature")


def test_types_that_json_does_not_say_are_no_fault_of_the_model(wayward: Stage) -> None:
    data(wayward.pod, doing("well").assign(number=pandas.Series(NUMBERS, dtype="float32")))
    found = asked(wayward.pod, wayward.server, NUMBERS)
    assert found.formats == ()
    assert (
        found.note
        == "Its data was not asked: JSON does not say its columns as they are: no signature tells their types"
    )


@pytest.mark.parametrize(
    ("does", "reason", "said"),
    [
        ("state", "AnswersDiffer", "at the same time, .* does the model keep state"),
        ("counts", "AnswersDiffer", "asked for 1 row as dataframe_split, the model's server answered 1.0 for row 0"),
        ("one", "RehearsalFailed", "answered 500|answered 400"),
        ("slow", "RehearsalFailed", "asked for 1 row as dataframe_split, .* no whole answer within 2 s"),
        ("nan", "AnswersDiffer", "answered null for row 0, and 0.0 was predicted"),
        ("few", "RehearsalFailed", "answered 0 predictions for 1 rows"),
        ("words", "RehearsalFailed", 'answered no list of predictions: {"predictions": "so so"}'),
    ],
)
def test_a_model_that_clients_could_not_use_is_refused_with_what_it_answered(
    wayward: Stage, does: str, reason: str, said: str
) -> None:
    data(wayward.pod, doing(does))
    with pytest.raises(Refused, match=said) as refused:
        asked(wayward.pod, wayward.server, NUMBERS, Bounds(request_seconds=2, late_seconds=0))
    assert refused.value.reason == reason
    assert str(refused.value).isprintable()


def test_a_server_that_dies_is_gone_at_once(tmp_path: Path) -> None:
    with a_wayward(tmp_path) as one:
        data(one.pod, doing("die"))
        began = time.monotonic()
        with pytest.raises(Refused, match="closed the connection") as refused:
            asked(one.pod, one.server, NUMBERS)
        assert refused.value.reason == "RehearsalFailed"
        assert time.monotonic() - began < 10
        assert one.server.process.wait(10) == 7


OK = b"HTTP/1.1 200 OK\r\n"
Says = Callable[[], Iterator[bytes]]


def for_ever(beginning: bytes, part: bytes, pause: float = 0) -> Says:
    def say() -> Iterator[bytes]:
        yield beginning
        while True:
            yield part
            time.sleep(pause)

    return say


def once(said: bytes) -> Says:
    return lambda: iter([said])


def body(said: bytes) -> Says:
    return once(OK + b"Content-Length: " + str(len(said)).encode() + b"\r\n\r\n" + said)


HOSTILE: dict[str, tuple[Says, str]] = {
    "a stream without an end": (for_ever(OK + b"\r\n", b"x" * 65536), "more than 10486.. bytes"),
    "ten gigabytes": (for_ever(OK + b"Content-Length: 10000000000\r\n\r\n", b"1" * 65536), "more than 10486.. bytes"),
    "chunks without an end": (for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"1" * 1024 + b"\r\n"), "more than"),
    "drops": (for_ever(OK + b"\r\n", b" ", 0.05), "no whole answer within 1 s"),
    "headers without an end": (for_ever(OK, b"A: b\r\n" * 99), "no HTTP: HTTPException"),
    "a header that is long": (for_ever(OK + b"A: ", b"b" * 65536), "no HTTP: LineTooLong"),
    "continue, continue": (for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), "no whole answer within 1 s"),
    "a redirect": (once(b"HTTP/1.1 307 Go\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"), "answered 307"),
    "something else": (once(b"\x16\x03\x01 hello\r\n"), "no HTTP: BadStatusLine"),
    "nothing": (once(b""), "closed the connection"),
    "no JSON": (body(b"<html>"), "answered what is no JSON .*: <html>"),
    "two lists": (body(b'{"predictions": [1], "predictions": [2]}'), "a key is given twice"),
    "depth": (body(b"[" * 100_000), "no JSON"),
}  # fmt: skip


@contextmanager
def hostile(says: Says) -> Iterator[int]:
    """The port of a server that is well until it is asked for predictions."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = connection.recv(65536)
            for part in body(b"")() if head.startswith(b"GET") else says():
                connection.sendall(part)

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_server_says_is_bounded(pod: Pod, name: str) -> None:
    says, why = HOSTILE[name]
    (pod.at(CANDIDATE) / "serving_input_example.json").write_text('{"inputs": [1]}')
    bounds = Bounds(request_seconds=1 if "within 1 s" in why else 30, late_seconds=0)
    with hostile(says) as port, pytest.raises(Refused, match=why) as refused:
        rehearse(task(port, with_data=False), pod.inside, (), bounds)
    assert refused.value.reason == "RehearsalFailed"
    assert len(str(refused.value)) < 700


@contextmanager
def stub(answer: Callable[[Any], Any]) -> Iterator[int]:
    """The port of a server that answers what a function makes of the rows of a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(b"{}")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = asked["dataframe_split"]["data"] if "dataframe_split" in asked else asked["dataframe_records"]
            self._say(json.dumps({"predictions": answer(rows)}).encode())

        def _say(self, said: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_that_takes_its_time_for_each_row_is_not_asked_for_a_hundred_at_once(pod: Pod) -> None:
    data(pod, pandas.DataFrame({"x": [float(row) for row in range(200)]}))

    def slowly(rows: list[Any]) -> list[float]:
        time.sleep(0.02 * len(rows))
        return [row[0] if isinstance(row, list) else row["x"] for row in rows]

    with stub(slowly) as port:
        bounds = Bounds(request_seconds=1, late_seconds=0)
        found = rehearse(task(port), pod.inside, tuple(float(row) for row in range(200)), bounds)
    assert found is not None and found.rows == 7
    assert "It was not asked for 100 rows at once: one takes it 0.0" in found.note


def test_an_example_may_have_many_rows_and_none_is_sent_that_is_longer_than_the_server_takes(pod: Pod) -> None:
    many = {"dataframe_split": {"columns": ["x"], "data": [[0.1234567]] * 100_000}}
    (pod.at(CANDIDATE) / "serving_input_example.json").write_text(json.dumps(many))
    with stub(lambda rows: [0.1234567891234] * len(rows)) as port:
        plain = task(port, with_data=False)
        found = rehearse(plain, pod.inside, ())
        assert found is not None and found.example
        assert plain.served is not None
        short = plain.served.model_copy(update={"max_body_bytes": 1024})
        found = rehearse(plain.model_copy(update={"served": short}), pod.inside, ())
    assert found is not None and not found.example
    assert found.note == "Its input example is longer than its server takes"


def test_a_server_with_secrets_is_refused_without_its_words(pod: Pod) -> None:
    (pod.at(CANDIDATE) / "serving_input_example.json").write_text('{"inputs": [1]}')
    with hostile(body(b"bad key sk-abc")) as port:
        asked_for = task(port, with_data=False)
        assert asked_for.served is not None
        quiet = asked_for.model_copy(update={"served": asked_for.served.model_copy(update={"is_quiet": True})})
        with pytest.raises(Refused, match="what it said is not shown, since the model has Secrets") as refused:
            rehearse(quiet, pod.inside, ())
    assert "sk-abc" not in str(refused.value)


def test_what_a_model_with_secrets_predicts_is_in_no_message(pod: Pod) -> None:
    said = ["invalid key sk-abc"] * 2
    (pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").write_text(json.dumps({"predictions": said, "seconds": 1}))
    pandas.DataFrame({"y": ["a", "b"]}).to_parquet(pod.at(TRUTH) / "target.parquet")
    (pod.at(TRUTH) / "facts.json").write_text('{"data_digest": "sha256:dd", "rows": 2}')
    data(pod, pandas.DataFrame({"x": [1.0, 2.0]}))
    with stub(lambda rows: said[: len(rows)]) as port:
        served = Served(model="flights", version=3, port=port, is_quiet=True)
        asked_for = task(port).model_copy(update={"served": served, "model_type": "classifier"})
        with pytest.raises(Refused, match="none is shown, since the model has Secrets") as refused:
            judge(asked_for, pod.inside)
    assert (refused.value.reason, "sk-abc" in str(refused.value)) == ("PredictionsInvalid", False)


def test_a_server_that_does_not_come_up_is_not_waited_for_without_end(pod: Pod) -> None:
    with pytest.raises(Refused, match="listens on no port, 0 s after") as refused:
        rehearse(task(free_port(), with_data=False), pod.inside, (), SOON)
    assert refused.value.reason == "ServerNotReady"


def test_where_nobody_serves_nothing_is_asked(pod: Pod) -> None:
    assert rehearse(task(1).model_copy(update={"served": None}), pod.inside, ()) is None
