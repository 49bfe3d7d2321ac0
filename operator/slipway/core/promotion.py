"""The decision about a model: serving objects, traffic, labels, and the versions that have to look again."""

import math

from ..api import names
from ..api.base import API_VERSION
from ..api.modelledger import ModelLedgerSpec
from ..api.modelversion import ModelVersion
from ..resources import naming
from ..resources.platform import Manifest
from . import changes, consent, discovery, drift, imports, meaning, recall, rollout, standing
from . import ledger as ledgers
from .claimants import request_of
from .conditions import Verdict, clipped, conditions_after, refusal, sentence
from .decision import Apply, Create, Decision
from .election import Election, elect, is_judged_for_now, is_validated
from .jobs import parse_time
from .observed import ModelSeen
from .reasons import Reason
from .registry import Write
from .released import released
from .rollout import Plan

NEW_SECONDS = 2.0
DISCOVERED = 12  # ModelVersions that are made in one pass


def decide(seen: ModelSeen) -> Decision:
    """What should be true of the model next. People are told of the ledger that is there, not of the one to come."""
    if (pause := _versions_may_come(seen)) > 0:
        return Decision(requeue_after_seconds=pause)
    believed = recall.believed(seen)
    if isinstance(believed, str):
        return _unproven(seen, believed)
    plan = rollout.plan(seen, believed)
    acts = plan.acts
    if (seen.model.spec.suspend or seen.invalid) and plan.election.returning is None:
        acts = tuple(one for one in acts if one.rank in ("ledger", "route"))
    return Decision(
        acts=(*_declared(seen), *_discovered(seen, plan.ledger), *acts),
        labels=_writes(seen, plan),
        status=standing.status(seen, believed, plan).wire(),
        events=standing.news(seen, believed, plan),
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
        forgotten = _leans_on_what_is_forgotten(seen, ledger, version) or _is_told_of_another(seen, version)
        if forgotten or _is_asked_otherwise(seen, ledger, version):
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
    """Whether a label asks for something else, or in vain once more, or what was adopted is said to run it since."""
    stage, adopted = seen.stage(version, ledger), ledger.serving_adopted
    if seen.by_registry and version.status.stage != stage:
        return True
    if version.status.refused_at != seen.refused_at(version, ledger):
        return True
    runs = adopted is not None and adopted.version == version.spec.version
    imported = version.status.condition("Imported") is not None
    return stage in ("None", "Archived") and version.spec.version != ledger.champion and imported != runs


def _is_stale(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether it was validated against another version than it would be now."""
    return is_validated(version) and not is_judged_for_now(seen, ledger, version)


def _leans_on_what_is_forgotten(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether it was released, or pinned, and that says nothing any more of the version that has its number now."""
    if version.spec.version != ledger.champion and not seen.is_of_now(version):
        return True
    imported = version.status.condition("Imported")
    said = imported is not None and imported.status == "True"
    return said and seen.release(ledger, version) is None and bool(imports.wanted_from(version))


def _is_told_of_another(seen: ModelSeen, version: ModelVersion) -> bool:
    """Whether it says that another version has its number now, and none has; or the other way about."""
    said = version.status.condition("Resolved")
    return said is not None and said.message.startswith(drift.OF_ANOTHER) == seen.is_of_now(version)


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
    asked = _in_staging(seen, ledger) if seen.by_registry else discovery.versions(seen)
    asked |= {request.version} if request else set()

    def first(number: int) -> tuple[bool, int]:
        return request is None or number != request.version, -number

    found = sorted(asked - there - {runs}, key=first)[:DISCOVERED]
    return (*adopted, *(Create(_version(seen, number)) for number in found))


def _in_staging(seen: ModelSeen, ledger: ModelLedgerSpec) -> set[int]:
    """Versions that labels ask to prove: the highest, the one with the alias, and those moved since labels decide.

    What else lies in Staging may have lain there for years, and each one would be imported and validated.
    """
    labels = seen.known.labels if seen.known else {}
    there = {number: one for number, one in labels.items() if meaning.stage_shown(one, seen.stages) == "Staging"}
    since = ledger.following.since if ledger.following else None
    begun = parse_time(since).timestamp() * 1000 if since else math.inf
    moved = {number for number, one in there.items() if one.moved >= begun}
    return moved | discovery.highest(there, seen.stages.staging)


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
