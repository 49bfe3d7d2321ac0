"""The model: a table of flights in, minutes in the air out; one object that carries its preprocessing."""

from collections.abc import Mapping
from operator import methodcaller
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from xgboost import XGBRegressor

from .flights import SEED, TARGET, inputs

# Everything in the pipeline that skops does not know: the model loads without unpickling anything.
TRUSTED_TYPES = ["operator.methodcaller", "xgboost.core.Booster", "xgboost.sklearn.XGBRegressor"]


def preprocessor() -> Pipeline:
    """Rows of a table to numbers: words become one column each (carrier=UA), numbers stay."""
    # Only types of the standard library and scikit-learn, so that it loads where this module is not.
    rows = FunctionTransformer(methodcaller("to_dict", "records"))
    return Pipeline([("rows", rows), ("features", DictVectorizer(dtype=np.float32))])


def fit(rows: pd.DataFrame, target: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """A fitted pipeline. One thread: on a busy machine, XGBoost's threads wait for each other."""
    trees = XGBRegressor(**params, n_jobs=1, random_state=SEED)
    return Pipeline([*preprocessor().steps, ("trees", trees)]).fit(inputs(rows), target)


def metrics(model: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    """The errors on rows that the model has not seen, by MLflow's names."""
    error = model.predict(inputs(rows)) - rows[TARGET].to_numpy()
    return {
        "root_mean_squared_error": float(np.sqrt(np.mean(error**2))),
        "mean_absolute_error": float(np.mean(np.abs(error))),
    }
