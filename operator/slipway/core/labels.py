"""What the registry should say about each version, and whether it does.

The ledger remembers what the registry was asked to say. Labels that differ from it are drift once they were as asked;
drift is reported and never overwritten.
"""

from dataclasses import dataclass

from ..api.modelledger import TOLD, ModelLedgerSpec, Told
from ..api.modelregistry import RegistryLabels
from ..api.modelversion import ModelVersion
from ..resources import naming
from .conditions import Verdict, failed, passed, unknown
from .election import refusal, refused, requests
from .ledger import is_rolled_back
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Absent, Labels, RegistryModel, Silent, Write


@dataclass(frozen=True)
class Wanted:
    """What the registry should say about one version."""

    write: Write
    state: str  # a word
    message: str  # what is told once it says so


def in_play(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[ModelVersion]:
    """Versions of which the registry is told: the champion, then those that ask for Production, then the newest."""
    asking = [one for one in seen.versions if seen.stage(one) != "None" or one.spec.version == ledger.champion]

    def first(one: ModelVersion) -> tuple[bool, bool, int]:
        return one.spec.version != ledger.champion, seen.stage(one) != "Production", -one.spec.version

    return sorted(asking, key=first)[:TOLD]


def wanted(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Wanted | None:
    """What the registry should say about a version; None if there is nothing to say."""
    if isinstance(seen.registry, Silent):
        return None
    number, stages, nothing = version.spec.version, seen.registry.spec.stages, RegistryLabels()
    if number == ledger.champion:
        moving = requests(seen, ledger)  # a label that was moved away is answered first
        return _wanted(seen, version, nothing if moving else stages.production, "Serving", f"since {ledger.since}")
    if is_rolled_back(ledger, number):
        return _wanted(seen, version, stages.archived, "RolledBack", f"version {ledger.champion} serves")
    if refused(ledger, version):
        why = refusal(version)
        return _wanted(seen, version, _taken_back(seen, number), "Refused", why.reason if why else "")
    if seen.stage(version) == "Archived":
        return _wanted(seen, version, stages.archived, "Archived", "")
    if seen.stage(version) == "Staging" and _is_proven(version):
        return _wanted(
            seen, version, stages.staging if _is_first_in_staging(seen, version) else nothing, "Validated", ""
        )
    if seen.stage(version) == "Production" and ledger.release(number) and ledger.champion is not None:
        return _wanted(seen, version, nothing, "Replaced", f"version {ledger.champion} serves")
    return None


def _wanted(seen: ModelSeen, version: ModelVersion, labels: RegistryLabels, state: str, detail: str) -> Wanted:
    prefix = f"slipway.dev/{seen.platform.cluster_name}/{seen.model.metadata.namespace}/"
    said = f"{state} {detail}".strip()
    digest = version.status.digest if state in ("Serving", "Validated") else None
    tags = {prefix + "state": said} | ({prefix + "digest": digest} if digest else {})
    others = labels.stage in ("Production", "Staging")
    write = Write(version.spec.version, labels.stage, archive_others=others, alias=labels.alias, tags=tags)
    stage = f", stage {labels.stage}" if labels.stage else ""
    alias = f", alias {labels.alias}" if labels.alias else ""
    return Wanted(write, state, f"The registry says: {said}{stage}{alias}.")


def _taken_back(seen: ModelSeen, number: int) -> RegistryLabels:
    """The labels of a version that was refused, if they are to go back: what serves gets the alias anew."""
    if not seen.by_registry or seen.model.spec.promotion.on_refusal == "Keep" or isinstance(seen.registry, Silent):
        return RegistryLabels()
    stages, before = seen.registry.spec.stages, seen.ledger.told_of(number) if seen.ledger else None
    labels = _labels(seen, number)
    asked = labels is not None and labels.stage == stages.production.stage
    if asked or (before is not None and before.state == "Refused" and before.stage):
        return RegistryLabels(stage=stages.archived.stage or "None")
    return RegistryLabels()


def _labels(seen: ModelSeen, number: int) -> Labels | None:
    return seen.labels.labels.get(number) if isinstance(seen.labels, RegistryModel) else None


def told(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Told, ...]:
    """The stages and aliases that the registry is asked to give; what the ledger remembers of a silent one.

    Labels that are to be left alone are remembered for as long as they are as they were written: they would look like
    somebody's request otherwise.
    """
    if isinstance(seen.registry, Silent):
        return ledger.told
    found = {}
    for version in in_play(seen, ledger):
        number, one = version.spec.version, wanted(seen, ledger, version)
        if one and (one.write.stage or one.write.alias or one.state == "Refused"):
            alias = naming.short_hash(one.write.alias) if one.write.alias else ""
            found[number] = Told(version=number, state=one.state, stage=one.write.stage or "", alias=alias)
    if seen.by_registry:
        numbers = dict.fromkeys((*found, *(one.version for one in ledger.told)))
        kept = (_remembered(_labels(seen, one), found.get(one), ledger.told_of(one)) for one in numbers)
        return tuple(one for one in kept if one is not None)
    return tuple(found.values())


def _remembered(labels: Labels | None, now: Told | None, before: Told | None) -> Told | None:
    """What is remembered of the labels that were written: the last ones, too, while the registry shows them."""
    if before is None:
        return now
    aliases = {naming.short_hash(name) for name in labels.aliases} if labels else None
    stages = [one for one in (before.stage, before.was_stage) if one and (labels is None or one == labels.stage)]
    named = [one for one in (before.alias, before.was_alias) if one and (aliases is None or one in aliases)]
    if now is None:
        return before if stages or named else None
    was_stage = next((one for one in stages if one != now.stage), "")
    was_alias = next((one for one in named if one != now.alias), "")
    return now.model_copy(update={"was_stage": was_stage, "was_alias": was_alias})


def writes(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Write, ...]:
    """What has to be written to the registry: whatever it does not say and was not changed by somebody else."""
    found = []
    for version in in_play(seen, ledger):
        one = wanted(seen, ledger, version)
        if one is not None and synced(seen, ledger, version).reason in _UNWRITTEN:
            found.append(one.write)
    return tuple(found)


# What a version reads while the registry does not say what it should, and the label writer is to go on trying.
_UNWRITTEN = {
    Reason.LabelsPending,
    Reason.RegistryUnreachable,
    Reason.RegistryUnauthorized,
    Reason.RegistryRejected,
}


def synced(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Verdict:
    """The registry's labels say what is really running."""
    number = version.spec.version
    one = wanted(seen, ledger, version)
    before = version.status.condition("Synced")
    if isinstance(seen.registry, Silent):
        if before is not None and before.status == "True":
            return Verdict("True", reason_named(before.reason), before.message)  # silence takes nothing back
        return unknown(reason_named(seen.registry.reason), seen.registry.message)
    if one is None:
        return unknown(Reason.LabelsPending)
    if number not in {other.spec.version for other in in_play(seen, ledger)}:
        return passed(Reason.NotTold)
    if said := seen.contested.get(number):
        return failed(Reason.RegistryContested, said)
    if (labels := _labels(seen, number)) is not None:
        return _compared(seen, ledger, number, one, labels)
    if before is not None and before.status == "True" and before.message == one.message:
        return passed(Reason.LabelsWritten, one.message)
    return _unwritten(seen, number)


def _compared(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, one: Wanted, labels: Labels) -> Verdict:
    if says(labels, one.write):
        return passed(Reason.LabelsWritten, one.message)
    if number in seen.label_refusals:  # tags may be there although the registry refused the rest
        return _unwritten(seen, number)
    if _tags_are(labels, one.write):  # tags are written last: the rest was as it should be
        return _drifted(seen, ledger, number, _drift(labels, one.write))
    return _unwritten(seen, number)


def _drifted(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, said: str) -> Verdict:
    """Labels were moved by hand: they ask for something, are to be set back, or are told of."""
    policy, asked = seen.model.spec.promotion, seen.claims.requests if seen.by_registry else []
    if seen.claims.conflict:
        return failed(Reason.LabelsConflict, seen.claims.conflict)
    if number in requests(seen, ledger):
        return unknown(Reason.RegistryRequest)
    correct = policy.on_refusal == "Revert" if asked else policy.on_drift == "Correct"
    return _unwritten(seen, number) if correct else failed(Reason.RegistryDrifted, said)


def _unwritten(seen: ModelSeen, number: int) -> Verdict:
    """Why the labels are not as they should be yet."""
    if trouble := seen.label_refusals.get(number):
        verdict = unknown if trouble.retry else failed
        return verdict(reason_named(trouble.reason), trouble.message)
    if isinstance(seen.labels, Silent):
        return unknown(reason_named(seen.labels.reason), seen.labels.message)
    if isinstance(seen.labels, Absent):
        return failed(reason_named(seen.labels.reason), seen.labels.message)
    return unknown(Reason.LabelsPending)


def says(labels: Labels, write: Write) -> bool:
    """Whether the labels are as the write would have them."""
    stage = write.stage is None or labels.stage == write.stage
    alias = write.alias is None or write.alias in labels.aliases
    return stage and alias and _tags_are(labels, write)


def _tags_are(labels: Labels, write: Write) -> bool:
    return all(labels.tags.get(key) == value for key, value in write.tags.items())


def _drift(labels: Labels, write: Write) -> str:
    found = []
    if write.stage and labels.stage != write.stage:
        found.append(f"stage is {labels.stage}, was set to {write.stage}")
    if write.alias and write.alias not in labels.aliases:
        found.append(f"alias {write.alias} was taken away")
    return "In the registry, " + " and ".join(found) + "."


def _is_proven(version: ModelVersion) -> bool:
    proof = version.status.condition("Validated")
    return proof is not None and proof.status == "True"


def _is_first_in_staging(seen: ModelSeen, version: ModelVersion) -> bool:
    proven = [one.spec.version for one in seen.versions if seen.stage(one) == "Staging" and _is_proven(one)]
    return version.spec.version == max(proven)
