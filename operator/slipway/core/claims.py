"""Which version asks for which stage: by its spec, or by what the registry's labels have asked for.

A label of Production that was not seen before is a request, whoever moved it: the ledger takes it down, and the newest
one counts. What was seen before asks for nothing, the operator's own labels among it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..api.modelledger import SHOWN, TAKEN_BACK, Following, ModelLedgerSpec, Request, Shown, TakenBack
from ..api.modelregistry import RegistryLabels, Stages
from ..api.modelversion import ModelVersion, Stage
from . import retirement
from .meaning import By, in_production, is_aside, labelled_by, stage_shown
from .registry import CLOCKS_APART_MS, Labels, RegistryModel

PRODUCTION_DIGITS = 10  # of `of`: those of the registered model and its labels of Production
LATE_MS = 3_600_000  # after which a sweep may find a label at the latest


def stage_of(
    version: ModelVersion, ledger: ModelLedgerSpec, labels: Mapping[int, Labels] | None, stages: Stages
) -> Stage:
    """The stage that a version is asked to be in by the registry. Silence leaves it where it was."""
    number, following = version.spec.version, ledger.following or Following()
    if number == ledger.champion:
        return "Archived" if following.archived == "Asked" else "Production"
    if following.request and following.request.version == number:
        return "Production"
    shown = labels.get(number) if labels is not None else None
    if number in out(ledger):  # it is out until it is asked for again; Staging is no danger to anybody
        return "Staging" if shown and stage_shown(shown, stages) == "Staging" else "Production"
    if labels is None:
        return version.status.stage or "None"
    return stage_shown(shown, stages) if shown else "None"


def out(ledger: ModelLedgerSpec) -> set[int]:
    """Versions that were asked for and may not serve: they were refused, or rolled back."""
    taken_back = ledger.following.taken_back if ledger.following else ()
    return {one.version for one in ledger.rolled_back} | {one.version for one in taken_back}


@dataclass(frozen=True)
class _Change:
    """What a sweep shows that was not seen before."""

    shown: Mapping[int, By]
    by_stage: frozenset[int]
    by_alias: frozenset[int]
    champion: bool  # somebody has set its labels again
    lost: frozenset[int]  # what the registry does not list, and has not said to be gone: it may be back
    withdrawn: frozenset[int]  # whose stage was taken away by archiving it, whatever alias it was left


def follow(
    ledger: ModelLedgerSpec,
    registry: RegistryModel,
    stages: Stages,
    of: str,
    now: datetime,
    adopted: int | None = None,
) -> ModelLedgerSpec:
    """The ledger, once it has taken down what the registry's labels ask for.

    `of` stands for the registered model, its labels of Production, and then its stage of Archived. Where a champion
    serves when this begins, or anything when the registered model or a label of Production is another one, what the
    registry shows then asks for nothing. Nor do the labels of `adopted`: that version is said to run in an adopted
    Deployment. A registry that was restored from a backup shows labels that were answered before: with it, this begins,
    too.
    """
    shown = {number: by for number, one in registry.labels.items() if (by := labelled_by(one, stages))}
    before, at = ledger.following, now.strftime("%Y-%m-%dT%H:%M:%SZ")
    went_back = before is not None and 0 < registry.updated < before.updated - CLOCKS_APART_MS
    if before is None or before.of[:PRODUCTION_DIGITS] != of[:PRODUCTION_DIGITS] or went_back:
        begun = _begun(ledger, shown, registry, stages, adopted, went_back)
        before = begun.model_copy(update={"of": of, "since": at})
    elif before.of != of:  # the champion is in that stage for another reason
        before = before.model_copy(update={"of": of, "archived": "Aside", "read_at": None})
    change = _change(before, shown, ledger.champion, registry, stages)
    following = _asked(before, change, registry.labels, at)
    if following.request is None and ledger.champion is None:
        following = _asked_still(following, ledger, registry, stages, at)
    opened = following.request is not None and following.request != before.request
    if opened and following.request is not None and following.request.version in out(ledger):
        again = following.request.model_copy(update={"again": True})
        following = following.model_copy(update={"request": again})
    following = retirement.judged(following, ledger.champion, registry, stages)
    restored = shown.get(ledger.champion or 0) == _whole(stages)
    seen = _seen(before, following, change, registry, ledger.champion if opened else None)
    changes = {"shown": _kept(seen, ledger.champion), "restore": following.restore and not restored}
    return ledger.model_copy(update={"following": following.model_copy(update=changes)})


def dated(ledger: ModelLedgerSpec, before: ModelLedgerSpec, registry: RegistryModel) -> ModelLedgerSpec:
    """The ledger, with the date at which the registered model had last changed when something was taken down."""
    following = ledger.following
    if following is None or following == before.following:
        return ledger
    following = following.model_copy(update={"updated": max(following.updated, registry.updated)})
    return ledger.model_copy(update={"following": following})


def _begun(
    ledger: ModelLedgerSpec,
    shown: Mapping[int, By],
    registry: RegistryModel,
    stages: Stages,
    adopted: int | None,
    restored: bool,
) -> Following:
    """What is believed to have been seen before the first sweep. Where labels counted before, new ones ask nothing."""
    serves = ledger.champion is not None or (ledger.following is not None and ledger.serving_adopted is not None)
    if not serves and not restored:
        shown = {
            number: by
            for number, by in shown.items()
            if number == adopted or _is_left_over(registry.labels[number], stages)
        }
    seen = {number: Shown(version=number, by=by) for number, by in shown.items()}
    return Following(shown=_kept(seen, ledger.champion), archived="Aside" if ledger.champion is not None else "")


def _is_left_over(labels: Labels, stages: Stages) -> bool:
    """Whether its alias stayed on what was archived."""
    return stage_shown(labels, stages) != "Production"


def _seen(
    before: Following, now: Following, change: _Change, registry: RegistryModel, expected: int | None
) -> dict[int, Shown]:
    """The labels that are accounted for. A version that the registry lost for a while asks for nothing by returning.

    `expected` is the champion in the sweep that brings a request: its labels may be on their way, written by us.
    """
    asked = {one.version for one in before.shown if one.asked} | change.by_stage | change.by_alias
    if now.request is not None:
        asked |= {one for one in (now.request.version, now.request.against) if one is not None}
    lost = {one.version: one for one in before.shown if one.version not in registry.labels or one.version == expected}
    withdrawn = before.request.version if before.request and now.request != before.request else None
    lost = {number: one for number, one in lost.items() if number != withdrawn}
    return lost | {number: Shown(version=number, by=by, asked=number in asked) for number, by in change.shown.items()}


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
        changes |= {
            "taken_back": (*others, TakenBack(version=number, at=following.request.at, retry=retry))[-TAKEN_BACK:],
            "restore": True,
        }
    return ledger.model_copy(update={"following": following.model_copy(update=changes)})


def expect(ledger: ModelLedgerSpec, labels: RegistryLabels) -> ModelLedgerSpec:
    """The ledger, with the labels that the champion is about to get: they are nobody's request."""
    following, champion = ledger.following, ledger.champion
    if following is None or champion is None:
        return ledger
    by: By | None = "Stage" if labels.stage else None
    if labels.alias:
        by = "Both" if by else "Alias"
    seen = {one.version: one for one in following.shown}
    before = seen.get(champion)
    if by is None or (before is not None and before.by in (by, "Both")):
        return ledger
    seen[champion] = Shown(version=champion, by=by if before is None else "Both", asked=bool(before and before.asked))
    return ledger.model_copy(update={"following": following.model_copy(update={"shown": _kept(seen, champion)})})


