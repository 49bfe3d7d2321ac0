"""Whether the champion is to stop serving: somebody has archived it, alone.

MLflow archives a champion by itself, for another version that is put into Production. That one may be gone again before
a sweep sees it: moved on, or deleted. So archiving the champion has to be the last thing that happened.
"""

from datetime import datetime
from typing import Literal

from ..api.modelledger import Following
from ..api.modelregistry import Stages
from .meaning import is_aside, stands_for
from .registry import RegistryModel

RETIRE_SECONDS = 20  # between two sweeps that show the champion archived, until it is retired
Archived = Literal["", "Aside", "Seen", "Asked"]


def judged(following: Following, champion: int | None, registry: RegistryModel, stages: Stages) -> Following:
    """What is followed, with whether the registry asks to retire the champion."""
    labels = registry.labels.get(champion or 0)
    if labels is None or not is_aside(labels, stages):
        return following.model_copy(update={"archived": "", "read_at": None})
    said: Archived = following.archived
    read_at = following.read_at
    if following.request is not None or not stands_for(labels.stage, stages.archived.stage):
        said, read_at = "Aside", None  # a stage that stands for nothing retires nobody
    elif said == "":
        pushed_out = _was_pushed_out(registry, champion, labels.moved)
        said, read_at = ("Aside", None) if pushed_out else ("Seen", registry.read_at or None)
    elif said == "Seen" and _is_later(registry.read_at, read_at):  # it was not the first half of moving the label on
        said, read_at = ("Aside", None) if _is_in_doubt(registry, labels.moved) else ("Asked", read_at)
    return following.model_copy(update={"archived": said, "read_at": read_at})


def _was_pushed_out(registry: RegistryModel, champion: int | None, at: int) -> bool:
    """Whether something happened together with it or after it: to another version, it may be to one that is gone."""
    others = (one.moved for number, one in registry.labels.items() if number != champion)
    return at > 0 and (registry.updated > at or any(moved >= at for moved in others))


def _is_in_doubt(registry: RegistryModel, at: int) -> bool:
    """Whether a later sweep shows that the first one knew too little: the registry's dates were read before labels.

    The champion was described since it was archived, so that its date says nothing; or a version was deleted.
    """
    return at > 0 and (0 < registry.updated < at or registry.unexplained > at)


def _is_later(read_at: str, before: str | None) -> bool:
    """Whether a sweep came long enough after another; where they hurry, two are a second apart."""
    if not read_at or not before:
        return read_at != (before or "")
    return (datetime.fromisoformat(read_at) - datetime.fromisoformat(before)).total_seconds() >= RETIRE_SECONDS
