"""How a model stands, for people: its status, and the events of a pass."""

from dataclasses import replace

from ..api.modelledger import SHOWN, ModelLedgerSpec
from ..api.registeredmodel import Live, RegisteredModelStatus
from ..resources import serving
from . import adoption, claims, consent, rollout
from . import ledger as ledgers
from .claimants import request_of
from .conditions import Verdict, conditions_after, failed, passed, refusal, sentence, unknown
from .decision import Event
from .election import Election, waits
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Silent
from .released import held, pods_described, progress, silence, unreadable
from .rollout import Plan


def status(seen: ModelSeen, ledger: ModelLedgerSpec, plan: Plan) -> RegisteredModelStatus:
    """Who serves, who comes next, where a rollback would lead, and whether the model is ready."""
    meta = seen.model.metadata
    rollback, where = _rollback_ready(seen, ledger)
    adopted = adoption.adopted(seen, ledger)
    conditions = conditions_after(
        seen.model.status.conditions,
        {"RollbackReady": rollback} | ({"Adopted": adopted} if adopted else {}),
        _ready(seen, ledger, plan),
        ledgers.stamp(seen.now),
        meta.generation,
    )
    warm = rollout.warm_until(seen, ledger)
    return RegisteredModelStatus(
        observed_generation=meta.generation,
        conditions=conditions,
        url=serving.url(seen.model) if ledgers.who_serves(ledger) else None,
        adopted=adoption.status(seen, ledger),
        champion=_live(seen, ledger, ledger.champion, since=ledger.since),
        candidate=_live(seen, ledger, plan.candidate),
        predecessor=_live(seen, ledger, ledger.predecessor, until=warm) if warm else None,
        following_since=ledger.following.since if ledger.following else None,
        rollback=where,
        history=ledger.history,
        before=_before(ledger),
    )


def news(seen: ModelSeen, before: ModelLedgerSpec, plan: Plan) -> tuple[Event, ...]:
    """What happened to the model's traffic in this pass."""
    after = plan.ledger
    adopted, was = after.serving_adopted, before.serving_adopted
    if adopted is not None and (was is None or was.deployment != adopted.deployment):
        if before.champion is not None:
            return (
                Event("Normal", "RolledBack", f"Rolled back to Deployment {adopted.deployment}, which is adopted."),
            )
        said = f"Deployment {adopted.deployment} has the traffic of {serving.url(seen.model)}, as it is, unproven."
        return (Event("Normal", "Adopted", f"{said} {adoption.UNKNOWN}"),)
    if before.champion != after.champion and after.champion is not None:
        rolled = before.handled.rollback != after.handled.rollback
        verb = "Rolled back to" if rolled else "Traffic moved to"
        url = serving.url(seen.model)
        sample = f"curl {url}/invocations -H 'Content-Type: application/json' -d '{{\"dataframe_records\": [{{…}}]}}'"
        return (Event("Normal", "RolledBack" if rolled else "Serving", f"{verb} version {after.champion}: {sample}"),)
    if before.champion is not None and after.champion is None:
        return (Event("Normal", "NothingToServe", f"Version {before.champion} was archived; nothing serves."),)
    if before.handled.rollback != after.handled.rollback:
        return (Event("Warning", Reason.RollbackImpossible, f"Rollback: {plan.impossible}."),)
    since = after.following.since if after.following else None
    if since and since != (before.following.since if before.following else None):
        there = "asks for nothing" if after.champion or adopted else "is asked for"
        said = f"{Reason.FollowsRegistry.meaning} What is in Production there already {there}."
        return (Event("Normal", Reason.FollowsRegistry, said),)
    return ()


def _ready(seen: ModelSeen, ledger: ModelLedgerSpec, plan: Plan) -> Verdict:
    """A model is ready when its champion answers and nothing is on the move."""
    champion = ledger.champion
    if refused := _refused(seen, kinds=("ModelLedger", "Service")):  # without them, nothing can move
        return refused
    if seen.invalid:
        return failed(Reason.InvalidSpec, unreadable(seen))
    if seen.model.spec.suspend and plan.election.returning is None:
        return failed(Reason.Suspended)
    if seen.unreadable:
        return failed(Reason.InvalidSpec, unreadable(seen))
    if conflict := claims.conflict_of(ledger, seen.stages):
        return failed(Reason.LabelsConflict, conflict)
    if silent := _unreadable_registry(seen):
        return failed(reason_named(silent.reason), silent.message)
    if plan.candidate is not None:
        return progress(seen, ledger, plan.candidate)
    if (why := consent.forbidden(seen)) and (champion is None or request_of(ledger)):
        return failed(Reason.PromotionNotAllowed, why)
    if champion is None:
        return _refused(seen) or _adopted_ready(seen, ledger) or _nobody(seen, ledger, plan.election)
    note = _hold_note(ledger) + _overlooked_note(seen, ledger)
    serves = passed(Reason.Serving, f"Version {champion} serves{pods_described(seen.pods.get(champion))}{note}")
    return silence(seen, champion) or _refused(seen, f" {serves.message}") or serves


