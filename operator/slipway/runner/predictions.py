"""Reads predictions.json, which a model's own code may have written: nothing about it is taken on trust."""

import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .outcome import Refused

CANDIDATE_REASON = "PredictionsInvalid"
CHAMPION_REASON = "ChampionPredictionsInvalid"
_BYTES_PER_ROW, _BYTES_BESIDE = 512, 64 * 1024
_SECONDS_LIMIT = 30 * 24 * 3600.0

Scalar = float | str | bool


@dataclass(frozen=True)
class Predictions:
    """One value per row, finite where it is a number."""

    values: tuple[Scalar, ...]
    seconds: float


def read(folder: Path, rows: int, kind: type, reason: str) -> Predictions:
    """The predictions in a folder: `rows` values of a kind (float, str or bool); Refused(reason) otherwise."""

    def refuse(why: str) -> NoReturn:
        raise Refused(reason, f"{folder.name}/predictions.json: {why}")

    document = _document(folder / "predictions.json", _BYTES_BESIDE + rows * _BYTES_PER_ROW, refuse)
    if not isinstance(document, dict) or set(document) != {"predictions", "seconds"}:
        refuse("is not an object of 'predictions' and 'seconds'")
    values, seconds = document["predictions"], document["seconds"]
    if not isinstance(values, list) or len(values) != rows:
        refuse(f"holds {len(values) if isinstance(values, list) else 'no list'} where {rows} predictions are due")
    if _kind_of(seconds) is not float or not 0 <= seconds <= _SECONDS_LIMIT:
        refuse("'seconds' is not a duration")
    for row, value in enumerate(values):
        if value is None:
            refuse(f"the prediction of row {row} is no finite number")
        if _kind_of(value) is not kind:
            refuse(f"the prediction of row {row} is a {_name(value)}, not a {_NAMES[kind]}")
    return Predictions(tuple(float(value) if kind is float else value for value in values), float(seconds))


_NAMES: dict[type, str] = {float: "finite number", str: "string", bool: "truth value"}


def _kind_of(value: Any) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int):
        return float if abs(value) < 2**63 else None
    if isinstance(value, float):
        return float if math.isfinite(value) else None
    return str if isinstance(value, str) else None


def _name(value: Any) -> str:
    return _NAMES.get(_kind_of(value) or type(value), type(value).__name__)


def _document(path: Path, max_bytes: int, refuse: Any) -> Any:
    try:
        # A link would show this pod's own files; a pipe would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        refuse(f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        refuse("is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        refuse(f"is larger than {max_bytes} bytes")
    try:
        return json.loads(content, parse_constant=_no_constant, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        refuse(f"is not JSON: {str(error)[:200]}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose keys is given once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found