def ask_again(ledger: ModelLedgerSpec, number: int, retry: str, now: datetime) -> ModelLedgerSpec:
    """The ledger, once somebody has asked by a retry for a version that was refused or rolled back."""
    following = ledger.following or Following()
    left = tuple(one for one in following.taken_back if one.version != number)
    request = Request(version=number, at=now.strftime("%Y-%m-%dT%H:%M:%SZ"), retry=retry, again=True)
    back = tuple(
        one.model_copy(update={"retry": retry}) if one.version == number else one for one in ledger.rolled_back
    )
    changes = {"request": request, "taken_back": left}
    return ledger.model_copy(update={"following": following.model_copy(update=changes), "rolled_back": back})


def released_again(ledger: ModelLedgerSpec, number: int) -> ModelLedgerSpec:
    """The ledger, once a version is rolled back no longer."""
    kept = tuple(one for one in ledger.rolled_back if one.version != number)
    return ledger if kept == ledger.rolled_back else ledger.model_copy(update={"rolled_back": kept})


def withdraw(ledger: ModelLedgerSpec, numbers: Collection[int]) -> ModelLedgerSpec:
    """The ledger, once an open request for one of these versions no longer counts; the champion gets its labels."""
    following = ledger.following
    if following is None or following.request is None or following.request.version not in numbers:
        return ledger
    return ledger.model_copy(update={"following": following.model_copy(update={"request": None, "restore": True})})


def conflict_of(ledger: ModelLedgerSpec, stages: Stages) -> str:
    """Which labels in the registry contradict each other; "" if none do."""
    request, labels = ledger.following.request if ledger.following else None, stages.production
    if request is None or request.against is None:
        return ""
    return (
        f"The registry asks for version {request.against} by the stage {labels.stage} and for version "
        f"{request.version} by the alias {labels.alias}: set both on one version."
    )


def _kept(shown: Mapping[int, Shown], champion: int | None) -> tuple[Shown, ...]:
    """Those that there is room for: the champion, the version with the alias, and the highest."""
    first = sorted(shown, key=lambda number: (number != champion, shown[number].by == "Stage", -number))[:SHOWN]
    return tuple(shown[number] for number in sorted(first))


