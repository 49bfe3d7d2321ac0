"""Reads requests whose shape and types are certain into one table of numbers; all others are for MLflow to read.

Formats are those of MLflow's scoring protocol (mlflow.org/docs/latest/ml/deployment/deploy-model-locally), as JSON with
one key: `dataframe_split`, `dataframe_records`, `inputs`, `instances`. A value is certain if it is a JSON number that
the column's type takes without a change. Nothing is refused here: what is not certain is None.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy
from numpy.typing import NDArray

Table = NDArray[Any]
WHOLE = 2**53  # up to which a double holds every whole number
LARGEST = float(numpy.finfo(numpy.float32).max)  # beyond it, XGBoost refuses what comes as a DataFrame
_NUMBERS = {int, float}
_SPLIT = ({"columns", "data"}, {"columns", "data", "index"})


@dataclass(frozen=True)
class Columns:
    """What a model takes: named columns, each with a numeric type; or an unnamed tensor of so many columns."""

    types: tuple[str, ...]  # NumPy's names: float64, float32, int64, int32
    names: tuple[str, ...] = ()  # none: a tensor

    def read(self, body: bytes) -> Table | None:
        """The rows of a request, of shape (rows, columns), as MLflow would hand them to the model; None: not certain.

        Rows of named columns lie in memory column by column, as in a DataFrame: with another order, linear algebra
        gives other last bits.
        """
        try:
            said = json.loads(body)
            if type(said) is not dict or len(said) != 1:
                return None
            ((form, data),) = said.items()
            rows = self._of_frame(form, data) if self.names else _of_tensor(form, data)
            return self.table(rows) if rows else None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def table(self, rows: "list[Any]") -> Table | None:
        """Rows of values, in the order of the columns, as one table."""
        if any(type(row) is not list for row in rows) or not set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
            return None
        read = numpy.array(rows, dtype=numpy.float64)
        if read.ndim != 2 or read.shape[1] != len(self.types):
            return None
        if not numpy.abs(read).max() <= LARGEST:  # nor is NaN
            return None
        for number, kind in self._narrow:
            column = read[:, number]
            if not _takes(kind, column):
                return None
            read[:, number] = column.astype(kind)
        return numpy.asarray(read, dtype=self._common, order="F" if self.names else "C")

    def frame(self, table: Table) -> Any:
        """The table as the DataFrame that MLflow would have made of the request."""
        import pandas  # noqa: PLC0415 - only for models that select columns by name

        if not self.mixed:
            return pandas.DataFrame(table, columns=list(self.names), copy=False)
        columns = zip(self.names, self.types, strict=True)
        return pandas.DataFrame({name: table[:, n].astype(kind) for n, (name, kind) in enumerate(columns)})

    @property
    def mixed(self) -> bool:
        """Whether the columns have several types: a table has one."""
        return len({*self.types}) > 1

    @cached_property
    def _narrow(self) -> "tuple[tuple[int, numpy.dtype[Any]], ...]":
        """Columns of other types than doubles."""
        kinds = map(numpy.dtype, self.types)
        return tuple((number, kind) for number, kind in enumerate(kinds) if kind != numpy.float64)

    @cached_property
    def _common(self) -> "numpy.dtype[Any]":
        """The type of the table: as a DataFrame with these columns has it as an array."""
        return numpy.result_type(*self.types)

    def _of_frame(self, form: str, data: Any) -> "list[Any] | None":
        if form == "dataframe_split":
            return self._of_split(data)
        if form in ("dataframe_records", "instances", "inputs") and type(data) is list:
            return self._of_records(data)
        if form in ("instances", "inputs") and type(data) is dict:
            return self._of_lists(data)
        return None

    def _of_split(self, data: Any) -> "list[Any] | None":
        if type(data) is not dict or data.keys() not in _SPLIT:
            return None
        columns, rows, index = data["columns"], data["data"], data.get("index")
        if type(columns) is not list or type(rows) is not list:
            return None
        if index is not None and (type(index) is not list or len(index) != len(rows) or {*map(type, index)} != {int}):
            return None
        if tuple(columns) == self.names:
            return rows
        if len(columns) != len(self.names) or {*columns} != {*self.names}:
            return None
        if any(type(row) is not list or len(row) != len(columns) for row in rows):
            return None
        places = [columns.index(name) for name in self.names]
        return [[row[place] for place in places] for row in rows]

    def _of_records(self, data: "list[Any]") -> "list[Any] | None":
        if any(type(row) is not dict or len(row) != len(self.names) for row in data):
            return None
        return [[row[name] for name in self.names] for row in data]

    def _of_lists(self, data: "dict[str, Any]") -> "list[Any] | None":
        if len(data) != len(self.names) or any(type(column) is not list for column in data.values()):
            return None
        columns = [data[name] for name in self.names]
        return [list(row) for row in zip(*columns, strict=True)]


def _of_tensor(form: str, data: Any) -> "list[Any] | None":
    return data if form in ("inputs", "instances") and type(data) is list else None


def _takes(kind: "numpy.dtype[Any]", column: Table) -> bool:
    """Whether the type takes every value as it was said: a double has not rounded it, and none is cut off."""
    if kind == numpy.float32:
        return bool((numpy.abs(column) <= WHOLE).all())
    limit = min(WHOLE, int(numpy.iinfo(kind).max))
    return bool((numpy.trunc(column) == column).all() and (numpy.abs(column) <= limit).all())
