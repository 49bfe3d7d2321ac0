"""The fast way answers as MLflow's scoring application does, byte for byte, or leaves the answer to it."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from slipway.runner.serving.fast import FastWay, Turns, columns_of, fast_way
from slipway.runner.serving.native import NotNative
from slipway.runner.serving.rows import Columns

from tests.runner.ways import DOUBLES, MIXED, MODELS, NAMES, TARGET, booster, by_mlflow, saved

# ---------------------------------------------------------------------------------------------- what is certain
COLUMNS = Columns(("float64", "int64"), ("a", "b"))
SPLIT = {"columns": ["a", "b"], "data": [[0.5, 2], [1, 3.0]]}
READ = [[0.5, 2.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"dataframe_split": SPLIT}, id="split"),
        pytest.param({"dataframe_split": {**SPLIT, "index": [4, 9]}}, id="with an index"),
        pytest.param({"dataframe_split": {"columns": ["b", "a"], "data": [[2, 0.5], [3, 1]]}}, id="in another order"),
        pytest.param({"dataframe_records": [{"b": 2, "a": 0.5}, {"a": 1, "b": 3}]}, id="records"),
        pytest.param({"instances": [{"a": 0.5, "b": 2}, {"a": 1, "b": 3}]}, id="instances"),
        pytest.param({"inputs": [{"a": 0.5, "b": 2}, {"a": 1, "b": 3}]}, id="inputs"),
        pytest.param({"inputs": {"b": [2, 3], "a": [0.5, 1]}}, id="a list of each column"),
    ],
)
def test_each_format_of_mlflow_is_read_into_the_same_table(said: dict[str, Any]) -> None:
    table = COLUMNS.read(json.dumps(said).encode())
    assert table is not None and table.tolist() == READ
    assert table.flags.f_contiguous and table.dtype == "float64"


def split(*row: Any, columns: Any = ("a", "b"), **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(columns), "data": [list(row)], **more}}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(split(True, 1), id="a boolean"),
        pytest.param(split(None, 1), id="null"),
        pytest.param(split(float("nan"), 1), id="no number"),
        pytest.param(split("0.5", 1), id="a number as text"),
        pytest.param(split(0.5, 1.5), id="a broken number in a whole column"),
        pytest.param(split(0.5, 2**60), id="a whole number that no double holds"),
        pytest.param(split(10**400, 1), id="a number without end"),
        pytest.param(split(3.5e38, 1), id="a number that no float32 holds"),
        pytest.param(split([0.5], 1), id="a list"),
        pytest.param(split(0.5), id="a short row"),
        pytest.param({"dataframe_split": {"columns": ["b", "a"], "data": [[2, 0.5], [3]]}}, id="one of two, turned"),
        pytest.param({"dataframe_split": {"columns": ["b", "a"], "data": ["ab", {}]}}, id="no rows at all, turned"),
        pytest.param(split(0.5, 1, 2, columns="abc"), id="a column too many"),
        pytest.param(split(0.5, columns="a"), id="a column too few"),
        pytest.param(split(0.5, 1, columns="aa"), id="a column twice"),
        pytest.param(split(0.5, 1, index=["x"]), id="an index of text"),
        pytest.param(split(0.5, 1, index=[1, 2]), id="an index of another length"),
        pytest.param({"dataframe_split": {"data": [[0.5, 1]]}}, id="no columns"),
        pytest.param({"dataframe_split": {**SPLIT, "data": []}}, id="no rows"),
        pytest.param({"dataframe_split": SPLIT, "params": {}}, id="params"),
        pytest.param({"dataframe_records": [{"a": 0.5}]}, id="a record too small"),
        pytest.param({"inputs": {"a": [0.5], "b": [1, 2]}}, id="columns of several lengths"),
        pytest.param({"inputs": [[0.5, 1]]}, id="a tensor"),
        pytest.param([SPLIT], id="no object"),
    ],
)
def test_what_is_not_certain_is_for_mlflow_to_read(said: Any) -> None:
    assert COLUMNS.read(json.dumps(said).encode()) is None


def test_a_whole_number_that_a_double_rounds_is_none_of_a_float32() -> None:
    body = json.dumps({"dataframe_records": [{"a": 2**60 + 2**36 + 1}]}).encode()
    assert Columns(("float32",), ("a",)).read(body) is None
    assert Columns(("float64",), ("a",)).read(body) is not None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "half", "no text", "deep"])
def test_what_is_no_json_is_for_mlflow_to_refuse(body: bytes) -> None:
    assert COLUMNS.read(body) is None


# ---------------------------------------------------------------------------------------------- both ways
_WAYS: dict[str, tuple[FastWay, Any]] = {}


@pytest.fixture(params=MODELS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FastWay, Any]:
    """The fast way of a model, and MLflow's."""
    name = str(request.param)
    if name not in _WAYS:
        model = saved(*MODELS[name](), tmp_path_factory.mktemp("ways") / "model")
        _WAYS[name] = fast_way(model, by_mlflow(model), seconds=60), by_mlflow(model)
    return _WAYS[name]


