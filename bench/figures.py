"""Figures: what was measured, as often as it was, and what it may be at most."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Values of the same measurement, and a bound that the worst of them must meet."""

    what: str
    values: tuple[float, ...]
    unit: str = ""
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the worst value meets the bound."""
        return self.at_most is None or max(self.values) <= self.at_most

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"values": [round(one, 3) for one in self.values], "unit": self.unit.strip(), "at_most": self.at_most}

    def __str__(self) -> str:
        """One line of the report."""
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        several = f"{low:.4g} to {high:.4g}{self.unit} in {len(self.values)} runs, median {middle:.4g}"
        said = several if len(self.values) > 1 else f"{high:.4g}{self.unit}"
        if self.at_most is None:
            return f"{self.what}: {said}"
        return f"{self.what}: {said}, at most {self.at_most:g}: {'holds' if self.holds else 'DOES NOT HOLD'}"


def figure(what: str, values: Sequence[float] | float, unit: str = "", at_most: float | None = None) -> Figure:
    """A figure of one value or of several."""
    found = (float(values),) if isinstance(values, int | float) else tuple(values)
    return Figure(what, found, unit, at_most)


@dataclass
class Found:
    """Figures, and what explains them."""

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    profile: str = ""
