"""What the registry should say about each version, and whether it does. Written once per fact; later changes by
others are drift, which is reported and never overwritten.
"""

from dataclasses import dataclass

from ..api.modelregistry import ModelRegistry, RegistryLabels
from ..api.modelversion import ModelVersion
from ..resources.serving import Traffic
from .conditions import Verdict, failed, passed, received, unknown
from .election import refusal, refused, rolled_back
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Absent, Labels, Silent, Write

SHOWN = 32  # verdicts are kept for the newest versions only


@dataclass(frozen=True)
class Wish:
    """What the registry should say about one version."""

    write: Write
    fact: str  # a sentence that changes when the fact does; also the message once it is written


def versions_told(versions: tuple[ModelVersion, ...], champion: int | None) -> list[ModelVersion]:
    """Versions of which the registry is told: the champion, then those that ask for Production, then the newest."""
    asking = [one for one in versions if one.spec.stage != "None" or one.spec.version == champion]

    def first(one: ModelVersion) -> tuple[bool, bool, int]:
        return one.spec.version != champion, one.spec.stage != "Production", -one.spec.version

    return sorted(asking, key=first)[:SHOWN]


def wish(seen: ModelSeen, version: ModelVersion, traffic: Traffic, marks: ModelRegistry) -> Wish | None:
    """What the registry should say about a version; None if there is nothing to say yet."""
    number, stages = version.spec.version, marks.spec.stages
    if number == traffic.champion:
        return _wish(seen, number, stages.production, "Serving", f"since {traffic.since}", version.status.digest)
    if rolled_back(seen, version):
        return _wish(seen, number, stages.archived, "RolledBack", f"version {traffic.champion} serves")
    if refused(seen, version):
        why = refusal(version)
        return _wish(seen, number, RegistryLabels(), "Refused", why.reason if why else "")
    if version.spec.stage == "Archived":
        return _wish(seen, number, stages.archived, "Archived", "")
    if version.spec.stage == "Staging" and _proven(version):
        marks_of = stages.staging if _first_in_staging(seen, version) else RegistryLabels()
        return _wish(seen, number, marks_of, "Validated", "", version.status.digest)
    if version.spec.stage == "Production" and number in traffic.history and traffic.champion is not None:
        return _wish(seen, number, RegistryLabels(), "Replaced", f"version {traffic.champion} serves")
    return None


def _wish(
    seen: ModelSeen, number: int, marks: RegistryLabels, state: str, detail: str, digest: str | None = None
) -> Wish:
    prefix = f"slipway.dev/{seen.platform.cluster_name}/{seen.model.metadata.namespace}/"
    said = f"{state} {detail}".strip()
    tags = {prefix + "state": said} | ({prefix + "digest": digest} if digest else {})
    others = marks.stage in ("Production", "Staging")
    write = Write(number, marks.stage, archive_others=others, alias=marks.alias, tags=tags)
    stage = f", stage {marks.stage}" if marks.stage else ""
    alias = f", alias {marks.alias}" if marks.alias else ""
    return Wish(write, f"The registry says: {said}{stage}{alias}.")


def judge(seen: ModelSeen, version: ModelVersion, wished: Wish, before: Verdict | None) -> tuple[Verdict, Write | None]:
    """Whether the registry says what it should, and what to write if it was not told yet."""
    labels = seen.labels.get(version.spec.version)
    if labels is None:  # not asked: what was written stands
        return (before or unknown(Reason.LabelsPending)), None
    if isinstance(labels, Silent):
        if before and before.holds and before.message == wished.fact:
            return before, None  # silence takes nothing back
        return unknown(reason_named(labels.reason), labels.message), None
    if isinstance(labels, Absent):
        return failed(reason_named(labels.reason), labels.message), None
    if says(labels, wished.write):
        return passed(Reason.LabelsWritten, wished.fact), None
    if _was_told(labels, wished.write):
        return failed(Reason.RegistryDrifted, _drift(labels, wished.write)), None
    return unknown(Reason.LabelsPending), wished.write


def previous(seen: ModelSeen, number: int) -> Verdict | None:
    """The Synced verdict of the last pass."""
    for one in seen.model.status.versions:
        if one.version == number and one.synced:
            return received(one.synced)
    return None


def says(labels: Labels, write: Write) -> bool:
    """Whether the labels are as the write would have them."""
    stage = write.stage is None or labels.stage == write.stage
    alias = write.alias is None or write.alias in labels.aliases
    return stage and alias and _was_told(labels, write)


def _was_told(labels: Labels, write: Write) -> bool:
    return all(labels.tags.get(key) == value for key, value in write.tags.items())


def _drift(labels: Labels, write: Write) -> str:
    told = []
    if write.stage and labels.stage != write.stage:
        told.append(f"stage is {labels.stage}, was set to {write.stage}")
    if write.alias and write.alias not in labels.aliases:
        told.append(f"alias {write.alias} was taken away")
    return "In the registry, " + " and ".join(told) + "."


def _proven(version: ModelVersion) -> bool:
    proof = version.status.condition("Validated")
    return proof is not None and proof.status == "True"


def _first_in_staging(seen: ModelSeen, version: ModelVersion) -> bool:
    proven = [one.spec.version for one in seen.versions if one.spec.stage == "Staging" and _proven(one)]
    return version.spec.version == max(proven)
