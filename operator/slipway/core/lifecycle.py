"""The life of a version: Resolved → Imported → Validated → Released → Synced, one rule each, walked in order.

A rule looks at what was seen and says what is known; it may add what should be ensured. The walk stops at the first
condition that does not hold, so nothing is released that is not proven. Silence never takes a condition back.
"""

from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from ..api import names
from ..api.base import API_VERSION
from ..api.condition import Condition
from ..api.modelversion import ModelVersionStatus, Resolved
from ..resources import naming, serving
from ..resources.platform import Manifest
from . import changes, drift, environments, imports, sources, validations
from . import origin as origins
from .conditions import Verdict, conditions_after, failed, passed, unknown
from .decision import Apply, Decision, Event, in_order
from .election import elect, proof_is_kept
from .jobs import parse_time
from .ledger import is_rolled_back
from .news import asked_in_vain
from .observed import VersionSeen
from .reasons import Reason, reason_named
from .registry import Absent, Entry, Silent
from .released import released as released_verdict
from .step import Step


def resolved(seen: VersionSeen) -> Step:
    """The registry knows the version; what never changes about it is pinned.

    A pin of another registered model is forgotten as soon as that is seen: a restart would not know it any more.
    """
    if seen.model is None:
        return _without_model(seen)
    if (pinned := pinned_entry(seen)) is not None:
        return _kept(seen, pinned)
    step = _looked_up(seen, seen.model.registered_name)
    if seen.family is None or seen.family.is_of_now(seen.version):
        return step
    return replace(step, remember={**dict.fromkeys(("resolved", *OF_THE_FILES)), **(step.remember or {})})


def _looked_up(seen: VersionSeen, name: str) -> Step:
    """What the registry says of a version that is not pinned."""
    match seen.entry:
        case Silent(reason, message, retry):
            verdict = unknown if retry else failed
            return Step(verdict(reason_named(reason), message), again_seconds=30.0)
        case Absent(reason, message):
            return Step(failed(reason_named(reason), message), again_seconds=60.0)
        case Entry() as entry:
            namespace = seen.version.metadata.namespace
            if said := sources.objection(entry.location, entry.via, seen.registry, namespace, name):
                return Step(failed(Reason.ArtifactForbidden, said), again_seconds=60.0)
            return _pinned(seen, entry)
        case None:
            return Step(unknown(Reason.Resolving), again_seconds=5.0)


def pinned_entry(seen: VersionSeen) -> Resolved | None:
    """What was read of the version, if it was read where the model points now. Silence takes nothing back."""
    pinned = seen.version.status.resolved
    if pinned is None or seen.model is None or isinstance(seen.registry, Silent) or seen.release is not None:
        return pinned
    if seen.family is not None and not seen.family.is_of_now(seen.version):
        return None
    return pinned if pinned.registry in ("", _where(seen)) else None


def _kept(seen: VersionSeen, pinned: Resolved) -> Step:
    """What was pinned stays pinned. What serves does so too where the registry has another one under its number."""
    assert seen.family is not None
    if seen.family.is_of_now(seen.version):
        now = seen.family.origin(seen.version.spec.version)
        return _registered(pinned.model_copy(update={"origin": origins.completed(pinned.origin, now)}))
    step = _registered(pinned)
    verdict = replace(step.verdict, message=f"{drift.OF_ANOTHER} {step.verdict.message}")
    return replace(step, verdict=verdict)


def _pinned(seen: VersionSeen, entry: Entry) -> Step:
    """What never changes about the version, and where it was read: it counts for that registry and name only."""
    try:
        found = Resolved(
            registry=_where(seen),
            origin=seen.family.origin_of(entry.created) if seen.family else "",
            source=entry.source,
            location=entry.location,
            via=entry.via,
            model_id=entry.model_id,
            run_id=entry.run_id,
            mlmodel_digest=entry.mlmodel_digest,
            mlflow_version=entry.mlflow_version,
            flavors=entry.flavors[:32],
            size_bytes=entry.size_bytes,
        )
    except ValidationError as error:
        wrong = ", ".join(str(one["loc"][0]) for one in error.errors())
        return Step(failed(Reason.ModelInvalid, f"The registry's entry is out of bounds: {wrong}."), again_seconds=60.0)
    return _registered(found)


def _registered(found: Resolved) -> Step:
    said = f"{found.source} ({', '.join(found.flavors)})"
    return Step(passed(Reason.Registered, said), {"resolved": found})


