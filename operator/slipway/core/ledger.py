"""How a ledger changes: every transition is a pure function, and none makes it larger than its bound.

The ledger is written first; the route, the pods and the registry's labels are functions of it.
"""

from collections.abc import Iterable
from datetime import datetime

from ..api import modelledger
from ..api.modelledger import Adopted, Following, Hold, ModelLedgerSpec, Release, RolledBack, Served, Told
from ..api.modelversion import ModelVersion
from ..resources import naming
from . import claims, consent, history
from .commands import Command
from .history import fitting
from .observed import ModelSeen

EMPTY = ModelLedgerSpec()


def stamp(now: datetime) -> str:
    """A moment as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def retry_hash(version: ModelVersion) -> str:
    """Hash of the retry that a version carries; "" if it carries none."""
    asked = version.retry
    return naming.short_hash(asked) if asked else ""


def move(
    ledger: ModelLedgerSpec, to: Release, history_limit: int, now: datetime, by: str = "unknown", report: str = ""
) -> ModelLedgerSpec:
    """The traffic goes on to a version; who had it becomes the predecessor."""
    kept = _remember(ledger, to, ledger.champion, history_limit, now)
    predecessor = ledger.champion if ledger.champion != to.version else ledger.predecessor
    ledger = claims.released_again(ledger, to.version)
    return _at(
        ledger,
        now,
        f"replaced by version {to.version}",
        history.began(to, stamp(now), by, report),
        champion=to.version,
        predecessor=predecessor,
        released=kept,
        shift=None,
        against_stage=False,
    )


def route(ledger: ModelLedgerSpec) -> str:
    """Whom the model's Service selects: a version, what was adopted, or nobody."""
    return naming.ADOPTED if ledger.serving_adopted else str(ledger.champion or naming.NOBODY)


def who_serves(ledger: ModelLedgerSpec) -> str:
    """Who has the traffic, in words; "" if nobody has."""
    if adopted := ledger.serving_adopted:
        return f"Deployment {adopted.deployment} serves"
    return f"version {ledger.champion} serves" if ledger.champion else ""


def go_back(seen: ModelSeen, ledger: ModelLedgerSpec, to: Release, asked: Command) -> ModelLedgerSpec:
    """The traffic goes back to a version. What served after it stays out, and no rollout starts until `resume`."""
    now = seen.now
    out = ({one.version for one in ledger.released if one.version > to.version} | {ledger.champion or 0}) - {0}
    rolled_back = _rolled_back(seen, ledger, out - {to.version}, asked, to.version)
    returned = seen.version(to.version)
    stays_out = {one.version for one in rolled_back}
    others = [one.version for one in ledger.released if one.version not in (*stays_out, to.version)]
    predecessor = others[-1] if others else None
    return _at(
        claims.withdraw(ledger, {*out, to.version}),
        now,
        _rolled_back_by(asked),
        history.began(to, stamp(now), asked.by, history.proof_of(returned)),
        champion=to.version,
        predecessor=predecessor,
        released=_remember(ledger, to, predecessor, modelledger.RELEASES, now),
        rolled_back=rolled_back,
        shift=None,
        hold=Hold(at=stamp(now), by=fitting(asked.by, modelledger.WHO_BYTES), reason=_reason(asked)),
        handled=ledger.handled.model_copy(update={"rollback": asked.hash}),
        against_stage=returned is not None and seen.stage(returned, ledger) == "Archived",
    )


def go_back_to_adopted(seen: ModelSeen, ledger: ModelLedgerSpec, to: Adopted, asked: Command) -> ModelLedgerSpec:
    """The traffic goes back to the Deployment that served before any version: all of them stay out."""
    out = {one.version for one in ledger.released}
    return _at(
        claims.withdraw(ledger, out),
        seen.now,
        _rolled_back_by(asked),
        champion=None,
        predecessor=None,
        adopted=to.model_copy(update={"serving": True}),
        rolled_back=_rolled_back(seen, ledger, out, asked),
        shift=None,
        hold=Hold(at=stamp(seen.now), by=fitting(asked.by, modelledger.WHO_BYTES), reason=_reason(asked)),
        handled=ledger.handled.model_copy(update={"rollback": asked.hash}),
        against_stage=False,
    )


def start(ledger: ModelLedgerSpec, candidate: int | None) -> ModelLedgerSpec:
    """The pods of a candidate are started while none ever had the traffic."""
    if ledger.since or candidate is None or candidate in ledger.started:
        return ledger
    return ledger.model_copy(update={"started": (*ledger.started, candidate)[-modelledger.STARTED :]})


def stop(ledger: ModelLedgerSpec, now: datetime) -> ModelLedgerSpec:
    """Nobody has the traffic."""
    return _at(ledger, now, "archived", champion=None, predecessor=ledger.champion, shift=None, against_stage=False)


def refuse_rollback(ledger: ModelLedgerSpec, asked: Command) -> ModelLedgerSpec:
    """The rollback cannot be carried out, and is not tried again later."""
    return ledger.model_copy(update={"handled": ledger.handled.model_copy(update={"rollback": asked.hash})})


def resume(ledger: ModelLedgerSpec, asked: Command) -> ModelLedgerSpec:
    """Rollouts may start again; what was rolled back stays out."""
    handled = ledger.handled.model_copy(update={"resume": asked.hash})
    return ledger.model_copy(update={"hold": None, "handled": handled})


