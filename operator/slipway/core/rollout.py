"""How a model's traffic moves: the candidate comes up beside the champion and takes over when its pods are ready.

The ledger says where the traffic goes; the route and the pods are functions of it. The predecessor stays warm for a
while, frozen: no change of the model's settings reaches its pods until it serves again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from ..api import names
from ..api.base import seconds
from ..api.modelledger import Adopted, ModelLedgerSpec, Release
from ..resources import disruption, naming, serving
from ..resources.serving import Rendered
from . import adoption, claimants, claims, environments, history, labels
from . import ledger as ledgers
from .commands import command
from .decision import Act, Apply, Delete, Ref, in_order
from .election import Election, destination, elect, refused, rollback_of, waits
from .jobs import parse_time
from .observed import ModelSeen, Record
from .registry import Silent


@dataclass(frozen=True)
class Plan:
    """What the serving objects should be."""

    election: Election
    ledger: ModelLedgerSpec  # as it should be after this pass
    candidate: int | None  # the version that is coming up
    acts: tuple[Act, ...]
    again_seconds: float | None
    impossible: str = ""  # why the rollback that was asked for cannot be carried out


def plan(seen: ModelSeen, believed: ModelLedgerSpec) -> Plan:
    """The serving objects that should exist now, one step further than what was seen."""
    ledger = _followed(seen, adoption.taken_in(seen, believed))
    ledger, impossible = _obeyed(seen, ledgers.forgive(seen, ledger))
    election = elect(seen, ledger)
    ledger = _moved(seen, ledger, election)
    arrived = election.target == ledger.champion
    candidate = election.target if not arrived and election.proven else None
    warm, again = _warm(seen, ledger)
    live = [one for one in dict.fromkeys((ledger.champion, candidate, warm)) if one is not None]
    fresh = None if election.back else candidate  # it may have the number of what is warm, and is another one then
    frozen = set(live) if seen.invalid else {warm, candidate} if election.back else {warm} - {fresh}
    records = {
        number: _record(seen, None, number)
        if number == fresh and not seen.invalid
        else _of(seen, ledger, number, number in frozen)
        for number in live
    }
    ledger = _rerecorded(seen, ledger, {number: one for number, one in records.items() if number not in frozen})
    ledger = ledgers.start(ledger, candidate)
    if not seen.invalid:
        ledger = ledgers.tell(ledger, labels.told(seen, ledger))
    ledger = history.fit(ledger)
    acts = [
        act for number, record in records.items() if record for act in _pods(seen, ledger, record, number in frozen)
    ]
    if ledger != seen.ledger and (seen.ledger is not None or ledger != ledgers.EMPTY):
        acts.append(Apply(serving.ledger(seen.model, ledger, seen.ledger_version), "ledger"))
    if ledger.since:
        acts.append(Apply(serving.service(seen.model, ledger.champion, ledger.serving_adopted), "route"))
        acts += _budget(seen, ledger)
    if not ledger.since or seen.route == ledgers.route(ledger):
        acts += _retired(seen, ledger, records)
    return Plan(election, ledger, candidate, in_order(acts), _again(seen, ledger, election, again), impossible)


def _next_sweep(seen: ModelSeen, ledger: ModelLedgerSpec) -> float | None:
    """Seconds until another sweep has seen whether the champion is to stop serving."""
    if ledger.following is None or ledger.following.archived != "Seen" or isinstance(seen.registry, Silent):
        return None
    return seconds(seen.registry.spec.sync.interval) * 1.1 + 1


def _again(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election, warm_seconds: float | None) -> float | None:
    """Seconds until time alone changes something."""
    version = seen.version(election.target) if not election.proven else None
    waiting = waits(seen, ledger, version) if version else None
    looked = adoption.again_seconds(seen, ledger)
    return _soonest(warm_seconds, looked, _next_sweep(seen, ledger), waiting.again_seconds if waiting else None)


def _soonest(*pauses: float | None) -> float | None:
    return min((one for one in pauses if one is not None), default=None)


def _followed(seen: ModelSeen, ledger: ModelLedgerSpec) -> ModelLedgerSpec:
    """The ledger once it has taken down what the registry's labels ask for, and what became of that."""
    if seen.invalid:
        return ledger
    if not seen.by_registry:
        return ledger.model_copy(update={"following": None}) if ledger.following else ledger
    before = ledger
    if seen.known is not None:
        adopt = seen.model.spec.adopt
        runs = adopt.version if adopt else None
        ledger = claims.follow(ledger, seen.known, seen.stages, seen.followed, seen.now, runs)
        if ledger.following and not seen.has_champion(ledger):  # whatever has its number was archived, not what serves
            aside = {"archived": "Aside", "read_at": None}
            ledger = ledger.model_copy(update={"following": ledger.following.model_copy(update=aside)})
    request = ledger.following.request if ledger.following else None
    version = seen.version(request.version) if request else None
    if version is not None:
        ledger = claims.answer(ledger, refused(seen, ledger, version), ledgers.retry_hash(version))
    ledger = claims.expect(ledger, labels.of_champion(seen, ledger))
    return claims.dated(ledger, before, seen.known) if seen.known is not None else ledger


