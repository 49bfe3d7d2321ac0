"""What a person asks of a model by an annotation: `to=2, by=alice, reason=latency doubled`, or any new word.

Each value is carried out once: the ledger keeps a hash of the last one that was handled.
"""

import re
from dataclasses import dataclass

from ..resources import naming
from .conditions import clipped

_FIELD = re.compile(r"\s*(to|by|reason)\s*=\s*")


@dataclass(frozen=True)
class Command:
    """One value of a command's annotation."""

    hash: str
    to: int | None = None  # the version to go back to; None: the predecessor
    to_adopted: bool = False  # to the Deployment that served before any version
    by: str = "unknown"  # admission has compared it with who wrote the annotation
    reason: str = ""
    wrong: str = ""  # why it cannot be understood


def command(value: str, handled: str) -> Command | None:
    """The command that a value gives; None if there is none, or it was carried out before."""
    if not value:
        return None
    short = naming.short_hash(value)
    if short == handled:
        return None
    found = _fields(value)
    to = found.get("to", "").strip().removeprefix("v")
    if to == naming.ADOPTED:
        return Command(short, None, True, found.get("by", "").strip() or "unknown", found.get("reason", ""))
    number = naming.number(to)
    if to and number is None:
        return Command(short, wrong=f"'to={clipped(to, 40)}' names no version: write a number, such as to=2")
    return Command(short, number, False, found.get("by", "").strip() or "unknown", found.get("reason", ""))


def _fields(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(value):
        comma = value.find(",", at)
        end = comma if comma >= 0 else len(value)
        match = _FIELD.match(value, at)  # what is none: a time stamp, or a word that makes the value a new one
        if match is not None:
            if match[1] == "reason":  # the last field: it may hold commas
                end = len(value)
            found[match[1]] = value[match.end() : end]
        at = end + 1
    return found
