"""The Open Inference Protocol V2: said in MLflow's words, and answered with MLflow's predictions."""

import asyncio
import json
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from slipway.runner.serving.openinference import Endpoint
from slipway.runner.serving.replies import Reply
from slipway.runner.serving.tensors import DATATYPES

TABLE = Schema([ColSpec("double", "distance"), ColSpec("long", "hour")])
ONE = Schema([ColSpec("float", "minutes")])


def endpoint(inputs: Schema | None = TABLE, outputs: Schema | None = ONE, params: Any = None) -> Endpoint:
    return Endpoint("flights", "3", ModelSignature(inputs, outputs, params) if inputs else None)


class Model:
    """Answers MLflow's protocol, and remembers what it was asked."""

    def __init__(self, predictions: Any = (35.5, 20.0), status: int = 200) -> None:
        self.predictions, self.status = predictions, status
        self.asked: Any = None

    async def __call__(self, body: bytes) -> Reply:
        self.asked = json.loads(body)
        if self.status != 200:
            return Reply(self.status, json.dumps({"error_code": "BAD_REQUEST", "message": "it is wrong"}).encode())
        return Reply(200, json.dumps({"predictions": self.predictions}).encode())


async def infer(said: Any, model: Model | None = None, of: Endpoint | None = None) -> tuple[int, Any]:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    reply = await (of or endpoint()).post("/v2/models/flights/infer", None, body, model or Model())
    assert reply is not None
    return reply.status, json.loads(reply.body)


def tensor(name: str, *data: Any, datatype: str = "FP64", shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": list(data)}


HOUR = tensor("hour", 5, 9, datatype="INT64")
FRAME = {"dataframe_split": {"columns": ["distance", "hour"], "data": [[200.0, 5], [100.0, 9]]}}


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        pytest.param([tensor("distance", 200.0, 100.0), HOUR], FRAME, id="[rows]"),
        pytest.param([tensor("distance", 200.0, 100.0, shape=[2, 1]), HOUR], FRAME, id="[rows, 1]"),
        pytest.param([tensor("distance", [200.0], [100.0], shape=[2, 1]), HOUR], FRAME, id="lists in lists"),
        pytest.param(
            [tensor("all", 200, 5, 100, 9, datatype="INT64", shape=[2, 2])], FRAME, id="one tensor of all columns"
        ),
    ],
)
async def test_columns_become_a_table(inputs: list[Any], asked: Any) -> None:
    model = Model()
    status, said = await infer({"id": "a", "inputs": inputs}, model)
    assert (status, model.asked) == (200, asked)
    assert said == {
        "model_name": "flights",
        "model_version": "3",
        "id": "a",
        "outputs": [{"name": "minutes", "datatype": "FP32", "shape": [2, 1], "data": [35.5, 20.0]}],
    }


IMAGES = Schema([TensorSpec(numpy.dtype("float32"), (-1, 2, 2))])
LINE = Schema([TensorSpec(numpy.dtype("float64"), (-1,))])
NAMED = Schema([TensorSpec(numpy.dtype("int64"), (-1, 1), "a"), TensorSpec(numpy.dtype("int64"), (-1, 1), "b")])


@pytest.mark.parametrize(
    ("inputs", "said", "asked"),
    [
        pytest.param(IMAGES, [tensor("x", *range(8), shape=[2, 2, 2])], {"inputs": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]},
                     id="a tensor"),
        pytest.param(NAMED, [tensor("a", 1, 2, shape=[2, 1]), tensor("b", 3, 4, shape=[2, 1])],
                     {"inputs": {"a": [[1], [2]], "b": [[3], [4]]}}, id="tensors by name"),
        pytest.param(LINE, [tensor("input-0", 1, 2)], {"inputs": [1, 2]}, id="a tensor of one rank"),
        pytest.param(None, [tensor("x", 1, 2, 3, 4, shape=[2, 2])], {"inputs": [[1, 2], [3, 4]]}, id="no signature"),
    ],
)  # fmt: skip
async def test_tensors_stay_tensors(inputs: Schema | None, said: list[Any], asked: Any) -> None:
    model = Model()
    assert (await infer({"inputs": said}, model, endpoint(inputs)))[0] == 200
    assert model.asked == asked


async def test_other_parameters_are_the_models_params() -> None:
    model, schema = Model(), ParamSchema([ParamSpec("quantile", "double", 0.5)])
    said = {"inputs": [tensor("distance", 1.0), tensor("hour", 1, datatype="INT64")], "parameters": {
        "quantile": 0.9, "binary_data_output": False}}  # fmt: skip
    assert (await infer(said, model, endpoint(params=schema)))[0] == 200
    assert model.asked["params"] == {"quantile": 0.9}


COUNT = Schema([ColSpec("long", "count")])


