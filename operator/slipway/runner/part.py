"""A file on its way to the disk: what came before a connection broke is kept where the server goes on with the same."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from .outcome import Refused

CHUNK = 128 * 1024  # what is lost of a body that breaks off


@dataclass(frozen=True)
class Rest:
    """What is still to come of a file, and the ETag of what has."""

    start: int
    tag: str


@dataclass(frozen=True)
class Body:
    """What a server sends: the file, or the rest of it."""

    partial: bool
    headers: Mapping[str, str]  # ETag, Content-Range
    chunks: Iterable[bytes]


class Part:
    """A file on its way to the disk, and how far it has come."""

    def __init__(self, file: Path, max_bytes: int, size: int | None) -> None:
        self.size = size
        self._file, self._max_bytes = file, max_bytes
        self._furthest = 0  # bytes that it had at most
        self._tag = ""  # strong ETag of what is on disk

    @property
    def rest(self) -> Rest | None:
        """What to ask for; None for all of it, since nobody could tell whether the rest is of the same file."""
        have = self._have()
        return Rest(have, self._tag) if self._tag and 0 < have < (self.size or 0) else None

    def take(self, body: Body, advanced: Callable[[], None]) -> None:
        """Write what comes; `advanced` hears of each byte that was not here before."""
        written = self._have() if body.partial else 0
        if written and not body.headers.get("Content-Range", "").startswith(f"bytes {written}-"):
            self.forget()
            raise requests.ConnectionError("another part of the file came than was asked for")
        tag = body.headers.get("ETag", "")
        self._tag = tag if tag.startswith('"') else ""
        with self._file.open("ab" if written else "wb") as file:
            for chunk in body.chunks:
                written += len(chunk)
                if written > self._max_bytes:
                    raise Refused("ArtifactTooLarge", f"{self._file.name} makes it larger than what is allowed")
                file.write(chunk)
                if written > self._furthest:
                    self._furthest = written
                    advanced()

    def forget(self) -> None:
        """It begins anew."""
        self._tag = ""

    def whole(self) -> int:
        """The size, if all of the file has come."""
        have = self._have()
        if self.size is not None and have != self.size:
            if have > self.size:
                self.forget()
            came = f"{have} bytes of {self._file.name} came, and {self.size} are listed"
            raise requests.ConnectionError(f"{came}: something between cuts it off, or it was changed")
        return have

    def _have(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0


def be_impatient(answer: requests.Response, seconds: float) -> None:
    """The wait for the first byte is over; a body that stops is noticed sooner."""
    socket = getattr(getattr(answer.raw, "connection", None), "sock", None)
    if socket is not None:
        socket.settimeout(seconds)