def _change(
    before: Following, shown: Mapping[int, By], champion: int | None, registry: RegistryModel, stages: Stages
) -> _Change:
    known = {one.version: one.by for one in before.shown}
    lowest = _lowest(before, champion)

    def is_new(number: int, by: By) -> bool:
        had = known.get(number)
        return shown[number] in (by, "Both") and had not in (by, "Both")

    by_stage = frozenset(n for n in shown if (n >= lowest or n == champion) and is_new(n, "Stage"))
    by_alias = frozenset(n for n in shown if is_new(n, "Alias"))
    old = {n for n in by_stage if 0 < registry.labels[n].moved < before.updated - LATE_MS}  # out of a backup
    by_stage, by_alias = by_stage - old, by_alias - old
    archived = {number for number, one in registry.labels.items() if is_aside(one, stages)}
    moved_out = frozenset(number for number in archived if known.get(number) in ("Stage", "Both"))
    if champion is not None and champion in moved_out and not by_stage and before.archived == "":
        by_stage = _in_its_place(before, shown, champion, registry.labels)
    itself = frozenset({champion})
    unlisted = frozenset(one.version for one in before.shown) - registry.labels.keys() - registry.gone
    return _Change(shown, by_stage - itself, by_alias - itself, champion in by_stage | by_alias, unlisted, moved_out)


def _lowest(before: Following, champion: int | None) -> int:
    """Nobody remembers which of the versions below this one were in the stage of Production before."""
    by_stage_only = (one.version for one in before.shown if one.by == "Stage" and one.version != champion)
    return min(by_stage_only, default=0) if len(before.shown) == SHOWN else 0


def overlooked(ledger: ModelLedgerSpec, labels: Mapping[int, Labels], stages: Stages) -> int | None:
    """The version below which a stage of Production asks for nothing; None where none is there."""
    following, champion = ledger.following or Following(), ledger.champion
    lowest, known = _lowest(following, champion), {one.version for one in following.shown}
    below = (one for one in labels if one < lowest and one != champion and one not in known)
    return lowest if any(in_production(labels[one], stages) for one in below) else None


def _in_its_place(
    before: Following, shown: Mapping[int, By], champion: int, labels: Mapping[int, Labels]
) -> frozenset[int]:
    """The version that was put into Production once more: MLflow archived the champion, and left that one alone.

    MLflow moves both at the same moment. Where that is not known, or the version was touched since, only one that was
    asked for before counts: one that stood there before labels decided was asked for by nobody.
    """
    at = labels[champion].moved
    left = frozenset(number for number, by in shown.items() if by in ("Stage", "Both") and number != champion)
    if at and (together := frozenset(number for number in left if labels[number].moved == at)):
        return together
    asked = {one.version for one in before.shown if one.asked} | {one.version for one in before.taken_back}
    earlier = {number for number in left if 0 < labels[number].moved < at}
    return left if len(left) == 1 and left <= asked - earlier else frozenset()


def _last(numbers: Collection[int], labels: Mapping[int, Labels]) -> int:
    """The version that was moved last; the highest where the registry does not tell."""
    if not all(number in labels and labels[number].moved for number in numbers):
        return max(numbers)
    return max(numbers, key=lambda number: (labels[number].moved, number))


def _asked(before: Following, change: _Change, labels: Mapping[int, Labels], at: str) -> Following:
    """The request that counts now: a new one replaces the last one, and one whose label is gone is withdrawn."""
    request, new = before.request, change.by_stage | change.by_alias
    if new:
        apart = change.by_stage if change.by_alias and not change.by_alias <= change.by_stage else frozenset()
        wanted = change.by_alias if apart else new
        return _asks(before, _last(wanted, labels), at, _last(apart, labels) if apart else None)
    if request is None:
        return before
    label_gone = request.version not in change.shown and request.version not in change.lost
    gone = not request.retry and (label_gone or request.version in change.withdrawn)
    if gone and request.against is not None and request.against in change.shown:
        return _asks(before, request.against, request.at)
    if gone or change.champion:
        return before.model_copy(update={"request": None})
    against = request.against in change.shown or request.against in change.lost
    if request.against is not None and (not against or request.against in change.withdrawn):
        return before.model_copy(update={"request": request.model_copy(update={"against": None})})
    return before


def _asks(before: Following, number: int, at: str, against: int | None = None) -> Following:
    request = Request(version=number, at=at, against=against)
    kept = tuple(one for one in before.taken_back if one.version != number)
    return before.model_copy(update={"request": request, "taken_back": kept, "restore": False})


def _asked_still(
    following: Following, ledger: ModelLedgerSpec, registry: RegistryModel, stages: Stages, at: str
) -> Following:
    """While nobody serves, a version that was asked for once, may serve and is still in Production is asked for."""
    unasked = {one.version for one in following.shown if not one.asked}
    may = [
        number
        for number, one in registry.labels.items()
        if stage_shown(one, stages) == "Production" and number not in out(ledger) | unasked
    ]
    return _asks(following, _last(may, registry.labels), at) if may else following
