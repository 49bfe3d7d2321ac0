"""How often a status is written.

A new reason or fact is written at once. Progress, such as a number of ready pods, is written after 30 seconds and then
once a minute. What usually passes within seconds is written only if it lasts.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from .queue import Key

FIRST_SECONDS = 30.0
LONGEST_SECONDS = 60.0
# What tells how far something has come, wherever it stands in a status; everything else is news.
PROGRESS = {"message", "ready", "since"}
# Seconds for which news may be left untold, by the kind of the pass: conditions, all of which must be so.
PASSING = {
    "model": [(frozenset({("Ready", "RolloutProgressing")}), 10.0)],
    "version": [
        (frozenset({("Ready", "Resolving")}), 5.0),
        (frozenset({("Ready", "AwaitingModel")}), 5.0),
        (frozenset({("Ready", "ImportRunning")}), 5.0),
        (frozenset({("Ready", "LabelsPending"), ("Released", "Serving")}), 2.0),
        (frozenset({("Ready", "Superseded"), ("Synced", "LabelsPending")}), 2.0),
    ],
}
# A person moved a label in the registry, and looks whether anything happens: the beginning of the import is the answer.
AWAITED = frozenset({("Ready", "ImportRunning")})
UNTOLD = (None, -1)  # observedGeneration while nothing was told of the object


class Pace:
    """When each object's status was written last, and how often in a row without news."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[Key, tuple[float, int]] = {}
        self._passing: dict[Key, tuple[float, float]] = {}  # since when something is so that may pass, and until when

    def wait(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any], awaited: bool = False) -> float:
        """Seconds until a status may be written; 0.0 where it says something new. `awaited`: a label asks for it."""
        if awaited and _reasons(after) >= AWAITED and not _reasons(before) >= AWAITED:
            self._passing.pop(key, None)
            return 0.0
        if _news(before) != _news(after):
            return self._until_it_lasts(key, before, after)
        self._passing.pop(key, None)
        at, times = self._written.get(key, (float("-inf"), 0))
        pause = min(FIRST_SECONDS * (1 << times), LONGEST_SECONDS)
        return max(0.0, at + pause - self._clock())

    def passing(self, key: Key) -> bool:
        """Whether what is so now is left untold, since it may pass in a moment."""
        return key in self._passing and self._clock() < self._passing[key][1]

    def written(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The status was written."""
        times = self._written.get(key, (0.0, -1))[1] + 1 if _news(before) == _news(after) else 0
        self._written[key] = (self._clock(), times)
        self._passing.pop(key, None)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._written.pop(key, None)
        self._passing.pop(key, None)

    def _until_it_lasts(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
        said = _reasons(after)
        seconds = max((most for wanted, most in PASSING.get(key.reconciler, []) if wanted <= said), default=0.0)
        edited = before.get("observedGeneration") not in (after.get("observedGeneration"), *UNTOLD)
        if not seconds or edited:
            self._passing.pop(key, None)
            return 0.0
        since, _ = self._passing.get(key, (self._clock(), 0.0))
        self._passing[key] = since, since + seconds
        return max(0.0, since + seconds - self._clock())


def _reasons(status: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(one["type"], one.get("reason", "")) for one in status.get("conditions", [])}


def _news(status: Any) -> Any:
    if isinstance(status, str):  # most are: the check for a Mapping takes ten times as long
        return status
    if isinstance(status, Mapping):
        return {key: _news(value) for key, value in status.items() if key not in PROGRESS}
    if isinstance(status, list | tuple):
        return [_news(one) for one in status]
    return status
