"""How a version was made, made to fit a status: whatever a run holds, it takes no more than a few kilobytes.

What is cut off is the end of a list in the order of names, and counted with a hash: two versions can still be
compared as far as both lists reach.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ..api.facts import Facts, Rest
from ..resources import naming

NAME_LENGTH, VALUE_LENGTH = 96, 64
MARK = " #"  # before the hash of a text that was cut
HIDDEN = "(hidden)"
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # in camelCase
_SECRET = re.compile(  # in a name in small letters, whose words are apart
    r"passw|pass.?phrase|pwd|secret|credential"
    r"|(api|access|private|account|shared|storage|signing|encryption).?key"
    r"|(auth|access|bearer|refresh|session).?token(?![a-z])|token[0-9]*$"
    r"|(?<![a-z])(sas|dsn)(?![a-z])|conn(ection)?.?str(ing)?(?![a-z])"
    r"|(db|user|admin|root|smtp).?pass$|(?<![a-z])auth$"
)
_SAID = re.compile(r"\b((?:password|pwd|accountkey|sharedaccess(?:key|signature)|client_?secret)=)[^;\s]+", re.I)
_WORD = re.compile(r"\S+")
# Entries, and bytes as JSON, of each list.
ROOM = {
    "params": (64, 1536),
    "metrics": (32, 512),
    "tags": (16, 384),
    "data": (16, 384),
    "inputs": (64, 768),
    "outputs": (16, 192),
    "files": (32, 320),
    "packages": (64, 768),
}
_LENGTHS = {"python": 32, "commit": 64, "trained_by": 128, "experiment": 64}
_OPEN = ("packages", "files", "inputs", "outputs", "data")  # of which no name hides what it says


@dataclass(frozen=True)
class Logged:
    """All that a registry holds about how a version was made. None: it is not known."""

    params: Mapping[str, str] | None = None
    metrics: Mapping[str, float] | None = None
    tags: Mapping[str, str] | None = None
    data: Mapping[str, str] | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    files: Mapping[str, str] | None = None
    packages: Mapping[str, str] | None = None
    python: str | None = None
    commit: str | None = None
    trained_by: str | None = None
    trained_at: str | None = None
    duration_seconds: int | None = None
    experiment: str | None = None
    unread: tuple[str, ...] = ()


def bounded(logged: Logged) -> Facts:
    """The facts as far as there is room for them."""
    kept: dict[str, object] = {one.name: getattr(logged, one.name) for one in fields(logged)}
    rest: dict[str, Rest] = {}
    for name, (count, size) in ROOM.items():
        found = kept[name]
        if isinstance(found, Mapping):
            kept[name], left = _listed(name, found, count, size)
            rest |= {name: left} if left else {}
    for name, length in _LENGTHS.items():
        if isinstance(text := kept[name], str):
            kept[name] = shortened(text, length) or None
    short = naming.short_hash({**kept, "rest": {name: one.wire() for name, one in rest.items()}})
    return Facts.model_validate(kept | {"rest": rest, "hash": short})


def shortened(text: str, length: int) -> str:
    """The text on one line; one that is too long ends with a hash, so that another text does not look the same."""
    head = text[: 4 * length]
    if not head.isprintable():
        head = "".join(one if one.isprintable() else " " for one in head)
    line = " ".join(head.split())
    if len(line) <= length and len(text) <= 4 * length:
        return line
    return line[: length - len(MARK) - 8].rstrip() + MARK + _hash(text)[:8]


def _hash(*texts: str) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode("utf-8", "replace") + b"\0")
    return found.hexdigest()[:10]


def _listed(name: str, found: Mapping[str, object], count: int, size: int) -> tuple[dict[str, str], Rest | None]:
    hides = name not in _OPEN
    entries = sorted((shortened(key, NAME_LENGTH), key) for key in found)
    kept: dict[str, str] = {}
    room = size
    for number, (shown, key) in enumerate(entries):
        value = HIDDEN if hides and _is_secret(key) else _text(found[key])
        room -= len(json.dumps([shown, value], ensure_ascii=False).encode("utf-8", "replace"))
        if room < 0 or len(kept) == count:
            left = [one for _, one in entries[number:]]
            said = (text for one in left for text in (one, str(found[one])))
            return kept, Rest(count=len(left), hash=_hash(*said))
        kept[shown] = value
    return kept, None


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return shortened(_WORD.sub(_without_credential, _SAID.sub(r"\1***", str(value)[:8000])), VALUE_LENGTH)


def _is_secret(name: str) -> bool:
    return _SECRET.search(_HUMP.sub("_", name[:1000]).lower()) is not None


def _without_credential(word: re.Match[str]) -> str:
    """The word; of an address, what is no credential: users have passwords, and queries signatures.

    A password may hold `/` and `@` as they are, so that a user ends at the last `@`; a path with `@` has no `:`.
    """
    scheme, slashes, rest = word[0].partition("//")
    if not slashes:
        return word[0]
    user, at, host = rest.rpartition("@")
    if at and (":" in user or "/" not in user):
        rest = f"***@{host}"
    place, query, _ = rest.partition("?")
    return f"{scheme}//{place}{'?***' if query else ''}"