def _obeyed(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[ModelLedgerSpec, str]:
    """The ledger once the commands are obeyed that need no pods, and why a rollback cannot be carried out."""
    annotations = seen.model.metadata.annotations
    if resumed := command(annotations.get(names.RESUME, ""), ledger.handled.resume):
        ledger = ledgers.resume(ledger, resumed)
    asked = rollback_of(seen, ledger)
    if asked is None:
        return ledger, ""
    found = destination(seen, ledger, asked)
    if not isinstance(found, str):
        return ledger, ""
    if asked.to is not None and asked.to == ledger.champion and ledger.following and ledger.following.request:
        ledger = claims.withdraw(ledger, {ledger.following.request.version})  # what serves is to stay
    return (ledgers.refuse_rollback(ledger, asked) if ledger.since else ledger), found


def _moved(seen: ModelSeen, ledger: ModelLedgerSpec, election: Election) -> ModelLedgerSpec:
    """The ledger after this pass: the traffic moves only to a version that may have it and whose pods are ready."""
    target = election.target
    if target is None and election.returning:
        found = destination(seen, ledger, election.returning)
        assert isinstance(found, Adopted)
        return ledgers.go_back_to_adopted(seen, ledger, found, election.returning)
    if target is None:
        return ledger if ledger.champion is None else ledgers.stop(ledger, seen.now)
    if target == ledger.champion or not election.proven:
        return ledger
    release = ledger.release(target) if election.back else None
    if release is not None:
        if not _enough(seen, ledger, release):
            return ledger
        if election.returning:
            return ledgers.go_back(seen, ledger, release, election.returning)
    else:
        release = _candidate_release(seen, target)
        if release is None:
            return ledger
    version, limit = seen.version(target), seen.model.spec.rollout.history_limit
    by, report = claimants.asked_by(seen, ledger, version), history.proof_of(version)
    return ledgers.move(ledger, release, limit, seen.now, by, report)


def _enough(seen: ModelSeen, ledger: ModelLedgerSpec, release: Release) -> bool:
    """As many pods of what was released are ready as the champion has, or their Deployment asks for; at least one."""
    pods, champion = seen.pods.get(release.version), seen.pods.get(ledger.champion or 0)
    if pods is None:
        return False
    record = seen.records.get((release.version, pods.record))
    if record is not None and record.digest != release.digest:
        return False
    return pods.ready >= max(1, min(pods.replicas, champion.ready if champion else 1))


def _candidate_release(seen: ModelSeen, number: int) -> Release | None:
    """What a candidate will have been released as; None while its pods are not all ready, or run something else."""
    version, pods, record = seen.version(number), seen.pods.get(number), _record(seen, None, number)
    if version is None or pods is None or record is None or not pods.complete:
        return None
    if pods.replicas != replicas(seen) or pods.record != record.hash or record.digest != version.status.digest:
        return None
    proof = version.status.validation
    return Release(
        version=number,
        digest=record.digest,
        environment=(proof.environment or "") if proof else "",
        python=(proof.python or "") if proof else "",
        record=record.hash,
        inputs=record.inputs,
        since=ledgers.stamp(seen.now),
        origin=version.status.resolved.origin if version.status.resolved else "",
    )


def _of(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, frozen: bool) -> Record | None:
    """What a live version should run. Frozen: what was released, word for word, unless its record is gone."""
    release = ledger.release(number)
    kept = seen.records.get((number, release.record)) if release and frozen else None
    return kept or (None if seen.invalid else _record(seen, release, number))


def _pods(seen: ModelSeen, ledger: ModelLedgerSpec, record: Record, frozen: bool) -> list[Act]:
    """The pods of a version, and their record first. A frozen version keeps its number of pods."""
    acts: list[Act] = []
    needs = None
    if seen.records.get((record.version, record.hash)) != record:
        rendered = Rendered(record.version, record.digest, record.inputs, record.revision, record.template)
        manifest = serving.controller_revision(seen.model, rendered)
        needs = Ref.of(manifest)
        acts.append(Apply(manifest, "record"))
    there = seen.pods.get(record.version) or (seen.pods.get(ledger.champion or 0) if seen.invalid else None)
    wanted = there.replicas if frozen and there else replicas(seen)
    deployment = serving.deployment(seen.model, record.version, record.template, wanted)
    return [*acts, Apply(deployment, "pods", needs)]


def _rerecorded(seen: ModelSeen, ledger: ModelLedgerSpec, records: Mapping[int, Record | None]) -> ModelLedgerSpec:
    """The ledger, once a released version runs what other settings ask for, or they turn out to ask for the same."""
    for number, record in records.items():
        release, there = ledger.release(number), seen.pods.get(number)
        if (
            release is None
            or record is None
            or record.digest != release.digest
            or (release.record, release.inputs) == (record.hash, record.inputs)
        ):
            continue
        if record.hash == release.record or (there and there.complete and there.record == record.hash):
            ledger = ledgers.rerecord(ledger, number, record.hash, record.inputs)
    return ledger


def _record(seen: ModelSeen, release: Release | None, number: int) -> Record | None:
    """What a version should run: the record that answers the settings of now, or a new one where there is none.

    An upgrade of the operator renders nothing anew: a record is kept for as long as the user's settings are the same.
    Only a candidate none of whose pods is ready follows the upgrade, since that may be what it waits for.
    """
    version = seen.version(number)
    digest = release.digest if release else (version.status.digest if version else None)
    if not digest:
        return None
    runs_in = environments.of_version(seen, release, number, digest)
    inputs = serving.inputs(seen.model, digest, runs_in)
    if release and release.inputs == inputs and (number, release.record) in seen.records:
        return replace(seen.records[(number, release.record)], inputs=inputs)
    own = sorted((one for one in seen.records.values() if one.version == number), key=lambda one: -one.revision)
    answering = next((one for one in own if (one.inputs, one.digest) == (inputs, digest)), None)
    there = seen.pods.get(number)
    if answering and (release or (there is not None and there.ready > 0 and there.record == answering.hash)):
        return answering
    pool = seen.platform.pool(seen.model.spec.serving.pool.name if seen.model.spec.serving.pool else None)
    if pool is None or seen.platform.image(runs_in.python) is None:
        return seen.records.get((number, release.record)) if release else None
    template = serving.pod_template(seen.platform, seen.model, number, digest, pool, runs_in)
    short = serving.template_hash(template)
    if before := seen.records.get((number, short)):
        return replace(before, inputs=inputs)
    newest = max((one.revision for one in seen.records.values()), default=0)
    return Record(number, digest, short, inputs, newest + 1, template)


def _budget(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[Act]:
    """What keeps a drain from taking all pods at once; one pod alone has nothing to keep."""
    if ledger.champion is None or replicas(seen) < 2:
        return []
    return [Apply(disruption.pod_disruption_budget(seen.model, ledger.champion), "pods")]


def replicas(seen: ModelSeen) -> int:
    """How many pods the serving version should have."""
    fixed = seen.model.spec.serving.scaling.fixed
    return fixed.replicas if fixed else 1


def _warm(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[int | None, float | None]:
    """The predecessor while its pods are kept warm, and seconds until they no longer are. None is started for that."""
    if ledger.predecessor not in seen.pods or ledger.champion is None or not ledger.since:
        return None, None
    until = parse_time(ledger.since) + timedelta(seconds=seconds(seen.model.spec.rollout.keep_warm))
    left = (until - seen.now).total_seconds()
    return (ledger.predecessor, left + 1) if left > 0 else (None, None)


def warm_until(seen: ModelSeen, ledger: ModelLedgerSpec) -> str | None:
    """Until when the predecessor's pods are kept warm (RFC 3339)."""
    warm, left = _warm(seen, ledger)
    if warm is None or left is None:
        return None
    return ledgers.stamp(seen.now + timedelta(seconds=left - 1))


def _retired(seen: ModelSeen, ledger: ModelLedgerSpec, records: Mapping[int, Record | None]) -> list[Act]:
    """Deployments that nobody needs any more, and records that neither a release nor a pod names.

    While none ever had the traffic, only what the ledger says to have been started: it may be a new one.
    """
    namespace = seen.model.metadata.namespace
    gone: list[Act] = [
        Delete(_deployment(seen, number), "another version serves and it is not kept warm")
        for number in (seen.pods if ledger.since else ledger.started)
        if number in seen.pods and number not in records
    ]
    if not ledger.since:
        return gone
    named = {(one.version, one.record) for one in ledger.released}
    named |= {(number, one.hash) for number, one in records.items() if one}
    named |= {(number, one.record) for number, one in seen.pods.items()}
    for number, short in sorted(seen.records.keys() - named):
        name = serving.record_name(seen.model.metadata.name, number, short)
        gone.append(Delete(Ref("apps/v1", "ControllerRevision", namespace, name), "no release names it"))
    return gone


def _deployment(seen: ModelSeen, number: int) -> Ref:
    name = naming.version(seen.model.metadata.name, number)
    return Ref("apps/v1", "Deployment", seen.model.metadata.namespace, name)
