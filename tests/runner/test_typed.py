"""Features get the types of the signature, as in a request to MLflow's server, and never with a loss."""

import datetime
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pytest
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import infer_and_parse_data
from mlflow.types import ColSpec, Schema, TensorSpec
from slipway.runner.typed import DoesNotFit, typed

BIG = 2**53 + 1


def column(values: Any, kind: str) -> "pandas.Series[Any]":
    schema = Schema([ColSpec(kind, "a")])
    return typed(pandas.DataFrame({"a": pandas.Series(values)}), schema)["a"]  # type: ignore[no-any-return]


TAKEN: list[tuple[str, Any, Sequence[Any]]] = [
    ("double", [1, 2], [1.0, 2.0]),
    ("double", [True, False], [1.0, 0.0]),
    ("double", ["1.5", None], [1.5, None]),
    ("double", [Decimal("0.1"), None], [0.1, None]),
    ("double", pandas.array([1, None], dtype="Int64"), [1.0, None]),
    ("double", pandas.array([0.5, None], dtype="Float32"), [0.5, None]),
    ("double", pandas.Categorical([1, 2, None]), [1.0, 2.0, None]),
    ("double", [None, None], [None, None]),
    ("float", [0.1], [float(numpy.float32(0.1))]),
    ("float", numpy.array([0.1], dtype="float32"), [float(numpy.float32(0.1))]),
    ("long", [1.0, 2.0], [1, 2]),
    ("long", ["7"], [7]),
    ("long", [True], [1]),
    ("long", pandas.array([2**60 + 1, 3], dtype="Int64"), [2**60 + 1, 3]),
    ("long", [Decimal("3"), Decimal("4.0")], [3, 4]),
    ("long", numpy.array([7], dtype="uint64"), [7]),
    ("integer", [5], [5]),
    ("boolean", [0, 1], [False, True]),
    ("boolean", ["false", "True"], [False, True]),
    ("boolean", pandas.array([True, False], dtype="boolean"), [True, False]),
    ("string", ["a", None], ["a", None]),
    ("string", pandas.Categorical(["b", "a"]), ["b", "a"]),
    ("binary", [b"ab", None], [b"ab", None]),
    ("binary", ["aGVq"], [b"hej"]),
    ("datetime", numpy.array(["2024-01-01"], dtype="datetime64[s]"), [pandas.Timestamp("2024-01-01")]),
    ("datetime", [datetime.date(2024, 1, 1)], [pandas.Timestamp("2024-01-01")]),
    ("datetime", ["2024-01-01T00:00:00+02:00", None], [pandas.Timestamp("2023-12-31T22:00:00"), None]),
    ("datetime", pandas.to_datetime(["2024-01-01T00:00:00+02:00"]), [pandas.Timestamp("2023-12-31T22:00:00")]),
]


@pytest.mark.parametrize(("kind", "values", "wanted"), TAKEN)
def test_what_fits_has_the_type_that_mlflow_asks_for(kind: str, values: Any, wanted: Sequence[Any]) -> None:
    found = column(values, kind)
    assert [None if pandas.isna(one) else one for one in found.tolist()] == wanted
    schema = Schema([ColSpec(kind, "a")])
    enforced = _enforce_schema(pandas.DataFrame({"a": found}), schema)["a"]
    assert enforced.dtype == found.dtype, "MLflow has nothing left to convert"


