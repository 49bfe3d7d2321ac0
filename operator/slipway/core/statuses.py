"""A status fits its object: at most 16 KiB. What people read is clipped first, then the list of gates is."""

import json
from typing import Any

from .conditions import clipped

LIMIT_BYTES = 16 * 1024
_PROSE = {"message": 1.0, "metric": 0.25}  # how much of the room each gets


def fit(status: dict[str, Any]) -> dict[str, Any]:
    """The status, with its sentences clipped just so far that it is within the limit.

    Where that is not enough, the last gates that did not fail are left out: the outcome counts all of them.
    """
    room = 2048
    while _bytes(status) > LIMIT_BYTES and room > 8:
        room //= 2
        status = _clipped(status, room)
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
