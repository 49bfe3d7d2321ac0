"""Which version should serve: the highest that asks for Production and was neither refused nor rolled back."""

from dataclasses import dataclass

from ..api import names
from ..api.condition import Condition
from ..api.modelversion import ModelVersion
from ..resources import naming
from . import gates, validations
from .observed import ModelSeen


@dataclass(frozen=True)
class Standing:
    """How the versions of a model stand to each other."""

    target: int | None  # the version that should have the traffic
    proven: bool  # it may have it: released before, or evidence against the champion of now
    going_back: bool = False  # it is the predecessor, by a rollback


def token(version: ModelVersion) -> str:
    """What was asked of a version: another token is another wish, which makes a rolled-back version eligible again."""
    spec = version.spec.model_dump(mode="json", exclude_defaults=True)
    return naming.short_hash([spec, version.metadata.annotations.get(names.RETRY, "")])


def wanted_rollback(seen: ModelSeen) -> str | None:
    """The rollback that is asked for and was not carried out yet."""
    asked = seen.model.metadata.annotations.get(names.ROLLBACK, "")
    return asked if asked and asked != seen.traffic.handled_rollback else None


def standing(seen: ModelSeen) -> Standing:
    """The version that should have the traffic, and whether it may."""
    champion = seen.traffic.champion
    if wanted_rollback(seen) and seen.traffic.predecessor in seen.traffic.history:
        return Standing(seen.traffic.predecessor, proven=True, going_back=True)
    for version in contenders(seen):
        number = version.spec.version
        if number == champion or number in seen.traffic.history:
            return Standing(number, proven=True)
        return Standing(number, proven=evidence_holds(seen, version))
    return Standing(champion if _keeps(seen) else None, proven=True)


def contenders(seen: ModelSeen) -> list[ModelVersion]:
    """Versions that may ask for the traffic, the first claim first."""
    asking = [one for one in seen.versions if one.spec.stage == "Production" and not one.metadata.deletion_timestamp]
    open_to = [one for one in asking if not rolled_back(seen, one) and not refused(seen, one)]
    return sorted(open_to, key=lambda one: -one.spec.version)


def rolled_back(seen: ModelSeen, version: ModelVersion) -> bool:
    """Somebody rolled it back and has asked for nothing new since."""
    return seen.traffic.rolled_back.get(version.spec.version) == token(version)


def refused(seen: ModelSeen, version: ModelVersion) -> bool:
    """It cannot be released as it is: a condition before Released is stuck for this generation and this retry."""
    if version.spec.version in seen.traffic.history:
        return False
    status = version.status
    if status.observed_generation != version.metadata.generation:
        return False
    if status.last_handled_retry != version.metadata.annotations.get(names.RETRY):
        return False
    return refusal(version) is not None


def refusal(version: ModelVersion) -> Condition | None:
    """The condition that refuses a version, if its status says that one does."""
    stalled = version.status.condition("Stalled")
    if stalled is None or stalled.status != "True":
        return None
    found = (version.status.condition(kind) for kind in ("Resolved", "Imported", "Validated"))
    return next((one for one in found if one is not None and one.status != "True"), None)


def evidence_holds(seen: ModelSeen, version: ModelVersion) -> bool:
    """The version was validated as it is asked for now, against the champion of now."""
    proof = version.status.validation
    asked = gates.merged(seen.model.spec.validation, version.spec.validation)
    if proof is None or isinstance(asked, str) or not validated(version):
        return False
    of_now = proof.revision == validations.revision_of(seen.model, version, asked)
    return of_now and (proof.champion_digest or "") == seen.traffic.digest


def validated(version: ModelVersion) -> bool:
    """The version was validated as it is now, against whichever champion; nothing before that is being redone."""
    status = version.status
    holds = {one.type for one in status.conditions if one.status == "True"}
    if not {"Resolved", "Imported", "Validated"} <= holds or status.validation is None or status.digest is None:
        return False
    if status.last_handled_retry != version.metadata.annotations.get(names.RETRY):
        return False
    return status.observed_generation == version.metadata.generation


def _keeps(seen: ModelSeen) -> bool:
    """With nobody to take over, the champion keeps the traffic unless its stage says Archived."""
    for version in seen.versions:
        if version.spec.version == seen.traffic.champion:
            return version.spec.stage != "Archived" or token(version) == seen.traffic.returned
    return True  # its ModelVersion is gone: nobody asked to stop serving
