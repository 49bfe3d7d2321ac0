"""Which version asks for which stage: by its spec, or by what the registry's labels have asked for.

A label of Production that was not seen before is a request, whoever moved it: the ledger takes it down, and the newest
one counts. What was seen before asks for nothing, the operator's own labels among it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..api.modelledger import SHOWN, TAKEN_BACK, Following, ModelLedgerSpec, Request, Shown, TakenBack
from ..api.modelregistry import Stages
from ..api.modelversion import ModelVersion, Stage
from .registry import Labels, RegistryModel

By = Literal["Stage", "Alias", "Both"]


def stage_of(
    version: ModelVersion, ledger: ModelLedgerSpec, labels: Mapping[int, Labels] | None, stages: Stages
) -> Stage:
    """The stage that a version is asked to be in by the registry. Silence leaves it where it was."""
    number, following = version.spec.version, ledger.following or Following()
    if number == ledger.champion:
        return "Archived" if following.archived == "Asked" else "Production"
    out = {one.version for one in ledger.rolled_back} | {one.version for one in following.taken_back}
    if number in out or (following.request and following.request.version == number):
        return "Production"
    if labels is None:
        return version.status.stage or "None"
    shown = labels.get(number)
    return stage_shown(shown, stages) if shown else "None"


def stage_shown(labels: Labels, stages: Stages) -> Stage:
    """The stage that labels stand for, if they are no request: an alias may be left over on what is archived."""
    if _is(labels.stage, stages.archived.stage):
        return "Archived"
    if _by(labels, stages):
        return "Production"
    if _is(labels.stage, stages.staging.stage) or stages.staging.alias in labels.aliases:
        return "Staging"
    return "None"


def _by(labels: Labels, stages: Stages) -> By | None:
    stage, alias = _is(labels.stage, stages.production.stage), stages.production.alias in labels.aliases
    return "Both" if stage and alias else "Stage" if stage else "Alias" if alias else None


def _is(stage: str, mapped: str | None) -> bool:
    return mapped not in (None, "None") and stage == mapped  # no stage is no label


@dataclass(frozen=True)
class _Change:
    """What a sweep shows that was not seen before."""

    shown: Mapping[int, By]
    by_stage: frozenset[int]
    by_alias: frozenset[int]
    champion: bool  # somebody has set its labels again


def follow(ledger: ModelLedgerSpec, registry: RegistryModel, stages: Stages, now: datetime) -> ModelLedgerSpec:
    """The ledger, once it has taken down what the registry's labels ask for.

    Where a champion serves when this begins, what the registry shows then asks for nothing.
    """
    shown = {number: by for number, one in registry.labels.items() if (by := _by(one, stages))}
    before = ledger.following
    if before is None:
        before = _begun(ledger, shown, registry, stages)
    change = _change(before, shown, ledger.champion)
    following = _asked(before, change, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    following = _archived(following, ledger, registry, stages)
    restored = shown.get(ledger.champion or 0) == _whole(stages)
    changes = {"shown": _kept(shown, ledger.champion), "restore": following.restore and not restored}
    return ledger.model_copy(update={"following": following.model_copy(update=changes)})


def _begun(ledger: ModelLedgerSpec, shown: Mapping[int, By], registry: RegistryModel, stages: Stages) -> Following:
    """What is believed to have been seen before the first sweep."""
    if ledger.champion is not None:
        return Following(shown=_kept(shown, ledger.champion), archived="Aside")
    left = {number: by for number, by in shown.items() if stage_shown(registry.labels[number], stages) == "Archived"}
    return Following(shown=_kept(left, None))


def _whole(stages: Stages) -> By:
    """How a version is shown that has all labels of Production."""
    return "Alias" if not stages.production.stage else "Both" if stages.production.alias else "Stage"


def answer(ledger: ModelLedgerSpec, refused: bool, retry: str) -> ModelLedgerSpec:
    """The ledger, once the request was carried out, or its version was refused while it carried that retry."""
    following = ledger.following
    if following is None or following.request is None:
        return ledger
    number = following.request.version
    if number != ledger.champion and not refused:
        return ledger
    changes: dict[str, object] = {"request": None}
    if refused:
        others = tuple(one for one in following.taken_back if one.version != number)
        changes |= {"taken_back": (*others, TakenBack(version=number, retry=retry))[-TAKEN_BACK:], "restore": True}
    return ledger.model_copy(update={"following": following.model_copy(update=changes)})


def expect(ledger: ModelLedgerSpec, stages: Stages) -> ModelLedgerSpec:
    """The ledger, with the labels that the champion is about to get: they are nobody's request."""
    following, champion = ledger.following, ledger.champion
    if following is None or following.request is not None or champion is None:
        return ledger
    shown = {one.version: one.by for one in following.shown} | {champion: _whole(stages)}
    return ledger.model_copy(update={"following": following.model_copy(update={"shown": _kept(shown, champion)})})


