"""The life of a version: Resolved → Imported → Validated → Released → Synced, one rule each, walked in order.

A rule looks at what was seen and says what is known; it may add what should be ensured. The walk stops at the first
condition that does not hold, so nothing is released that is not proven. Silence never takes a condition back.
"""

from collections.abc import Callable
from dataclasses import replace

from ..api import names
from ..api.base import API_VERSION
from ..api.condition import Condition
from ..api.modelversion import ModelVersionStatus, Resolved
from ..resources import serving
from ..resources.platform import Manifest
from . import imports, validations
from .conditions import Verdict, failed, judged, passed, received, unknown
from .decision import Decision, Event
from .jobs import parse_time
from .observed import VersionSeen
from .reasons import Reason, reason_named
from .registry import Absent, Entry, Silent
from .step import Step


def resolved(seen: VersionSeen) -> Step:
    """The registry knows the version; what never changes about it is pinned."""
    if seen.model is None:
        return _without_model(seen)
    if seen.version.status.resolved is not None:
        pinned = seen.version.status.resolved
        return Step(passed(Reason.Registered, f"{pinned.source}, pinned when it was first read."))
    match seen.entry:
        case Silent(reason, message, retry):
            verdict = unknown if retry else failed
            return Step(verdict(reason_named(reason), message), again_seconds=30.0)
        case Absent(reason, message):
            return Step(failed(reason_named(reason), message), again_seconds=60.0)
        case Entry() as entry:
            found = Resolved(
                source=entry.source,
                model_id=entry.model_id,
                run_id=entry.run_id,
                mlmodel_digest=entry.mlmodel_digest,
                mlflow_version=entry.mlflow_version,
                flavors=entry.flavors[:32],
                size_bytes=entry.size_bytes,
            )
            return Step(passed(Reason.Registered, f"{entry.source} ({', '.join(entry.flavors)})"), {"resolved": found})
        case None:
            return Step(unknown(Reason.Resolving), again_seconds=5.0)


def _without_model(seen: VersionSeen) -> Step:
    """A version that was applied alone gets a model with an empty spec; one that outlived its model does not.

    Otherwise deleting a model would drop its gates and promote its versions anew. The pause is for files that are
    applied together in any order.
    """
    if seen.version.status.resolved is not None:
        return Step(failed(Reason.ModelMissing))
    age = (seen.now - parse_time(seen.version.metadata.creation_timestamp)).total_seconds()
    if age < MODEL_COMES_SECONDS:
        return Step(
            unknown(Reason.Resolving, "Waiting for its RegisteredModel."), again_seconds=MODEL_COMES_SECONDS - age
        )
    return Step(unknown(Reason.Resolving, "The RegisteredModel is being made."), ensure=(implicit_model(seen),))


def imported(seen: VersionSeen) -> Step:
    """The files are in the artifact store, under the digest that everything later is bound to."""
    before, pinned = seen.traffic.history.get(seen.version.spec.version), seen.version.spec.digest
    if before and pinned not in (None, before):
        return Step(failed(Reason.DigestMismatch, f"{pinned} is pinned, and {before} was released."))
    if before and seen.version.status.digest in (None, before) and not imports.asked_again(seen):
        return Step(passed(Reason.Imported, f"{before} was released before."), {"digest": before})
    return imports.decide(seen)


def validated(seen: VersionSeen) -> Step:
    """Every gate passed in a validation of this revision against the champion of now."""
    if seen.traffic.history.get(seen.version.spec.version) == seen.version.status.digest:
        record = seen.version.status.validation
        return Step(
            validations.proven(record) if record and record.outcome == "Passed" else passed(Reason.AlreadyReleased)
        )
    return validations.decide(seen)


def released(seen: VersionSeen) -> Step:
    """The version has the traffic, or needs none: the model's reconciler says so, this one copies it."""
    handed = seen.handed
    if seen.version.spec.stage == "Staging":
        return Step(passed(Reason.Validated))
    if handed is None:
        return Step(Verdict("False", Reason.RolloutProgressing, "Its pods are about to come up."))
    return Step(received(handed.released))


def synced(seen: VersionSeen) -> Step:
    """The registry's labels say what is really running."""
    handed = seen.handed
    if handed is None or handed.synced is None:
        return Step(unknown(Reason.LabelsPending))
    return Step(received(handed.synced))


MODEL_COMES_SECONDS = 3.0
Rule = Callable[[VersionSeen], Step]
LIFECYCLE: dict[str, Rule] = {
    "Resolved": resolved,
    "Imported": imported,
    "Validated": validated,
    "Released": released,
    "Synced": synced,
}
# How far a stage asks a version to come.
ASKED: dict[str, tuple[str, ...]] = {
    "None": ("Resolved",),
    "Staging": ("Resolved", "Imported", "Validated", "Released", "Synced"),
    "Production": ("Resolved", "Imported", "Validated", "Released", "Synced"),
    "Archived": ("Resolved",),
}
_AT_REST = {
    "None": Reason.Registered,
    "Staging": Reason.Validated,
    "Production": Reason.Serving,
    "Archived": Reason.Archived,
}


