"""Which version should serve: the highest that asks for Production and was neither refused nor rolled back."""

from dataclasses import dataclass
from typing import Literal

from ..api import names
from ..api.modelledger import Adopted, ModelLedgerSpec, Release
from ..api.modelversion import ModelVersion
from . import adoption, consent, gates
from .claimants import claims_of
from .commands import Command, command
from .conditions import refusal
from .consent import Withheld
from .observed import ModelSeen
from .revisions import revision_of

# Why no rollout starts, whatever asks for one.
Barrier = Literal["", "Held", "Frozen", "Suspended", "Unreadable", "Forbidden", "Unadopted"]


@dataclass(frozen=True)
class Election:
    """How the versions of a model stand to each other."""

    target: int | None  # the version that should have the traffic
    proven: bool  # it may have it: released before, or evidence against the champion of now
    returning: Command | None = None  # the rollback that chose it
    back: bool = False  # it was released before and is returned to: ready pods are enough
    barrier: Barrier = ""


def rollback_of(seen: ModelSeen, ledger: ModelLedgerSpec) -> Command | None:
    """The rollback that is asked for and was not carried out yet."""
    return command(seen.model.metadata.annotations.get(names.ROLLBACK, ""), ledger.handled.rollback)


def destination(seen: ModelSeen, ledger: ModelLedgerSpec, asked: Command) -> Release | Adopted | str:
    """What a rollback returns to, or a sentence that says why it cannot."""
    if asked.wrong:
        return asked.wrong
    number = asked.to if asked.to is not None else ledger.predecessor
    if asked.to_adopted or (number is None and ledger.adopted is not None and ledger.champion is not None):
        return adoption.way_back(seen, ledger)
    if number is None:
        return "there is no version to go back to"
    if number == ledger.champion:
        return f"version {number} has the traffic"
    found = ledger.release(number)
    if found is None:
        known = ", ".join(str(one.version) for one in ledger.released if one.version != ledger.champion)
        return f"version {number} is not among the releases that are known: {known or 'there are none'}"
    return found


def elect(seen: ModelSeen, ledger: ModelLedgerSpec) -> Election:
    """The version that should have the traffic, and whether it may."""
    asked = rollback_of(seen, ledger)
    found = destination(seen, ledger, asked) if asked is not None else ""
    if not isinstance(found, str):
        number = found.version if isinstance(found, Release) else None
        return Election(number, proven=True, returning=asked, back=True)
    version = next(iter(contenders(seen, ledger)), None)
    if barrier := barrier_of(seen, ledger, version):
        return Election(ledger.champion, proven=True, barrier=barrier)
    if version is None:
        return Election(ledger.champion if _keeps(seen, ledger) else None, proven=True)
    number = version.spec.version
    if number == ledger.champion:
        return Election(number, proven=True)
    if proof_is_kept(seen, ledger, version) and waits(seen, ledger, version) is None:
        return Election(number, proven=True, back=True)
    may = evidence_holds(seen, ledger, version) and waits(seen, ledger, version) is None
    return Election(number, proven=may)


def barrier_of(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion | None) -> Barrier:
    """Why no rollout of a version may start now; "" if it may. A freeze and a policy are for what is new only."""
    barrier = _barrier(seen, ledger)
    if barrier not in ("Frozen", "Forbidden") or version is None or not is_way_back(ledger, version.spec.version):
        return barrier
    returns = version.spec.version != ledger.champion and proof_is_kept(seen, ledger, version)
    return "" if returns else barrier


def _barrier(seen: ModelSeen, ledger: ModelLedgerSpec) -> Barrier:
    if seen.invalid:
        return "Unreadable"
    if seen.model.spec.suspend:
        return "Suspended"
    if ledger.hold is not None:
        return "Held"
    if seen.unreadable:
        return "Unreadable"
    if adoption.missing(seen, ledger):
        return "Unadopted"
    if consent.forbidden(seen):
        return "Forbidden"
    return "Frozen" if seen.platform.freeze else ""


