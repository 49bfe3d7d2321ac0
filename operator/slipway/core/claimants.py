"""Who claims which stage: by the stages of the specs, or by the labels of the registry less those that we wrote.

Elections know claims only, and not where they come from.
"""

from dataclasses import dataclass

from ..api.modelledger import ModelLedgerSpec, Request
from ..api.modelversion import ModelVersion, Stage
from . import consent
from .history import UNKNOWN
from .ledger import is_rolled_back
from .observed import ModelSeen


@dataclass(frozen=True)
class Claim:
    """A version asks for a stage."""

    version: int
    stage: Stage
    by: str  # as far as anybody tells; never a guess
    since: str  # RFC 3339; "": nobody tells


def claims_of(seen: ModelSeen, ledger: ModelLedgerSpec) -> tuple[Claim, ...]:
    """The claims of a model's versions, the first one first: the request of the registry, then the highest number."""
    request = request_of(ledger) if seen.by_registry else None
    first = request.version if request else None
    found = [claim for one in seen.versions if (claim := _claim(seen, ledger, one, request))]
    return tuple(sorted(found, key=lambda one: (one.version != first, -one.version)))


def request_of(ledger: ModelLedgerSpec) -> Request | None:
    """What the registry asks for, and is to be followed."""
    request = ledger.following.request if ledger.following else None
    return request if request is not None and request.against is None else None


def asked_by(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion | None) -> str:
    """Who approved of a version; where nobody has to, which program set its stage; never a guess."""
    if version is None:
        return UNKNOWN
    if seen.by_registry:
        return ", ".join(sorted(consent.approved(seen, ledger, version, started=True))) or UNKNOWN
    return version.metadata.staged_by or UNKNOWN


def _claim(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, request: Request | None) -> Claim | None:
    number, since = version.spec.version, ""
    if seen.by_registry:
        stage, asked = seen.stage(version, ledger), request is not None and request.version == number
        if stage == "Production" and not asked and number != ledger.champion:
            return None  # it was answered, or was there before labels counted
        since = request.at if request is not None and asked else ""
    else:
        against = ledger.against_stage and number == ledger.champion
        stage = "Production" if against else version.spec.stage
        if stage == "Production" and is_rolled_back(ledger, number):
            return None
        since = version.metadata.staged_at
    if stage == "None" or (stage == "Production" and version.metadata.deletion_timestamp):
        return None
    return Claim(number, stage, asked_by(seen, ledger, version), since)