def _where(seen: VersionSeen) -> str:
    """Which registered model of which registry the version belongs to now."""
    model, registry = seen.model, seen.registry
    assert model is not None
    where = registry.metadata.uid if not isinstance(registry, Silent) else ""
    return naming.short_hash([where, model.registered_name])


def _without_model(seen: VersionSeen) -> Step:
    """A version that was applied alone gets a model with an empty spec; one that outlived its model does not.

    Otherwise deleting a model would drop its gates and promote its versions anew. The pause is for files that are
    applied together in any order.
    """
    said = seen.version.status.condition("Ready")
    if seen.version.status.resolved is not None or (said and said.reason != Reason.AwaitingModel):
        return Step(failed(Reason.ModelMissing))
    if not seen.platform.implicit_models:
        return Step(failed(Reason.ModelMissing, f"There is no RegisteredModel {seen.version.spec.model}."))
    age = (seen.now - parse_time(seen.version.metadata.creation_timestamp)).total_seconds()
    if age < MODEL_COMES_SECONDS:
        return Step(
            unknown(Reason.AwaitingModel, "Waiting for its RegisteredModel."), again_seconds=MODEL_COMES_SECONDS - age
        )
    return Step(
        unknown(Reason.AwaitingModel, "The RegisteredModel is being made."), acts=(Apply(implicit_model(seen)),)
    )


def imported(seen: VersionSeen) -> Step:
    """The files are in the artifact store, under the digest that everything later is bound to."""
    release, pinned = seen.release, seen.version.spec.digest
    before = release.digest if release else None
    if before and pinned not in (None, before):
        return Step(failed(Reason.DigestMismatch, f"{pinned} is pinned, and {before} was released."))
    if before and _has_the_files(seen, before) and not imports.asked_again(seen):
        # What its own import says stays the same, whatever the ledger remembers of it.
        said = imports.said(seen.version, before) or passed(Reason.Imported, f"{before} was released before.")
        return environments.again(seen, before) or Step(said, {"digest": before})
    step = imports.decide(seen)
    return _to_compare_with(seen, step) if step.verdict.holds and _asked(seen) == COMPARED_WITH else step


def _to_compare_with(seen: VersionSeen, step: Step) -> Step:
    """A version that others are compared with, and that is never validated, needs its packages to count as imported."""
    known = step.remember or {}
    status = seen.version.status.model_copy(update=known)
    here = replace(seen, version=seen.version.model_copy(update={"status": status}))
    packages = environments.to_compare_with(here)
    if packages is None:
        return step
    return replace(packages, remember={**known, **(packages.remember or {})}, acts=(*step.acts, *packages.acts))


def _has_the_files(seen: VersionSeen, released: str) -> bool:
    """Whether the released files are all that its status may tell of: not so where it tells of a newer version's."""
    pinned, release = seen.version.status.resolved, seen.release
    of_another = bool(pinned and release and origins.differ(pinned.origin, release.origin))
    return seen.version.status.digest in (None, released) or of_another


def validated(seen: VersionSeen) -> Step:
    """Every gate passed in a validation of this revision against the champion of now."""
    family, version = seen.family, seen.version
    assert family is not None
    serving_now = version.spec.version == seen.ledger.champion
    if seen.release and (serving_now or proof_is_kept(family, seen.ledger, version) or _is_out(seen)):
        record = version.status.validation
        return Step(
            validations.proven(record) if record and record.outcome == "Passed" else passed(Reason.AlreadyReleased)
        )
    return validations.decide(seen)


def _is_out(seen: VersionSeen) -> bool:
    return is_rolled_back(seen.ledger, seen.version.spec.version) is not None


def released(seen: VersionSeen) -> Step:
    """The version has the traffic, or needs none."""
    assert seen.family is not None
    return Step(released_verdict(seen.family, seen.ledger, elect(seen.family, seen.ledger), seen.version))


def synced(seen: VersionSeen) -> Step:
    """The registry's labels say what is really running."""
    assert seen.family is not None
    return Step(drift.synced(seen.family, seen.ledger, seen.version))


# What is known anew with another pin.
OF_THE_FILES = ("digest", "imported", "environment", "validation", "facts", "changes")
QUEUED_SECONDS = 60.0
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
    status = _described(seen, status)
    return _decision(seen, status, verdicts, _version_ready(seen, verdicts), steps)


