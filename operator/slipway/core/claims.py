"""Which version asks for which stage: by its spec, or by the labels that the registry shows.

A label that is as the operator wrote it is no request: whoever wants something else moves it. What is not known asks
for nothing new, and takes nothing back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..api.modelledger import Told
from ..api.modelregistry import Stages
from ..api.modelversion import ModelVersion, Stage
from ..resources import naming
from .registry import Labels

How = Literal["Moved", "Written", "TakenBack"]
# What the operator's own labels stand for, by what the ledger remembers of them; the registry may not show them yet.
_MEANT: dict[str, tuple[Stage, How]] = {
    "Serving": ("Production", "Written"),
    "Validated": ("Staging", "Written"),
    "Archived": ("Archived", "Written"),
    "Refused": ("Production", "TakenBack"),
    "RolledBack": ("Production", "TakenBack"),
}


@dataclass(frozen=True)
class Claim:
    """A version asks for a stage.

    `Moved`: somebody asked for it. `Written`: the labels are as the operator wrote them, which asks for nothing new.
    `TakenBack`: it was refused or rolled back, and the operator set the label back.
    """

    version: int
    stage: Stage
    how: How = "Moved"


@dataclass(frozen=True)
class Claims:
    """What all versions of a model ask for."""

    by_version: Mapping[int, Claim] = field(default_factory=dict)
    conflict: str = ""  # labels that contradict each other: none of them is followed

    def stage(self, number: int) -> Stage:
        """The stage that a version asks for."""
        claim = self.by_version.get(number)
        return claim.stage if claim else "None"

    def moved(self, number: int) -> bool:
        """Whether somebody asked for what the version asks for, and was not answered yet."""
        claim = self.by_version.get(number)
        return claim is not None and claim.how == "Moved"

    @property
    def requests(self) -> list[int]:
        """Versions that somebody wants in Production, the highest first."""
        found = (one for one in self.by_version.values() if one.stage == "Production" and one.how == "Moved")
        return sorted((one.version for one in found), reverse=True)


def of_specs(versions: Iterable[ModelVersion]) -> Claims:
    """What the specs ask for."""
    return Claims({one.spec.version: Claim(one.spec.version, one.spec.stage) for one in versions})


def as_before(versions: Iterable[ModelVersion], told: Iterable[Told]) -> Claims:
    """What was asked for when the registry's labels were last known."""
    wrote, found = {one.version: one.state for one in told}, {}
    for number, stage in ((one.spec.version, one.status.stage) for one in versions):
        if stage:
            meant = _MEANT.get(wrote.get(number, ""))
            found[number] = Claim(number, *meant) if meant and meant[0] == stage else Claim(number, stage)
    return Claims(found)


def of_labels(labels: Mapping[int, Labels], told: Iterable[Told], stages: Stages) -> Claims:
    """What the registry's labels ask for, apart from what the operator wrote there."""
    wrote = {one.version: one for one in told}
    read = {number: _read(one, wrote.get(number), stages) for number, one in labels.items()}
    claims = {number: claim for number, one in read.items() if (claim := _claim(number, one, wrote.get(number)))}
    return Claims(claims, _conflict(read, stages))


@dataclass(frozen=True)
class _Read:
    """The stages that a version's labels stand for."""

    by_stage: Stage | None
    by_alias: frozenset[Stage]
    ours: frozenset[Stage]  # those of them that the operator wrote

    @property
    def asked(self) -> frozenset[Stage]:
        found = self.by_alias | ({self.by_stage} if self.by_stage else frozenset())
        return found - self.ours


_ORDER: tuple[Stage, ...] = ("Production", "Staging", "Archived")


def _read(labels: Labels, wrote: Told | None, stages: Stages) -> _Read:
    named = {"Production": stages.production, "Staging": stages.staging, "Archived": stages.archived}
    by_stage = next((one for one in _ORDER if named[one].stage and named[one].stage == labels.stage), None)
    by_alias = frozenset(one for one in _ORDER if named[one].alias and named[one].alias in labels.aliases)
    ours: set[Stage] = set()
    if wrote and by_stage and labels.stage in (wrote.stage, wrote.was_stage):
        ours.add(by_stage)
    if wrote:
        ours |= {one for one in by_alias if naming.short_hash(named[one].alias) in (wrote.alias, wrote.was_alias)}
    return _Read(by_stage, by_alias, frozenset(ours))


def _claim(number: int, read: _Read, wrote: Told | None) -> Claim | None:
    asked = next((one for one in _ORDER if one in read.asked), None)
    if asked:
        return Claim(number, asked)
    if wrote is None or not (read.ours or wrote.state in ("Refused", "RolledBack")):
        return None
    return Claim(number, *_MEANT.get(wrote.state, ("None", "Written")))


def _conflict(read: Mapping[int, _Read], stages: Stages) -> str:
    """New requests for Production that contradict each other: one by stage, another by alias."""
    by_stage = {number for number, one in read.items() if one.by_stage == "Production" and "Production" in one.asked}
    by_alias = {number for number, one in read.items() if "Production" in one.by_alias & one.asked}
    for number in by_alias - by_stage if by_stage else ():
        said = ", ".join(str(one) for one in sorted(by_stage))
        return (
            f"the registry asks for version {said} by the stage {stages.production.stage} and for version {number} by "
            f"the alias {stages.production.alias}: set both on one version"
        )
    return ""
