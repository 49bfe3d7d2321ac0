"""The scoring program: one model, its predictions, and a different exit code for each way to fail."""

import json
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import scipy.sparse
import yaml
from mlflow.models.model import ENV_VAR_FILE_HEADER, ENV_VAR_FILE_NAME
from mlflow.types import ColSpec, Schema
from slipway.api.tasks import CANDIDATE_PREDICTIONS, FEATURES, ScoreTask
from slipway.runner import score

from tests.runner.pods import Ended, Pod

CODE = """
import pandas, mlflow

def _load_pyfunc(path):
    {load}
    return Model()

class Model:
    def predict(self, data, params=None):
        {predict}
"""


def model_of(folder: Path, load: str = "pass", predict: str = "return [1.0] * len(data)") -> Path:
    """A model whose code is whatever somebody put into the registry."""
    module = f"theirs_{uuid.uuid4().hex}"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / f"{module}.py").write_text(CODE.format(load=load, predict=predict))
    (folder / "example.json").write_text('{"columns": ["x"], "data": [[1.0]]}')
    flavor = {"loader_module": module, "code": "code", "python_version": "3"}
    example = {"artifact_path": "example.json", "type": "dataframe", "pandas_orient": "split"}
    (folder / "MLmodel").write_text(
        yaml.safe_dump({"flavors": {"python_function": flavor}, "saved_input_example_info": example})
    )
    return folder


def task_of(pod: Pod, model: Path, features: pandas.DataFrame | None) -> ScoreTask:
    if features is not None:
        features.to_parquet(pod.at(FEATURES) / "data.parquet")
    return ScoreTask(
        model=str(model),
        features=None if features is None else str(pod.at(FEATURES)),
        predictions=str(pod.at(CANDIDATE_PREDICTIONS)),
    )


def scored(pod: Pod, model: Path, features: pandas.DataFrame | None) -> tuple[Ended, Any]:
    ended = pod.run("score", task_of(pod, model, features))
    file = pod.at(CANDIDATE_PREDICTIONS) / "predictions.json"
    return ended, json.loads(file.read_text()) if file.exists() else None


def test_a_model_predicts_every_row_in_order(pod: Pod, flights: Path) -> None:
    rows = score.BATCH_ROWS + 5
    features = pandas.DataFrame({"distance": numpy.linspace(100, 300, rows), "hour": numpy.linspace(1, 9, rows)})
    ended, found = scored(pod, flights, features)
    assert ended.code == 0, ended.stderr
    assert found["predictions"] == pytest.approx(numpy.linspace(20, 50, rows).tolist())
    assert 0 < found["seconds"] < 60
    assert f"predicted {rows} of {rows} rows" in ended.stderr