REFUSED: list[tuple[str, Any, str]] = [
    ("double", [BIG], f"{BIG} in row 0 has too many digits"),
    ("double", pandas.array([1, None, BIG], dtype="Int64"), f"{BIG} in row 2 has too many digits"),
    (
        "double",
        [Decimal("0.12345678901234567890123")],
        "Decimal('0.12345678901234567890123') in row 0 has too many digits",
    ),
    ("double", ["1", "x"], "'x' in row 1 is no number"),
    ("double", [datetime.date(2020, 1, 1)], "datetime.date(2020, 1, 1) in row 0 is no number"),
    ("double", pandas.to_datetime(["2024-01-01"]), "in row 0 is no number"),
    ("double", [b"1"], "b'1' in row 0 is no number"),
    ("float", [1e300], "1e+300 in row 0 is too large"),
    ("long", [1.0, 1.5], "1.5 in row 1 is not whole"),
    ("long", [1.0, None], "nan in row 1 is missing, which takes a column of doubles"),
    ("long", pandas.array([2**60 + 1, None], dtype="Int64"), "None in row 1 is missing"),
    ("long", numpy.array([2**64 - 1], dtype="uint64"), "18446744073709551615 in row 0 is out of range"),
    ("long", [1e300], "in row 0 is out of range"),
    ("long", [float("inf")], "inf in row 0 is no whole number"),
    ("long", ["1.5"], "'1.5' in row 0 is no whole number"),
    ("integer", [2**40], "1099511627776 in row 0 is out of range"),
    ("boolean", [0, 2], "2 in row 1 is neither true nor false"),
    ("boolean", ["yes"], "'yes' in row 0 is neither true nor false"),
    ("boolean", [True, None], "None in row 1 is neither true nor false"),
    ("string", ["a", 12], "12 in row 1 is no text"),
    ("string", [12], "12 in row 0 is no text"),
    ("binary", ["%%"], "'%%' in row 0 is no base64"),
    ("binary", [1], "1 in row 0 is neither bytes nor base64"),
    ("datetime", [1], "in row 0 is a number and no moment"),
    ("datetime", ["x"], "'x' in row 0 is no moment"),
    ("datetime", numpy.array(["9999-01-01"], dtype="datetime64[us]"), "9999-01-01T00:00:00.000000' in row 0 is beyond"),
]


@pytest.mark.parametrize(("kind", "values", "said"), REFUSED)
def test_what_would_lose_something_is_refused_with_its_value(kind: str, values: Any, said: str) -> None:
    with pytest.raises(DoesNotFit) as refused:
        column(values, kind)
    assert str(refused.value).startswith(f"column 'a' cannot be {kind}, as the signature states it: ")
    assert said in str(refused.value)


JSON = [("double", [1.5, None]), ("double", [1]), ("float", [0.1]), ("long", [7]), ("integer", [7]), ("boolean", [True]),
        ("string", ["a", None]), ("string", ["a"]), ("binary", ["aGVq"]), ("datetime", ["2024-01-01T10:00:00"])]  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), JSON)
def test_a_column_is_what_mlflows_server_makes_of_a_request_with_it(kind: str, values: list[Any]) -> None:
    schema = Schema([ColSpec(kind, "a")])
    body = {"dataframe_split": {"columns": ["a"], "data": [[value] for value in values]}}
    requested = infer_and_parse_data(json.loads(json.dumps(body)), schema)
    pandas.testing.assert_frame_equal(
        _enforce_schema(typed(pandas.DataFrame({"a": values}), schema), schema), _enforce_schema(requested, schema)
    )


def test_other_columns_are_left_as_they_are_and_a_missing_one_is_named() -> None:
    schema = Schema([ColSpec("long", "a"), ColSpec("double", "b", required=False)])
    frame = pandas.DataFrame({"more": ["x"], "a": [1.0]})
    assert typed(frame, schema).dtypes.astype(str).tolist()[1] == "int64"
    assert typed(frame, None) is not None
    with pytest.raises(DoesNotFit, match="the data has no column 'a', which the signature asks for; it has: more"):
        typed(frame[["more"]], schema)


def test_tensors_and_columns_without_a_name_are_typed_by_place() -> None:
    frame = pandas.DataFrame({"a": [1.0], "b": [2.0]})
    table = Schema([TensorSpec(numpy.dtype("float32"), (-1, 2))])
    assert typed(frame, table).dtypes.tolist() == ["float32", "float32"]
    assert typed(frame, Schema([ColSpec("long")])).dtypes.tolist() == ["int64", "float64"]
    named = Schema([TensorSpec(numpy.dtype("int32"), (-1,), "b")])
    assert typed(frame, named).dtypes.tolist() == ["float64", "int32"]
