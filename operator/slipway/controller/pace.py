"""How often a status is told: what has changed at once, how far something has come ever more rarely."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from .queue import Key

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 60.0
# What tells how far something has come, wherever it stands in a status; everything else is news.
PROGRESS = {"message", "ready"}


class Pace:
    """When each object's status was written last, and how often in a row without news."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[Key, tuple[float, int]] = {}

    def wait(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
        """Seconds until a status may be written; 0.0 where it says something new."""
        if _news(before) != _news(after):
            return 0.0
        at, times = self._told.get(key, (float("-inf"), 0))
        pause = min(FIRST_SECONDS * (1 << times), LONGEST_SECONDS)
        return max(0.0, at + pause - self._clock())

    def told(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The status was written."""
        times = self._told.get(key, (0.0, -1))[1] + 1 if _news(before) == _news(after) else 0
        self._told[key] = (self._clock(), times)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._told.pop(key, None)


def _news(status: Any) -> Any:
    if isinstance(status, Mapping):
        return {key: _news(value) for key, value in status.items() if key not in PROGRESS}
    if isinstance(status, list | tuple):
        return [_news(one) for one in status]
    return status
