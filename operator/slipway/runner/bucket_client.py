"""What a kind of object store has to say for a bucket to be read: a list in pages, an object, and why not."""

from dataclasses import dataclass
from typing import Protocol

from .mlflow_files import Remote
from .part import Body, Rest


@dataclass(frozen=True)
class Page:
    """Some of the objects below a prefix, by their whole keys, and where the list goes on: "" at its end."""

    objects: tuple[Remote, ...]
    following: str = ""


class Said(Exception):
    """What answers in place of what was asked for: an HTTP status and, where the store itself speaks, its code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Busy(Exception):
    """The store asks to be asked again, or something else answers in its place."""


class Client(Protocol):
    """One kind of object store. It raises `Said`, `Busy`, and what its library raises on the way (`passing`)."""

    noun: str  # what people who use it call a bucket
    passing: tuple[type[Exception], ...]

    def page(self, prefix: str, token: str) -> Page:
        """Objects whose keys begin so, from where the page before ended."""
        ...

    def content(self, key: str, rest: Rest | None) -> Body:
        """An object as it is stored, or what is still to come of it if it is the same."""
        ...

    def reason(self, said: Said) -> str:
        """The reason that a refusal of the store's own has; "" where it may be over, or another's."""
        ...
