"""How a model's traffic moves: the candidate comes up beside the champion, takes over when all its pods are ready,
and the predecessor stays warm for a while. One write of the Service moves the traffic and records that it moved.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..resources import naming, serving
from ..resources.platform import Manifest
from ..resources.serving import Traffic
from .decision import Ref, Retire, Scale
from .election import Standing, standing, token, wanted_rollback
from .jobs import parse_time
from .observed import Kept, ModelSeen


@dataclass(frozen=True)
class Rollout:
    """What the serving objects should be."""

    standing: Standing
    traffic: Traffic  # as it should be after this pass
    moved: bool  # this pass moves the traffic
    candidate: int | None  # the version that is coming up
    ensure: tuple[Manifest, ...]
    scale: tuple[Scale, ...]
    retire: tuple[Retire, ...]
    again_seconds: float | None


def plan(seen: ModelSeen) -> Rollout:
    """The serving objects that should exist now, one step further than what was seen."""
    goal = standing(seen)
    traffic = _next_traffic(seen, goal)
    moved = traffic != seen.traffic
    candidate = goal.target if goal.target not in (None, traffic.champion) and goal.proven else None
    warm, again = _warm(seen, traffic)
    live = [number for number in dict.fromkeys((traffic.champion, candidate, warm)) if number is not None]
    kept, records = _templates(seen, live)
    ensure = [*records]
    for number in live:
        if number in kept:
            ensure.append(serving.deployment(seen.model, number, kept[number].template, kept[number].inputs))
    if traffic.champion is not None or seen.traffic.since:
        ensure.append(serving.service(seen.model, traffic))
    return Rollout(
        standing=goal,
        traffic=traffic,
        moved=moved,
        candidate=candidate,
        ensure=tuple(ensure),
        scale=_scale(seen, [number for number in live if number != warm or number == candidate]),
        retire=_retire(seen, live) if not moved and seen.traffic.since else (),
        again_seconds=again,
    )


def _next_traffic(seen: ModelSeen, goal: Standing) -> Traffic:
    """The traffic after this pass: it moves only to a version that may have it and whose pods are all ready."""
    now = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    before = _forgiven(seen)
    rollback = wanted_rollback(seen)
    if rollback and before.since and not goal.going_back:  # nothing to go back to: handled, never replayed later
        before = replace(before, handled_rollback=rollback)
    if goal.target is None and before.champion is not None:
        return replace(before, champion=None, digest="", since=now, predecessor=before.champion)
    if goal.target in (None, before.champion) or not goal.proven or not _ready(seen, goal.target):
        return before
    assert goal.target is not None
    digest = _digest(seen, goal.target)
    if goal.going_back:
        rolled_back = _after_rollback(seen, goal.target)
        returned = find(seen, goal.target)
        asked = token(returned) if returned else ""
        return Traffic(goal.target, digest, now, None, rollback or "", rolled_back, before.history, asked)
    return replace(
        before,
        champion=goal.target,
        digest=digest,
        since=now,
        predecessor=before.champion,
        history=_remembered(seen, before, goal.target, digest),
        returned="",
    )


def _forgiven(seen: ModelSeen) -> Traffic:
    """The traffic, without the rolled-back versions that have left Production since: to return is a new wish."""
    left = {one.spec.version for one in seen.versions if one.spec.stage != "Production"}
    kept = {number: asked for number, asked in seen.traffic.rolled_back.items() if number not in left}
    return seen.traffic if kept == seen.traffic.rolled_back else replace(seen.traffic, rolled_back=kept)


def _remembered(seen: ModelSeen, before: Traffic, number: int, digest: str) -> dict[int, str]:
    """Released versions and their digests, this one last, as many as the history limit lets be known besides it."""
    others = [(one, of) for one, of in before.history.items() if one != number]
    return dict(others[-seen.model.spec.rollout.history_limit :]) | {number: digest}


def _after_rollback(seen: ModelSeen, target: int) -> dict[int, str]:
    """Nothing that was there at the time of the rollback comes up again by itself, until it is asked for anew."""
    asking = [one for one in seen.versions if one.spec.stage == "Production" and one.spec.version > target]
    above = {one.spec.version: token(one) for one in asking}
    return {**seen.traffic.rolled_back, **above}


def _ready(seen: ModelSeen, number: int) -> bool:
    """All pods of the version are ready, and run what they should."""
    fleet = seen.fleets.get(number)
    if fleet is None or not fleet.complete or fleet.replicas != replicas(seen):
        return False
    return fleet.inputs == serving.inputs(seen.model, _digest(seen, number))


def _digest(seen: ModelSeen, number: int) -> str:
    """What the version serves: as it was released, else as it was imported."""
    if number in seen.traffic.history:
        return seen.traffic.history[number]
    version = find(seen, number)
    return (version.status.digest or "") if version else ""


def _templates(seen: ModelSeen, live: list[int]) -> tuple[dict[int, Kept], list[Manifest]]:
    """What each live version runs: the kept template word for word, or a new one where the user's inputs changed."""
    kept: dict[int, Kept] = {}
    records: list[Manifest] = []
    highest = max((one.revision for one in seen.kept.values()), default=0)
    pool = seen.platform.pool(seen.model.spec.serving.pool.name if seen.model.spec.serving.pool else None)
    for number in live:
        digest = _digest(seen, number)
        before = seen.kept.get(number)
        inputs = serving.inputs(seen.model, digest)
        if before and (pool is None or not digest or (before.inputs == inputs and _settled(seen, number))):
            kept[number] = before
        elif pool is not None and digest:
            template = serving.pod_template(seen.platform, seen.model, number, digest, pool)
            if before and before.template == template:
                kept[number] = before
                continue
            highest += 1
            record = serving.controller_revision(seen.model, number, digest, highest, template)
            kept[number] = Kept(number, digest, inputs, highest, record["metadata"]["name"], template)
            records.append(record)
    return kept, records


