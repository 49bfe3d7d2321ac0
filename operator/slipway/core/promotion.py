"""The decision about a model: serving objects, traffic, and what people are told of it."""

from dataclasses import replace

from ..api import names
from ..api.base import API_VERSION
from ..api.modelledger import ModelLedgerSpec
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import Live, RegisteredModelStatus
from ..resources import naming, serving
from ..resources.platform import Manifest
from . import adoption, changes, claims, consent, discovery, drift, imports, rollout
from . import ledger as ledgers
from .conditions import Verdict, clipped, conditions_after, failed, passed, refusal, sentence, unknown
from .decision import Apply, Create, Decision, Event
from .election import Election, elect, is_judged_for_now, is_validated, request_of, waits
from .jobs import parse_time
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Silent, Write
from .released import conflict_of, held, pods_described, progress, released, silence, unreadable
from .rollout import Plan

NEW_SECONDS = 2.0
DISCOVERED = 12  # ModelVersions that are made in one pass


def decide(seen: ModelSeen) -> Decision:
    """What should be true of the model next. People are told of the ledger that is there, not of the one to come."""
    if (pause := _versions_may_come(seen)) > 0:
        return Decision(requeue_after_seconds=pause)
    believed = ledgers.believed(seen)
    if isinstance(believed, str):
        return _unproven(seen, believed)
    plan = rollout.plan(seen, believed)
    acts = plan.acts
    if (seen.model.spec.suspend or seen.invalid) and plan.election.returning is None:
        acts = tuple(one for one in acts if one.rank in ("ledger", "route"))
    return Decision(
        acts=(*_declared(seen), *_discovered(seen, plan.ledger), *acts),
        labels=_writes(seen, plan),
        status=_status(seen, believed, plan, _model_ready(seen, believed, plan)).wire(),
        events=_news(seen, believed, plan),
        wake=_astray(seen, believed, plan.election if plan.ledger == believed else elect(seen, believed)),
        requeue_after_seconds=plan.again_seconds,
    )


def _unproven(seen: ModelSeen, why: str) -> Decision:
    """Nothing is done by a ledger that is not believed yet. What the status says of it is its only copy, and stays."""
    waiting = Verdict("False", Reason.LedgerUnproven, f"The ledger was restored: {sentence(why)}")
    status, generation = seen.model.status, seen.model.metadata.generation
    conditions = conditions_after(
        status.conditions, {"RollbackReady": waiting}, waiting, ledgers.stamp(seen.now), generation
    )
    said = status.model_copy(update={"conditions": conditions, "observed_generation": generation, "rollback": None})
    family = tuple(one.metadata.name for one in seen.versions)  # none of them was released: they import anew
    return Decision(status=said.wire(), wake=family, requeue_after_seconds=60.0)


def _writes(seen: ModelSeen, plan: Plan) -> tuple[Write, ...]:
    """The labels to write: they follow what is seen to serve, never what is about to."""
    if seen.invalid or (seen.model.spec.suspend and plan.election.returning is None):
        return ()
    ledger = plan.ledger
    arrived = seen.ledger is not None and seen.ledger.champion == ledger.champion
    routed = not ledger.since or seen.route == ledgers.route(ledger)
    return drift.writes(seen, ledger) if routed and (arrived or not ledger.since) else ()


def _astray(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election) -> tuple[str, ...]:
    """Versions that would say something else now: of the traffic, or of the registry's labels."""
    found = []
    for version in seen.versions:
        if _is_asked_otherwise(seen, ledger, version) or _leans_on_what_is_forgotten(ledger, version):
            found.append(version.metadata.name)
            continue
        judged_anew = version.spec.version == election.target and not election.proven
        judged_anew = judged_anew and bool(refusal(version) or _is_stale(seen, ledger, version))
        if judged_anew or changes.compared(seen, ledger, version) is not None:
            found.append(version.metadata.name)
            continue
        before = version.status.condition("Released")
        if before is None:
            if version.spec.version == ledger.champion:
                found.append(version.metadata.name)
            continue
        now = released(seen, ledger, election, version)
        said = version.status.condition("Synced")
        same = (before.status, before.reason) == (now.status, now.reason)
        same = same and (now.moving or before.message == clipped(now.message))  # how far it has come is told by itself
        if same and said is not None and (now.holds or now.reason is Reason.Superseded):
            labelled = drift.synced(seen, ledger, version)
            same = (said.status, said.reason, said.message) == (labelled.status, labelled.reason, labelled.message)
        if not same:
            found.append(version.metadata.name)
    return tuple(found)


