"""The model behind a pyfunc, asked directly: a function from a table to predictions, with the model's very numbers.

Only models of XGBoost and scikit-learn that MLflow's own flavors load, without code of anybody else, and whose
predictions nothing else changes. XGBoost is asked by the C function `XGBoosterPredictFromDense`
(xgboost.readthedocs.io, C API), which needs no copy of the rows.
"""

import ctypes
import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .rows import Columns, Table

Predict = Callable[[Table], Any]
FLAVORS = ("mlflow.xgboost", "mlflow.sklearn")
_LIBRARIES = ("sklearn", "xgboost", "numpy", "scipy", "builtins")
_CHANGED = "its flavor {} changes what is predicted"


class NotNative(Exception):
    """Why a model is asked MLflow's way only."""


def natives(model: Any, columns: Columns) -> "Iterator[Predict]":
    """What may predict for a pyfunc with these columns, the fastest first. NotNative if that is MLflow's matter.

    The last one gets a DataFrame, since some models select columns by name.
    """
    raw, loader = _raw(model)
    # scikit-learn says so at every request with an array; the names were compared when the request was read.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    if loader == "mlflow.xgboost" and (direct := _xgboost(raw)):
        yield direct
    if not hasattr(raw, "get_params"):  # a booster takes a matrix of its own
        return
    if not columns.mixed or loader == "mlflow.xgboost":  # XGBoost makes a float32 of each value, whatever it was
        yield raw.predict
    if columns.names:
        yield lambda table: raw.predict(columns.frame(table))


def _raw(model: Any) -> "tuple[Any, str]":
    """The model as its library has it, and the flavor that loads it."""
    flavor = model.metadata.flavors.get("python_function", {})
    loader = flavor.get("loader_module", "")
    if loader not in FLAVORS:
        raise NotNative(f"it is loaded by {loader or 'an unknown module'}")
    if flavor.get("predict_fn", "predict") != "predict":
        raise NotNative(_CHANGED.format("predict_fn"))
    if flavor.get("config") or getattr(model, "model_config", None):
        raise NotNative(_CHANGED.format("model_config"))
    if model.metadata.get_params_schema() is not None:
        raise NotNative("its signature has params")
    raw = model.get_raw_model()
    for part in _parts(raw):
        if str(part.__module__).partition(".")[0] not in _LIBRARIES:
            raise NotNative(f"it has code of its own: {part.__module__}.{part.__qualname__}")
    return raw, loader


def _parts(raw: Any) -> "Iterator[Any]":
    """The classes and functions that a model is made of."""
    settings = raw.get_params(deep=True).values() if hasattr(raw, "get_params") else ()
    for one in (raw, *settings):
        if isinstance(one, type) or inspect.isroutine(one):
            yield one
        elif one is raw or hasattr(one, "get_params") or callable(one):
            yield type(one)


def _xgboost(raw: Any) -> Predict | None:
    import xgboost  # noqa: PLC0415 - only where the model is one

    if type(raw) is xgboost.Booster:
        return Booster(raw, (0, 0))
    if type(raw) is xgboost.XGBRegressor and math.isnan(raw.missing):
        return Booster(raw.get_booster(), (0, getattr(raw, "best_iteration", -1) + 1))  # all, if none is the best
    return None


class Booster:
    """An XGBoost model, with what each call needs made once."""

    def __init__(self, booster: Any, iterations: "tuple[int, int]") -> None:
        from xgboost.core import _LIB  # noqa: PLC0415 - the library as xgboost has loaded it

        self._booster, self._handle, self._library = booster, booster.handle, _LIB  # the handle is the booster's
        config = {
            "type": 0, "training": False, "iteration_begin": iterations[0], "iteration_end": iterations[1],
            "missing": float("nan"), "strict_shape": False, "cache_id": 0,
        }  # fmt: skip
        self._config = json.dumps(config).encode()
        self._columns = booster.num_features()

    def __call__(self, table: Table) -> Table:
        """Predictions of shape (rows,) or (rows, outputs). ValueError with XGBoost's own text."""
        if table.shape[1] != self._columns:  # the library does not ask
            raise ValueError(f"{table.shape[1]} columns, and the model has {self._columns}")
        (rows, columns), (down, right) = table.shape, table.strides
        described = (  # the array interface of NumPy, as JSON
            f'{{"data": [{table.ctypes.data}, true], "shape": [{rows}, {columns}], "strides": [{down}, {right}], '
            f'"typestr": "{table.dtype.str}", "version": 3}}'
        )
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        failed = self._library.XGBoosterPredictFromDense(
            self._handle, described.encode(), self._config, None,
            ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(found),
        )  # fmt: skip
        if failed:
            raise ValueError(self._library.XGBGetLastError().decode())
        its = shape[: dimensions.value]
        # A copy, since the library keeps the memory for its next answer.
        return numpy.array(found[: math.prod(its)], dtype=numpy.float32).reshape(its)
