"""Checks the evaluation data, and parts the targets from the features."""

import csv
import decimal
import json
import warnings
from pathlib import Path
from typing import Any

import numpy
import pandas

from slipway.api.tasks import DATA_BYTES, FEATURES, TRUTH, DataSource

from . import sources, tree
from .outcome import Refused, say
from .pod import Pod
from .store import StoreClient

_COLUMNS_SHOWN = 50


def bring(source: DataSource, store: StoreClient, pod: Pod, max_bytes: int = DATA_BYTES) -> None:
    """Fetch the data, check it, and write the features and the truth into their folders."""
    truth = pod.at(TRUTH)
    file = truth / "fetched"  # beside the truth, where no model's code can read it
    extension = sources.bring(source, store, pod, sources.Target(file, max_bytes))
    digest = "sha256:" + tree.sha256_of(file)
    if source.digest and digest != source.digest:
        raise Refused("DigestMismatch", f"the data has the digest {digest}, but {source.digest} was expected")
    features, targets = _parted(file, extension.lower(), source)
    if extension.lower() == ".csv":  # as text: what it means is for each model's signature to say
        features.to_csv(pod.at(FEATURES) / "data.csv", index=False, quoting=csv.QUOTE_ALL)
    else:
        features.to_parquet(pod.at(FEATURES) / "data.parquet")
    targets.to_parquet(truth / "target.parquet")
    (truth / "facts.json").write_text(json.dumps({"data_digest": digest, "rows": len(targets)}))
    file.unlink()
    say(f"data: {len(targets)} rows, {len(features.columns)} features, {digest}")


def _parted(file: Path, extension: str, source: DataSource) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    reader = {".parquet": _parquet, ".csv": _csv}.get(extension)
    if reader is None:
        raise Refused("DataUnreadable", f"data ends in .parquet or .csv, not in {extension[:20]!r}")
    try:
        frame, targets = reader(file, source)
    except pandas.errors.EmptyDataError as error:
        raise Refused("DataEmpty", "the data has no rows") from error
    except (ValueError, TypeError, OSError, KeyError, Warning) as error:  # pyarrow's and pandas' are ValueErrors
        why = f"its {file.stat().st_size} bytes are something else" if sources.is_page(source) else str(error)
        raise Refused("DataUnreadable", f"the data is not readable as {extension[1:]}: {why}") from error
    names = [str(name) for name in frame.columns]
    for target in source.targets:
        if names.count(target) != 1:
            raise Refused("DataColumnMissing", _no_target(names, target, source))
    if frame.empty:
        raise Refused("DataEmpty", "the data has no rows")
    found = {target: _target(targets[target], target) for target in source.targets}
    return frame.drop(columns=list(source.targets)), pandas.DataFrame(found)


def _parquet(file: Path, source: DataSource) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    frame = pandas.read_parquet(file).reset_index(drop=True)
    return frame, frame


def _csv(file: Path, source: DataSource) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """All as text, and the targets as what they are, to the last bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # of rows that are longer than the header
        frame = pandas.read_csv(file, dtype=str, na_filter=False, index_col=False)
        there = [name for name in source.targets if name in frame.columns]
        targets = pandas.read_csv(file, usecols=there, index_col=False, float_precision="round_trip")
    for name in there:
        if not pandas.api.types.is_numeric_dtype(targets[name].dtype):  # a class may be called None
            targets[name] = frame[name].where(frame[name] != "", None)
    return frame, targets


def _target(values: "pandas.Series[Any]", name: str) -> "pandas.Series[Any]":
    """The target as numbers, truth values or text, whatever kind of column it was; every row has one."""
    missing = values.isna()
    if pandas.api.types.is_float_dtype(values.dtype):
        missing = missing | ~numpy.isfinite(values.astype(float).fillna(0))
    if missing.any():
        raise Refused("DataInvalid", f"{int(missing.sum())} rows have no finite value in the target {name!r}")
    found = values.tolist()
    if any(isinstance(value, decimal.Decimal) for value in found):
        found = [float(value) if isinstance(value, decimal.Decimal) else value for value in found]
    kinds = {_kind(value) for value in found}
    if len(kinds) > 1 or not kinds <= {"numbers", "truth values", "text"}:
        raise Refused("DataInvalid", f"the target {name!r} holds {' and '.join(sorted(kinds))}")
    return pandas.Series(found, name=name)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth values"
    if isinstance(value, int | float):
        return "numbers"
    return "text" if isinstance(value, str) else f"values of the type {type(value).__name__}"


def _no_target(names: list[str], target: str, source: DataSource) -> str:
    if sources.is_page(source):
        return f"the data has {len(names)} columns, and not one that is named {target!r}"
    present = ", ".join(names[:_COLUMNS_SHOWN]) + (", …" if len(names) > _COLUMNS_SHOWN else "")
    return f"the data has no one column {target!r}; it has: {present}"