def contenders(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[ModelVersion]:
    """Versions that claim Production and were not refused, the first claim first."""
    claimed = [seen.version(one.version) for one in claims_of(seen, ledger) if one.stage == "Production"]
    return [one for one in claimed if one is not None and not refused(seen, ledger, one)]


def refused(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """It cannot be released as it is: by its pin, or a condition before Released is stuck for what is asked now."""
    number, status = version.spec.version, version.status
    release = seen.release(ledger, version)
    if release is not None and number == ledger.champion:
        return False
    if release is None and not seen.is_of_now(version):
        return False
    returns = release is not None and is_way_back(ledger, number)  # nothing is asked of it
    if release is not None and version.spec.digest not in (None, release.digest):
        return not (returns and seen.by_registry)
    if returns or (release is not None and not _failed_validation(version)):
        return False
    if status.observed_generation != version.metadata.generation:
        return False
    if status.last_handled_retry != version.retry:
        return False
    return refusal(version) is not None and not _is_judged_anew(seen, ledger, version)


def _is_judged_anew(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether a label asks for what failed by other gates, or against another champion than that of now."""
    request = ledger.following.request if seen.by_registry and ledger.following else None
    if request is None or request.version != version.spec.version or not _failed_validation(version):
        return False
    return version.status.validation is not None and not is_judged_for_now(seen, ledger, version)


def _failed_validation(version: ModelVersion) -> bool:
    found = refusal(version)
    return found is not None and found.type == "Validated"


def is_way_back(ledger: ModelLedgerSpec, number: int) -> bool:
    """Whether a released version lies below what serves, or served last, and was neither refused nor rolled back."""
    request = ledger.following.request if ledger.following else None
    if (request is not None and request.version == number and request.again) or ledger.serving_adopted:
        return False
    return number <= (ledger.champion or ledger.predecessor or number)


def proof_is_kept(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """What was released needs no new evidence to return: the same files, and nothing stricter asked since.

    Going back below the champion asks for nothing: the older version was there before. A version above the champion
    comes into Production anew, so gates that were changed meanwhile are asked first.
    """
    release, back = seen.release(ledger, version), is_way_back(ledger, version.spec.version)
    if release is not None and back and seen.by_registry:  # whoever may edit a version may not keep it from returning
        return True
    if release is None or version.status.digest not in (None, release.digest):
        return False
    if version.spec.digest not in (None, release.digest):
        return False
    proof = version.status.validation
    if back:
        return True
    if proof is None:  # its status was lost: nobody knows any more what it was asked
        return False
    asked = gates.merged(seen.policy, version.spec.validation)
    of_now = not isinstance(asked, str) and proof.revision == revision_of(seen.model, version, asked)
    return of_now and proof.outcome == "Passed"


def waits(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Withheld | None:
    """What a proven version that is asked for waits for, if that is somebody's consent."""
    number = version.spec.version
    if seen.release(ledger, version) is not None and is_way_back(ledger, number):
        return None
    if not evidence_holds(seen, ledger, version) and not proof_is_kept(seen, ledger, version):
        return None
    return consent.withheld(seen, ledger, version, started=number in seen.pods and number != ledger.predecessor)


def evidence_holds(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """The version was validated as it is asked for now, against the champion of now."""
    return seen.is_of_now(version) and is_validated(version) and is_judged_for_now(seen, ledger, version)


def is_judged_for_now(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether its evidence, for or against it, answers what is asked now, against the champion of now."""
    proof = version.status.validation
    asked = gates.merged(seen.policy, version.spec.validation)
    if proof is None or isinstance(asked, str):
        return False
    of_now = proof.revision == revision_of(seen.model, version, asked)
    against = adoption.opponent(seen, ledger, version)
    return of_now and against is not None and (proof.champion_digest or "") == against.digest


def is_validated(version: ModelVersion) -> bool:
    """The version was validated as it is now, against whichever champion; nothing before that is being redone."""
    status = version.status
    holds = {one.type for one in status.conditions if one.status == "True"}
    if not {"Resolved", "Imported", "Validated"} <= holds or status.validation is None or status.digest is None:
        return False
    if version.spec.digest not in (None, status.digest):
        return False
    if status.last_handled_retry != version.retry:
        return False
    return status.observed_generation == version.metadata.generation


def _keeps(seen: ModelSeen, ledger: ModelLedgerSpec) -> bool:
    """With nobody to take over, the champion keeps the traffic unless it claims to be Archived."""
    claims = {one.version: one.stage for one in claims_of(seen, ledger)}
    return ledger.champion is None or claims.get(ledger.champion) != "Archived"
