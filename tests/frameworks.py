"""Models of one framework each, as teams log them; run in packages of their own, that this image has not.

As a program (`frameworks.py NAME FOLDER ROWS REQUIREMENTS`) it trains one, saves it with MLflow, and writes what the
framework itself predicts of the rows, beside what the model is saved in. It knows nothing of Slipway.
"""

# ruff: noqa: PLC0415 - what each imports is for itself alone

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS = ["distance", "hour"]
TEXTS = """
import mlflow.pyfunc, pandas
from words import lowered

class Sentiment(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.pipeline = pandas.read_pickle(context.artifacts["pipeline"])

    def predict(self, context, model_input, params=None):
        return self.pipeline.predict(model_input["remark"].map(lowered)).tolist()
"""


def lightgbm(rows: Any, save: dict[str, Any]) -> Any:
    """A booster of numbers and a whole number that is a category."""
    import lightgbm as library
    import mlflow.lightgbm

    columns = [*NUMBERS, "carrier"]
    data = library.Dataset(rows[columns], rows["minutes"], categorical_feature=["carrier"])
    model = library.train({"verbose": -1, "seed": 1}, data, 20)
    mlflow.lightgbm.save_model(model, **saved(rows[columns], model.predict(rows[columns]), save))
    return model.predict(rows[columns])


def catboost(rows: Any, save: dict[str, Any]) -> Any:
    """A regressor with a category of words."""
    import mlflow.catboost
    from catboost import CatBoostRegressor

    columns = [*NUMBERS, "airport"]
    model = CatBoostRegressor(iterations=20, verbose=0, cat_features=["airport"], allow_writing_files=False)
    model.fit(rows[columns], rows["minutes"])
    mlflow.catboost.save_model(model, **saved(rows[columns], model.predict(rows[columns]), save))
    return model.predict(rows[columns])


def catboost_words(rows: Any, save: dict[str, Any]) -> Any:
    """A classifier of three words."""
    import mlflow.catboost
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=20, verbose=0, allow_writing_files=False).fit(rows[NUMBERS], rows["airport"])
    mlflow.catboost.save_model(model, **saved(rows[NUMBERS], model.predict(rows[NUMBERS]), save))
    return model.predict(rows[NUMBERS]).reshape(-1)


def onnx(rows: Any, save: dict[str, Any]) -> Any:
    """A graph of scaler and trees, in single precision."""
    import mlflow.onnx
    import onnxruntime
    from skl2onnx import to_onnx

    inputs = rows[NUMBERS].to_numpy("float32")
    graph = to_onnx(pipeline().fit(inputs, rows["minutes"]), inputs[:1])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
    mlflow.onnx.save_model(graph, **saved(rows[NUMBERS], found, save))
    return found.reshape(-1)


def xgboost(rows: Any, save: dict[str, Any]) -> Any:
    """XGBoost's own booster."""
    import mlflow.xgboost
    import xgboost as library

    data = library.DMatrix(rows[NUMBERS], rows["minutes"])
    model = library.train({"seed": 1}, data, 20)
    mlflow.xgboost.save_model(model, **saved(rows[NUMBERS], model.predict(data), save))
    return model.predict(data)


def skops(rows: Any, save: dict[str, Any]) -> Any:
    """A pipeline of scikit-learn in a file that is no pickle, with the types that its team trusts."""
    import mlflow.sklearn

    model = pipeline().fit(rows[NUMBERS], rows["minutes"])
    found = saved(rows[NUMBERS], model.predict(rows[NUMBERS]), save)
    trusted = ["sklearn._loss.link.IdentityLink", "sklearn._loss.link.Interval", "sklearn._loss.loss.HalfSquaredError"]
    mlflow.sklearn.save_model(model, serialization_format="skops", skops_trusted_types=trusted, **found)
    return model.predict(rows[NUMBERS])


def text(rows: Any, save: dict[str, Any]) -> Any:
    """A model of Python: its code and a wheel in `code_paths`, and what it has learnt in an artifact."""
    import mlflow.pyfunc
    import pandas
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    folder = Path(save["path"]).parent
    (folder / "texts.py").write_text(TEXTS)
    (wheel,) = folder.glob("words-*.whl")
    sys.path += [str(folder), str(wheel)]
    import texts  # type: ignore[import-not-found]
    from words import lowered  # type: ignore[import-not-found]

    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(rows["remark"].map(lowered), rows["airport"])
    pandas.to_pickle(model, folder / "pipeline.pickle")
    found = model.predict(rows["remark"].map(lowered))
    mlflow.pyfunc.save_model(
        python_model=texts.Sentiment(),
        artifacts={"pipeline": str(folder / "pipeline.pickle")},
        code_paths=[str(folder / "texts.py"), str(wheel)],
        **saved(rows[["remark"]], found, save),
    )
    return found


def project(rows: Any, save: dict[str, Any]) -> Any:
    """A model of a uv project: what it needs is in the project's lock."""
    import mlflow.pyfunc

    model = pipeline().fit(rows[NUMBERS], rows["minutes"])

    class Predicts(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model.predict(model_input)

    found = saved(rows[NUMBERS], model.predict(rows[NUMBERS]), save)
    del found["pip_requirements"]
    mlflow.pyfunc.save_model(python_model=Predicts(), uv_project_path=Path(save["path"]).parent / "project", **found)
    return model.predict(rows[NUMBERS])


def pipeline() -> Any:
    """A pipeline of scikit-learn."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=20, random_state=1))


def saved(inputs: Any, outputs: Any, save: dict[str, Any]) -> dict[str, Any]:
    """What is the same of all models."""
    from mlflow.models import infer_signature

    return {**save, "signature": infer_signature(inputs, outputs), "input_example": inputs[:2]}


TRAININGS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    one.__name__: one for one in (lightgbm, catboost, catboost_words, onnx, xgboost, skops, text, project)
}


def main() -> None:
    """The whole program."""
    import mlflow
    import pandas

    name, folder, rows, requirements = sys.argv[1:]
    found = TRAININGS[name](pandas.read_parquet(rows), {"path": folder, "pip_requirements": requirements.split(",")})
    Path(f"{folder}.json").write_text(json.dumps([mlflow.__version__, found.tolist()]))


if __name__ == "__main__":
    main()