def forgive(seen: ModelSeen, ledger: ModelLedgerSpec) -> ModelLedgerSpec:
    """What left Production, or was asked for by a new retry, is no longer rolled back."""
    if seen.invalid:
        return ledger
    if seen.by_registry:
        return _asked_again(seen, ledger)
    there = {one.spec.version: one for one in seen.versions}

    def stays_out(one: RolledBack) -> bool:
        version = there.get(one.version)
        return version is None or (version.spec.stage == "Production" and retry_hash(version) == one.retry)

    kept = tuple(one for one in ledger.rolled_back if stays_out(one))
    champion = there.get(ledger.champion or 0)
    against = ledger.against_stage and (champion is None or champion.spec.stage == "Archived")
    if kept == ledger.rolled_back and against == ledger.against_stage:
        return ledger
    return ledger.model_copy(update={"rolled_back": kept, "against_stage": against})


def _asked_again(seen: ModelSeen, ledger: ModelLedgerSpec) -> ModelLedgerSpec:
    """Where labels decide: what was refused or rolled back is asked for by a retry, or by moving its label anew.

    A rollback is remembered until the version serves again: the request may be withdrawn, and what was approved of
    before counts no more.
    """
    following = ledger.following or Following()
    out = {o.version: o.retry for o in ledger.rolled_back} | {one.version: one.retry for one in following.taken_back}
    for number, retry in out.items():
        version = seen.version(number)
        if version is None or seen.stage(version, ledger) == "Staging":  # there, a retry proves it anew and no more
            continue
        if retry_hash(version) not in ("", retry):
            ledger = claims.ask_again(ledger, number, retry_hash(version), seen.now)
    return ledger


def rerecord(ledger: ModelLedgerSpec, number: int, record: str, inputs: str) -> ModelLedgerSpec:
    """A released version runs other pods now: the same files, rendered from other settings."""
    released = tuple(
        one.model_copy(update={"record": record, "inputs": inputs}) if one.version == number else one
        for one in ledger.released
    )
    return ledger if released == ledger.released else ledger.model_copy(update={"released": released})


def tell(ledger: ModelLedgerSpec, told: Iterable[Told]) -> ModelLedgerSpec:
    """What the registry is asked to say, at most as many versions as there is room for."""
    kept = tuple(sorted(told, key=lambda one: one.version))[-modelledger.TOLD :]
    return ledger if kept == ledger.told else history.fit(ledger.model_copy(update={"told": kept}))


def is_rolled_back(ledger: ModelLedgerSpec, number: int) -> RolledBack | None:
    """Why a version does not come back by itself; None if it may, or was asked for since, and perhaps refused then."""
    following = ledger.following or Following()
    if following.request is not None and following.request.version == number:
        return None
    if any(one.version == number for one in following.taken_back):
        return None
    return next((one for one in ledger.rolled_back if one.version == number), None)


def _reason(asked: Command) -> str:
    return fitting(asked.reason, modelledger.REASON_BYTES)


def _rolled_back_by(asked: Command) -> str:
    return f"rolled back by {asked.by}" + (f": {asked.reason}" if asked.reason else "")


def _at(
    ledger: ModelLedgerSpec, now: datetime, why: str, begins: Served | None = None, **changes: object
) -> ModelLedgerSpec:
    """The traffic goes elsewhere. What the registry says of the new champion was said before it was one."""
    following, adopted = ledger.following, ledger.adopted
    if adopted is not None:
        adopted = adopted.model_copy(update={"serving": False})
    if following is not None:
        waits = following.request is not None and following.request.version != changes.get("champion")
        following = following.model_copy(update={"archived": "Aside", "read_at": None, "restore": waits})
    served = (*history.ended(ledger, stamp(now), why), *([begins] if begins else []))
    at = {"since": stamp(now), "started": (), "following": following, "adopted": adopted, "history": served}
    return history.fit(ledger.model_copy(update=at | changes))


def _remember(
    ledger: ModelLedgerSpec, to: Release, predecessor: int | None, history_limit: int, now: datetime
) -> tuple[Release, ...]:
    """The releases, this one last. Champion and predecessor are never trimmed; of the others, the latest stay."""
    others = [one for one in ledger.released if one.version != to.version]
    trimmed = [one for one in others if one.version != predecessor]
    room = min(history_limit, modelledger.RELEASES - 2)
    dropped = {one.version for one in trimmed[: max(0, len(trimmed) - room)]}
    return (*(one for one in others if one.version not in dropped), to.model_copy(update={"since": stamp(now)}))


def _rolled_back(
    seen: ModelSeen, ledger: ModelLedgerSpec, out: set[int], asked: Command, to: int = 0
) -> tuple[RolledBack, ...]:
    """Those that were out already keep their reasons; where there is no room, the lowest numbers go first."""
    found = {one.version: one for one in ledger.rolled_back}
    for number in out:
        version = seen.version(number)
        found[number] = RolledBack(
            version=number,
            at=stamp(seen.now),
            by=fitting(asked.by, modelledger.WHO_BYTES),
            reason=_reason(asked),
            retry=retry_hash(version) if version else "",
            approvals=consent.marks(version) if version else (),
        )
    found.pop(to, None)
    return tuple(found[number] for number in sorted(found))[-modelledger.ROLLED_BACK :]