def ask_again(ledger: ModelLedgerSpec, number: int, retry: str, now: datetime) -> ModelLedgerSpec:
    """The ledger, once somebody has asked by a retry for a version that was refused or rolled back."""
    following = ledger.following or Following()
    left = tuple(one for one in following.taken_back if one.version != number)
    request = Request(version=number, at=now.strftime("%Y-%m-%dT%H:%M:%SZ"), retry=retry)
    return ledger.model_copy(
        update={"following": following.model_copy(update={"request": request, "taken_back": left})}
    )


def _kept(shown: Mapping[int, By], champion: int | None) -> tuple[Shown, ...]:
    first = sorted(shown, key=lambda number: (number != champion, -number))[:SHOWN]
    return tuple(Shown(version=number, by=shown[number]) for number in sorted(first))


def _change(before: Following, shown: Mapping[int, By], champion: int | None) -> _Change:
    known = {one.version: one.by for one in before.shown}
    lowest = min(known.keys() - {champion}) if len(known) == SHOWN else 0  # nobody knows what was there below it

    def is_new(number: int, by: By) -> bool:
        had = known.get(number)
        return shown[number] in (by, "Both") and had not in (by, "Both")

    there = [number for number in shown if number >= lowest or number == champion]
    by_stage = frozenset(number for number in there if is_new(number, "Stage"))
    by_alias = frozenset(number for number in there if is_new(number, "Alias"))
    itself = frozenset({champion})
    return _Change(shown, by_stage - itself, by_alias - itself, champion in by_stage | by_alias)


def _asked(before: Following, change: _Change, at: str) -> Following:
    """The request that counts now: a new one replaces the last one, and one whose label is gone is withdrawn."""
    request, new = before.request, change.by_stage | change.by_alias
    if new:
        apart = change.by_stage if change.by_alias and not change.by_alias <= change.by_stage else frozenset()
        chosen = max(change.by_alias if apart else new)
        request = Request(version=chosen, at=at, against=max(apart) if apart else None)
        kept = tuple(one for one in before.taken_back if one.version != chosen)
        return before.model_copy(update={"request": request, "taken_back": kept, "restore": False})
    gone = request is not None and not request.retry and request.version not in change.shown
    if gone or (request is not None and change.champion):
        return before.model_copy(update={"request": None})
    if request is not None and request.against is not None and request.against not in change.shown:
        return before.model_copy(update={"request": request.model_copy(update={"against": None})})
    return before


def _archived(following: Following, ledger: ModelLedgerSpec, registry: RegistryModel, stages: Stages) -> Following:
    """Whether the champion is to stop serving. MLflow archives it by itself when another version is asked for."""
    labels = registry.labels.get(ledger.champion or 0)
    said: Literal["", "Aside", "Seen", "Asked"] = ""
    read_at: str | None = None
    if labels is not None and _is(labels.stage, stages.archived.stage):
        said, read_at = following.archived, following.read_at
        if following.request is not None:
            said, read_at = "Aside", None
        elif said == "":
            said, read_at = "Seen", registry.read_at or None
        elif said == "Seen" and registry.read_at != read_at:
            said = "Asked"  # a second sweep: it was not the first half of moving the label on
    return following.model_copy(update={"archived": said, "read_at": read_at})
