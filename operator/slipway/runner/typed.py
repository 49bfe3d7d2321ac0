"""Gives the features the types of a model's signature, as MLflow's own server does, but never with a loss.

Beside `score.py`, it runs in the model's environment: it imports nothing of Slipway, and takes pandas from 1.1 on.

What MLflow's server would silently change (1.5 to 1, "false" to true, null to false, 2**40 to 0) does not fit. A number
becomes the nearest one of its type, as text of a number does; a moment with a zone becomes the same moment in UTC.
"""

import base64
import datetime
import decimal
import math
from collections.abc import Callable
from typing import Any

# MLflow's names of types; tensors have numpy's.
NUMPY = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
# What pandas takes for a missing value in a CSV, where a column is no text.
MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
           "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]  # fmt: skip
AS_TEXT = ("string", "binary", "datetime")  # columns of a CSV that are read as they are written


class DoesNotFit(Exception):
    """A column of the data cannot be given the type that the model's signature states."""


def columns(schema: Any, names: "list[Any]") -> "dict[Any, str]":
    """The type of each column that the signature tells of, where it is a plain one."""
    if schema is None:
        return {}
    if schema.is_tensor_spec():
        flat = [one for one in schema.inputs if len(one.shape) <= 2]
        if not schema.has_input_names():
            return {name: one.type.name for one in flat for name in names} if len(names) > 1 else {}
        return {one.name: one.type.name for one in flat if len(one.shape) == 1}
    stated = schema.input_names() if schema.has_input_names() else names
    return {name: getattr(kind, "name", "") for name, kind in zip(stated, schema.input_types(), strict=False)}


def of_csv(file: Any, schema: Any, rows: "int | None" = None) -> Any:
    """The rows of a CSV, or the first of them, each cell as text where the signature says that it is."""
    import pandas  # noqa: PLC0415

    names = list(pandas.read_csv(file, nrows=0).columns)
    written = [name for name, kind in columns(schema, names).items() if kind in AS_TEXT]
    missing = {name: [""] if name in written else MISSING for name in names}  # of text, only nothing at all
    # Pandas' own way to read a number is off by one in the last place now and then; JSON's is not.
    return pandas.read_csv(
        file, dtype=dict.fromkeys(written, object), na_values=missing, keep_default_na=False, nrows=rows,
        float_precision="round_trip",
    )  # fmt: skip


def typed(frame: Any, schema: Any) -> Any:
    """The frame with the signature's types; DoesNotFit, by column and with a value, if that would lose something."""
    import pandas  # noqa: PLC0415

    if schema is not None and schema.has_input_names() and not schema.is_tensor_spec():
        by_text = {str(name): name for name in schema.input_names() if name not in frame.columns}
        frame = frame.rename(columns=by_text)  # 0 in the signature of an array is "0" in a file
        optional = set(getattr(schema, "optional_input_names", list)())  # which MLflow 1 does not know
        missing = [name for name in schema.input_names() if name not in frame.columns and name not in optional]
        if missing:
            there = ", ".join(str(name) for name in list(frame.columns)[:30])
            raise DoesNotFit(f"the data has no column {missing[0]!r}, which the signature asks for; it has: {there}")
    kinds = columns(schema, list(frame.columns))
    found = {name: _given(frame[name], kinds.get(name, ""), name) for name in frame.columns}
    return pandas.DataFrame(found, index=frame.index, columns=frame.columns)


def _given(values: Any, kind: str, name: Any) -> Any:
    import numpy  # noqa: PLC0415

    wanted = NUMPY.get(kind, kind)
    take = _OTHERS.get(kind) or _NUMBERS.get(numpy.dtype(wanted).kind if _is_numpy(wanted) else "")
    if take is None or values.dtype == wanted:
        return values

    def refuse(row: int, value: Any, why: str) -> DoesNotFit:
        said = f"{repr(value)[:60]} in row {row} {why}"
        return DoesNotFit(f"column {name!r} cannot be {kind}, as the signature states it: {said}")

    return take(values, wanted, refuse)


def _is_numpy(name: str) -> bool:
    return name in NUMPY.values() or name.rstrip("0123456789") in ("int", "uint", "float")


def _plain(values: Any) -> Any:
    """As an array of numpy's: categories are their values, and what may be missing is None."""
    import pandas  # noqa: PLC0415

    if values.dtype.kind in "biuf" and hasattr(values.dtype, "itemsize") and not hasattr(values.dtype, "na_value"):
        return values.to_numpy()
    listed = values.astype(object)
    return listed.where(pandas.notna(listed), None).to_numpy()


