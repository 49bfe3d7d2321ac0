"""The fast way: from JSON to one table to the native model, where that gives MLflow's answer byte for byte.

Whether it does is found out for each model, before the first request: both ways answer the same bodies. One difference
turns the fast way off. What the fast way does not take, and every error, is answered MLflow's way.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy

from .native import NotNative, Predict, natives
from .rows import Columns, Table

Answer = Callable[[bytes], bytes | None]
INLINE_SECONDS = 0.002  # that an answer may take on the event loop
LATELY = 8  # answers
BATCHES = (1, 7, 100)  # rows of the bodies that both ways answer
MAGNITUDES = (1e-8, 1.0, 1e7)
_TYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}
_PLAIN = "fiubU"  # kinds of arrays that are JSON as they are
_SEED = 20
PROOF_SECONDS = 1.0  # of CPU time: where it takes longer, it is the model that does, and little is to be gained


@dataclass(frozen=True)
class FastWay:
    """How a model is asked directly."""

    columns: Columns
    predict: Predict

    def answer(self, body: bytes) -> bytes | None:
        """MLflow's answer to a body of JSON; None if that is for MLflow to give."""
        table = self.columns.read(body)
        found = None if table is None else self.values(table)
        return None if found is None else json.dumps({"predictions": found}).encode()

    def values(self, table: Table) -> list[Any] | None:
        """What the model predicts of each row; None if that is for MLflow to word."""
        try:
            found = self.predict(table)
        except Exception:  # noqa: BLE001 - whatever the model raises
            return None
        if not isinstance(found, numpy.ndarray) or found.dtype.kind not in _PLAIN:
            return None
        return found.tolist()  # type: ignore[no-any-return]


@dataclass
class Turns:
    """Answers on the event loop while that is short, and in a thread while it is long."""

    answer: Answer
    _seconds: float = 0.0  # that an answer took lately
    _a_byte: float = field(default=0.0, init=False)  # the same, of each byte of the body

    def is_short(self, body: bytes) -> bool:
        """Whether the answer may be taken on the event loop."""
        return max(self._seconds, self._a_byte * len(body)) <= INLINE_SECONDS

    def take(self, body: bytes) -> bytes | None:
        """The answer of the fast way; None if it has none."""
        began = time.perf_counter()
        found = self.answer(body)
        took = time.perf_counter() - began
        self._seconds += (took - self._seconds) / LATELY
        self._a_byte += (took / max(1, len(body)) - self._a_byte) / LATELY
        return found


def fast_way(model: Any, mlflows: Answer, example: bytes | None = None, seconds: float = PROOF_SECONDS) -> FastWay:
    """The fast way of a pyfunc, proven against MLflow's own answers (None: an error). NotNative if there is none."""
    columns, until = columns_of(model.metadata.get_input_schema()), time.process_time() + seconds
    bodies = [*([example] if example else []), *probes(columns)]
    remembered = functools.cache(mlflows)
    reasons = list[str]()
    for predict in natives(model, columns):
        way = FastWay(columns, predict)
        if not (why := _differs(way, bodies, remembered, until)):
            return way
        reasons.append(why)
    raise NotNative(reasons[0])


def _differs(way: FastWay, bodies: list[bytes], mlflows: Answer, until: float) -> str:
    """Where the two ways differ, or could not be compared; "" if nowhere."""
    taken = 0
    for body in bodies:
        answer = way.answer(body)
        if answer is not None and answer != mlflows(body):
            return f"it answers otherwise than MLflow's way to {body[:200].decode(errors='replace')}"
        taken += answer is not None
        if time.process_time() > until:
            return "the model is slow: to compare both ways takes too long"
    return "" if taken else "it answers none of the bodies that were tried"


def columns_of(schema: Any) -> Columns:
    """The columns of a signature. NotNative if one of them is no number, or may be missing."""
    if schema is None:
        raise NotNative("it has no signature")
    if schema.is_tensor_spec():
        (only, *others) = schema.inputs
        if others or schema.has_input_names() or len(only.shape) != 2 or only.shape[0] != -1 or only.shape[1] < 1:
            raise NotNative("its signature is of other tensors than one table")
        if only.type.name not in _TYPES.values():
            raise NotNative(f"its signature has the type {only.type}")
        return Columns((only.type.name,) * only.shape[1])
    for one in schema.inputs:
        kind = getattr(one.type, "name", one.type)
        if kind not in _TYPES:
            raise NotNative(f"its column {one.name} is {kind}, no number")
        if not one.name:
            raise NotNative("its signature has columns without a name")
        if not one.required:
            raise NotNative(f"its column {one.name} may be missing")
    return Columns(tuple(_TYPES[one.type.name] for one in schema.inputs), tuple(schema.input_names()))


def probes(columns: Columns) -> Iterator[bytes]:
    """Bodies of some magnitudes and numbers of rows, one in each format, and what MLflow's way forgives."""
    random = numpy.random.default_rng(_SEED)
    for rows in BATCHES:
        for magnitude in MAGNITUDES:
            drawn = random.normal(0.0, magnitude, (rows, len(columns.types)))
            values = [[_drawn(value, kind) for value, kind in zip(row, columns.types, strict=True)] for row in drawn]
            yield next(_bodies(columns, values))
    yield from _bodies(columns, [[_drawn(value, kind) for value, kind in zip(drawn[0], columns.types, strict=True)]])
    yield from _edges(columns)


def _drawn(value: Any, kind: str) -> float | int:
    return round(float(value)) if kind.startswith("int") else float(value)


def _bodies(columns: Columns, values: "list[list[Any]]") -> Iterator[bytes]:
    """One body in each format that MLflow takes for these columns."""
    names = list(columns.names)
    if not names:
        yield from (json.dumps({form: values}).encode() for form in ("inputs", "instances"))
        return
    records = [dict(zip(names, row, strict=True)) for row in values]
    lists = {name: [row[number] for row in values] for number, name in enumerate(names)}
    turned = {"columns": names[::-1], "data": [row[::-1] for row in values]}
    said: list[dict[str, Any]] = [
        {"dataframe_split": {"columns": names, "data": values}},
        {"dataframe_split": {"index": list(range(len(values))), "columns": names, "data": values}},
        {"dataframe_split": turned},
        {"dataframe_records": records},
        *({form: data} for form in ("inputs", "instances") for data in (records, lists)),
    ]
    yield from (json.dumps(one).encode() for one in said)


def _edges(columns: Columns) -> Iterator[bytes]:
    """A value that is not of the column's type and is taken all the same; a column too many; a key twice."""
    row: list[Any] = [1] * len(columns.types)
    for value in (1, 1.0, True, None, float("nan"), "0.5", 1.5, 0, -0.0, 2**60, 10**30):
        yield next(_bodies(columns, [[value, *row[1:]], row]))
    if len(columns.names) > 1:
        ragged = {"columns": list(columns.names[::-1]), "data": [row, row[1:]]}
        yield json.dumps({"dataframe_split": ragged}).encode()
    for name in columns.names[:1]:
        data = [[*row, 1.0]]
        yield json.dumps({"dataframe_split": {"columns": [*columns.names, "slipway extra"], "data": data}}).encode()
        again = json.dumps(dict(zip(columns.names, row, strict=True)))[1:]
        yield f'{{"dataframe_records": [{{{json.dumps(name)}: 2, {again}]}}'.encode()
