"""Which ledger may be acted on: the one that is there, or what the statuses remember of it."""

from ..api import modelledger, names
from ..api.modelledger import Following, Handled, Hold, ModelLedgerSpec, Release, RolledBack
from ..api.modelversion import ModelVersion
from ..resources import naming
from . import consent
from .ledger import EMPTY, retry_hash, stamp
from .observed import ModelSeen
from .reasons import Reason
from .revisions import import_key


def believed(seen: ModelSeen) -> ModelLedgerSpec | str:
    """The ledger that may be acted on, or a sentence that says what it waits for.

    A ledger of another RegisteredModel of this name was restored from a backup: anybody could have written it. It is
    believed once each version that serves was imported under the digest that it names, and then without what was not.
    Where there is none, the status is its copy, and is believed on the same condition.
    """
    ledger = seen.ledger
    if ledger is not None and ledger.model_uid == seen.model.metadata.uid:
        return ledger
    found = ledger if ledger is not None else _recalled(seen)
    if found.adopted is not None:  # only the spec may say what is to have the traffic
        since = None if found.adopted.serving else found.since
        found = found.model_copy(update={"adopted": None, "since": since})
    if found.champion is None:
        return found
    champion = found.serving
    if champion is None or not _imported(seen, champion):
        return f"version {found.champion} was not imported again under the digest that the ledger names"
    confirmed = tuple(one for one in found.released if _imported(seen, one))
    numbers = {one.version for one in confirmed}
    predecessor = found.predecessor if found.predecessor in numbers else None
    return found.model_copy(update={"released": confirmed, "predecessor": predecessor})


def _imported(seen: ModelSeen, release: Release) -> bool:
    """Whether a ModelVersion's own import put these files into the store; a status that was restored says nothing."""
    version = seen.version(release.version)
    record = version.status.imported if version else None
    if version is None or record is None or record.key != import_key(version):
        return False
    return record.outcome == "Passed" and record.digest == release.digest


def _recalled(seen: ModelSeen) -> ModelLedgerSpec:
    """The ledger as the statuses tell it, for when somebody deleted it."""
    status, released = seen.model.status, []
    for live in (status.predecessor, status.champion):
        records = [
            one for one in seen.records.values() if live and (one.version, one.digest) == (live.version, live.digest)
        ]
        if live and records:
            newest = max(records, key=lambda one: one.revision)
            since = live.since or stamp(seen.now)
            released.append(
                Release(
                    version=live.version,
                    digest=live.digest,
                    record=newest.hash,
                    inputs=newest.inputs,
                    since=since,
                    origin=_origin(seen, live.version, live.digest),
                )
            )
    numbers = [one.version for one in released]
    adopted = status.adopted is not None and status.adopted.serving
    if not adopted and (status.champion is None or status.champion.version not in numbers):
        return EMPTY
    champion = seen.version(status.champion.version) if status.champion else None
    out = _that_said(seen, Reason.RolledBack)
    held = out or _that_said(seen, Reason.Held)
    return ModelLedgerSpec(
        champion=status.champion.version if status.champion else None,
        predecessor=status.predecessor.version if status.predecessor and len(numbers) > 1 else None,
        since=status.champion.since if status.champion else None,  # what was adopted is so anew, by the spec
        against_stage=champion is not None and champion.spec.stage == "Archived",  # it serves nevertheless
        released=tuple(released),
        hold=Hold(at=stamp(seen.now), by="unknown", reason="the ledger was lost after a rollback") if held else None,
        handled=_handled(seen),
        following=Following(since=status.following_since) if status.following_since else None,
        rolled_back=tuple(
            RolledBack(
                version=one.spec.version,
                at=stamp(seen.now),
                by="unknown",
                retry=retry_hash(one),
                approvals=consent.marks(one),
            )
            for one in sorted(out, key=lambda one: one.spec.version)[-modelledger.ROLLED_BACK :]
        ),
    )


def _origin(seen: ModelSeen, number: int, digest: str) -> str:
    """The registered model that these files were read from; "" if nobody knows."""
    version = seen.version(number)
    pinned = version.status.resolved if version and version.status.digest == digest else None
    return pinned.origin if pinned else ""


def _that_said(seen: ModelSeen, reason: Reason) -> list[ModelVersion]:
    """Versions whose Released condition has this reason."""
    return [one for one in seen.versions if (said := one.status.condition("Released")) and said.reason == reason]


def _handled(seen: ModelSeen) -> Handled:
    """What stands in the commands' annotations was carried out long ago: it is not replayed."""
    said = seen.model.metadata.annotations
    found = {word: said.get(name, "") for word, name in (("rollback", names.ROLLBACK), ("resume", names.RESUME))}
    return Handled(**{word: naming.short_hash(value) for word, value in found.items() if value})