NUMBERS = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(),
    st.integers(-(2**31), 2**31),
    st.integers(),
    st.sampled_from([0, -0.0, 1, 1.0, 0.1, 1e-320, 1e308, 2**53, 2**63, 2**64]),
)
ODD = st.one_of(NUMBERS, st.booleans(), st.none(), st.text(max_size=3), st.sampled_from(["0.5", "nan", "1"]))
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs", "columns", "tensor")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Requests as clients send them: most are right, some nearly."""
    form, odd = draw(st.sampled_from(FORMS)), draw(st.integers(0, 3)) == 0
    names = list(NAMES)
    if draw(st.integers(0, 5)) == 0:
        names = draw(st.permutations([*NAMES, "extra"]))[: draw(st.integers(1, 4))]
    plain = NUMBERS if draw(st.booleans()) else st.integers(-1000, 1000)
    rows = draw(st.lists(st.lists(ODD if odd else plain, min_size=len(names), max_size=len(names)), max_size=4))
    records = [dict(zip(names, row, strict=True)) for row in rows]
    said: dict[str, Any] = {
        "dataframe_split": {"dataframe_split": {"columns": names, "data": rows}},
        "columns": {"inputs": {name: [row[n] for row in rows] for n, name in enumerate(names)}},
        "tensor": {draw(st.sampled_from(["inputs", "instances"])): rows},
    }.get(form, {form: records})
    if draw(st.integers(0, 9)) == 0:
        said["params"] = {}
    return json.dumps(said).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies())
def test_both_ways_give_the_same_bytes(both: tuple[FastWay, Any], body: bytes) -> None:
    fast, mlflows = both
    answer = fast.answer(body)
    assert answer is None or answer == mlflows(body)


def test_the_fast_way_takes_what_the_model_was_trained_on(both: tuple[FastWay, Any]) -> None:
    fast, mlflows = both
    rows = [[float(round(one)) for one in row] for row in DOUBLES.to_numpy().tolist()]
    said = {"dataframe_split": {"columns": NAMES, "data": rows}} if fast.columns.names else {"inputs": rows}
    answer = fast.answer(json.dumps(said).encode())
    assert answer is not None and answer == mlflows(json.dumps(said).encode())


# ---------------------------------------------------------------------------------------------- where there is none
def why_not(model: Any, mlflows: Any = None) -> str:
    with pytest.raises(NotNative) as refused:
        fast_way(model, mlflows or by_mlflow(model))
    return str(refused.value)


def test_a_model_that_answers_otherwise_is_answered_mlflows_way(tmp_path: Path) -> None:
    model = saved(booster(DOUBLES, DOUBLES["wind"]), DOUBLES, tmp_path / "model")
    theirs = by_mlflow(model)
    assert why_not(model, lambda body: (theirs(body) or b"").replace(b"predictions", b"Predictions")).startswith(
        'it answers otherwise than MLflow\'s way to {"dataframe_split"'
    )
    assert "answers otherwise" in why_not(model, lambda _: None), "an error of MLflow's is no answer to be given faster"


def test_a_predict_function_that_is_another_one_is_mlflows_matter(tmp_path: Path) -> None:
    model = MODELS["classes with names"]()
    found = saved(*model, tmp_path / "model", pyfunc_predict_fn="predict_proba")
    assert "predict_fn" in why_not(found)


def plus_one(table: Any) -> Any:
    return table + 1


@pytest.mark.parametrize(
    "step", [FunctionTransformer(plus_one), FunctionTransformer(partial(numpy.add, 1))], ids=["a function", "a partial"]
)
def test_a_model_with_code_of_somebody_else_is_mlflows_matter(tmp_path: Path, step: Any) -> None:
    line = make_pipeline(step, LinearRegression()).fit(DOUBLES, DOUBLES["wind"])
    assert "code of its own" in why_not(saved(line, DOUBLES, tmp_path / "model"))


def test_a_slow_model_is_asked_mlflows_way(tmp_path: Path) -> None:
    model = saved(booster(DOUBLES, DOUBLES["wind"]), DOUBLES, tmp_path / "model")
    theirs = by_mlflow(model)

    def slow(body: bytes) -> bytes | None:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        return theirs(body)

    assert why_not(model, slow).startswith("the model is slow")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        pytest.param(None, "no signature", id="none"),
        pytest.param(
            Schema([ColSpec("double", "a"), ColSpec("string", "b")]), "column b is string, no number", id="text"
        ),
        pytest.param(Schema([ColSpec("double", "a", required=False)]), "column a may be missing", id="optional"),
        pytest.param(Schema([ColSpec("double")]), "without a name", id="a column without a name"),
        pytest.param(Schema([TensorSpec(numpy.dtype("float64"), (-1, 3, 3))]), "one table", id="images"),
        pytest.param(Schema([TensorSpec(numpy.dtype("uint8"), (-1, 3))]), "uint8", id="bytes"),
    ],
)
def test_what_is_no_table_of_numbers_is_mlflows_matter(schema: Schema | None, why: str) -> None:
    with pytest.raises(NotNative, match=why):
        columns_of(schema)


def test_whole_numbers_beside_broken_ones_stay_whole_for_the_model(tmp_path: Path) -> None:
    squared = ColumnTransformer([("squared", FunctionTransformer(numpy.square), [0])], remainder="passthrough")
    model = saved(make_pipeline(squared, LinearRegression()).fit(MIXED, TARGET), MIXED, tmp_path / "model")
    body = json.dumps({"dataframe_split": {"columns": NAMES, "data": [[2**33, 1.5, 0.5]]}}).encode()
    assert fast_way(model, by_mlflow(model), seconds=60).answer(body) == by_mlflow(model)(body), (
        "an int64 overflows, a double not"
    )


def test_a_large_body_is_long_although_small_ones_were_fast() -> None:
    def answer(body: bytes) -> bytes:
        time.sleep(len(body) * 1e-5)
        return body

    turns = Turns(answer)
    for _ in range(3):
        assert turns.is_short(b"x" * 20)
        turns.take(b"x" * 20)
    assert not turns.is_short(b"x" * 9_000)


def test_what_was_long_is_taken_in_a_thread_from_then_on() -> None:
    def slow(_: bytes) -> bytes:
        time.sleep(0.05)
        return b"{}"

    turns = Turns(slow)
    assert turns.is_short(b"{}")
    assert turns.take(b"{}") == b"{}"
    assert not turns.is_short(b"{}")
