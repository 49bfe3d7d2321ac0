"""What a client may ask of a model for rows of its data: the same rows in each format that is certain to say them.

Certain is what MLflow reads back as the rows that it was given. It depends on the signature: only that tells what a
number, a text or a list in JSON stands for. A format that is not certain says nothing of the model, and is left out.
"""

import base64
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from .asking import CSV, JSON
from .serving.signature import Column, Schema

INVOCATIONS = "/invocations"
SPLIT, RECORDS, V2 = "dataframe_split", "dataframe_records", "V2"
BODY_BYTES = 16 * 1024 * 1024  # a serving pod takes 64 MiB
_DATATYPES = {
    "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL", "string": "BYTES",
    "float64": "FP64", "float32": "FP32", "int64": "INT64", "int32": "INT32",
}  # fmt: skip
_PANDAS = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool",
           "string": "object"}  # fmt: skip
_SAID: dict[str, Callable[[Any], Any]] = {
    "double": float, "float": float, "long": int, "integer": int, "boolean": bool, "string": str,
    "datetime": lambda value: _time(pandas.Timestamp(value)),
    "binary": lambda value: base64.encodebytes(value).decode("ascii"),
}  # fmt: skip
_MAY_BE_MISSING = ("double", "float", "string")


@dataclass(frozen=True)
class Question:
    """A body, and the rows whose predictions are its answer."""

    form: str
    rows: tuple[int, ...]
    body: bytes
    path: str = INVOCATIONS
    kind: str = JSON


@dataclass(frozen=True)
class Rows:
    """Rows of the data, and the formats that can say them."""

    frame: pandas.DataFrame
    schema: Schema | None
    v2_path: str
    whole: tuple[int, ...]  # rows without a missing value
    gaps: tuple[int, ...]  # rows with one, where JSON can say that
    longest: int = BODY_BYTES  # body that the server takes

    def questions(self, rows: tuple[int, ...]) -> Iterator[Question]:
        """The rows in each format; none that is too long."""
        return (one for one in self._questions(rows) if len(one.body) <= self.longest)

    def _questions(self, rows: tuple[int, ...]) -> Iterator[Question]:
        frame = self.frame.loc[list(rows)]
        names, columns = list(frame.columns), [_values(frame[name]) for name in frame.columns]
        if any(all(one is None for one in column) for column in columns):
            return  # without a text among them, pandas takes what is missing for something else
        table = [list(row) for row in zip(*columns, strict=True)]
        records = [dict(zip(names, row, strict=True)) for row in table]
        yield _invocation(SPLIT, rows, {"columns": names, "data": table})
        yield _invocation(RECORDS, rows, records)
        if not {*rows} <= {*self.whole} or self.schema is None:
            return
        if kind := _one_table(self.schema, len(names)):
            yield from (_invocation(form, rows, table) for form in ("inputs", "instances"))
            flat = [one for row in table for one in row]
            yield self._v2(rows, [("input-0", _DATATYPES[kind], [len(table), len(names)], flat)])
        types = _types(self.schema)
        if not {*names} <= types.keys() or not {types[name] for name in names} <= _PANDAS.keys():
            return
        yield _invocation("inputs", rows, dict(zip(names, columns, strict=True)))
        yield _invocation("instances", rows, records)
        yield from _csv(frame, types)
        each = zip(names, columns, strict=True)
        yield self._v2(rows, [(name, _DATATYPES[types[name]], [len(one), 1], one) for name, one in each])

    def _v2(self, rows: tuple[int, ...], tensors: list[tuple[str, str, list[int], list[Any]]]) -> Question:
        keys = ("name", "datatype", "shape", "data")
        said = [dict(zip(keys, one, strict=True)) for one in tensors]
        return Question(V2, rows, json.dumps({"inputs": said}).encode(), self.v2_path)


def _invocation(form: str, rows: tuple[int, ...], data: Any) -> Question:
    return Question(form, rows, json.dumps({form: data}).encode())


