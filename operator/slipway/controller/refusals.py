"""What the API server refused, by the key whose pass asked for it: a fact of the next decision.

A refused object is asked for again at growing intervals, and at once when something else is asked.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..adapters.errors import Occupied, Rejected, TakenInHand, Unauthorized
from ..core.decision import Ref, Refusal
from ..core.reasons import Reason
from .queue import Key

FIRST_SECONDS, LONGEST_SECONDS = 10.0, 300.0
# How the API server words a refusal that its own rules or rights are not to blame for.
_ADMISSION = ("admission webhook", "ValidatingAdmissionPolicy", "violates PodSecurity", "denied the request")


@dataclass(frozen=True)
class _Noted:
    refusal: Refusal
    asked: str  # hash of the manifest
    again_at: float
    times: int


class Refusals:
    """Refused objects; times come from `clock` (seconds, monotonic)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[Key, dict[Ref, _Noted]] = {}

    def of(self, key: Key) -> Mapping[Ref, Refusal]:
        """What was refused of the last pass over a key."""
        return {ref: one.refusal for ref, one in self._noted.get(key, {}).items()}

    def standing(self, key: Key, ref: Ref, asked: str) -> Refusal | None:
        """The refusal of just this, while it is too early to ask again."""
        one = self._noted.get(key, {}).get(ref)
        if one is None or one.refusal.reason == Reason.TakenInHand:  # nobody was asked: the object itself says so
            return None
        return one.refusal if one.asked == asked and self._clock() < one.again_at else None

    def note(self, key: Key, refusal: Refusal, asked: str) -> bool:
        """Remember it; True if it says something new."""
        before = self._noted.get(key, {}).get(refusal.of)
        times = before.times + 1 if before and before.asked == asked else 0
        pause = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(times, 8))
        self._noted.setdefault(key, {})[refusal.of] = _Noted(refusal, asked, self._clock() + pause, times)
        return before is None or before.refusal != refusal

    def keep(self, key: Key, refs: set[Ref]) -> bool:
        """Forget what is no longer refused or asked for; True if there was such a thing."""
        noted = self._noted.get(key, {})
        gone = noted.keys() - refs
        for ref in gone:
            del noted[ref]
        if not noted:
            self._noted.pop(key, None)
        return bool(gone)

    def again_seconds(self, key: Key) -> float | None:
        """Seconds until something is asked for again."""
        due = [one.again_at for one in self._noted.get(key, {}).values()]
        return max(0.5, min(due) - self._clock()) if due else None

    def forget(self, key: Key) -> None:
        """The object of the key is gone."""
        self._noted.pop(key, None)


def refusal_of(ref: Ref, error: Rejected) -> Refusal:
    """The reason for what the API server said, and its own words."""
    said = str(error)
    if isinstance(error, Occupied):
        reason = Reason.NameTaken
    elif isinstance(error, TakenInHand):
        reason = Reason.TakenInHand
    elif "exceeded quota" in said:
        reason = Reason.QuotaExceeded
    elif any(words in said for words in _ADMISSION):
        reason = Reason.AdmissionDenied
    elif isinstance(error, Unauthorized):
        reason = Reason.OperatorForbidden if "User " in said and " cannot " in said else Reason.AdmissionDenied
    else:
        reason = Reason.InvalidSpec
    return Refusal(ref, reason, f"{ref.kind} {ref.name}: {said}")