def decide(seen: VersionSeen) -> Decision:
    """Walk the lifecycle as far as the stage asks; carry later conditions over when the walk stops early."""
    verdicts: dict[str, Verdict] = {}
    steps: list[Step] = []
    status = seen.version.status
    if seen.model is not None and seen.model.spec.suspend:
        ready = failed(Reason.Suspended)
        return _decision(seen, status, {}, ready, [])
    for name in _asked(seen):
        step = LIFECYCLE[name](seen)
        verdicts[name] = step.verdict
        steps.append(step)
        if step.remember:
            status = status.model_copy(update=step.remember)
            seen = replace(seen, version=seen.version.model_copy(update={"status": status}))
        if not _goes_on(step.verdict):
            break
    return _decision(seen, status, verdicts, _ready(seen, verdicts), steps)


def _asked(seen: VersionSeen) -> tuple[str, ...]:
    """The conditions that the stage asks for; a version that still serves is told so, whatever its stage says."""
    asked = ASKED[seen.version.spec.stage]
    serving_now = seen.traffic.champion == seen.version.spec.version
    return LIFECYCLE_ALL if serving_now else asked


LIFECYCLE_ALL = tuple(LIFECYCLE)


def _goes_on(verdict: Verdict) -> bool:
    return verdict.holds or verdict.reason is Reason.Superseded


def _ready(seen: VersionSeen, verdicts: dict[str, Verdict]) -> Verdict:
    """Ready is the first condition that does not hold; a superseded version is where it should be."""
    for verdict in verdicts.values():
        if verdict.holds:
            continue
        if verdict.reason is Reason.Superseded:
            return passed(Reason.Superseded, verdict.message)
        return Verdict("False", verdict.reason, verdict.message, verdict.final)
    serving_now = seen.traffic.champion == seen.version.spec.version
    reason = Reason.Serving if serving_now else _AT_REST[seen.version.spec.stage]
    return passed(reason, verdicts["Released"].message if "Released" in verdicts else "")


def _decision(
    seen: VersionSeen, status: ModelVersionStatus, verdicts: dict[str, Verdict], ready: Verdict, steps: list[Step]
) -> Decision:
    version = seen.version
    now = stamp(seen)
    carried = [one for one in version.status.conditions if one.type in LIFECYCLE and one.type not in verdicts]
    kept = carried if version.spec.stage in ("Staging", "Production") else []
    conditions = judged(version.status.conditions, verdicts, ready, now, version.metadata.generation)
    serving_now = seen.traffic.champion == version.spec.version
    status = status.model_copy(
        update={
            "observed_generation": version.metadata.generation,
            "conditions": ordered([*kept, *conditions]),
            "serving": serving_now,
            "url": serving.url(seen.model) if serving_now and seen.model else None,
            "last_handled_retry": version.metadata.annotations.get(names.RETRY),
        }
    )
    waits = [step.again_seconds for step in steps if step.again_seconds is not None]
    return Decision(
        ensure=tuple(one for step in steps for one in step.ensure),
        retire=tuple(one for step in steps for one in step.retire),
        documents=tuple(one for step in steps for one in step.documents),
        status=status.wire(),
        events=news(version.status.conditions, conditions),
        requeue_after_seconds=min(waits, default=None),
    )


def ordered(conditions: list[Condition]) -> tuple[Condition, ...]:
    """Conditions in the order of the lifecycle, the derived ones first."""
    order = ["Ready", "Reconciling", "Stalled", *LIFECYCLE]
    return tuple(sorted(conditions, key=lambda one: order.index(one.type)))


def news(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> tuple[Event, ...]:
    """An Event for each condition whose status or reason changed; Ready and its companions repeat the others."""
    earlier = {one.type: (one.status, one.reason) for one in before}
    return tuple(
        Event(
            "Normal" if reason_named(one.reason).outlook in ("Fine", "Moving") else "Warning",
            one.reason,
            one.message,
            one.type,
        )
        for one in after
        if one.type in LIFECYCLE and earlier.get(one.type) != (one.status, one.reason)
    )


def implicit_model(seen: VersionSeen) -> Manifest:
    """The RegisteredModel of a version that was applied without one."""
    meta = {
        "name": seen.version.spec.model,
        "namespace": seen.version.metadata.namespace,
        "annotations": {names.IMPLICIT: "true"},
    }
    return {"apiVersion": API_VERSION, "kind": "RegisteredModel", "metadata": meta, "spec": {}}


def stamp(seen: VersionSeen) -> str:
    """The time of this pass as Kubernetes writes it."""
    return seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
