"""A status fits its object: at most 16 KiB, by clipping what people read and never what programs read."""

import json
from typing import Any

from .conditions import clipped

LIMIT_BYTES = 16 * 1024
_PROSE = {"message": 1.0, "metric": 0.25}  # how much of the room each gets


def fit(status: dict[str, Any]) -> dict[str, Any]:
    """The status, with its sentences clipped just so far that it is within the limit."""
    room = 2048
    while len(json.dumps(status).encode()) > LIMIT_BYTES and room > 8:
        room //= 2
        status = _clipped(status, room)
    return status


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
