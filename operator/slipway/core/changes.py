"""What differs between a version and the one that serves: hyperparameters, data, code, preprocessing, environment."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..api.facts import Changes, Difference, Facts
from ..api.modelledger import ModelLedgerSpec
from ..api.modelversion import ModelVersion, Resolved
from ..resources import naming
from .conditions import clipped
from .facts import shortened
from .observed import ModelSeen

LISTED = 16  # differences of one list
LIST_BYTES = 480  # of one list, as JSON
SUMMARY_LIMIT = 400
NOBODY = "No version serves that it could be compared with."
Differing = list[Difference] | None  # None: it could not be compared


@dataclass(frozen=True)
class Side:
    """What is known of one of the two."""

    facts: Facts
    resolved: Resolved | None

    def entries(self, name: str) -> Mapping[str, str] | None:
        found: Mapping[str, str] | None = getattr(self.facts, name)
        return found

    def reaches(self, name: str) -> str | None:
        """The last name that was kept of a list; None: nothing was cut off."""
        if name not in self.facts.rest:
            return None
        return max(self.entries(name) or {}, default="")


def compared(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Changes | None:
    """What differs from the champion of now; None where what was said before stays.

    A version that an adopted Deployment is said to run stands for it. That of the champion itself says
    what it changed when it came, and what is out of use is not compared any more.
    """
    number, own = version.spec.version, version.status.facts
    adopted = ledger.serving_adopted
    serves = ledger.champion or (adopted.version if adopted else None)
    if number == serves or own is None or seen.stage(version, ledger) == "Archived":
        return None
    champion = seen.version(serves)
    if serves is None:
        found = Changes(summary=NOBODY, hash=naming.short_hash([None, own.hash]))
    else:
        status = champion.status if champion else None
        theirs = (status.facts if status else None) or Facts()
        basis = naming.short_hash([serves, theirs.hash, own.hash])
        if version.status.changes is not None and version.status.changes.hash == basis:
            return None
        ours = Side(own, version.status.resolved)
        there = Side(theirs, status.resolved if status else None)
        found = between(serves, there, ours).model_copy(update={"hash": basis})
    return None if found == version.status.changes else found


def between(against: int, champion: Side, candidate: Side) -> Changes:
    """What differs between two sides."""
    found: dict[str, Differing] = {
        "params": _lists("params", champion, candidate),
        "metrics": _lists("metrics", champion, candidate),
        "data": _lists("data", champion, candidate),
        "code": _one("commit", champion.facts.commit, candidate.facts.commit),
        "training": _training(champion, candidate),
        "preprocessing": _preprocessing(champion, candidate),
        "environment": _environment(champion, candidate),
    }
    listed: dict[str, object] = {}
    more: dict[str, int] = {}
    for name, differing in found.items():
        if differing is not None:
            kept = _fitting(differing)
            listed[name] = kept
            if len(kept) < len(differing):
                more[name] = len(differing) - len(kept)
    summary = clipped(_summary(found, against), SUMMARY_LIMIT)
    return Changes.model_validate(listed | {"against": against, "more": more, "summary": summary})


def direction(one: Difference) -> str:
    """In a word, what became of it: added, removed, raised, lowered or changed."""
    if one.champion is None or one.candidate is None:
        return "added" if one.champion is None else "removed"
    before, after = _version(one.champion), _version(one.candidate)
    if before is None or after is None or before == after:
        return "changed"
    return "raised" if after > before else "lowered"


def _lists(name: str, champion: Side, candidate: Side, called: str = "") -> Differing:
    """What differs between two lists, as far as both reach."""
    before, after = champion.entries(name), candidate.entries(name)
    if before is None or after is None:
        return None
    ends = [end for end in (champion.reaches(name), candidate.reaches(name)) if end is not None]
    shared = sorted(one for one in before.keys() | after.keys() if not ends or one <= min(ends))
    found = [
        Difference(name=shortened(f"{called}{one}", 128), champion=before.get(one), candidate=after.get(one))
        for one in shared
        if before.get(one) != after.get(one)
    ]
    if champion.facts.rest.get(name) != candidate.facts.rest.get(name):
        found.append(_beyond(name, called, champion, candidate))
    return found


def _beyond(name: str, called: str, champion: Side, candidate: Side) -> Difference:
    """What lies beyond the end of the lists was not kept: only that it differs is known."""

    def count(side: Side) -> str:
        rest = side.facts.rest.get(name)
        return f"{rest.count} more, not listed" if rest else "all listed"

    return Difference(name=f"{called}(others)", champion=count(champion), candidate=count(candidate))


def _one(name: str, before: str | None, after: str | None) -> Differing:
    if before is None and after is None:
        return None
    return [] if before == after else [Difference(name=name, champion=before, candidate=after)]


def _training(champion: Side, candidate: Side) -> Differing:
    sizes = [side.resolved.size_bytes if side.resolved else None for side in (champion, candidate)]
    took = [side.facts.duration_seconds for side in (champion, candidate)]
    found = []
    if None not in sizes and sizes[0] != sizes[1]:
        found.append(Difference(name="size", champion=size(sizes[0] or 0), candidate=size(sizes[1] or 0)))
    if None not in took and took[0] != took[1]:
        found.append(Difference(name="duration", champion=lasting(took[0] or 0), candidate=lasting(took[1] or 0)))
    return found if found or None not in sizes or None not in took else None


def _preprocessing(champion: Side, candidate: Side) -> Differing:
    before, after = champion.resolved, candidate.resolved
    flavors = None
    if before is not None and after is not None:
        flavors = [
            Difference(
                name=f"flavor {one}",
                champion="there" if one in before.flavors else None,
                candidate="there" if one in after.flavors else None,
            )
            for one in sorted(set(before.flavors) ^ set(after.flavors))
        ]
    return _joined(
        flavors,
        _lists("inputs", champion, candidate, "input "),
        _lists("outputs", champion, candidate, "output "),
        _lists("files", champion, candidate, "file "),
    )


def _environment(champion: Side, candidate: Side) -> Differing:
    mlflow = [side.resolved.mlflow_version if side.resolved else None for side in (champion, candidate)]
    pinned = any("mlflow" in (side.entries("packages") or {}) for side in (champion, candidate))
    return _joined(
        _one("python", champion.facts.python, candidate.facts.python),
        None if pinned else _one("mlflow", mlflow[0], mlflow[1]),
        _lists("packages", champion, candidate),
    )


def _joined(*parts: Differing) -> Differing:
    known = [part for part in parts if part is not None]
    return [one for part in known for one in part] if known else None


def _fitting(differing: Iterable[Difference]) -> list[Difference]:
    kept: list[Difference] = []
    room = LIST_BYTES
    for one in differing:
        room -= len(json.dumps(one.wire(), ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if room < 0 or len(kept) == LISTED:
            break
        kept.append(one)
    return kept


_WORDS: dict[str, tuple[str, str]] = {
    "params": ("parameter", "parameters"),
    "metrics": ("metric of training", "metrics of training"),
    "data": ("dataset", "datasets"),
}


def _summary(found: Mapping[str, Differing], against: int) -> str:
    said = [_counted(name, len(differing)) for name in _WORDS if (differing := found[name])]
    for name, tell in _TELLING.items():
        if differing := found[name]:
            said.append(tell(differing))
    unknown = [name for name, differing in found.items() if differing is None]
    start = f"Against version {against}: {'; '.join(said) or 'nothing that is known differs'}."
    return f"{start} Not known: {', '.join(unknown)}." if unknown else start


def _counted(name: str, count: int) -> str:
    return f"{count} {_WORDS[name][count > 1]}"


def _commits(differing: list[Difference]) -> str:
    return f"code {_short(differing[0].champion)} → {_short(differing[0].candidate)}"


def _short(commit: str | None) -> str:
    return commit[:7] if commit else "unknown"


def _sizes(differing: list[Difference]) -> str:
    return ", ".join(f"{one.name} {one.champion} → {one.candidate}" for one in differing)


def _told(what: str, differing: list[Difference]) -> str:
    shown = ", ".join(f"{one.name} {direction(one)}" for one in differing[:3])
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return f"{what}: {shown}{more}"


_TELLING: dict[str, Callable[[list[Difference]], str]] = {
    "code": _commits,
    "training": _sizes,
    "preprocessing": lambda differing: _told("preprocessing", differing),
    "environment": lambda differing: _told("environment", differing),
}


def size(count: int) -> str:
    """Bytes as people write them."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} GiB"


def lasting(seconds: int) -> str:
    """A duration as people write it."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h"] * bool(hours) + [f"{minutes}m"] * bool(hours or minutes) + [f"{rest}s"] * (not hours)
    return "".join(parts)


def _version(text: str) -> tuple[int, ...] | None:
    """The numbers of a version such as ==1.9.1; None if it is none."""
    found = re.fullmatch(r"(?:==)?v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})", text)
    return tuple(int(part) for part in found[1].split(".")) if found else None
