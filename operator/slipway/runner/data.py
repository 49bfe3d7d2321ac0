"""Checks the evaluation data, and parts the target from the features."""

import json
from pathlib import Path

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
    frame = _read(file, extension, source)
    _check(frame, source)
    frame.drop(columns=[source.target]).to_parquet(pod.at(FEATURES) / "data.parquet")
    frame[[source.target]].reset_index(drop=True).to_parquet(truth / "target.parquet")
    (truth / "facts.json").write_text(json.dumps({"data_digest": digest, "rows": len(frame)}))
    file.unlink()
    say(f"data: {len(frame)} rows, {len(frame.columns) - 1} features, {digest}")


def _read(file: Path, extension: str, source: DataSource) -> pandas.DataFrame:
    reader = {".parquet": pandas.read_parquet, ".csv": pandas.read_csv}.get(extension.lower())
    if reader is None:
        raise Refused("DataUnreadable", f"data ends in .parquet or .csv, not in {extension[:20]!r}")
    try:
        return reader(file)
    except pandas.errors.EmptyDataError as error:
        raise Refused("DataEmpty", "the data has no rows") from error
    except (ValueError, TypeError, OSError, KeyError) as error:  # pyarrow's and pandas' errors are ValueErrors
        why = f"its {file.stat().st_size} bytes are something else" if sources.is_page(source) else str(error)
        raise Refused("DataUnreadable", f"the data is not readable as {extension[1:]}: {why}") from error


def _check(frame: pandas.DataFrame, source: DataSource) -> None:
    names = [str(name) for name in frame.columns]
    if names.count(source.target) != 1:
        raise Refused("DataColumnMissing", _no_target(names, source))
    if frame.empty:
        raise Refused("DataEmpty", "the data has no rows")
    values = frame[source.target]
    wrong = values.isna()
    if pandas.api.types.is_float_dtype(values.dtype):
        wrong = wrong | ~numpy.isfinite(values.fillna(0))
    if wrong.any():
        raise Refused("DataInvalid", f"{int(wrong.sum())} rows have no finite value in the target {source.target!r}")


def _no_target(names: list[str], source: DataSource) -> str:
    if sources.is_page(source):
        return f"the data has {len(names)} columns, and not one that is named {source.target!r}"
    present = ", ".join(names[:_COLUMNS_SHOWN]) + (", …" if len(names) > _COLUMNS_SHOWN else "")
    return f"the data has no one column {source.target!r}; it has: {present}"