def _described(seen: VersionSeen, status: ModelVersionStatus) -> ModelVersionStatus:
    """How the version was made, and what differs from the one that serves. Nothing waits for it."""
    if seen.facts is not None and status.resolved is not None:
        facts = seen.facts.model_copy(update={"registry": status.resolved.registry})
        status = status.model_copy(update={"facts": facts})
    if seen.family is None:
        return status
    found = changes.compared(seen.family, seen.ledger, seen.version.model_copy(update={"status": status}))
    return status if found is None else status.model_copy(update={"changes": found})


def needs_facts(seen: VersionSeen) -> bool:
    """Whether it is still to be read how the version was made: once, of a version that is in use."""
    pinned, known = pinned_entry(seen), seen.version.status.facts
    if pinned is None:
        return isinstance(seen.entry, Entry)
    if known is not None and known.registry == pinned.registry:
        return False
    return seen.stage != "Archived" or seen.ledger.champion == seen.version.spec.version


def _asked(seen: VersionSeen) -> tuple[str, ...]:
    """The conditions that the stage asks for; all of them for a version that still serves, whatever its stage says."""
    asked, adopted = ASKED[seen.stage], seen.ledger.serving_adopted
    serving_now = seen.ledger.champion == seen.version.spec.version
    if adopted and adopted.version == seen.version.spec.version and "Imported" not in asked:
        return COMPARED_WITH
    return LIFECYCLE_ALL if serving_now else asked


LIFECYCLE_ALL = tuple(LIFECYCLE)
COMPARED_WITH = ("Resolved", "Imported")  # how far the version comes that an adopted Deployment is said to run


def _goes_on(verdict: Verdict) -> bool:
    return verdict.holds or verdict.reason is Reason.Superseded


def _version_ready(seen: VersionSeen, verdicts: dict[str, Verdict]) -> Verdict:
    """Ready is the first condition that does not hold; a superseded version is where it should be."""
    for verdict in verdicts.values():
        if verdict.holds:
            continue
        if verdict.reason is Reason.Superseded:
            return passed(Reason.Superseded, verdict.message)
        return Verdict("False", verdict.reason, verdict.message, verdict.final)
    if "Released" in verdicts and verdicts["Released"].reason is Reason.Adopted:
        return verdicts["Released"]
    serving_now = seen.ledger.champion == seen.version.spec.version
    reason = Reason.Serving if serving_now else _AT_REST[seen.stage]
    return passed(reason, verdicts["Released"].message if "Released" in verdicts else "")


def _decision(
    seen: VersionSeen, status: ModelVersionStatus, verdicts: dict[str, Verdict], ready: Verdict, steps: list[Step]
) -> Decision:
    version = seen.version
    now = stamp(seen)
    carried = [one for one in version.status.conditions if one.type in LIFECYCLE and one.type not in verdicts]
    kept = carried if seen.stage in ("Staging", "Production") and status.resolved else []  # they say nothing of another
    conditions = conditions_after(version.status.conditions, verdicts, ready, now, version.metadata.generation)
    serving_now = seen.ledger.champion == version.spec.version
    suspended = seen.model is not None and seen.model.spec.suspend  # what is asked meanwhile is done later
    status = status.model_copy(
        update={
            "observed_generation": version.metadata.generation,
            "conditions": ordered([*kept, *conditions]),
            "stage": seen.stage,
            "refused_at": seen.family.refused_at(version, seen.ledger) if seen.family else None,
            "serving": serving_now,
            "url": serving.url(seen.model) if serving_now and seen.model else None,
            "last_handled_retry": status.last_handled_retry if suspended else version.retry,
        }
    )
    waits = [step.again_seconds for step in steps if step.again_seconds is not None]
    if ready.reason is Reason.Queued:  # its place is told anew
        waits.append(QUEUED_SECONDS)
    return Decision(
        acts=in_order(act for step in steps for act in step.acts),
        documents=tuple(one for step in steps for one in step.documents),
        status=status.wire(),
        events=(*news(version.status.conditions, conditions), *_in_vain(version.status, status)),
        queues=tuple(step.queue for step in steps if step.queue),
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


def _in_vain(before: ModelVersionStatus, after: ModelVersionStatus) -> tuple[Event, ...]:
    """An Event for a refusal that no condition tells of, since nothing about the version has changed."""
    if (one := asked_in_vain(before.wire(), after.wire())) is None:
        return ()
    said = f"The registry has asked for it again, and it is refused as before. {one['message']}"
    return (Event("Warning", one["reason"], said, one["type"]),)


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
