"""What a model has predicted, as counts of a bounded size: numbers in buckets, and labels.

The buckets are the same for every model and do not depend on what is seen: so pods and versions can be added up and
compared.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from .histogram import Histogram

_STEPS = {-1: (1, 2, 3, 4, 5, 6, 7, 8, 9)}  # tenths: where probabilities are
_POSITIVE = [*(float(f"{n}e{ten}") for ten in range(-3, 6) for n in _STEPS.get(ten, (1, 2, 3, 5))), 1e6]
BOUNDS = (*(-bound for bound in reversed(_POSITIVE)), 0.0, *_POSITIVE)
OUTPUTS = 8  # columns of an answer
LABELS = 32  # of a column
CHARACTERS = 64  # of a label, and of a column's name
OTHER = "other"
_WORDS = {True: "true", False: "false"}
_NUMBERS = frozenset((float, int))
_LARGE = 1e300  # whole numbers far beyond are no doubles


@dataclass
class Predictions:
    """The distribution of each column of the answers."""

    numbers: dict[str, Histogram] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    not_finite: dict[str, int] = field(default_factory=dict)

    def add(self, answer: bytes) -> int:
        """Count an answer in MLflow's protocol; how many rows it has."""
        said = json.loads(answer)
        found = said["predictions"] if isinstance(said, dict) and "predictions" in said else said  # of MLflow 1
        if isinstance(found, dict):  # columns by name
            columns = list(found.items())[:OUTPUTS]
            for name, values in columns:
                for value in values if isinstance(values, list) else [values]:
                    self._count(name, value)
            return max((len(values) if isinstance(values, list) else 1 for _, values in columns), default=0)
        rows = found if isinstance(found, list) else [found]
        if (total := _sum(rows)) is not None:
            if (histogram := self._numbers("")) is not None:
                histogram.observe_all(rows, total)
            return len(rows)
        for row in rows:
            if isinstance(row, (list, dict)):
                for name, value in _named(row):
                    self._count(name, value)
            else:
                self._count("", row)
        return len(rows)

    def merge(self, other: "Predictions") -> None:
        """Add what was counted elsewhere."""
        for name, histogram in other.numbers.items():
            if (mine := self._numbers(name)) is not None:
                mine.merge(histogram)
        for name, labels in other.labels.items():
            for label, count in labels.items():
                self._label(name, label, count)
        for name, count in other.not_finite.items():
            self._not_finite(name, count)

    def _count(self, name: str, value: Any) -> None:
        if type(value) is float or type(value) is int:
            if not -_LARGE < value < _LARGE:  # nor is NaN
                self._not_finite(name, 1)
            elif (histogram := self._numbers(name)) is not None:
                histogram.observe(value)
        elif value is None:
            self._not_finite(name, 1)
        else:
            self._label(
                name, value if isinstance(value, str) else _WORDS.get(value, OTHER) if type(value) is bool else OTHER, 1
            )

    def _numbers(self, name: str) -> Histogram | None:
        found = self.numbers.get(name)
        if found is None and _has_room(self.numbers, name):
            found = self.numbers[name] = Histogram(BOUNDS)
        return found

    def _not_finite(self, name: str, count: int) -> None:
        if name in self.not_finite or _has_room(self.not_finite, name):
            self.not_finite[name] = self.not_finite.get(name, 0) + count

    def _label(self, name: str, label: str, count: int) -> None:
        found = self.labels.get(name)
        if found is None:
            if not _has_room(self.labels, name):
                return
            found = self.labels[name] = {}
        if label not in found and (len(found) >= LABELS or not _is_short(label)):
            label = OTHER
        found[label] = found.get(label, 0) + count


def _sum(rows: list[Any]) -> float | None:
    """The sum of what is nothing but finite numbers; otherwise None."""
    if not _NUMBERS.issuperset(map(type, rows)):
        return None
    try:
        total = float(sum(rows))
    except OverflowError:
        return None
    return total if isfinite(total) else None


def _has_room(outputs: Mapping[str, Any], name: str) -> bool:
    return len(outputs) < OUTPUTS and _is_short(name)


def _is_short(text: str) -> bool:
    """Whether it can be a label as it is: two that differ in what cannot be written would be one series twice."""
    return len(text) <= CHARACTERS and (text.isprintable() or not text)


def _named(row: "list[Any] | dict[str, Any]") -> Iterator[tuple[str, Any]]:
    """The columns of a row, by name or by number, as many as are counted."""
    if isinstance(row, dict):
        yield from list(row.items())[:OUTPUTS]
    else:
        yield from ((str(number), value) for number, value in enumerate(row[:OUTPUTS]))
