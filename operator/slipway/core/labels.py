"""What the registry should say about each version, and whether it does.

The ledger remembers what the registry was asked to say. Labels that differ from it are drift once they were as asked;
drift is reported and never overwritten.
"""

from dataclasses import dataclass

from ..api.modelledger import TOLD, ModelLedgerSpec, Told
from ..api.modelregistry import RegistryLabels
from ..api.modelversion import ModelVersion
from ..resources import naming
from . import claims
from .conditions import Verdict, clipped, failed, passed, unknown
from .election import refusal, refused
from .ledger import is_rolled_back
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Absent, Labels, Silent, Write

WHY_LIMIT = 1000  # characters of a reason in a tag


@dataclass(frozen=True)
class Wanted:
    """What the registry should say about one version."""

    write: Write
    state: str  # a word
    message: str  # what is told once it says so


def in_play(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[ModelVersion]:
    """Versions of which the registry is told: the champion, then those that ask for Production, then the newest."""
    asking = [one for one in seen.versions if seen.stage(one, ledger) != "None" or one.spec.version == ledger.champion]

    def first(one: ModelVersion) -> tuple[bool, bool, int]:
        return one.spec.version != ledger.champion, seen.stage(one, ledger) != "Production", -one.spec.version

    return sorted(asking, key=first)[:TOLD]


def wanted(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Wanted | None:
    """What the registry should say about a version; None if there is nothing to say."""
    if isinstance(seen.registry, Silent):
        return None
    number, stages, nothing = version.spec.version, seen.registry.spec.stages, RegistryLabels()
    if number == ledger.champion:
        moving = ledger.following is not None and ledger.following.request is not None  # that is answered first
        return _wanted(seen, version, nothing if moving else stages.production, "Serving", f"since {ledger.since}")
    if out := is_rolled_back(ledger, number):
        after, by = _out_of_use(seen, ledger, number), f"Rolled back by {out.by}: {out.reason or 'no reason given'}"
        return _wanted(seen, version, after, "RolledBack", f"version {ledger.champion} serves", by)
    if refused(ledger, version):
        why = refusal(version)
        reason, message = (why.reason, why.message) if why else ("", "")
        return _wanted(seen, version, _if_refused(seen, ledger, number), "Refused", reason, message)
    stage = seen.stage(version, ledger)
    if stage == "Archived":
        return _wanted(seen, version, _out_of_use(seen, ledger, number), "Archived", "")
    if stage == "Staging" and _is_proven(version):
        return _wanted(
            seen, version, stages.staging if _is_first_in_staging(seen, ledger, version) else nothing, "Validated", ""
        )
    if stage == "Production" and ledger.champion is not None and (seen.by_registry or ledger.release(number)):
        if seen.by_registry and _asks(ledger, number):
            return None
        # Where labels decide, only what is known is archived: others may be asked for by now.
        after = RegistryLabels(stage=stages.archived.stage) if seen.by_registry else nothing
        return _wanted(seen, version, after, "Replaced", f"version {ledger.champion} serves")
    return None


def _out_of_use(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> RegistryLabels:
    """The labels of a version that is out of use; an alias is on one version only, the highest."""
    others = (one.spec.version for one in seen.versions if seen.stage(one, ledger) == "Archived")
    first = max((*others, *(one.version for one in ledger.rolled_back if one.version != ledger.champion)), default=0)
    labels = seen.stages.archived
    return labels if number == first else RegistryLabels(stage=labels.stage)


def _asks(ledger: ModelLedgerSpec, number: int) -> bool:
    """Whether a label in the registry asks for the version, and was not answered yet."""
    request = ledger.following.request if ledger.following else None
    return request is not None and number in (request.version, request.against)


def _if_refused(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> RegistryLabels:
    """The labels of a version that was refused: those of what is out of use, if its own are to go back."""
    taken_back = {one.version for one in ledger.following.taken_back} if ledger.following else set()
    if number not in taken_back or seen.model.spec.promotion.on_refusal == "Keep":
        return RegistryLabels()
    return (
        RegistryLabels(stage=seen.stages.archived.stage or "None") if seen.stages.production.stage else RegistryLabels()
    )


def _wanted(
    seen: ModelSeen, version: ModelVersion, labels: RegistryLabels, state: str, detail: str, why: str = ""
) -> Wanted:
    """The labels, and tags for people: what has become of the version, and why it may not serve."""
    prefix = f"slipway.dev/{seen.platform.cluster_name}/{seen.model.metadata.namespace}/"
    said = f"{state} {detail}".strip()
    digest = version.status.digest if state in ("Serving", "Validated") else None
    tags = {prefix + "state": said} | ({prefix + "digest": digest} if digest else {})
    known = seen.known.labels.get(version.spec.version) if seen.known else None
    if why or (known and known.tags.get(prefix + "reason")):  # one that is true no longer is emptied
        tags[prefix + "reason"] = clipped(why, WHY_LIMIT)
    if seen.labelled_by:  # what one writes would be a request to the other
        labels = RegistryLabels()
    others = labels.stage in ("Production", "Staging") and not seen.by_registry
    write = Write(version.spec.version, labels.stage, archive_others=others, alias=labels.alias, tags=tags)
    stage = f", stage {labels.stage}" if labels.stage else ""
    alias = f", alias {labels.alias}" if labels.alias else ""
    other = f" Stage and alias are those of the model {seen.labelled_by}." if seen.labelled_by else ""
    return Wanted(write, state, f"The registry says: {said}{stage}{alias}.{other}")


def told(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Told, ...]:
    """The stages and aliases that the registry is asked to give; what the ledger remembers of a silent one."""
    if isinstance(seen.registry, Silent):
        return ledger.told
    found = []
    for version in in_play(seen, ledger):
        one = wanted(seen, ledger, version)
        if one and (one.write.stage or one.write.alias):
            alias = naming.short_hash(one.write.alias) if one.write.alias else ""
            found.append(Told(version=version.spec.version, state=one.state, stage=one.write.stage or "", alias=alias))
    return tuple(found)


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
    labels = seen.known.labels.get(number) if seen.known else None
    if labels is not None:
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
        return _drifted(seen, ledger, number, one, labels)
    return _unwritten(seen, number)


def _drifted(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, one: Wanted, labels: Labels) -> Verdict:
    """Labels were moved by hand: they are set back, or told of. What they asked for was answered before."""
    policy, shown = seen.model.spec.promotion, claims.stage_shown(labels, seen.stages)
    if seen.by_registry and number != ledger.champion:
        return _unwritten(seen, number) if shown == "Production" else passed(Reason.LabelsWritten, one.message)
    refused_one = ledger.following is not None and ledger.following.restore
    if policy.on_drift == "Correct" or (refused_one and policy.on_refusal == "Revert"):
        return _unwritten(seen, number)
    if seen.by_registry and shown not in ("Production", "Archived"):
        return failed(Reason.Unclaimed)
    return failed(Reason.RegistryDrifted, _drift(labels, one.write))


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


def _is_first_in_staging(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    proven = [one.spec.version for one in seen.versions if seen.stage(one, ledger) == "Staging" and _is_proven(one)]
    return version.spec.version == max(proven)
