"""What the judge asks: in each format MLflow reads the rows that the model was scored with, or the format is not asked."""

import asyncio
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import infer_and_parse_data, parse_csv_input
from mlflow.types import ColSpec, Schema, TensorSpec
from slipway.runner import questions
from slipway.runner.questions import Question, Rows
from slipway.runner.serving import signature
from slipway.runner.serving.openinference import Endpoint
from slipway.runner.serving.replies import Reply

EVERY = ["dataframe_split", "dataframe_records", "inputs", "instances", "CSV", "V2"]
TABLES = EVERY[:2]
TENSORS = [one for one in EVERY if one != "CSV"]
NUMBERS = [0.5, 1e-7, 0.1 + 0.2, 3.0]
TIMES = pandas.to_datetime(["2026-01-01", "2026-01-02 03:04:05.678901", "2026-01-03", "2026-01-04"], format="ISO8601")
BYTES = [b"\x00\xff", b"", b"abc", b"\n"]


def columns(**kinds: str) -> Schema:
    return Schema([ColSpec(kind.rstrip("?"), name, required=kind[-1] != "?") for name, kind in kinds.items()])


def tensor(kind: str, *shape: int, name: str | None = None) -> Schema:
    return Schema([TensorSpec(numpy.dtype(kind), shape, name)])


@dataclass(frozen=True)
class Case:
    name: str
    schema: Schema | None
    frame: dict[str, Any]
    forms: list[str]
    gaps: list[str] | None = None  # formats of rows with a missing value


CASES = [
    Case("doubles", columns(a="double", b="double"), {"a": NUMBERS, "b": NUMBERS}, EVERY),
    Case("one column", columns(a="double"), {"a": NUMBERS}, EVERY),
    Case("floats", columns(a="float"), {"a": numpy.array(NUMBERS, "float32")}, EVERY),
    Case("whole numbers", columns(a="long", b="integer"), {"a": [1, 2**60, -3, 0], "b": numpy.array([1, 2, 3, 4], "int32")}, EVERY),
    Case("truth values", columns(a="boolean"), {"a": [True, False, True, True]}, EVERY),
    Case("text", columns(a="string", b="double"), {"a": ["x", "ü,\"'\n", "1", "true"], "b": NUMBERS}, EVERY),
    Case("a text that CSV takes for none", columns(a="string"), {"a": ["NA", "", "null", "x"]}, EVERY),
    Case("text that is missing", columns(a="string", b="string"), {"a": ["x", None, "y", "z"], "b": ["x", "x", "y", None]}, EVERY, TABLES),
    Case("text of which nothing is there", columns(a="string"), {"a": ["x", None, "y", None]}, EVERY, []),
    Case("numbers that are missing", columns(a="double", b="double"), {"a": [1.5, None, 2.5, None], "b": NUMBERS}, EVERY, TABLES),
    Case("infinite", columns(a="double"), {"a": [float("inf"), 1.0, -float("inf"), 2.0]}, EVERY),
    Case("times", columns(a="datetime"), {"a": TIMES}, TABLES),
    Case("bytes", columns(a="binary"), {"a": BYTES}, TABLES),
    Case("more columns than are wanted", columns(b="double"), {"a": NUMBERS, "b": NUMBERS}, EVERY),
    Case("another order", columns(b="double", a="string"), {"a": list("wxyz"), "b": NUMBERS}, EVERY),
    Case("a column that may be missing is", columns(a="double", b="double?"), {"a": NUMBERS}, EVERY),
    Case("a table without names", tensor("float64", -1, 2), {"a": NUMBERS, "b": NUMBERS}, TENSORS),
    Case("a table of float32", tensor("float32", -1, 2), {"a": numpy.array(NUMBERS, "float32"), "b": numpy.array(NUMBERS, "float32")}, TENSORS),
    Case("a table with gaps", tensor("float64", -1, 2), {"a": [1.5, None, 2.5, None], "b": NUMBERS}, TENSORS, TABLES),
    Case("no signature", None, {"a": NUMBERS, "b": [1, 2, 3, 4], "c": list("wxyz"), "d": [True, False, True, False]}, TABLES),
    Case("no signature, and gaps", None, {"a": [1.5, None, 2.5, None]}, TABLES, TABLES),
]  # fmt: skip