def _settled(seen: ModelSeen, number: int) -> bool:
    """Whether a version's pods are not to be rendered anew by an upgrade: they served, or one of them is ready.

    A candidate that never came up follows the settings, since they may be what keeps it down.
    """
    fleet = seen.fleets.get(number)
    return number in seen.traffic.history or (fleet is not None and fleet.ready > 0)


def replicas(seen: ModelSeen) -> int:
    """How many pods the serving version should have."""
    fixed = seen.model.spec.serving.scaling.fixed
    return fixed.replicas if fixed else 1


def _scale(seen: ModelSeen, live: list[int]) -> tuple[Scale, ...]:
    wanted = replicas(seen)
    return tuple(
        Scale(_deployment(seen, number), wanted)
        for number in live
        if number in seen.fleets and seen.fleets[number].replicas != wanted
    )


def _warm(seen: ModelSeen, traffic: Traffic) -> tuple[int | None, float | None]:
    """The predecessor, while it is kept warm, and how much longer it is."""
    if traffic.predecessor is None or not traffic.since or traffic.champion is None:
        return None, None
    until = parse_time(traffic.since) + timedelta(seconds=seconds(seen.model.spec.rollout.keep_warm))
    left = (until - seen.now).total_seconds()
    return (traffic.predecessor, left + 1) if left > 0 else (None, None)


def warm_until(seen: ModelSeen, traffic: Traffic) -> str | None:
    """Until when the predecessor is kept warm."""
    warm, left = _warm(seen, traffic)
    if warm is None or left is None:
        return None
    return (seen.now + timedelta(seconds=left - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _retire(seen: ModelSeen, live: list[int]) -> tuple[Retire, ...]:
    """Deployments that nobody needs any more, and records beyond the history limit."""
    gone = [
        Retire(_deployment(seen, number), "another version serves and it is not kept warm")
        for number in seen.fleets
        if number not in live
    ]
    history = sorted((one for one in seen.kept.values() if one.version not in live), key=lambda one: -one.revision)
    old = [
        Retire(Ref("apps/v1", "ControllerRevision", seen.model.metadata.namespace, one.name), "beyond historyLimit")
        for one in history[seen.model.spec.rollout.history_limit :]
    ]
    return tuple(gone + old)


def _deployment(seen: ModelSeen, number: int) -> Ref:
    name = naming.version(seen.model.metadata.name, number)
    return Ref("apps/v1", "Deployment", seen.model.metadata.namespace, name)


def find(seen: ModelSeen, number: int | None) -> ModelVersion | None:
    """The ModelVersion of that number."""
    return next((one for one in seen.versions if one.spec.version == number), None)
