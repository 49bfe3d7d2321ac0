"""Models for both ways of answering, and MLflow's own answer to a body."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pandas
import xgboost
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NAMES = ("distance", "hour", "wind")
ROWS = 60


def features(*types: str) -> pandas.DataFrame:
    """Numbers in columns of these types."""
    drawn = numpy.random.default_rng(1).normal(0.0, 30.0, (ROWS, len(types)))
    return pandas.DataFrame(
        {name: drawn[:, n].astype(kind) for n, (name, kind) in enumerate(zip(NAMES, types, strict=True))}
    )


DOUBLES = features("float64", "float64", "float64")
MIXED = features("int64", "float32", "float64")
WHOLE = features("int32", "int64", "int32")
TARGET = DOUBLES.sum(axis=1).to_numpy() / 3
BOOSTED = {"max_depth": 3, "nthread": 1}


def booster(frame: pandas.DataFrame, target: Any, **params: Any) -> xgboost.Booster:
    return xgboost.train({**BOOSTED, **params}, xgboost.DMatrix(frame, label=target), 8)


def early() -> xgboost.XGBRegressor:
    model = xgboost.XGBRegressor(n_estimators=60, n_jobs=1, early_stopping_rounds=2)
    return model.fit(DOUBLES, TARGET, eval_set=[(DOUBLES[:20], TARGET[:20] + 9)], verbose=False)


def linear(frame: Any) -> Any:
    return make_pipeline(StandardScaler(), LinearRegression()).fit(frame, TARGET)


def by_name() -> Any:
    scaled = ColumnTransformer([("scaled", StandardScaler(), ["hour", "wind"])], remainder="passthrough")
    return make_pipeline(scaled, LinearRegression()).fit(DOUBLES, TARGET)


THIRDS = pandas.qcut(TARGET, 3, labels=False)
MODELS: Mapping[str, Callable[[], tuple[Any, Any]]] = {
    "a booster": lambda: (booster(DOUBLES, TARGET), DOUBLES),
    "a booster of three classes": lambda: (booster(DOUBLES, THIRDS, objective="multi:softprob", num_class=3), DOUBLES),
    "a booster without names": lambda: (booster(DOUBLES.to_numpy(), TARGET), DOUBLES.to_numpy()),
    "whole and broken numbers": lambda: (booster(MIXED, TARGET), MIXED),
    "a regressor that stopped early": lambda: (early(), DOUBLES),
    "a classifier of XGBoost": lambda: (xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(DOUBLES, THIRDS), DOUBLES),
    "a linear booster": lambda: (xgboost.XGBRegressor(n_jobs=1, booster="gblinear").fit(DOUBLES, TARGET), DOUBLES),
    "a scaled line": lambda: (linear(DOUBLES), DOUBLES),
    "a scaled line of mixed types": lambda: (linear(MIXED), MIXED),
    "a scaled line of whole numbers": lambda: (linear(WHOLE), WHOLE),
    "a scaled line of float32": lambda: (linear(DOUBLES.astype("float32")), DOUBLES.astype("float32")),
    "a scaled line without names": lambda: (linear(DOUBLES.to_numpy()), DOUBLES.to_numpy()),
    "columns by name": lambda: (by_name(), DOUBLES),
    "classes with names": lambda: (
        LogisticRegression().fit(DOUBLES, numpy.array(["early", "late", "so so"])[THIRDS]),
        DOUBLES,
    ),
}


def saved(model: Any, frame: Any, folder: Path, **options: Any) -> Any:
    """The model as MLflow loads it."""
    is_booster = isinstance(model, xgboost.Booster)
    signature = infer_signature(frame, model.predict(xgboost.DMatrix(frame) if is_booster else frame))
    options = {"signature": signature, "pip_requirements": [], **options}
    if type(model).__module__.startswith("xgboost"):
        mlflow.xgboost.save_model(model, folder, **options)
    else:
        mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle", **options)
    return mlflow.pyfunc.load_model(str(folder))


def by_mlflow(model: Any) -> Callable[[bytes], bytes | None]:
    """MLflow's own answer to a body; None: an error."""
    schema = model.metadata.get_input_schema()

    def answer(body: bytes) -> bytes | None:
        try:
            said = scoring_server.invocations(body, "application/json", model, schema)
        except Exception:  # whatever MLflow or the model raises is an error of the request
            return None
        return said.response.encode() if said.status == 200 else None

    return answer