def read_as_ours(schema: Schema | None, folder: Path) -> signature.Schema | None:
    """The signature as the judge reads it from the MLmodel file."""
    said = {"signature": {"inputs": json.dumps(schema.to_dict()), "outputs": None}} if schema else {}
    (folder / "MLmodel").write_text(yaml.safe_dump(said))
    found = signature.read(folder)
    return found.inputs if found else None


def rows_of(schema: Schema | None, frame: pandas.DataFrame, folder: Path) -> Rows | str:
    return questions.of(frame, read_as_ours(schema, folder), "/v2/models/m/versions/1/infer")


def read_by_mlflow(question: Question, schema: Schema | None, ours: signature.Schema | None) -> Any:
    """What MLflow hands to the model."""
    if question.form == "CSV":
        data = parse_csv_input(io.StringIO(question.body.decode()), schema)
    else:
        body = question.body
        if question.form == "V2":
            taken: list[bytes] = []

            async def take(said: bytes) -> Reply:
                taken.append(said)
                return Reply(200, b'{"predictions": [1.0]}')

            endpoint = Endpoint("m", "1", signature.Signature(ours, None))
            reply = asyncio.run(endpoint.post(question.path, None, body, take))
            assert reply is not None
            assert reply.status == 200, reply.body
            (body,) = taken
        data = infer_and_parse_data(json.loads(body), schema)
    return _enforce_schema(data, schema) if schema else data


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mlflow_reads_the_rows_that_were_scored(case: Case, tmp_path: Path) -> None:
    frame = pandas.DataFrame(case.frame)
    found = rows_of(case.schema, frame, tmp_path)
    assert isinstance(found, Rows), found
    for chosen, forms in ((found.whole, case.forms), (found.gaps, case.gaps)):
        assert bool(chosen) == (forms is not None)
        for batch in {chosen[:1], chosen} if forms is case.forms else {chosen}:
            asked = {one.form: one for one in found.questions(batch)} if batch else {}
            # Some numbers and texts are others in CSV: rows that have one are left out there, maybe all of them.
            assert [*asked] == [one for one in forms or () if one in asked or one != "CSV"][: len(asked)]
            for question in asked.values():
                scored = frame.iloc[list(question.rows)].reset_index(drop=True)
                due = _enforce_schema(scored, case.schema) if case.schema else scored
                read = read_by_mlflow(question, case.schema, read_as_ours(case.schema, tmp_path))
                if isinstance(due, pandas.DataFrame):
                    texts = dict.fromkeys(due.select_dtypes(exclude=["number", "bool", "datetime"]).columns, object)
                    read, due = read[list(due.columns)].astype(texts), due.astype(texts)  # pandas 3 has another type
                    pandas.testing.assert_frame_equal(read, due, check_exact=True)
                else:
                    numpy.testing.assert_array_equal(read, due)


def test_csv_is_asked_of_rows_that_it_says_as_they_are(tmp_path: Path) -> None:
    schema = columns(a="string", b="double")
    found = rows_of(schema, pandas.DataFrame({"a": ["NA", "x", "", "y"], "b": NUMBERS}), tmp_path)
    assert isinstance(found, Rows)
    (csv,) = [one for one in found.questions(found.whole) if one.form == "CSV"]
    assert csv.rows == (1, 3)


@pytest.mark.parametrize(
    ("schema", "frame", "why"),
    [
        (columns(a="datetime"), {"a": TIMES.tz_localize("UTC")}, "a zone"),
        (columns(a="long"), {"a": [1.5]}, "broken"),
        (columns(a="string"), {"a": [1]}, "something else"),
        (tensor("int64", -1, 1), {"a": [1.0, None]}, "non-finite"),
        (tensor("float64", -1, 2, 2, name="a"), {"a": [numpy.ones((2, 2))]}, "not JSON serializable"),
        (None, {"a": numpy.array([1], "int32")}, "no signature tells"),
        (None, {"a": TIMES}, "not JSON serializable"),
    ],
)
def test_what_json_does_not_say_is_not_asked(schema: Schema | None, frame: Any, why: str, tmp_path: Path) -> None:
    found = rows_of(schema, pandas.DataFrame(frame), tmp_path)
    assert isinstance(found, str)
    assert why in found


def test_a_body_that_no_server_takes_is_not_sent(tmp_path: Path) -> None:
    found = rows_of(columns(a="string"), pandas.DataFrame({"a": ["x" * 900]}), tmp_path)
    assert isinstance(found, Rows)
    assert [one.form for one in found.questions((0,))] == EVERY
    assert [*replace(found, longest=900).questions((0,))] == []
