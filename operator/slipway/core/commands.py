"""What a person asks of a model by an annotation: `to=2, by=alice, reason=latency doubled`, or any new word.

Each value is carried out once: the ledger keeps a hash of the last one that was handled.
"""

import re
from dataclasses import dataclass

from ..resources import naming

_FIELD = re.compile(r"\s*(to|by|reason)\s*=\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One value of a command's annotation."""

    hash: str
    to: int | None = None  # the version to go back to; None: the predecessor
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
    found: dict[str, str] = {}
    rest = value
    while rest:
        match = _FIELD.match(rest)
        if match is None:
            _, _, rest = rest.partition(",")  # a time stamp, or a word that makes the value a new one
            continue
        name, rest = match[1], match[2]
        if name == "reason":  # the last field: it may hold commas
            found[name], rest = rest, ""
        else:
            found[name], _, rest = rest.partition(",")
    to = found.get("to", "").strip().removeprefix("v")
    if to and not to.isdecimal():
        return Command(short, wrong=f"'to={to}' names no version: write a number, such as to=2")
    return Command(short, int(to) if to else None, found.get("by", "").strip() or "unknown", found.get("reason", ""))
