"""The Released condition of a version, from its model's ledger and the versions beside it."""

from ..api.modelledger import ModelLedgerSpec
from ..api.modelversion import ModelVersion, Stage
from ..resources import naming, serving
from . import adoption, claims, consent, environments, rollout
from .conditions import Verdict, failed, passed, sentence, unknown
from .decision import Refusal
from .election import Election, is_validated, waits
from .ledger import is_rolled_back, who_serves
from .observed import ModelSeen
from .pods import VersionPods
from .reasons import Reason, reason_named
from .revisions import environment_of

PODS_COME = "Its pods are the next step."


def released(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election, version: ModelVersion) -> Verdict:
    """Whether the version has the traffic, or what it waits for."""
    number = version.spec.version
    if number == ledger.champion:
        return _champion(seen, ledger, election, version)
    if out := is_rolled_back(ledger, number):
        said = f"Rolled back by {out.by}" + (f": {out.reason}" if out.reason else "")
        return failed(Reason.RolledBack, f"{sentence(said)} {_serves(ledger)}")
    stage = seen.stage(version, ledger)
    if content := _content(ledger, election, number, stage):
        return content
    if number == election.target and election.proven:
        return progress(seen, ledger, number)
    if stage != "Production":
        return unknown(Reason.NotRequested)
    if superseded := _superseded(seen, ledger, election, number):
        return Verdict("False", Reason.Superseded, superseded)
    if barrier := _barrier(seen, ledger, election):
        return barrier
    if number == election.target and (why := waits(seen, ledger, version)):
        return Verdict("False", why.reason, why.message, final=why.reason.outlook == "Stuck")
    if is_validated(version) and ledger.champion is not None:
        return Verdict("False", Reason.EvidenceStale, f"It was not compared with version {ledger.champion} yet.")
    return Verdict("False", Reason.RolloutProgressing, PODS_COME)


def _content(ledger: ModelLedgerSpec, election: Election, number: int, stage: Stage) -> Verdict | None:
    """What is said of a version that waits for no traffic: it is in Staging, or runs in what was adopted."""
    adopted = ledger.serving_adopted
    if stage == "Staging":
        return passed(Reason.Validated)
    if adopted is not None and adopted.version == number != election.target:
        return passed(Reason.Adopted, f"Deployment {adopted.deployment} serves, and is said to run it.")
    return None


def _champion(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election, version: ModelVersion) -> Verdict:
    if seen.stage(version, ledger) != "Production" and election.target == ledger.champion and not election.barrier:
        return failed(Reason.StillServing)
    if silent := silence(seen, version.spec.version):
        return silent
    pods = pods_described(seen.pods.get(version.spec.version))
    return passed(Reason.Serving, f"Serving at {serving.url(seen.model)} since {ledger.since}{pods}")


def _barrier(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election) -> Verdict | None:
    """Why a version that may be next does not start its rollout."""
    if conflict := claims.conflict_of(ledger, seen.stages):
        return failed(Reason.LabelsConflict, f"{conflict} {_serves(ledger)}".strip())
    match election.barrier:
        case "Held":
            return failed(Reason.Held, held(ledger))
        case "Frozen":
            return failed(Reason.Frozen, f"Promotions are frozen: {seen.platform.freeze}")
        case "Forbidden":
            return failed(Reason.PromotionNotAllowed, f"{consent.forbidden(seen)} {_serves(ledger)}".strip())
        case "Unadopted":
            return adoption.missing(seen, ledger)
        case "Suspended":
            return failed(Reason.Suspended)
        case "Unreadable":
            return failed(Reason.InvalidSpec, unreadable(seen))
    return None


def _superseded(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election, number: int) -> str:
    """Why another version comes first; "" if none does."""
    if not seen.by_registry:
        return "A higher version comes first." if number < (election.target or 0) else ""
    request = ledger.following.request if ledger.following else None
    asked = {request.version, request.against} if request else set()
    return "" if number in asked else "Another version was asked for later."


def held(ledger: ModelLedgerSpec) -> str:
    """Who held the model, since when and why."""
    hold = ledger.hold
    if hold is None:
        return ""
    why = f": {hold.reason}" if hold.reason else ""
    return sentence(f"No rollout starts since {hold.by} rolled back at {hold.at}{why}")


def unreadable(seen: ModelSeen) -> str:
    """What cannot be read."""
    if seen.invalid:
        return f"The spec cannot be read, so the traffic moves only by a rollback: {sentence(seen.invalid)}"
    numbers = ", ".join(str(one) for one in sorted(seen.unreadable))
    return f"Version {numbers} cannot be read, so the traffic moves only by a rollback."


def silence(seen: ModelSeen, champion: int) -> Verdict | None:
    """What is said while no pod of the champion answers; None while one does."""
    there = seen.pods.get(champion)
    if there is not None and there.ready > 0:
        return None
    said = f"No pod of version {champion} is ready."
    if refusal := refusal_of(seen, champion):
        return failed(reason_named(refusal.reason), f"{said} {refusal.message}")
    why = f" {there.trouble.reason}: {sentence(there.trouble.message)}" if there and there.trouble else ""
    return failed(Reason.InsufficientCapacity, said + why)


def pods_described(there: VersionPods | None) -> str:
    """How many pods of the champion answer, and why the others do not."""
    if there is None:
        return "."
    why = f" {there.trouble.reason}: {sentence(there.trouble.message)}" if there.trouble else ""
    return f", {there.ready}/{there.replicas} pods ready.{why}"


def progress(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> Verdict:
    """How far the pods of a candidate have come, or what keeps them down."""
    there = seen.pods.get(number)
    serves = f"; {who}" if (who := who_serves(ledger)) else ""
    pool = seen.model.spec.serving.pool
    if seen.platform.pool(pool.name if pool else None) is None:
        return failed(Reason.PoolNotFound, f"spec.serving.pool names a pool that the settings do not have{serves}.")
    version = None if ledger.release(number) else seen.version(number)  # what was released has its record
    if version and (said := environments.no_image(seen.platform, environment_of(version).python)):
        return failed(Reason.EnvironmentNotReproducible, f"{said} {_serves(ledger)}".strip())
    if refusal := refusal_of(seen, number):
        return failed(reason_named(refusal.reason), f"{sentence(refusal.message)} {_serves(ledger)}".strip())
    if there is None:
        return Verdict("False", Reason.RolloutProgressing, PODS_COME)
    said = f"{there.ready} of {rollout.replicas(seen)} pods ready{serves}."
    why = f" {there.trouble.reason}: {there.trouble.message}" if there.trouble else ""
    if there.late:
        said = f"Version {number} did not come up within {serving.PROGRESS_SECONDS} s: {said}{why}"
        return failed(Reason.ProgressDeadlineExceeded, said)
    if there.trouble:
        reason = there.trouble.reason if there.trouble.reason.outlook == "Retrying" else Reason.InsufficientCapacity
        return failed(reason, f"{said} {there.trouble.message}")
    return Verdict("False", Reason.RolloutProgressing, said)


def refusal_of(seen: ModelSeen, number: int) -> Refusal | None:
    """What the API server refused of a version's serving objects."""
    name = naming.version(seen.model.metadata.name, number)
    for ref, refusal in seen.refusals.items():
        if ref.kind in ("Deployment", "ControllerRevision") and (ref.name == name or ref.name[:-11] == name):
            return refusal
    return None


def _serves(ledger: ModelLedgerSpec) -> str:
    who = who_serves(ledger)
    return f"{who[0].upper()}{who[1:]}." if who else ""
