"""Metrics of a serving pod: counted by hand, since a request takes a third of a millisecond; written when asked for.

Everything here is touched by the event loop's thread alone. Labels come from sets of our own, whatever clients send;
names and labels of predictions are the model's, and bounded.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from .bodies import Declined, Load
from .histogram import Histogram
from .predictions import Predictions

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ROWS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
NO_WAY = "none"
_CODES = {int(status): str(int(status)) for status in HTTPStatus}
_REASON_CHARACTERS = 200

Sample = tuple[str, Mapping[str, str], float]  # what follows the family's name, labels, value


@dataclass(frozen=True)
class Family:
    """One metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


FAMILIES = tuple(
    Family(f"slipway_serving_{name}", kind, labels, about)
    for name, kind, labels, about in (
        ("requests_total", "counter", ("protocol", "way", "code"),
         "Requests for predictions that were answered: in the protocol mlflow or openinference; by the way fast, "
         "mlflow or guest (a model in packages of its own), or none for what reached no model."),
        ("request_seconds", "histogram", ("protocol", "way"),
         "How long an answer took from the moment the body was whole, with the time in the queue; of requests that "
         "reached a model."),
        ("request_rows", "histogram", (), "Rows of the answers with predictions."),
        ("requests_refused_total", "counter", ("cause",),
         "Requests that reached no model: queue-full (429), memory (503), queue-timeout (504), body-too-large (413), "
         "body-stalled (408), client-gone, no-content-type (415)."),
        ("requests_in_flight", "gauge", (),
         "Requests at work; one that has timed out counts until its thread is free."),
        ("concurrency_limit", "gauge", (), "How many of these there may be (`maxConcurrency`)."),
        ("queue_length", "gauge", (), "Requests that wait for their turn."),
        ("queue_limit", "gauge", (), "How many of these there may be (`maxQueue`)."),
        ("body_bytes", "gauge", (), "Bytes of requests' bodies in memory."),
        ("body_bytes_limit", "gauge", (), "How many of these there may be."),
        ("predicted_value", "histogram", ("output",),
         "Predicted numbers; the buckets are the same for every model. An output is a column of the answer, empty "
         "where there is one; at most 8 are counted."),
        ("predicted_labels_total", "counter", ("output", "label"),
         "Predicted labels: the first 32 of an output, of at most 64 characters; all else is other."),
        ("predictions_not_finite_total", "counter", ("output",), "Predictions that are NaN, infinite or null."),
        ("fast_way", "gauge", ("reason",), "1 while the fast way is on; 0 if not, with the reason."),
        ("info", "gauge", ("environment",), "1; the packages are those of the image, or the model's own."),
        ("start_time_seconds", "gauge", (), "When the pod began to serve (Unix time)."),
    )
)  # fmt: skip


@dataclass
class Metrics:
    """What is counted in one pod."""

    load: Load
    model: str = ""
    version: str = ""
    why_not: str = ""  # why the fast way is off; "": it is on
    note: str = ""  # on a fast way that is on: why batching, which was asked for, is off
    guest: bool = False
    started: float = field(default_factory=time.time)
    refused: Counter[str] = field(default_factory=Counter, init=False)
    rows: Histogram = field(default_factory=lambda: Histogram(ROWS), init=False)
    predictions: Predictions = field(default_factory=Predictions, init=False)
    _requests: dict[tuple[str, str, int], int] = field(default_factory=dict, init=False)
    _seconds: dict[tuple[str, str], Histogram] = field(default_factory=dict, init=False)

    def answered(self, protocol: str, way: str, code: int, seconds: float) -> None:
        """Count one answer to who asked for predictions, by some protocol."""
        if not protocol:
            return
        key = (protocol, way, code if code in _CODES else 0)
        self._requests[key] = self._requests.get(key, 0) + 1
        if way != NO_WAY:
            if (histogram := self._seconds.get((protocol, way))) is None:
                histogram = self._seconds[protocol, way] = Histogram(SECONDS)
            histogram.observe(seconds)

    @property
    def slow_way(self) -> str:
        """The way of what the fast one does not take."""
        return "guest" if self.guest else "mlflow"

    def declined(self, protocol: str, declined: Declined) -> None:
        """Count a request that reached no model."""
        self.refused[declined.cause] += 1
        self.answered(protocol, NO_WAY, declined.status, 0.0)

    def predicted(self, answer: bytes) -> None:
        """Count what a model predicted."""
        self.rows.observe(self.predictions.add(answer))

    def predicted_in(self, found: Predictions, rows: int) -> None:
        """Count the same, seen elsewhere."""
        self.predictions.merge(found)
        self.rows.observe(rows)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        common = _labels({"model": self.model, "version": self.version})
        lines = list[str]()
        for family, samples in zip(FAMILIES, self._samples(), strict=True):
            lines += (
                f"# HELP {family.name} {_escaped(family.about, quote=False)}",
                f"# TYPE {family.name} {family.kind}",
            )
            for ending, labels, value in samples:
                own = f"{common},{_labels(labels)}" if labels else common
                lines.append(f"{family.name}{ending}{{{own}}} {value!r}")
        return "\n".join([*lines, ""]).encode(errors="replace")

    def _samples(self) -> Iterator[Iterable[Sample]]:
        """The samples of each family, in the order of FAMILIES."""
        load = self.load
        yield [
            ("", {"protocol": protocol, "way": way, "code": _CODES.get(code, "other")}, count)
            for (protocol, way, code), count in self._requests.items()
        ]
        yield [
            one
            for (protocol, way), histogram in self._seconds.items()
            for one in _buckets(histogram, {"protocol": protocol, "way": way})
        ]
        yield _buckets(self.rows, {})
        yield [("", {"cause": cause}, count) for cause, count in self.refused.items()]
        yield _one(load.working)
        yield _one(load.max_working)
        yield _one(len(load.queue))
        yield _one(load.max_waiting)
        yield _one(load.held_bytes)
        yield _one(load.max_bytes)
        predicted = self.predictions
        yield [one for name, found in predicted.numbers.items() for one in _buckets(found, {"output": name})]
        yield [
            ("", {"output": name, "label": label}, count)
            for name, labels in predicted.labels.items()
            for label, count in labels.items()
        ]
        yield [("", {"output": name}, count) for name, count in predicted.not_finite.items()]
        yield [("", {"reason": self.why_not[:_REASON_CHARACTERS]}, int(not self.why_not))]
        yield [("", {"environment": "own" if self.guest else "image"}, 1)]
        yield _one(self.started)


def _one(value: float) -> list[Sample]:
    return [("", {}, value)]


def _buckets(histogram: Histogram, labels: Mapping[str, str]) -> Iterator[Sample]:
    count = 0
    for bound, count in histogram.cumulative():
        yield "_bucket", {**labels, "le": bound}, count
    yield "_sum", labels, histogram.total
    yield "_count", labels, count


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str, quote: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


@dataclass(frozen=True)
class Exposed:
    """An ASGI application: `/metrics`, and nothing else."""

    metrics: Metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a scrape."""
        found = scope["path"] == "/metrics"
        body = self.metrics.text() if found else b"Not Found"
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})
