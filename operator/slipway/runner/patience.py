"""Tries what fails for a while, until no progress was made for too long: a server may be restarted meanwhile."""

import time
from collections.abc import Callable
from typing import TypeVar

from .outcome import Refused, say

Got = TypeVar("Got")
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0


class Unreachable(Refused):
    """No answer, or a server's error, again and again."""

    def __init__(self, who: str, error: Exception) -> None:
        super().__init__("RegistryUnreachable", f"no answer from {who}: {error}")
        answer = getattr(error, "response", None)
        self.status = getattr(answer, "status_code", 0)


class Patience:
    """How long one server may take; `who` names it in messages, `passing` is what may be over at the next try."""

    def __init__(self, who: str, seconds: float, passing: tuple[type[Exception], ...]) -> None:
        self._who, self._seconds, self._passing = who, seconds, passing
        self._progress = time.monotonic()

    def tried(self, attempt: Callable[[], Got], seconds: float | None = None) -> Got:
        """What the attempt returns, once it does; Unreachable if that takes too long."""
        self.advanced()
        patience, pause = self._seconds if seconds is None else seconds, _PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except self._passing as error:
                if time.monotonic() + pause - self._progress > patience:
                    raise Unreachable(self._who, error) from error
                say(f"{self._who} does not answer, again in {pause:g} s: {error}")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def advanced(self) -> None:
        """Something has come."""
        self._progress = time.monotonic()