def _is_asked_otherwise(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether its label was moved, or an adopted Deployment is said to run it since, or no longer."""
    stage, adopted = seen.stage(version, ledger), ledger.serving_adopted
    if seen.by_registry and version.status.stage != stage:
        return True
    runs = adopted is not None and adopted.version == version.spec.version
    imported = version.status.condition("Imported") is not None
    return stage in ("None", "Archived") and version.spec.version != ledger.champion and imported != runs


def _is_stale(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether it was validated against another version than it would be now."""
    return is_validated(version) and not is_judged_for_now(seen, ledger, version)


def _leans_on_what_is_forgotten(ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether its files were said to be there since it was released, and the ledger knows of no release any more."""
    imported = version.status.condition("Imported")
    said = imported is not None and imported.status == "True"
    return said and ledger.release(version.spec.version) is None and bool(imports.wanted_from(version))


def _versions_may_come(seen: ModelSeen) -> float:
    """Seconds for which a new model says nothing yet: its first version is often applied together with it."""
    if seen.versions or seen.unreadable or seen.model.status.conditions or seen.ledger is not None:
        return 0.0
    return NEW_SECONDS - (seen.now - parse_time(seen.model.metadata.creation_timestamp)).total_seconds()


def _declared(seen: ModelSeen) -> tuple[Apply, ...]:
    """An implicit model that somebody has declared since is implicit no longer: our part of it is given up."""
    meta = seen.model.metadata
    if seen.invalid or names.IMPLICIT not in meta.annotations or not seen.model.spec.model_dump(exclude_defaults=True):
        return ()
    ours = {
        "apiVersion": API_VERSION,
        "kind": "RegisteredModel",
        "metadata": {"name": meta.name, "namespace": meta.namespace},
    }
    return (Apply(ours),)


def _discovered(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Create, ...]:
    """ModelVersions that nobody has declared: what labels ask for, discovery finds, or what was adopted runs."""
    if seen.invalid or seen.model.spec.suspend:
        return ()
    there = {one.spec.version for one in seen.versions} | seen.unreadable.keys()
    runs = ledger.serving_adopted.version if ledger.serving_adopted else None
    adopted = (Create(_version(seen, runs)),) if runs is not None and runs not in there else ()
    if consent.forbidden(seen):
        return adopted
    request = request_of(ledger) if seen.by_registry else None
    asked = _asked(seen) if seen.by_registry else discovery.versions(seen)
    asked |= {request.version} if request else set()

    def first(number: int) -> tuple[bool, int]:
        return request is None or number != request.version, -number

    found = sorted(asked - there - {runs}, key=first)[:DISCOVERED]
    return (*adopted, *(Create(_version(seen, number)) for number in found))


def _asked(seen: ModelSeen) -> set[int]:
    """Versions in Staging by the registry's labels."""
    labels = seen.known.labels if seen.known else {}
    return {number for number, one in labels.items() if claims.stage_shown(one, seen.stages) == "Staging"}


def _version(seen: ModelSeen, number: int) -> Manifest:
    meta = seen.model.metadata
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": naming.version(meta.name, number),
            "namespace": meta.namespace,
            "annotations": {names.DISCOVERED: "true"},
            "ownerReferences": naming.owner("RegisteredModel", meta),
        },
        "spec": {"model": meta.name, "version": number},
    }


def _model_ready(seen: ModelSeen, ledger: ModelLedgerSpec, plan: Plan) -> Verdict:
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
    if conflict := conflict_of(seen, ledger):
        return failed(Reason.LabelsConflict, conflict)
    if isinstance(seen.registry, Silent) and seen.registry.reason not in (Reason.RegistryUnreachable, Reason.Suspended):
        return failed(reason_named(seen.registry.reason), seen.registry.message)
    if plan.candidate is not None:
        return progress(seen, ledger, plan.candidate)
    if (why := consent.forbidden(seen)) and (champion is None or request_of(ledger)):
        return failed(Reason.PromotionNotAllowed, why)
    if champion is None:
        return _refused(seen) or _adopted_ready(seen, ledger) or _nobody(seen, ledger, plan.election)
    note = _hold_note(ledger)
    serves = passed(Reason.Serving, f"Version {champion} serves{pods_described(seen.pods.get(champion))}{note}")
    return silence(seen, champion) or _refused(seen, f" {serves.message}") or serves


def _adopted_ready(seen: ModelSeen, ledger: ModelLedgerSpec) -> Verdict | None:
    """How what was adopted serves, or why it was not taken in; None where nothing is."""
    verdict = adoption.missing(seen, ledger) or adoption.ready(seen, ledger)
    return verdict and replace(verdict, message=verdict.message + _hold_note(ledger))


def _hold_note(ledger: ModelLedgerSpec) -> str:
    return f" {held(ledger)} {Reason.Held.remedy}" if ledger.hold else ""


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


def _status(seen: ModelSeen, ledger: ModelLedgerSpec, plan: Plan, ready: Verdict) -> RegisteredModelStatus:
    meta = seen.model.metadata
    rollback, where = _rollback_ready(seen, ledger)
    adopted = adoption.adopted(seen, ledger)
    conditions = conditions_after(
        seen.model.status.conditions,
        {"RollbackReady": rollback} | ({"Adopted": adopted} if adopted else {}),
        ready,
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


def _news(seen: ModelSeen, before: ModelLedgerSpec, plan: Plan) -> tuple[Event, ...]:
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
