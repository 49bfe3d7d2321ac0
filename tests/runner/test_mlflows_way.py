"""MLflow's way answers as MLflow's own application does: status, type and body, whatever is asked."""

import io
from typing import Any

import httpx
import mlflow
import pandas
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from slipway.runner.serving.mlflows import MLflows

FRAME = pandas.DataFrame({"distance": [1.0, 2.0], "airport": ["JFK", "LGA"]})
JSON = "application/json"
SPLIT = b'{"dataframe_split": {"columns": ["distance", "airport"], "data": [[1.5, "JFK"]]}}'


class Team(mlflow.pyfunc.PythonModel):
    """A team's own code, which does as the row says."""

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> Any:
        match model_input["airport"].iloc[0]:
            case "raises":
                raise ValueError("no such airport")
            case "refuses":
                raise MlflowException("not today", error_code=4)
            case "object":
                return object()
            case "table":
                return model_input
        return model_input["distance"].to_numpy()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("team") / "model"
    signature = infer_signature(FRAME, [1.0])
    mlflow.pyfunc.save_model(folder, python_model=Team(), signature=signature, pip_requirements=[])
    return mlflow.pyfunc.load_model(str(folder))


async def by_application(model: Any, content_type: str, body: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(scoring_server.init(model), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
        return await client.post("/invocations", content=body, headers={"content-type": content_type})


def row(airport: str) -> bytes:
    return SPLIT.replace(b"JFK", airport.encode())


def parquet() -> bytes:
    written = io.BytesIO()
    FRAME.to_parquet(written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(JSON, SPLIT, id="a row"),
        pytest.param(f"{JSON}; charset=utf-8", SPLIT, id="with its charset"),
        pytest.param(f"{JSON}; charset=latin-1", SPLIT, id="another charset"),
        pytest.param(f"{JSON}; format=pandas-split", SPLIT, id="a parameter of old"),
        pytest.param(JSON, b"{", id="half"),
        pytest.param(JSON, b"\xff", id="no text"),
        pytest.param(JSON, b"[]", id="a list"),
        pytest.param(JSON, b'{"columns": []}', id="no key of MLflow's"),
        pytest.param(JSON, SPLIT.replace(b"distance", b"dist"), id="a column that is missing"),
        pytest.param(JSON, SPLIT.replace(b"1.5", b'"far"'), id="text for a number"),
        pytest.param(JSON, SPLIT[:-1] + b', "params": {"a": 1}}', id="params"),
        pytest.param("text/csv", b"distance,airport\n1.5,JFK\n", id="CSV"),
        pytest.param("text/csv", b"distance,airport\nfar,JFK\n", id="CSV that is wrong"),
        pytest.param("text/csv", b"\xff", id="CSV that is no text"),
        pytest.param("application/vnd.apache.parquet", parquet(), id="Parquet"),
        pytest.param("application/vnd.apache.parquet", b"PAR", id="Parquet that is none"),
        pytest.param("application/x-pickle", b"", id="a foreign type"),
        pytest.param(JSON, row("raises"), id="the model raises"),
        pytest.param(JSON, row("refuses"), id="the model raises MLflow's own"),
        pytest.param(JSON, row("object"), id="a prediction that is no JSON"),
        pytest.param(JSON, row("table"), id="a table"),
    ],
)
async def test_it_answers_as_the_application_does(model: Any, content_type: str, body: bytes) -> None:
    theirs = await by_application(model, content_type, body)
    ours = MLflows(model).answer(body, content_type)
    assert (ours.status, ours.media_type) == (theirs.status_code, theirs.headers["content-type"])
    assert _plain(ours.body) == _plain(theirs.content)


def _plain(body: bytes) -> bytes:
    """Without the lines of a traceback that name who called."""
    return body.partition(b'"stack_trace"')[0]
