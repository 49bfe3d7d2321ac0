"""Whether the registry says what it should, and what is written to it.

Labels that differ are drift once they were as asked: somebody has moved them. Drift is reported, and set back only
where the policy says so.
"""

from collections.abc import Mapping
from dataclasses import replace

from ..api.modelledger import ModelLedgerSpec
from ..api.modelversion import ModelVersion
from .conditions import Verdict, failed, passed, sentence, unknown
from .in_play import in_play
from .labels import Wanted, wanted
from .meaning import stage_shown
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Absent, Labels, Silent, Write


def writes(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Write, ...]:
    """What has to be written to the registry: whatever it does not say and was not changed by somebody else."""
    if seen.by_registry and seen.known is None:
        return ()  # nobody knows what is asked for
    found = []
    for version in in_play(seen, ledger):
        one = wanted(seen, ledger, version)
        if one is not None and (due := _due(seen, ledger, version, one)):
            found.append(due)
    return tuple(found)


def _due(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, one: Wanted) -> Write | None:
    """What of it has to be written: all, or stage and alias alone where somebody else insists on the tags."""
    verdict, number = synced(seen, ledger, version), version.spec.version
    labels = seen.known.labels.get(number) if seen.known else None
    if verdict.reason is Reason.RegistryContested and labels is not None:
        one = replace(one, write=replace(one.write, tags={}, notes={}, line=""))
        verdict = _compared(replace(seen, label_refusals={}), ledger, number, one, labels)
    trouble = seen.label_refusals.get(number)
    untold = trouble is not None and labels is not None and _is_only_untold(trouble, labels, one.write)
    return one.write if untold or verdict.reason in _UNWRITTEN or _waits(trouble, verdict) else None


def _waits(trouble: Silent | None, verdict: Verdict) -> bool:
    """Whether a write that was tried is wanted on, whatever kept it from coming to be; where two insist, it is not."""
    return trouble is not None and verdict.reason == reason_named(trouble.reason) != Reason.RegistryContested


def _is_only_untold(trouble: Silent, labels: Labels, write: Write) -> bool:
    """Whether the registry says all that is true, and only has no place for what tells people of it."""
    return trouble.telling and _labels_are(labels, write) and _tags_are(labels, write.tags) and not write.archive


OF_ANOTHER = (
    "The registered model was made anew, or lies on another server: what was released before serves on, and the "
    "version that has this number now is looked at once another one serves."
)

# What a version reads while the registry does not say what it should, and the label writer is to go on trying.
_UNWRITTEN = {
    Reason.LabelsPending,
    Reason.RegistryUnreachable,
    Reason.RegistryUnauthorized,
    Reason.PermissionsMissing,
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
    if not seen.has(ledger, version):
        return failed(Reason.VersionGone, f"{OF_ANOTHER} Nothing is written to it.")
    if one is None:
        return unknown(Reason.LabelsPending)
    if number not in {other.spec.version for other in in_play(seen, ledger)}:
        return passed(Reason.NotTold)
    contest = seen.contested.get(number)
    if contest and contest.tags == one.write.tags:  # what is new is written once all the same
        return failed(Reason.RegistryContested, contest.said)
    if seen.known and number in seen.known.gone:
        return failed(Reason.VersionGone)
    labels = seen.known.labels.get(number) if seen.known else None
    if labels is not None:
        return _compared(seen, ledger, number, one, labels)
    if before is not None and before.status == "True" and before.message == one.message:
        return passed(Reason.LabelsWritten, one.message)
    return _unwritten(seen, number)


def _compared(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, one: Wanted, labels: Labels) -> Verdict:
    if says(labels, one.write) and not one.write.archive:
        return passed(Reason.LabelsWritten, one.message)
    trouble = seen.label_refusals.get(number)
    if trouble and _is_only_untold(trouble, labels, one.write):
        return passed(Reason.LabelsWritten, f"{one.message} Not told beside it: {sentence(trouble.message)}")
    if trouble and not trouble.telling:  # tags may be there although the registry refused the rest
        return _unwritten(seen, number)
    if _tags_are(labels, one.write.tags):  # they are written last: the rest was as it should be
        if _labels_are(labels, one.write) and not one.write.archive and not _is_told(labels, one.write):
            return _unwritten(seen, number)
        return _drifted(seen, ledger, number, one, labels)
    return _unwritten(seen, number)


def _drifted(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, one: Wanted, labels: Labels) -> Verdict:
    """Labels were moved by hand: they are set back, or told of. What they asked for was answered before."""
    policy, shown = seen.model.spec.promotion, stage_shown(labels, seen.stages)
    if seen.by_registry and number != ledger.champion:
        return _unwritten(seen, number) if shown == "Production" else passed(Reason.LabelsWritten, one.message)
    if seen.by_registry and says(labels, one.write):  # it was replaced, and shows its stage still
        return _unwritten(seen, number)
    following = ledger.following
    retiring = following is not None and following.archived in ("Seen", "Asked")  # on purpose, it seems
    refused_one = following is not None and following.restore
    if (policy.on_drift == "Correct" and not retiring) or (refused_one and policy.on_refusal == "Revert"):
        return _unwritten(seen, number)
    if seen.by_registry and shown not in ("Production", "Archived"):
        return failed(Reason.Unclaimed)
    return failed(Reason.RegistryDrifted, _drift(seen, ledger, labels, one.write))


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
    """Whether the registry says what the write would have it say."""
    return _labels_are(labels, write) and _tags_are(labels, write.tags) and _is_told(labels, write)


def _labels_are(labels: Labels, write: Write) -> bool:
    stage = write.stage is None or labels.stage == write.stage
    alias = (write.alias is None or write.alias in labels.aliases) and write.without not in labels.aliases
    return stage and alias


def _is_told(labels: Labels, write: Write) -> bool:
    return _tags_are(labels, write.notes) and (not write.line or write.line in labels.lines)


def _tags_are(labels: Labels, tags: Mapping[str, str]) -> bool:
    return all(labels.tags.get(key) == value for key, value in tags.items())


def _drift(seen: ModelSeen, ledger: ModelLedgerSpec, labels: Labels, write: Write) -> str:
    """Both sides: what the registry says, and what is so."""
    found = []
    if write.stage and labels.stage != write.stage:
        found.append(f"its stage is {labels.stage}, was set to {write.stage}")
    if write.alias and write.alias not in labels.aliases:
        there = seen.known.labels.items() if seen.known else ()
        holder = next((number for number, one in there if write.alias in one.aliases), None)
        found.append(f"the alias {write.alias} is " + (f"on version {holder}" if holder else "gone"))
    if write.archive:
        which = ", ".join(str(number) for number in write.archive[:5])
        found.append(f"version {which} is in stage {write.stage}, too")
    return f"Version {ledger.champion} serves. In the registry, " + " and ".join(found) + "."
