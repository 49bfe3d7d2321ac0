"""Reads predictions.json, which a model's own code may have written: nothing about it is taken on trust."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .outcome import Refused
from .outputs import kind_of

CANDIDATE_REASON = "PredictionsInvalid"
CHAMPION_REASON = "ChampionPredictionsInvalid"
_BYTES_PER_ROW, _BYTES_BESIDE = 4096, 64 * 1024
_SECONDS_LIMIT = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Predictions:
    """What a model said of each row, as JSON: a value, a list of outputs, or a mapping of their names."""

    rows: tuple[Any, ...]
    seconds: float


def read(folder: Path, rows: int, reason: str) -> Predictions:
    """The predictions in a folder, one for each of so many rows; Refused(reason) otherwise."""

    def refuse(why: str) -> NoReturn:
        raise Refused(reason, f"{folder.name}/predictions.json: {why}")

    document = _document(folder / "predictions.json", _BYTES_BESIDE + rows * _BYTES_PER_ROW, refuse)
    if not isinstance(document, dict) or set(document) != {"predictions", "seconds"}:
        refuse("is not an object of 'predictions' and 'seconds'")
    values, seconds = document["predictions"], document["seconds"]
    if not isinstance(values, list) or len(values) != rows:
        refuse(f"holds {len(values) if isinstance(values, list) else 'no list'} where {rows} predictions are due")
    if kind_of(seconds) is not float or not 0 <= seconds <= _SECONDS_LIMIT:
        refuse("'seconds' is not a duration")
    return Predictions(tuple(values), float(seconds))


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
