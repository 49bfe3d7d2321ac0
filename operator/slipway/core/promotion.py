"""The decision about a model: serving objects, traffic, registry labels, and what its versions are told."""

from ..api import names
from ..api.base import API_VERSION
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import Live, RegisteredModelStatus, VersionVerdicts
from ..resources import serving
from ..resources.platform import Manifest
from ..resources.serving import Traffic
from . import labels, rollout
from .conditions import Verdict, failed, judged, passed, sentence, unknown
from .decision import Decision, Event
from .election import refusal, rolled_back, validated
from .jobs import parse_time
from .observed import Fleet, ModelSeen
from .reasons import Reason, reason_named
from .registry import Silent, Write
from .rollout import Rollout

NEW_SECONDS = 2.0
PODS_COME = "Its pods are the next step."  # before its validation has ended and after: told once


def decide(seen: ModelSeen) -> Decision:
    """What should be true of the model next."""
    if seen.model.spec.suspend:
        status = _status(seen, seen.traffic, None, seen.model.status.versions, failed(Reason.Suspended))
        return Decision(status=status.wire())
    if (pause := _versions_may_come(seen)) > 0:
        return Decision(requeue_after_seconds=pause)
    plan = rollout.plan(seen)
    versions: list[VersionVerdicts] = []
    writes: list[Write] = []
    for version in labels.versions_told(seen.versions, plan.traffic.champion):
        synced, write = _synced(seen, version, plan)
        writes += [write] if write else []
        told = _released(seen, version, plan).wire()
        versions.append(
            VersionVerdicts(version=version.spec.version, released=told, synced=synced.wire() if synced else None)
        )
    status = _status(seen, plan.traffic, plan, tuple(versions), _ready(seen, plan))
    settled = not (plan.moved or writes)
    return Decision(
        ensure=(*_adopted(seen), *plan.ensure),
        scale=plan.scale,
        retire=plan.retire,
        labels=tuple(writes),
        status=status.wire(),
        events=_news(seen, plan),
        requeue_after_seconds=plan.again_seconds if settled else 1.0,
        settled=settled,
    )


def _versions_may_come(seen: ModelSeen) -> float:
    """Seconds for which a new model says nothing yet: its first version is often applied together with it."""
    if seen.versions or seen.model.status.conditions or seen.traffic.since:
        return 0.0
    return NEW_SECONDS - (seen.now - parse_time(seen.model.metadata.creation_timestamp)).total_seconds()


def blocked(seen: ModelSeen, message: str) -> Decision:
    """What is said when a name that the model needs belongs to somebody else; nothing is taken over."""
    status = _status(seen, seen.traffic, None, seen.model.status.versions, failed(Reason.NameTaken, message))
    return Decision(status=status.wire(), requeue_after_seconds=60.0)


def _adopted(seen: ModelSeen) -> tuple[Manifest, ...]:
    """An implicit model that somebody has declared since is implicit no longer: our part of it is given up."""
    meta = seen.model.metadata
    if names.IMPLICIT not in meta.annotations or not seen.model.spec.model_dump(exclude_defaults=True):
        return ()
    return (
        {
            "apiVersion": API_VERSION,
            "kind": "RegisteredModel",
            "metadata": {"name": meta.name, "namespace": meta.namespace},
        },
    )


def _synced(seen: ModelSeen, version: ModelVersion, plan: Rollout) -> tuple[Verdict | None, Write | None]:
    before = labels.previous(seen, version.spec.version)
    if isinstance(seen.registry, Silent):
        return before or unknown(reason_named(seen.registry.reason), seen.registry.message), None
    wished = labels.wish(seen, version, seen.traffic, seen.registry)
    if plan.moved or wished is None:  # labels follow what is seen to serve, never what is about to
        return before if wished else None, None
    return labels.judge(seen, version, wished, before)


def _released(seen: ModelSeen, version: ModelVersion, plan: Rollout) -> Verdict:
    number, champion = version.spec.version, plan.traffic.champion
    if number == champion:
        if version.spec.stage != "Production" and plan.standing.target == champion:
            return failed(Reason.StillServing)
        if silence := _silence(seen, number):
            return silence
        since = f"Serving at {serving.url(seen.model)} since {plan.traffic.since}"
        return passed(Reason.Serving, f"{since}{_pods(seen.fleets.get(number))}")
    if rolled_back(seen, version):
        return failed(Reason.RolledBack, f"Rolled back; version {champion} serves.")
    if number == plan.candidate:
        return _progress(seen, number)
    if version.spec.stage != "Production":
        return unknown(Reason.NotRequested)
    if plan.standing.target is not None and number < plan.standing.target:
        return Verdict("False", Reason.Superseded, f"Version {plan.standing.target} comes first.")
    if validated(version):
        return Verdict("False", Reason.EvidenceStale, f"It was not compared with version {champion} yet.")
    return Verdict("False", Reason.RolloutProgressing, PODS_COME)


def _silence(seen: ModelSeen, champion: int) -> Verdict | None:
    """What is said while no pod of the champion answers."""
    fleet = seen.fleets.get(champion)
    if fleet is not None and fleet.ready > 0:
        return None
    why = f" {fleet.trouble.reason}: {sentence(fleet.trouble.message)}" if fleet and fleet.trouble else ""
    return failed(Reason.InsufficientCapacity, f"No pod of version {champion} is ready.{why}")