def _floats(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    import numpy  # noqa: PLC0415

    plain = _plain(values)
    if plain.dtype.kind in "iu":
        exact = plain.astype(numpy.float64)
        # In Python's numbers: an int64 beside a float64 would be compared as a float64.
        lost = [row for row in numpy.flatnonzero(abs(exact) >= 2.0**53) if int(exact[row]) != int(plain[row])]
        if lost:
            raise refuse(int(lost[0]), int(plain[lost[0]]), "has too many digits")
    elif plain.dtype.kind in "fb":
        exact = plain.astype(numpy.float64)
    else:
        exact = numpy.array([_float(value, row, refuse) for row, value in enumerate(plain)], dtype=numpy.float64)
    with numpy.errstate(over="ignore"):
        found = exact.astype(wanted)
    over = numpy.flatnonzero(numpy.isinf(found) & ~numpy.isinf(exact))
    if over.size:
        raise refuse(int(over[0]), float(exact[over[0]]), "is too large")
    return _series(found, values)


def _float(value: Any, row: int, refuse: Callable[..., DoesNotFit]) -> float:
    if value is None:
        return math.nan
    try:
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta, bytes)):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise refuse(row, value, "is no number") from None
    if isinstance(value, int) and int(found) != value:
        raise refuse(row, value, "has too many digits")
    if isinstance(value, decimal.Decimal) and value.is_finite() and decimal.Decimal(repr(found)) != value:
        raise refuse(row, value, "has too many digits")
    return found


def _integers(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    import numpy  # noqa: PLC0415

    plain, bounds = _plain(values), numpy.iinfo(wanted)
    if plain.dtype.kind in "iub":
        whole = plain.astype(object) if plain.dtype.kind == "u" else plain.astype(numpy.int64)
    else:
        whole = numpy.array([_whole(value, row, refuse) for row, value in enumerate(plain.tolist())], dtype=object)
    wrong = numpy.flatnonzero((whole < bounds.min) | (whole > bounds.max)) if len(whole) else whole
    if len(wrong):
        raise refuse(int(wrong[0]), int(whole[wrong[0]]), "is out of range")
    return _series(whole.astype(wanted), values)


def _whole(value: Any, row: int, refuse: Callable[..., DoesNotFit]) -> int:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise refuse(row, value, "is missing, which takes a column of doubles")
    try:
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta, bytes)):
            raise TypeError
        found = int(value)
        if not isinstance(value, str) and found != value:
            raise refuse(row, value, "is not whole")
    except (TypeError, ValueError, OverflowError):
        raise refuse(row, value, "is no whole number") from None
    return found


def _booleans(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    import numpy  # noqa: PLC0415

    plain = _plain(values)
    written = {"true": True, "false": False}
    found = numpy.empty(len(plain), dtype=bool)
    for row, value in enumerate(plain.tolist()):
        known = written.get(value.lower()) if isinstance(value, str) else value
        if known is None or isinstance(known, bytes) or known not in (0, 1):
            raise refuse(row, value, "is neither true nor false")
        found[row] = bool(known)
    return _series(found, values)


def _strings(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    plain = _plain(values).tolist()
    for row, value in enumerate(plain):
        if not isinstance(value, str) and value is not None:
            raise refuse(row, value, "is no text, and nobody knows how it was written")
    return _series(plain, values)  # of the type that this pandas gives to text, as for a request


def _bytes(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    found = []
    for row, value in enumerate(_plain(values).tolist()):
        try:  # text is base64, as in a request
            found.append(base64.b64decode(value, validate=True) if isinstance(value, str) else value)
        except ValueError:
            raise refuse(row, value, "is no base64") from None
        if not isinstance(found[-1], (bytes, bytearray, type(None))):
            raise refuse(row, value, "is neither bytes nor base64")
    return _series(found, values, dtype=object)


def _moments(values: Any, wanted: str, refuse: Callable[..., DoesNotFit]) -> Any:
    import numpy  # noqa: PLC0415
    import pandas  # noqa: PLC0415

    if values.dtype.kind in "biufc":
        raise refuse(0, values.iloc[0] if len(values) else None, "is a number and no moment")
    found = numpy.empty(len(values), dtype="datetime64[ns]")
    if values.dtype.kind == "M" and getattr(values.dt, "tz", None) is None:
        plain = values.to_numpy()
        given = plain.astype("datetime64[ns]")
        lost = numpy.flatnonzero((given.astype(plain.dtype) != plain) & ~numpy.isnat(plain))
        if lost.size:
            raise refuse(int(lost[0]), str(plain[lost[0]]), "is beyond what nanoseconds reach")
        return _series(given, values)
    for row, value in enumerate(_plain(values).tolist()):
        try:
            moment = pandas.Timestamp(value) if value is not None else pandas.NaT
            if moment is not pandas.NaT and moment.tzinfo is not None:
                moment = moment.tz_convert("UTC").tz_localize(None)
            found[row] = moment.to_datetime64().astype("datetime64[ns]") if moment is not pandas.NaT else "NaT"
        except (TypeError, ValueError, OverflowError):
            raise refuse(row, value, "is no moment that nanoseconds reach") from None
    return _series(found, values)


def _series(found: Any, of: Any, **more: Any) -> Any:
    import pandas  # noqa: PLC0415

    return pandas.Series(found, index=of.index, name=of.name, **more)


_NUMBERS = {"f": _floats, "i": _integers, "u": _integers, "b": _booleans}
_OTHERS = {"string": _strings, "binary": _bytes, "datetime": _moments}
