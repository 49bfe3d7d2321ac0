"""Tensors of the Open Inference Protocol V2, as JSON and as bytes, and the values in them.

The protocol: github.com/kserve/open-inference-protocol (REST); bytes after the JSON: Triton's binary tensor data
extension. Datatypes of a signature's columns are those that MLServer gives them.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy

DATATYPES = {
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8",
    "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
BYTES = "BYTES"
_OF_COLUMN = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
_OF_NUMPY = {name: datatype for datatype, name in DATATYPES.items()}
RANKS, LARGEST_SIZE = 32, 2**31
_LENGTH_BYTES = 4  # in front of each element of BYTES, little-endian


class BadTensor(Exception):
    """A request that says something impossible, in words for its sender."""


@dataclass(frozen=True)
class Tensor:
    """A named array: its elements in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    elements: "list[Any]"

    def nested(self) -> Any:
        """The elements as lists in lists."""
        found = self.elements
        for size in reversed(self.shape[1:]):
            found = [found[start : start + size] for start in range(0, len(found), size)] if size else []
        return found

    def binary(self) -> bytes:
        """The elements as Triton's binary extension has them."""
        if self.datatype != BYTES:
            return numpy.array(self.elements, dtype=DATATYPES[self.datatype]).tobytes()
        encoded = (str(one).encode() for one in self.elements)
        return b"".join(len(one).to_bytes(_LENGTH_BYTES, "little") + one for one in encoded)


def read(said: Any, binary: Callable[[int], bytes]) -> Tensor:
    """An input of a request; `binary` takes so many of the bytes that follow the JSON. BadTensor if it is none."""
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        raise BadTensor("each input needs a name")
    name, datatype, shape = said["name"], said.get("datatype"), said.get("shape")
    if not isinstance(datatype, str) or datatype not in (*DATATYPES, BYTES):
        raise BadTensor(f"input {name}: the datatype {datatype!r} is none of {', '.join([*DATATYPES, BYTES])}")
    ranks = len(shape) if isinstance(shape, list) else 0
    if (
        not shape
        or not 0 < ranks <= RANKS
        or any(type(one) is not int or not 0 <= one <= LARGEST_SIZE for one in shape)
    ):
        raise BadTensor(f"input {name}: shape must be a list of {RANKS} sizes at most, each {LARGEST_SIZE} at most")
    size = parameters(said).get("binary_data_size")
    if size is not None:
        elements = _from_binary(name, datatype, binary(size))
    elif isinstance(said.get("data"), list):
        elements = list(_flat(said["data"]))
        if others := [one for one in elements if not _is_of(datatype, one)]:
            raise BadTensor(f"input {name}: {json.dumps(others[0])[:40]} is no {datatype}")
    else:
        raise BadTensor(f"input {name}: it has neither data nor parameters.binary_data_size")
    count = 1
    for one in shape:
        count *= one
    if len(elements) != count:
        raise BadTensor(f"input {name}: the shape {shape} takes {count} elements, and there are {len(elements)}")
    return Tensor(name, datatype, tuple(shape), elements)


def parameters(said: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, an input or an output. BadTensor if they are none."""
    found = said.get("parameters") or {}
    if not isinstance(found, dict):
        raise BadTensor("parameters must be an object")
    return found


def _flat(data: "list[Any]") -> Iterable[Any]:
    for one in data:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one


def _from_binary(name: str, datatype: str, data: bytes) -> "list[Any]":
    if datatype != BYTES:
        try:
            found: list[Any] = numpy.frombuffer(data, dtype=DATATYPES[datatype]).tolist()
        except ValueError as error:
            raise BadTensor(f"input {name}: {len(data)} bytes are no whole number of {datatype}") from error
        return found
    elements, at = list[Any](), 0
    while at < len(data):
        end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
        if end > len(data):
            raise BadTensor(f"input {name}: an element is longer than the bytes that are left")
        elements.append(data[at + _LENGTH_BYTES : end].decode("utf-8", "replace"))
        at = end
    return elements


def _is_of(datatype: str, one: Any) -> bool:
    """Whether an element that was said in JSON is of its datatype; a number that is missing is null."""
    if datatype == BYTES:
        return isinstance(one, str)
    if datatype == "BOOL":
        return isinstance(one, bool) or (type(one) is int and one in (0, 1))
    return type(one) is int or (datatype.startswith("FP") and (one is None or type(one) is float))


def of_values(name: str, values: "list[Any]", datatype: str | None = None) -> Tensor:
    """Predictions, one per row, or one row of them per row: of shape (rows, outputs).

    They are of that datatype where it holds them as they are; what is no number and no text is text in JSON.
    """
    rows = values if values and all(isinstance(one, list) for one in values) else [[one] for one in values]
    if len({len(row) for row in rows}) > 1:
        rows = [[one] for one in values]
    elements = [one for row in rows for one in row]
    chosen = datatype if datatype and _holds(datatype, elements) else _datatype(elements)
    if chosen == BYTES:
        elements = [one if isinstance(one, str) else json.dumps(one) for one in elements]
    return Tensor(name, chosen, (len(rows), len(rows[0]) if rows else 1), elements)


def _holds(datatype: str, elements: "list[Any]") -> bool:
    kinds = {*map(type, elements)}
    if datatype in (BYTES, "BOOL"):
        return kinds <= {str if datatype == BYTES else bool}
    if datatype.startswith("FP"):
        largest = float(numpy.finfo(DATATYPES[datatype]).max)
        numbers = (one for one in elements if one is not None)
        return kinds <= {int, float, type(None)} and all(abs(one) <= largest or _no_number(one) for one in numbers)
    limits = numpy.iinfo(DATATYPES[datatype])
    return kinds <= {int} and all(limits.min <= one <= limits.max for one in elements)


def _no_number(one: Any) -> bool:
    return isinstance(one, float) and not math.isfinite(one)


def _datatype(elements: "list[Any]") -> str:
    known = ("FP64",) if not elements else ("BOOL", "INT64", "FP64")
    return next((datatype for datatype in known if _holds(datatype, elements)), BYTES)


def datatype_of(column: Any) -> str:
    """The datatype of a column or tensor of a signature."""
    kind = column.type
    return _OF_NUMPY.get(getattr(kind, "name", ""), _OF_COLUMN.get(getattr(kind, "name", ""), BYTES))