def _pods(fleet: Fleet | None) -> str:
    """How many pods of the champion answer, and why the others do not."""
    if fleet is None:
        return "."
    why = f" {fleet.trouble.reason}: {sentence(fleet.trouble.message)}" if fleet.trouble else ""
    return f", {fleet.ready}/{fleet.replicas} pods ready.{why}"


def _progress(seen: ModelSeen, number: int) -> Verdict:
    fleet = seen.fleets.get(number)
    champion = f"; version {seen.traffic.champion} serves" if seen.traffic.champion else ""
    if seen.platform.pool(seen.model.spec.serving.pool.name if seen.model.spec.serving.pool else None) is None:
        return failed(Reason.PoolNotFound, f"spec.serving.pool names a pool that the settings do not have{champion}.")
    if fleet is None:
        return Verdict("False", Reason.RolloutProgressing, PODS_COME)
    pods = f"{fleet.ready} of {rollout.replicas(seen)} pods ready{champion}."
    if fleet.trouble:
        reason = fleet.trouble.reason if fleet.trouble.reason.outlook == "Retrying" else Reason.InsufficientCapacity
        return failed(reason, f"{pods} {fleet.trouble.message}")
    return Verdict("False", Reason.RolloutProgressing, pods)


def _ready(seen: ModelSeen, plan: Rollout) -> Verdict:
    """A model is ready when its champion answers and nothing is on the move."""
    if isinstance(seen.registry, Silent) and seen.registry.reason != Reason.RegistryUnreachable:
        return failed(reason_named(seen.registry.reason), seen.registry.message)
    if plan.candidate is not None:
        return _progress(seen, plan.candidate)
    if plan.traffic.champion is None and plan.standing.target is not None:
        return unknown(Reason.RolloutProgressing, f"Version {plan.standing.target} is being validated.")
    if plan.traffic.champion is None:
        return _nobody(seen)
    champion = plan.traffic.champion
    serves = passed(Reason.Serving, f"Version {champion} serves{_pods(seen.fleets.get(champion))}")
    return _silence(seen, champion) or serves


def _nobody(seen: ModelSeen) -> Verdict:
    """Nothing serves: because nobody asked, or because who asked was refused or rolled back."""
    asking = [one for one in seen.versions if one.spec.stage == "Production"]
    for version in sorted(asking, key=lambda one: -one.spec.version):
        why = refusal(version)
        if why is not None:
            said = f"Version {version.spec.version} was refused, and no other can serve: {why.message}"
            return Verdict("False", reason_named(why.reason), said, final=True)
    return passed(Reason.NothingToServe)


def _status(
    seen: ModelSeen, traffic: Traffic, plan: Rollout | None, versions: tuple[VersionVerdicts, ...], ready: Verdict
) -> RegisteredModelStatus:
    now = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = seen.model.metadata
    warm = rollout.warm_until(seen, traffic)
    return RegisteredModelStatus(
        observed_generation=meta.generation,
        conditions=judged(seen.model.status.conditions, {}, ready, now, meta.generation),
        url=serving.url(seen.model) if traffic.champion else None,
        champion=_live(seen, traffic.champion, traffic.digest, since=traffic.since) if traffic.champion else None,
        candidate=_live(seen, plan.candidate, "") if plan and plan.candidate else None,
        predecessor=_live(seen, traffic.predecessor, "", until=warm) if traffic.predecessor and warm else None,
        versions=versions,
        last_handled_rollback=traffic.handled_rollback or None,
    )


def _live(seen: ModelSeen, number: int, digest: str, since: str | None = None, until: str | None = None) -> Live:
    fleet = seen.fleets.get(number)
    ready = f"{fleet.ready}/{fleet.replicas}" if fleet else "0/0"
    return Live(
        version=number, digest=digest or seen.traffic.history.get(number, ""), since=since, until=until, ready=ready
    )


def _news(seen: ModelSeen, plan: Rollout) -> tuple[Event, ...]:
    """What happened to the model's traffic in this pass."""
    before, after = seen.traffic, plan.traffic
    if before.champion != after.champion and after.champion is not None:
        rolled = before.handled_rollback != after.handled_rollback
        verb = "Rolled back to" if rolled else "Traffic moved to"
        url = serving.url(seen.model)
        sample = f"curl {url}/invocations -H 'Content-Type: application/json' -d '{{\"dataframe_records\": [{{…}}]}}'"
        return (Event("Normal", "RolledBack" if rolled else "Serving", f"{verb} version {after.champion}: {sample}"),)
    if before.champion is not None and after.champion is None:
        return (Event("Normal", "NothingToServe", f"Version {before.champion} was archived; nothing serves."),)
    asked = seen.model.metadata.annotations.get(names.ROLLBACK)
    if before.handled_rollback != after.handled_rollback:
        return (
            Event("Warning", Reason.RollbackImpossible, f"Rollback {asked!r}: there is no predecessor to go back to."),
        )
    return ()