@pytest.mark.parametrize(
    ("predictions", "outputs", "shown"),
    [
        pytest.param([1, 2], None, [("output-0", "INT64", [2, 1], [1, 2])], id="whole numbers"),
        pytest.param([True, False], None, [("output-0", "BOOL", [2, 1], [True, False])], id="booleans"),
        pytest.param(["a", "b"], None, [("output-0", "BYTES", [2, 1], ["a", "b"])], id="text"),
        pytest.param([float("nan"), 1], None, [("output-0", "FP64", [2, 1], [None, 1])], id="no number"),
        pytest.param([[0.1, 0.9], [0.5, 0.5]], None, [("output-0", "FP64", [2, 2], [0.1, 0.9, 0.5, 0.5])], id="several"),
        pytest.param([{"y": 1.5, "z": "a"}], None, [("y", "FP64", [1, 1], [1.5]), ("z", "BYTES", [1, 1], ["a"])],
                     id="a table"),
        pytest.param({"y": [[1], [2]]}, None, [("y", "INT64", [2, 1], [1, 2])], id="tensors by name"),
        pytest.param([[1], [1, 2]], None, [("output-0", "BYTES", [2, 1], ["[1]", "[1, 2]"])], id="ragged"),
        pytest.param([1, None], None, [("output-0", "FP64", [2, 1], [1, None])], id="a whole number and none"),
        pytest.param([float("inf")], None, [("output-0", "FP64", [1, 1], [None])], id="infinity"),
        pytest.param([2**70], None, [("output-0", "FP64", [1, 1], [2**70])], id="a large number"),
        pytest.param([1e300], ONE, [("minutes", "FP64", [1, 1], [1e300])], id="more than the signature's type holds"),
        pytest.param([1.5], COUNT, [("count", "FP64", [1, 1], [1.5])], id="broken, and the signature says whole"),
        pytest.param([1, "a"], None, [("output-0", "BYTES", [2, 1], ["1", "a"])], id="of several kinds"),
        pytest.param([], None, [("output-0", "FP64", [0, 1], [])], id="nothing"),
        pytest.param(["a"], ONE, [("minutes", "BYTES", [1, 1], ["a"])], id="not what the signature says"),
    ],
)  # fmt: skip
async def test_predictions_become_tensors(predictions: Any, outputs: Schema | None, shown: list[Any]) -> None:
    inputs = [tensor("distance", 1.0), tensor("hour", 1, datatype="INT64")]
    _, said = await infer({"inputs": inputs}, Model(predictions), endpoint(outputs=outputs))
    assert [(one["name"], one["datatype"], one["shape"], one["data"]) for one in said["outputs"]] == shown


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param(b"{", "no JSON", id="half"),
        pytest.param({}, "needs a list of inputs", id="no inputs"),
        pytest.param({"inputs": [{"datatype": "FP64"}]}, "needs a name", id="no name"),
        pytest.param(
            {"inputs": [tensor("hour", 1, datatype="FLOAT")]}, "hour: the datatype 'FLOAT'", id="a foreign type"
        ),
        pytest.param({"inputs": [tensor("hour", 1, shape=[-1])]}, "hour: shape must be", id="a size below zero"),
        pytest.param({"inputs": [tensor("hour", 1, shape=[2])]}, "takes 2 elements, and there are 1", id="too few"),
        pytest.param({"inputs": [{**tensor("hour"), "shape": [0], "data": None}]}, "neither data nor", id="no data"),
        pytest.param({"inputs": [tensor("distance", 1.0), HOUR]}, "different numbers of rows", id="rows that differ"),
        pytest.param({"inputs": [tensor("hour", 1.5)]}, "it is FP64, and the model takes INT64", id="a broken number"),
        pytest.param({"inputs": [tensor("distance", *range(6), shape=[2, 3])]}, "[rows, 1], not [2, 3]", id="wide"),
        pytest.param(
            {"inputs": [tensor("all", 1.0, 2.5, shape=[1, 2])]}, "model takes INT64 for hour", id="broken in one"
        ),
        pytest.param(
            {"inputs": [tensor("hour", 1.5, datatype="INT32")]}, "hour: 1.5 is no INT32", id="no whole number"
        ),
        pytest.param({"inputs": [tensor("hour", None, datatype="INT32")]}, "hour: null is no INT32", id="null"),
        pytest.param({"inputs": [tensor("distance", "1.5")]}, 'distance: "1.5" is no FP64', id="a number as text"),
        pytest.param({"inputs": [HOUR, HOUR]}, "two inputs have the same name", id="a name twice"),
        pytest.param({"inputs": [HOUR], "id": 7}, "id must be text", id="an id that is none"),
        pytest.param({"inputs": [tensor("hour", 1, shape=[1] * 33)]}, "32 sizes at most", id="too many ranks"),
        pytest.param({"inputs": [tensor("hour", 1, shape=[10**99])]}, "each 2147483648 at most", id="too large"),
        pytest.param({"inputs": [HOUR], "outputs": [{"name": "z"}]}, "no output z: there are minutes", id="no output"),
        pytest.param(
            {"inputs": [{**HOUR, "parameters": {"binary_data_size": 9}}]}, "more than the 0 bytes", id="no bytes"
        ),
    ],
)
async def test_what_is_impossible_is_said_by_name(said: Any, why: str) -> None:
    status, answer = await infer(said)
    assert status == 400 and why in answer["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
INPUT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["distance", "hour"]) | JSON,
        "datatype": st.sampled_from(["FP64", "INT64", "BYTES"]) | JSON,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
        "data": st.lists(st.integers(), max_size=4) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 9) | JSON}) | JSON,
    },
)
ASKED = st.fixed_dictionaries(
    {"inputs": st.lists(INPUT, max_size=3) | JSON}, optional={"outputs": st.lists(INPUT) | JSON, "parameters": JSON}
)


