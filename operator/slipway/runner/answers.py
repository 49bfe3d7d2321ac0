"""What a model's server answered, read as strictly as predictions are: per row, and compared with these."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .predictions import no_duplicates
from .questions import V2

# Libraries add up in another order for another number of rows, which changes the last digits of a sum.
LAST_DIGITS = 1e-5


class NoAnswer(Exception):
    """An answer that is none, in words that go on from what was asked."""


def parsed(body: bytes) -> Any:
    """JSON; what is no finite number is None, as it is where predictions are written, or nothing that is taken."""

    def number(text: str) -> float | None:
        found = float(text)
        return found if math.isfinite(found) else None

    try:
        return json.loads(body, parse_constant=number, parse_float=number, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"what is no JSON ({str(error)[:100]}): {words(body)}") from error


def words(body: bytes, limit: int = 300) -> str:
    """The beginning of an answer, for a person."""
    shown = (char if char.isprintable() else " " for char in body[: 4 * limit].decode(errors="replace"))
    text = " ".join("".join(shown).split())
    return text if len(text) <= limit else text[:limit] + "…"


def per_row(form: str, body: bytes, rows: int) -> list[Any]:
    """One prediction per row. NoAnswer if there are others."""
    said = parsed(body)
    found = _of_v2(said) if form == V2 else _of_mlflow(said)
    if isinstance(found, dict) and all(isinstance(one, list) for one in found.values()):  # tensors by name
        found = _turned(found)
    if not isinstance(found, list):
        raise NoAnswer(f"no list of predictions: {words(body)}")
    if len(found) != rows:
        raise NoAnswer(f"{len(found)} predictions for {rows} rows: {words(body)}")
    return found


def _of_mlflow(said: Any) -> Any:
    return said.get("predictions") if isinstance(said, dict) else said  # of MLflow 1: nothing around them


def _of_v2(said: Any) -> Any:
    outputs = said.get("outputs") if isinstance(said, dict) else None
    try:
        columns = {one["name"]: _elements(one["shape"], one["data"]) for one in outputs or ()}
    except (TypeError, KeyError, ValueError, IndexError):
        return None
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _elements(shape: Any, data: Any) -> list[Any]:
    rows, width = int(shape[0]), math.prod(int(one) for one in shape[1:])
    if rows * width != len(data):
        raise ValueError
    return [data[row * width : (row + 1) * width] for row in range(rows)]


def _turned(columns: dict[str, list[Any]]) -> list[Any] | None:
    if len({len(one) for one in columns.values()}) != 1:
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@dataclass
class Compared:
    """Whether answers are what was predicted, and whether to the last digit."""

    size: float  # of predictions, typically: what is next to nothing beside it has no digits of its own
    exact: bool = field(default=True, init=False)

    def same(self, said: Any, due: Any, form: str) -> bool:
        """Whether a row's answer is its prediction."""
        try:
            return self._same(said, due, in_text=form == V2)
        except (RecursionError, OverflowError):
            return False

    def _same(self, said: Any, due: Any, in_text: bool) -> bool:
        said, due = _plain(said), _plain(due)
        if _is_number(said) and _is_number(due):
            return bool(said == due) or self._nearly(said, due)
        if isinstance(said, list) and isinstance(due, list):
            return len(said) == len(due) and all(self._same(*both, in_text) for both in zip(said, due, strict=True))
        if isinstance(said, dict) and isinstance(due, dict):
            return said.keys() == due.keys() and all(self._same(said[key], due[key], in_text) for key in due)
        if in_text and isinstance(said, str) and not isinstance(due, str):
            return self._same_as_text(said, due)
        return type(said) is type(due) and bool(said == due)

    def _nearly(self, said: float, due: float) -> bool:
        self.exact = False
        return isinstance(due, float) and abs(said - due) <= LAST_DIGITS * max(abs(due), self.size)

    def _same_as_text(self, said: str, due: Any) -> bool:
        """V2 has no type for an object, or for a text beside none: they are text in JSON."""
        try:
            read = parsed(said.encode())
        except NoAnswer:
            return False
        return not isinstance(read, str) and self._same(read, due, in_text=False)


def typical(predictions: Iterable[Any]) -> float:
    """How large predictions are: the mean of their absolute numbers."""
    try:
        sizes = [abs(float(one)) for one in _numbers(predictions)]
    except (RecursionError, OverflowError):
        return 0.0
    return sum(sizes) / len(sizes) if sizes else 0.0


def _numbers(values: Any) -> Iterator[float]:
    for one in values.values() if isinstance(values, dict) else values:
        if _is_number(one):
            yield one
        elif isinstance(one, list | dict):
            yield from _numbers(one)


def _plain(value: Any) -> Any:
    """A list of one, or an object of one, stands for its only member."""
    while isinstance(value, list | dict) and len(value) == 1:
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