def _unreadable_registry(seen: ModelSeen) -> Silent | None:
    """Why nobody can read the model's labels until somebody changes something."""
    if isinstance(seen.registry, Silent):
        return None if seen.registry.reason in (Reason.RegistryUnreachable, Reason.Suspended) else seen.registry
    if isinstance(seen.labels, Silent) and seen.labels.reason == Reason.ModelTooLarge:
        return seen.labels
    return None


def _adopted_ready(seen: ModelSeen, ledger: ModelLedgerSpec) -> Verdict | None:
    """How what was adopted serves, or why it was not taken in; None where nothing is."""
    verdict = adoption.missing(seen, ledger) or adoption.ready(seen, ledger)
    return verdict and replace(verdict, message=verdict.message + _hold_note(ledger))


def _hold_note(ledger: ModelLedgerSpec) -> str:
    return f" {held(ledger)} {Reason.Held.remedy}" if ledger.hold else ""


def _overlooked_note(seen: ModelSeen, ledger: ModelLedgerSpec) -> str:
    """That a label may have asked for something, and nobody can tell."""
    lowest = claims.overlooked(ledger, seen.known.labels, seen.stages) if seen.by_registry and seen.known else None
    if lowest is None:
        return ""
    return (
        f" More than {SHOWN} versions are in the stage {seen.stages.production.stage} of the registry: on one below "
        f"{lowest}, it asks for nothing. Archive there what does not serve, or move the alias."
    )


def _refused(seen: ModelSeen, serves: str = "", kinds: tuple[str, ...] = ()) -> Verdict | None:
    """What the API server refused of the model's objects, in its own words: what is asked for is not so."""
    for ref, one in seen.refusals.items():
        if not kinds or ref.kind in kinds:
            return failed(reason_named(one.reason), f"{sentence(one.message)}{serves}")
    return None


def _nobody(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election) -> Verdict:
    """Nothing serves: because nobody asked, because who asked was refused or rolled back, or not yet."""
    if (asked := seen.version(election.target)) is not None:
        if withheld := waits(seen, ledger, asked):
            return Verdict("False", withheld.reason, withheld.message, final=withheld.reason.outlook == "Stuck")
        return unknown(Reason.RolloutProgressing, f"Version {asked.spec.version} is being validated.")
    asking = [one for one in seen.versions if seen.stage(one, ledger) == "Production"]
    for version in sorted(asking, key=lambda one: -one.spec.version):
        why = refusal(version)
        if why is not None:
            said = f"Version {version.spec.version} was refused, and no other can serve: {why.message}"
            return Verdict("False", reason_named(why.reason), said, final=True)
    if seen.by_registry and (request := request_of(ledger)):
        return unknown(Reason.RolloutProgressing, f"Version {request.version} was asked for in the registry.")
    return passed(Reason.NothingToServe)


def _rollback_ready(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Verdict, str | None]:
    """Whether a rollback could be carried out now, and in a few words where it would lead."""
    number = ledger.predecessor
    if number is None and ledger.adopted is not None and ledger.champion is not None:
        found = adoption.way_back(seen, ledger)
        if isinstance(found, str):
            return Verdict("False", Reason.NoPredecessor, sentence(found[0].upper() + found[1:])), None
        return passed(
            Reason.PredecessorWarm, f"Deployment {found.deployment} served before any version did."
        ), "to adopted, warm"
    if number is None:
        return Verdict("False", Reason.NoPredecessor, Reason.NoPredecessor.meaning), None
    there = seen.pods.get(number)
    if there is not None and there.ready > 0 and number != ledger.champion:
        said = f"Version {number} is warm, {there.ready}/{there.replicas} pods ready."
        return passed(Reason.PredecessorWarm, said), f"to v{number}, warm"
    return passed(
        Reason.PredecessorCold, f"Version {number} has no ready pods; they start first."
    ), f"to v{number}, cold"


def _before(ledger: ModelLedgerSpec) -> str | None:
    """What had the traffic before, in a few words."""
    last = next((one for one in reversed(ledger.history) if one.until), None)
    return f"v{last.version} until {last.until}, {last.left or 'nobody said why'}" if last else None


def _live(
    seen: ModelSeen, ledger: ModelLedgerSpec, number: int | None, since: str | None = None, until: str | None = None
) -> Live | None:
    if number is None:
        return None
    there, release, version = seen.pods.get(number), ledger.release(number), seen.version(number)
    digest = release.digest if release else (version.status.digest or "" if version else "")
    ready = f"{there.ready}/{there.replicas}" if there else "0/0"
    return Live(
        version=number, digest=digest, since=since or (there.since if there else None), until=until, ready=ready
    )
