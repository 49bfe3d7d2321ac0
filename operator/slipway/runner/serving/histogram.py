"""A histogram of Prometheus, for one thread: some tenths of a microsecond an observation."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Histogram:
    """Counts of values by upper bounds, ascending, and what is above the last."""

    bounds: tuple[float, ...]
    total: float = field(default=0.0, init=False)
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[float], total: float) -> None:
        """Count values whose sum is known."""
        counts, bounds = self.counts, self.bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.total += total

    def merge(self, other: "Histogram") -> None:
        """Add what another one with the same bounds has counted."""
        self.counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper bound as Prometheus writes it, and how many values are at or below it."""
        so_far = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            yield ("+Inf" if bound == float("inf") else repr(bound)), so_far