def of(features: pandas.DataFrame, schema: Schema | None, v2_path: str, longest: int = BODY_BYTES) -> Rows | str:
    """The rows as a client says them; in words, why nothing is certain to say them."""
    features = features.reset_index(drop=True)
    if not all(isinstance(name, str) for name in features.columns) or features.columns.has_duplicates:
        return "the names of its columns are no text, or one is there twice"
    try:
        said = _in_json(features, schema)
    except (TypeError, ValueError, ArithmeticError) as error:
        return f"JSON does not say its columns as they are: {error}"
    missing = said.map(_missing)
    types = _types(schema) if schema else {}
    needed = [name for name in said.columns if types.get(name, "string") not in _MAY_BE_MISSING]
    whole, sayable = ~missing.any(axis=1), ~missing[needed].any(axis=1)
    gaps = sayable & ~whole
    return Rows(said, schema, v2_path, _numbers(whole), _numbers(gaps), min(longest, BODY_BYTES))


def _numbers(chosen: "pandas.Series[bool]") -> tuple[int, ...]:
    return tuple(int(row) for row in numpy.flatnonzero(chosen.to_numpy()))


def _in_json(features: pandas.DataFrame, schema: Schema | None) -> pandas.DataFrame:
    """The values that JSON is to say, each for the type that the signature gives its column."""
    if schema and (kind := _one_table(schema, len(features.columns))):
        return features.astype(kind)
    types = _types(schema) if schema else {}
    if schema and schema.has_input_names() and types:
        there = [name for name in types if name in features.columns]
        columns = {name: [_said(one, types[name]) for one in features[name]] for name in there}
        return pandas.DataFrame({name: pandas.Series(values, dtype=object) for name, values in columns.items()})
    # Nothing says what a value stands for, so pandas must find the same types in what is said.
    rows = zip(*(_values(features[name]) for name in features.columns), strict=True)
    if not pandas.DataFrame(json.loads(json.dumps([*rows])), columns=features.columns).equals(features):
        raise ValueError("no signature tells their types")
    return features


def _types(schema: Schema) -> dict[str, str]:
    return {str(one.name): one.type.name for one in schema.inputs if isinstance(one, Column)}


def _one_table(schema: Schema, columns: int) -> str | None:
    """The type of a signature that is one table of numbers with so many columns."""
    if not schema.is_tensor_spec() or len(schema.inputs) != 1 or schema.has_input_names():
        return None
    only = schema.inputs[0]
    return only.type.name if getattr(only, "shape", ()) == (-1, columns) and only.type.name in _DATATYPES else None


def _said(value: Any, kind: str) -> Any:
    """A value as JSON says it for a column of that type."""
    if _missing(value):
        return None if kind == "string" else math.nan
    if kind not in _SAID:
        raise TypeError(f"one is {kind}")
    if kind == "string" and not isinstance(value, str):
        raise TypeError("one of text holds something else")
    if kind in ("long", "integer") and int(value) != value:
        raise ValueError("one of whole numbers holds broken ones")
    return _SAID[kind](value)


def _time(value: pandas.Timestamp) -> str:
    if value.tzinfo:
        raise ValueError("one of times has a zone")  # which MLflow does not take
    return str(value.isoformat(timespec="nanoseconds"))  # all alike: pandas takes the first one's format for all


def _missing(value: Any) -> bool:
    return (
        value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and math.isnan(value))
    )


def _values(column: "pandas.Series[Any]") -> list[Any]:
    return [value.item() if isinstance(value, numpy.generic) else value for value in column.tolist()]


def _csv(frame: pandas.DataFrame, types: dict[str, str]) -> Iterator[Question]:
    """Those rows as CSV of which pandas, which MLflow asks, reads every digit and every text as it was."""
    kinds = {name: _PANDAS[types[name]] for name in frame.columns}
    try:
        read = pandas.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=kinds)
    except (ValueError, OverflowError):
        return
    if list(read.columns) != list(frame.columns) or len(read) != len(frame):
        return
    same = (read.to_numpy(dtype=object) == frame.astype(kinds).to_numpy(dtype=object)).all(axis=1)
    kept = frame[same]
    if len(kept):
        text = kept.to_csv(index=False).encode()
        yield Question("CSV", tuple(int(row) for row in kept.index), text, kind=CSV)
