"""What the registry should say about each version: stage, alias, and tags for people.

The ledger remembers what it was asked to say.
"""

from dataclasses import dataclass

from ..api.modelledger import ModelLedgerSpec, RolledBack, Told
from ..api.modelregistry import RegistryLabels, Stages
from ..api.modelversion import ModelVersion
from ..resources import naming
from . import adoption, claims, consent, description, history, meaning
from .claimants import request_of
from .conditions import clipped, failed, refusal, sentence
from .election import barrier_of, refused, waits
from .in_play import in_play, prefix_of, times, waited, was_adopted
from .ledger import is_rolled_back, who_serves
from .observed import ModelSeen
from .reasons import Reason
from .registry import Expected, Labels, Silent, Write

WHY_LIMIT = 1000  # characters of a reason in a tag


@dataclass(frozen=True)
class Wanted:
    """What the registry should say about one version."""

    write: Write
    state: str  # a word
    message: str  # what is told once it says so


@dataclass(frozen=True)
class Said:
    """What people are told of a version."""

    state: str  # a word
    detail: str = ""
    why: str = ""  # it may not serve


def wanted(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Wanted | None:
    """What the registry should say about a version; None if there is nothing to say, or another one has its number."""
    if isinstance(seen.registry, Silent) or not seen.has(ledger, version):
        return None
    number, stages, nothing = version.spec.version, seen.registry.spec.stages, RegistryLabels()
    serves = who_serves(ledger) or "nothing serves"
    if number == ledger.champion:
        return _wanted(seen, ledger, version, of_champion(seen, ledger), Said("Serving", f"since {ledger.since}"))
    stage = seen.stage(version, ledger)
    if out := _rolled_back(seen, ledger, version):
        after = nothing if stage == "Staging" else _out_of_use(seen, ledger, number)
        by = f"Rolled back by {out.by}: {out.reason or 'no reason given'}"
        return _wanted(seen, ledger, version, after, Said("RolledBack", serves, by))
    if refused(seen, ledger, version):
        why = refusal(version)
        reason, message = (why.reason, why.message) if why else ("", "")
        after = nothing if stage == "Staging" else _if_refused(seen, ledger, number)
        return _wanted(seen, ledger, version, after, Said("Refused", reason, message))
    if stage != "Staging" and (adopted := _adopted(seen, ledger, version)):
        return adopted
    if stage == "Archived":
        return _wanted(seen, ledger, version, _out_of_use(seen, ledger, number), Said("Archived"))
    if stage == "Staging" and _is_proven(version):
        first = _is_first_in_staging(seen, ledger, version)
        after = stages.staging if first else RegistryLabels(stage=stages.staging.stage)
        return _wanted(seen, ledger, version, after, Said("Validated"))
    return _replaced(seen, ledger, version, Said("Replaced", serves))


def _replaced(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, said: Said) -> Wanted | None:
    """What is told of a version that another one has replaced, or that waits; also if nobody asks for it any more."""
    number, stage = version.spec.version, seen.stage(version, ledger)
    returns = ledger.champion is not None and seen.release(ledger, version) is not None
    if stage == "Production" and (seen.by_registry or returns):
        if seen.by_registry and not _was_replaced(seen, ledger, number):
            return _waiting(seen, ledger, version)
        return _wanted(seen, ledger, version, RegistryLabels(), said)
    served = bool(times(seen, ledger, version)) or (was_adopted(ledger, version) and ledger.champion is not None)
    if stage == "None" and served:
        return _wanted(seen, ledger, version, RegistryLabels(), said)
    return _wanted(seen, ledger, version, RegistryLabels(), Said("Withdrawn")) if waited(seen, number) else None


def _rolled_back(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> RolledBack | None:
    """Why a version does not come back by itself, if it was that one which served."""
    number = version.spec.version
    another = ledger.release(number) is not None and seen.release(ledger, version) is None
    return None if another else is_rolled_back(ledger, number)


def of_champion(seen: ModelSeen, ledger: ModelLedgerSpec) -> RegistryLabels:
    """The labels that the champion gets. A request is answered first: while it waits, it keeps the labels that it has.

    What a rollback returned to gets its stage at once, and the alias from what may not serve.
    """
    labels, request = seen.stages.production, ledger.following.request if ledger.following else None
    if request is None:
        return labels
    out = claims.out(ledger) - {request.version, request.against}
    if seen.model.spec.promotion.on_refusal == "Keep" and ledger.following:
        out -= {one.version for one in ledger.following.taken_back}
    astray = bool(labels.alias) and _holder(seen, labels.alias) in out
    return RegistryLabels(stage=labels.stage if ledger.hold else None, alias=labels.alias if astray else None)


def _holder(seen: ModelSeen, alias: str | None) -> int | None:
    """The version that has an alias in the registry."""
    labels = seen.known.labels if seen.known and alias else {}
    return next((number for number, one in labels.items() if alias in one.aliases), None)


def _waiting(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Wanted | None:
    """What is told of a version that was asked for, while it waits for people; None while it does not."""
    request = ledger.following.request if ledger.following else None
    if request is None or version.spec.version not in (request.version, request.against):
        return None
    why = waits(seen, ledger, version) or adoption.missing(seen, ledger)
    if conflict := claims.conflict_of(ledger, seen.stages):
        why = failed(Reason.LabelsConflict, conflict)
    barrier = barrier_of(seen, ledger, version)
    if why is None and barrier in _BARRIERS:
        why = failed(_BARRIERS[barrier], consent.forbidden(seen) if barrier == "Forbidden" else "")
    return _wanted(seen, ledger, version, RegistryLabels(), Said("Waiting", why.reason, why.message)) if why else None


def _adopted(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Wanted | None:
    """What is told of the version that an adopted Deployment is said to run; its labels are as people set them."""
    adopted, request = ledger.serving_adopted, request_of(ledger)
    if adopted is None or adopted.version != version.spec.version or (request and request.version == adopted.version):
        return None
    return _wanted(seen, ledger, version, RegistryLabels(), Said("Adopted", f"by Deployment {adopted.deployment}"))


_BARRIERS: dict[str, Reason] = {
    "Held": Reason.Held,
    "Frozen": Reason.Frozen,
    "Forbidden": Reason.PromotionNotAllowed,
}


def _was_replaced(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> bool:
    """Whether the version served, or was asked for, and another one was asked for since.

    What stood in Production when labels began to decide is nobody's business here.
    """
    following = ledger.following
    if following is None or (following.request and number in (following.request.version, following.request.against)):
        return False
    if ledger.adopted is not None and ledger.adopted.version == number:
        return ledger.champion is not None
    released = seen.released(ledger, number) is not None
    return released or any(one.version == number and one.asked for one in following.shown)


def _out_of_use(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> RegistryLabels:
    """The labels of a version that is out of use; an alias is on one version only, the highest."""
    others = (one.spec.version for one in seen.versions if seen.stage(one, ledger) == "Archived")
    first = max(
        (*others, *(one.version for one in ledger.rolled_back if is_rolled_back(ledger, one.version))), default=0
    )
    labels = RegistryLabels(stage=_aside(seen.stages), alias=seen.stages.archived.alias)
    return labels if number == first else RegistryLabels(stage=labels.stage)


def _aside(stages: Stages) -> str | None:
    """The stage of what leaves Production: no stage where none stands for Archived, but never that of Production."""
    return stages.archived.stage or ("None" if stages.production.stage else None)


def _if_refused(seen: ModelSeen, ledger: ModelLedgerSpec, number: int) -> RegistryLabels:
    """The labels of a version that was refused: those of what is out of use, if its own are to go back."""
    taken_back = {one.version for one in ledger.following.taken_back} if ledger.following else set()
    if number not in taken_back or seen.model.spec.promotion.on_refusal == "Keep":
        return RegistryLabels()
    return RegistryLabels(stage=_aside(seen.stages) if seen.stages.production.stage else None)


def _wanted(
    seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, labels: RegistryLabels, told_people: Said
) -> Wanted:
    """The labels, and tags for people: what has become of the version, and why it may not serve."""
    other = f" Stage and alias are those of the model {seen.labelled_by}." if seen.labelled_by else ""
    if teller := seen.told_by.get(version.spec.version):  # tags and line name the namespace, and can say one thing only
        message = f"Nothing is written: the model {teller} tells of this version.{other}"
        return Wanted(Write(version.spec.version), told_people.state, message)
    state, why = told_people.state, told_people.why
    prefix = prefix_of(seen)
    said = f"{state} {told_people.detail}".strip()
    digest = version.status.digest if state in ("Serving", "Validated") else None
    tags = {prefix + "state": said} | ({prefix + "digest": digest} if digest else {})
    known = seen.known.labels.get(version.spec.version) if seen.known else None
    if why or (known and known.tags.get(prefix + "reason")):  # one that is true no longer is emptied
        tags[prefix + "reason"] = clipped(why, WHY_LIMIT)
    if seen.labelled_by:  # what one writes would be a request to the other
        labels = RegistryLabels()
    write = Write(
        version.spec.version,
        labels.stage,
        archive=_leaving(seen, ledger, version.spec.version, labels),
        aside=_aside(seen.stages) or "None",
        alias=labels.alias,
        without=_stale_alias(seen, ledger, version.spec.version, state),
        tags=tags,
        notes=_notes(seen, ledger, version, prefix),
        line=description.line(seen, version, _sentences(told_people, version)),
        expected=_expected(seen, version.spec.version, labels),
        created=known.created if known else 0,
    )
    stage = f", stage {labels.stage}" if labels.stage else ""
    alias = f", alias {labels.alias}" if labels.alias else ""
    return Wanted(write, state, f"The registry says: {said}{stage}{alias}.{other}")


_TOLD = {
    "Serving": "serving {}",
    "RolledBack": "rolled back; {}",
    "Refused": "refused, {}",
    "Waiting": "waiting, {}",
    "Replaced": "replaced; {}",
    "Withdrawn": "asked for no longer{}",
    "Validated": "validated for staging{}",
    "Archived": "archived{}",
}


def _sentences(said: Said, version: ModelVersion) -> str:
    """What has become of a version, why, and what it changes."""
    changes = version.status.changes
    of_interest = changes is not None and said.state in ("Serving", "Validated", "Waiting")
    parts = [
        _TOLD.get(said.state, said.state.lower() + " {}").format(said.detail),
        said.why,
        changes.summary if changes and of_interest else "",
    ]
    return " ".join(sentence(one) for one in parts if one)


def _notes(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, prefix: str) -> dict[str, str]:
    """What differs from the version that serves, and each time for which it has served itself."""
    changes = version.status.changes
    notes = {prefix + "changes": clipped(changes.summary, WHY_LIMIT)} if changes else {}
    return notes | {f"{prefix}served {one.since}": history.told(one) for one in times(seen, ledger, version)}


def _stale_alias(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, state: str) -> str | None:
    """The alias of Production on what may not serve, while no champion is there to take it over: none, or deleted."""
    takes_over = ledger.champion is not None and not (seen.known and ledger.champion in seen.known.gone)
    if not seen.by_registry or seen.labelled_by or takes_over or state not in _NOT_SERVING:
        return None
    taken_back = {one.version for one in ledger.following.taken_back} if ledger.following else set()
    if state == "Refused" and (number not in taken_back or seen.model.spec.promotion.on_refusal == "Keep"):
        return None
    return seen.stages.production.alias


def _leaving(seen: ModelSeen, ledger: ModelLedgerSpec, number: int, labels: RegistryLabels) -> tuple[int, ...]:
    """Versions that leave the stage of Production to the champion.

    None that another cluster has put there. Where labels decide, only what served or was asked for before: others may
    be asked for by now.
    """
    if number != ledger.champion or seen.known is None or labels.stage != seen.stages.production.stage:
        return ()
    others = [
        other for other, one in seen.known.labels.items() if other != number and meaning.in_production(one, seen.stages)
    ]
    if seen.by_registry:
        others = [one for one in others if _was_replaced(seen, ledger, one) and one not in claims.out(ledger)]
    return tuple(one for one in others if not _is_of_another_cluster(seen, seen.known.labels[one]))


def _is_of_another_cluster(seen: ModelSeen, labels: Labels) -> bool:
    """Whether a Slipway elsewhere says that it serves there."""
    return any(
        key.endswith("/state") and not key.startswith(prefix_of(seen)) and said.startswith("Serving")
        for key, said in labels.tags.items()
    )


_NOT_SERVING = ("Refused", "RolledBack", "Archived")


def _expected(seen: ModelSeen, number: int, labels: RegistryLabels) -> Expected | None:
    """What the write was decided by, where labels are requests: one that nobody has seen yet is not overwritten."""
    known = seen.known
    if not seen.by_registry or known is None:
        return None
    there = known.labels.get(number)
    holder = _holder(seen, labels.alias)
    return Expected(there.stage if there else "None", there.aliases if there else (), holder)


def told(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Told, ...]:
    """The stages and aliases that the registry is asked to give; what the ledger remembers of a silent one."""
    if isinstance(seen.registry, Silent):
        return ledger.told
    found = []
    for version in in_play(seen, ledger):
        one = wanted(seen, ledger, version)
        if one and (one.write.stage or one.write.alias):
            alias = naming.short_hash(one.write.alias) if one.write.alias else ""
            found.append(Told(version=version.spec.version, state=one.state, stage=one.write.stage or "", alias=alias))
    return tuple(found)


def _is_proven(version: ModelVersion) -> bool:
    proof = version.status.condition("Validated")
    return proof is not None and proof.status == "True"


def _is_first_in_staging(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    proven = [one.spec.version for one in seen.versions if seen.stage(one, ledger) == "Staging" and _is_proven(one)]
    return version.spec.version == max(proven)
