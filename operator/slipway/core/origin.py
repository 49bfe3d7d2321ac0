"""Which version of which registered model a number stands for: MLflow gives numbers anew.

A registered model that is deleted and made anew begins at 1 again, another server behind a ModelRegistry has numbers of
its own, and so has one that was restored from a backup.
"""

from typing import Any

from ..resources import naming

_DIGITS = 8
_UNKNOWN = "0" * _DIGITS


def origin(server: str, name: str, model_created: int, version_created: int) -> str:
    """16 hex digits: of when the registered model was made there, then of when the version was. 0 ms: not known."""
    where: list[Any] = [server.rstrip("/"), name]
    parts = [("model", model_created), ("version", version_created)]
    return "".join(
        naming.short_hash([*where, what, created])[:_DIGITS] if created else _UNKNOWN for what, created in parts
    )


def differ(one: str, other: str) -> bool:
    """Whether two origins are of two versions. What is not known differs from nothing."""
    return any(_UNKNOWN not in pair and pair[0] != pair[1] for pair in zip(_parts(one), _parts(other), strict=True))


def completed(one: str, other: str) -> str:
    """An origin, and from another one of the same version what is not known in it; "": nothing is known."""
    parts = [mine if mine != _UNKNOWN else its for mine, its in zip(_parts(one), _parts(other), strict=True)]
    return "".join(parts) if set(parts) != {_UNKNOWN} else ""


def of_version(one: str) -> str:
    """The part that tells of the version alone, which is known as soon as it was read; "" if it is not."""
    part = _parts(one)[1]
    return part if part != _UNKNOWN else ""


def _parts(one: str) -> tuple[str, str]:
    """Both parts; of what was written in another form, nothing is known."""
    return (one[:_DIGITS], one[_DIGITS:]) if len(one) == 2 * _DIGITS else (_UNKNOWN, _UNKNOWN)