@given(asked=ASKED, tail=st.binary(max_size=20), header=st.none() | st.integers(-5, 300))
async def test_whatever_is_asked_is_answered_or_refused_by_name(asked: Any, tail: bytes, header: int | None) -> None:
    body = json.dumps(asked).encode()
    said = str(len(body) if header == 0 else header).encode() if header is not None else None
    reply = await endpoint().post("/v2/models/flights/infer", said, body + tail, Model())
    assert reply is not None and reply.status in (200, 400)
    assert reply.status == 200 or json.loads(reply.body)["error"]


@pytest.mark.parametrize(("depth", "status"), [(900, 200), (100_000, 400)])
async def test_lists_in_lists_are_read_as_far_as_python_reads_them(depth: int, status: int) -> None:
    data = b"[" * depth + b"1" + b"]" * depth
    said = b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": ' + data + b"}]}"
    assert (await infer(said))[0] == status


@pytest.mark.parametrize("header", [b"9" * 5000, b"-1", b"x", b"400"])
async def test_where_the_json_ends_must_be_within_the_body(header: bytes) -> None:
    reply = await endpoint().post("/v2/models/flights/infer", header, json.dumps({"inputs": [HOUR]}).encode(), Model())
    assert reply is not None and reply.status == 400 and b"inference-header-content-length" in reply.body


@pytest.mark.parametrize("predictions", [[float("nan"), 1], [1, None], [300, 2], [1.5, 2], [None, "a"]])
async def test_what_is_given_as_bytes_is_what_the_model_has_predicted(predictions: list[Any]) -> None:
    tiny = Schema([TensorSpec(numpy.dtype("int8"), (-1,))])
    inputs = [tensor("distance", 1.0, 2.0), tensor("hour", 1, 2, datatype="INT64")]
    said = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    reply = await endpoint(outputs=tiny).post(
        "/v2/models/flights/infer", None, json.dumps(said).encode(), Model(predictions)
    )
    assert reply is not None and reply.status == 200 and reply.head_bytes
    shown = json.loads(reply.body[: reply.head_bytes])["outputs"][0]
    if shown["datatype"] != "BYTES":
        values = numpy.frombuffer(reply.body[reply.head_bytes :], DATATYPES[shown["datatype"]]).tolist()
        assert values == pytest.approx([numpy.nan if one is None else one for one in predictions], nan_ok=True)


async def test_a_large_body_leaves_the_event_loop_free() -> None:
    rows = 60_000
    said = {"inputs": [tensor("all", *[1.0, 2.0] * rows, shape=[rows, 2])]}
    of = endpoint(Schema([ColSpec("double", "a"), ColSpec("double", "b")]))
    asked, ticks = asyncio.create_task(infer(json.dumps(said).encode(), Model([1.0] * rows), of)), 0
    while not asked.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 5 and asked.result()[0] == 200


async def test_a_refusal_of_mlflows_keeps_its_status_and_text() -> None:
    assert await infer({"inputs": [HOUR]}, Model(status=400)) == (400, {"error": "it is wrong"})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/flights", 200),
        ("/v2/models/flights/versions/3", 200),
        ("/v2/models/flights/ready", 200),
        ("/v2/models/flights/versions/3/ready", 200),
        ("/v2/models/flights/versions/4", 404),
        ("/v2/models/trains/ready", 404),
        ("/v2/repository", 404),
    ],
)
def test_what_is_known_without_the_model(path: str, status: int) -> None:
    reply = endpoint().get(path)
    assert reply is not None and reply.status == status
    assert status == 200 or "this is /v2/models/flights/versions/3" in json.loads(reply.body)["error"]


@pytest.mark.parametrize("path", ["/ping", "/invocations", "/v20", "/"])
async def test_other_paths_are_mlflows(path: str) -> None:
    assert endpoint().get(path) is None
    assert await endpoint().post(path, None, b"{}", Model()) is None


def test_metadata_is_the_signature_as_mlserver_shows_it() -> None:
    reply = endpoint(outputs=Schema([ColSpec("string")])).get("/v2/models/flights")
    assert reply is not None and json.loads(reply.body) == {
        "name": "flights",
        "versions": ["3"],
        "platform": "mlflow",
        "inputs": [
            {"name": "distance", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "hour", "datatype": "INT64", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "output-0", "datatype": "BYTES", "shape": [-1, 1]}],
    }
