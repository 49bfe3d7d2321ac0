"""A status fits its object: at most 16 KiB. What people read is clipped first; then goes what can be read again."""

import json
from typing import Any

from .conditions import clipped

LIMIT_BYTES = 16 * 1024
_SPARE = ("changes", "facts")  # bounded already; words of people stand in them as keys
_PROSE = {"message": 1.0, "metric": 0.25, "notes": 0.5}  # how much of the room each gets


def fit(status: dict[str, Any]) -> dict[str, Any]:
    """The status, with its sentences clipped just so far that it is within the limit.

    Where that is not enough, what differs and how it was made are left out, and then the last gates that did not
    fail: the outcome counts all of them.
    """
    room = 2048
    while _bytes(status) > LIMIT_BYTES and room > 8:
        room //= 2
        status = {key: value if key in _SPARE else _clipped(value, room) for key, value in status.items()}
    for spare in _SPARE:
        if _bytes(status) > LIMIT_BYTES:
            status = {key: value for key, value in status.items() if key != spare}
    validation = status.get("validation", {})
    gates = sorted(validation.get("gates", []), key=lambda gate: bool(gate["result"] != "Failed"))
    while _bytes(status) > LIMIT_BYTES and gates:
        gates.pop()
        status = status | {"validation": validation | {"gates": list(gates)}}
    return status


def _bytes(status: dict[str, Any]) -> int:
    """How much the API server stores."""
    return len(json.dumps(status, ensure_ascii=False, separators=(",", ":")).encode())


def _clipped(value: Any, room: int) -> Any:
    if isinstance(value, list):
        return [_clipped(one, room) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _clipped(one, room) for key, one in value.items()}
    for key, share in _PROSE.items():
        if isinstance(found.get(key), str):
            found[key] = clipped(found[key], max(16, int(room * share)))
    return found