@pytest.mark.parametrize(
    ("predict", "code"), [("return data['x'] * 2", 0), ("return data['hour']", score.PREDICT_FAILED)]
)
def test_without_features_the_input_example_is_predicted(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predict: str, code: int
) -> None:
    assert ending(task_of(pod, model_of(tmp_path / "model", predict=predict), None), monkeypatch) == code
    assert (pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").exists() == (code == 0)


def ending(task: ScoreTask, monkeypatch: pytest.MonkeyPatch) -> int:
    """The program's exit code, without the seconds that a process of its own takes to import MLflow."""
    monkeypatch.setenv("SLIPWAY_TASK", json.dumps(task.wire()))
    try:
        score.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


ONE = pandas.DataFrame({"x": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("code", "load", "predict", "says"),
    [
        (score.LOAD_FAILED, "raise OSError('no such file')", "pass", "slipway-error: OSError: no such file"),
        (score.PREDICT_FAILED, "pass", "raise KeyError('hour')", "slipway-error: KeyError: 'hour'"),
        (score.WRONG_SHAPE, "pass", "return 7", "slipway-error: WrongShape: predictions are a int"),
    ],
)
def test_each_way_to_fail_has_its_exit_code_and_a_last_line(
    pod: Pod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    load: str,
    predict: str,
    says: str,
) -> None:
    assert ending(task_of(pod, model_of(tmp_path / "model", load, predict), ONE), monkeypatch) == code
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(says)
    assert "Traceback" in said
    assert not (pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").exists()


LOGGED_WITH = """\
# This file records environment variable names that are used during model inference.
# They might need to be set when creating a serving endpoint from this model.
# Note: it is not guaranteed that all environment variables listed here are required
OPENAI_API_KEY
SEARCH_API_KEY
"""
REMEDY = "add to spec.serving.pod.env of its RegisteredModel, under `validation` what the scoring steps get"


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ((), f"KeyError: 'x'; the model was logged with OPENAI_API_KEY, SEARCH_API_KEY, which are not set: {REMEDY}"),
        (("OPENAI_API_KEY",), f"KeyError: 'x'; the model was logged with SEARCH_API_KEY, which is not set: {REMEDY}"),
        (("OPENAI_API_KEY", "SEARCH_API_KEY"), "KeyError: 'x'"),
    ],
)
def test_a_model_that_fails_without_its_variables_says_which_are_not_set(
    pod: Pod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: tuple[str, ...],
    says: str,
) -> None:
    folder = model_of(tmp_path / "model", predict="raise KeyError('x')")
    (folder / score.VARIABLES).write_text(LOGGED_WITH)
    for name in ("OPENAI_API_KEY", "SEARCH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in there:
        monkeypatch.setenv(name, "set")
    assert ending(task_of(pod, folder, ONE), monkeypatch) == score.PREDICT_FAILED
    assert capsys.readouterr().err.splitlines()[-1] == f"slipway-error: {says}"


def test_the_file_of_variables_is_the_one_that_mlflow_writes() -> None:
    assert (ENV_VAR_FILE_NAME, LOGGED_WITH.split("OPENAI", maxsplit=1)[0]) == (score.VARIABLES, ENV_VAR_FILE_HEADER)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe", b"two words\n1ST\n$(rm)\n" + b"x" * 200, None])
def test_a_file_of_variables_that_names_none_is_no_news(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / score.VARIABLES).write_bytes(content)
    assert score.unset(str(tmp_path)) == ""


def test_a_secret_of_the_model_is_left_out_of_what_is_told_of_its_failure(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_KEY", "sk-hush\nsecond-line")
    folder = model_of(
        tmp_path / "model", predict="import os; raise KeyError(os.environ.pop('API_KEY'), 'in ' + 'sk-hush')"
    )
    task = task_of(pod, folder, ONE).model_copy(update={"secrets": ("API_KEY", "ABSENT")})
    assert ending(task, monkeypatch) == score.PREDICT_FAILED
    said = capsys.readouterr().err
    assert "sk-hush" not in said and "second-line" not in said
    assert said.splitlines()[-1].startswith("slipway-error: KeyError: (")


def test_a_kill_is_the_programs_own_end(pod: Pod, tmp_path: Path) -> None:
    """The kernel's out-of-memory kill is a SIGKILL; there is no parent process that could hide it."""
    ended, found = scored(pod, model_of(tmp_path / "model", predict="import os; os.kill(os.getpid(), 9)"), ONE)
    assert (ended.code, found) == (-9, None)


def test_it_needs_nothing_of_slipway() -> None:
    for file in (score.__file__, score.typed.__file__):
        source = Path(file).read_text()
        assert "from slipway" not in source
        assert "import slipway" not in source
        assert "from ." not in source


@pytest.mark.parametrize(
    ("predicted", "wanted"),
    [
        (numpy.array([1.0, 2.0]), [1.0, 2.0]),
        (numpy.array([[1.0], [2.0]], dtype="float32"), [1.0, 2.0]),
        (pandas.Series([1, 2]), [1, 2]),
        (pandas.DataFrame({"prediction": ["jfk", "lga"]}), ["jfk", "lga"]),
        ([numpy.float32(1), True], [1.0, True]),
        (numpy.array([math.nan, math.inf]), [None, None]),
        ([Decimal("0.5"), pandas.NA], [0.5, None]),
        (pandas.to_datetime(pandas.Series(["2026-01-02", None])), ["2026-01-02T00:00:00", "NaT"]),
        ([b"a", b"b"], ["YQ==\n", "Yg==\n"]),
        (numpy.array([[1.0, 2.0], [3.0, math.nan]]), [[1.0, 2.0], [3.0, None]]),
        ([[1], [2]], [1, 2]),
        (
            pandas.DataFrame({"label": ["a", "b"], 1: [0.25, 0.75]}),
            [{"label": "a", "1": 0.25}, {"label": "b", "1": 0.75}],
        ),
        (
            {"a": numpy.array([1, 2]), "b": [[3.0, 4.0], [5.0, 6.0]]},
            [{"a": 1, "b": [3.0, 4.0]}, {"a": 2, "b": [5.0, 6.0]}],
        ),
        ({"a": numpy.array([1, 2])}, [1, 2]),
        ([{"label": "a"}, {"label": "b"}], ["a", "b"]),
        (scipy.sparse.csr_matrix([[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
        (numpy.array([1, "a"], dtype=object), [1, "a"]),
    ],
)
def test_predictions_of_any_kind_become_what_json_has_for_each_row(predicted: Any, wanted: list[Any]) -> None:
    assert score.by_row(predicted, 2) == wanted


@pytest.mark.parametrize(
    "predicted",
    [
        numpy.array([1.0]),
        {"a": 1, "b": 2},
        {"a": [1, 2], "b": [1]},
        pandas.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        "ab",
        None,
        [object(), 1],
    ],
    ids=["too few", "mapping of values", "mapping of other lengths", "one name", "string", "nothing", "objects"],
)
def test_anything_else_is_the_wrong_shape(predicted: Any) -> None:
    with pytest.raises(score.WrongShape):
        score.by_row(predicted, 2)


def test_each_row_of_a_csv_is_read_as_the_signature_has_it(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tmp_path / "model", predict="return (data['zip'] + '/' + data['x'].map(repr)).tolist()")
    signed = yaml.safe_load((model / "MLmodel").read_text())
    inputs = [{"name": "zip", "type": "string"}, {"name": "x", "type": "double"}]
    (model / "MLmodel").write_text(yaml.safe_dump(signed | {"signature": {"inputs": json.dumps(inputs)}}))
    (pod.at(FEATURES) / "data.csv").write_text(
        "x,zip,more\n0.30000000000000004,00123,1\n1.7976931348623157e+308,NA1,2\n"
    )
    assert ending(task_of(pod, model, None).model_copy(update={"features": str(pod.at(FEATURES))}), monkeypatch) == 0
    found = json.loads((pod.at(CANDIDATE_PREDICTIONS) / "predictions.json").read_text())["predictions"]
    assert found == ["00123/0.30000000000000004", "NA1/1.7976931348623157e+308"]


def test_what_does_not_fit_the_signature_is_refused_by_column_with_a_value(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(tmp_path / "model")
    signed = yaml.safe_load((model / "MLmodel").read_text())
    (model / "MLmodel").write_text(
        yaml.safe_dump(signed | {"signature": {"inputs": json.dumps([{"name": "x", "type": "long"}])}})
    )
    task = task_of(pod, model, pandas.DataFrame({"x": [1.0, 1.5]}))
    assert ending(task, monkeypatch) == score.DATA_DIFFERS
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "slipway-error: DoesNotFit: column 'x' cannot be long, as the signature states it: 1.5 in row 1 is not whole"
    )


def test_no_spelling_of_a_secret_is_told() -> None:
    secrets = ["team", "team-2024-xyz", "sk-abc123\r\n", "tab\there"]
    said = "login for team-2024-xyz, team; bad key sk-abc123; header 'sk-abc123\\r\\n'; 'tab\\there'"
    for spelt in score.spellings(secrets):
        said = said.replace(spelt, "***")
    assert said == "login for ***, ***; bad key ***; header '***'; '***'"


@pytest.mark.parametrize(("kind", "wanted"), [("string", ["NA", "DE", "None", None]), (None, [None, "DE", None, None])])
def test_text_of_a_csv_is_missing_only_where_there_is_none(tmp_path: Path, kind: str | None, wanted: list[Any]) -> None:
    (tmp_path / "data.csv").write_text('c,v\nNA,1\nDE,2\nNone,3\n"",4\n')
    schema = Schema([ColSpec(kind, "c")]) if kind else None
    found = score.features_of(str(tmp_path), schema)["c"].tolist()
    assert [None if pandas.isna(one) else one for one in found] == wanted


def test_numbers_as_names_of_columns_are_found_in_a_csv(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("0,1\n1.5,2.5\n")
    schema = Schema([ColSpec("double", 0), ColSpec("double", 1)])
    assert list(score.features_of(str(tmp_path), schema).columns) == [0, 1]
