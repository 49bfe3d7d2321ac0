"""Figures: what was measured, as often as it was, and what it may be at most."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Values of the same measurement, and the bounds that the worst of them must meet."""

    what: str
    values: tuple[float, ...]
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the worst value meets each bound."""
        below = self.at_most is None or max(self.values) <= self.at_most
        return below and (self.at_least is None or min(self.values) >= self.at_least)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        bounds = {"at_most": self.at_most, "at_least": self.at_least}
        return {"values": [round(one, 3) for one in self.values], "unit": self.unit.strip(), **bounds}

    def __str__(self) -> str:
        """One line of the report."""
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        several = f"{low:.4g} to {high:.4g}{self.unit} in {len(self.values)} runs, median {middle:.4g}"
        said = several if len(self.values) > 1 else f"{high:.4g}{self.unit}"
        bounds = {"at most": self.at_most, "at least": self.at_least}
        asked = "".join(f", {word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        return f"{self.what}: {said}{asked}" + (f": {'holds' if self.holds else 'DOES NOT HOLD'}" if asked else "")


def figure(
    what: str,
    values: Sequence[float] | float,
    unit: str = "",
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """A figure of one value or of several."""
    found = (float(values),) if isinstance(values, int | float) else tuple(values)
    return Figure(what, found, unit, at_most, at_least)


@dataclass
class Found:
    """Figures, and what explains them."""

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    profile: str = ""
