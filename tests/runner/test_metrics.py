"""Metrics mean what they mean in `mlflow.models.evaluate`: the same names, the same numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pandas
import pytest
from slipway.runner.metrics import Classes, of_classifier, of_regressor

ROWS = 60


@pytest.fixture(scope="module", autouse=True)
def _tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
    yield
    mlflow.set_tracking_uri(before)


def mlflows(
    truth: Any, predicted: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **config: Any
) -> Any:
    monkeypatch.chdir(tmp_path)
    frame = pandas.DataFrame({"truth": truth, "prediction": predicted})
    with mlflow.start_run(experiment_id="0"):
        return mlflow.models.evaluate(
            data=frame, predictions="prediction", targets="truth", model_type=kind, evaluators="default",
            evaluator_config={"log_model_explainability": False, "log_explainer": False, **config},
        ).metrics  # fmt: skip


def test_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = numpy.random.default_rng(1)
    truth = random.normal(3.0, 2.0, ROWS)
    predicted = truth + random.normal(0.0, 0.3, ROWS)
    assert of_regressor(truth, predicted) == pytest.approx(
        mlflows(truth, predicted, "regressor", tmp_path, monkeypatch)
    )


LABELS: list[tuple[list[Any], Any]] = [
    ([0.0, 1.0], None),
    ([0.0, 1.0], 0.0),
    ([False, True], None),
    (["late", "on time"], "late"),
    (["late", "on time"], None),
    (["ewr", "jfk", "lga"], None),
    ([0.0, 1.0, 2.0, 3.0], None),
]


@pytest.mark.parametrize(("labels", "positive"), LABELS)
def test_labels(labels: list[Any], positive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = numpy.random.default_rng(2)
    truth = [labels[one] for one in random.integers(0, len(labels), ROWS)]
    predicted = [one if random.random() < 0.8 else labels[0] for one in truth]
    config = {} if positive is None else {"pos_label": positive}
    theirs = mlflows(truth, predicted, "classifier", tmp_path, monkeypatch, **config)
    assert of_classifier(truth, predicted, Classes(tuple(labels), positive)) == pytest.approx(theirs)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities(classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow computes them for a model that it can ask for them."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    random = numpy.random.default_rng(3)
    columns = pandas.DataFrame(random.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
    truth = random.integers(0, classes, ROWS).astype(float)
    model = LogisticRegression().fit(columns, truth)
    monkeypatch.chdir(tmp_path)
    with mlflow.start_run(experiment_id="0"):
        logged = mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle")
        theirs = mlflow.models.evaluate(
            logged.model_uri, columns.assign(y=truth), targets="y", model_type="classifier", evaluators="default",
            evaluator_config={"log_model_explainability": False, "log_explainer": False},
        ).metrics  # fmt: skip
    table = model.predict_proba(columns)
    labels = tuple(model.classes_.tolist())
    ours = of_classifier(
        truth.tolist(), model.predict(columns).tolist(), Classes(labels), dict(zip(labels, table.T, strict=True))
    )
    theirs.pop("score")  # of scikit-learn's own method
    ours.pop("brier_score_loss")  # not among MLflow's
    assert ours == pytest.approx(theirs)


def test_rounded_probabilities_are_judged_and_what_adds_up_to_nothing_has_no_area() -> None:
    truth, labels = [0.0, 1.0, 2.0], (0.0, 1.0, 2.0)
    third = numpy.full(3, 0.333)
    found = of_classifier(truth, truth, Classes(labels), dict.fromkeys(labels, third))
    assert found["roc_auc"] == pytest.approx(0.5)
    assert found["log_loss"] == pytest.approx(numpy.log(3))
    found = of_classifier(truth, truth, Classes(labels), dict.fromkeys(labels, third * 2))
    assert "roc_auc" not in found and found["accuracy_score"] == 1.0
