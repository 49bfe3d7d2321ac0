"""What served when, who asked for it, what proved it and why it left: kept for people, no decision asks it."""

import json

from ..api import modelledger
from ..api.modelledger import ModelLedgerSpec, Release, RolledBack, Served
from ..api.modelversion import ModelVersion
from .conditions import clipped

UNKNOWN = "unknown"


def proof_of(version: ModelVersion | None) -> str:
    """The revision that ends the name of a version's report; "" if it is not known."""
    proof = version.status.validation if version else None
    return proof.revision[:16] if proof else ""


def began(to: Release, at: str, by: str, report: str) -> Served:
    """A version gets the traffic."""
    who = fitting(by, modelledger.WHO_BYTES)
    return Served(version=to.version, digest=to.digest, since=at, by=who, report=report)


def ended(ledger: ModelLedgerSpec, at: str, why: str) -> tuple[Served, ...]:
    """The history once who has the traffic leaves; one of which the beginning was not kept is told from its release."""
    found, champion = ledger.history, ledger.serving
    if champion is None:
        return found
    last = found[-1] if found and found[-1].until is None else None
    if last is None or last.version != champion.version:
        since = ledger.since or champion.since
        last = Served(version=champion.version, digest=champion.digest, since=since, by=UNKNOWN)
    else:
        found = found[:-1]
    left = last.model_copy(update={"until": at, "left": fitting(why, modelledger.REASON_BYTES)})
    return (*found, left)


def told(one: Served) -> str:
    """A release in a line, for people."""
    until = f"until {one.until}: {one.left or 'nobody said why'}" if one.until else "still"
    proof = f", proven by report {one.report}" if one.report else ""
    return clipped(f"{until}; asked for by {one.by}; {one.digest}{proof}", 500)


def fit(ledger: ModelLedgerSpec) -> ModelLedgerSpec:
    """The ledger within its bound: first the oldest history goes, then words of people, then releases of long ago."""
    history = ledger.history[-modelledger.HISTORY :]
    ledger = ledger if history == ledger.history else ledger.model_copy(update={"history": history})
    while _bytes(ledger) > modelledger.LIMIT_BYTES:
        smaller = _without_history(ledger) or _without_words(ledger) or _without_release(ledger)
        if smaller is None:
            return ledger
        ledger = smaller
    return ledger


def fitting(text: str, limit_bytes: int) -> str:
    """The beginning of a text that takes at most so many bytes as JSON."""
    while len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2 > limit_bytes:
        text = text[: max(1, len(text) * 9 // 10) if len(text) > 1 else 0]
    return text


def _bytes(ledger: ModelLedgerSpec) -> int:
    return len(json.dumps(ledger.wire(), ensure_ascii=False).encode())


def _without_history(ledger: ModelLedgerSpec) -> ModelLedgerSpec | None:
    return ledger.model_copy(update={"history": ledger.history[1:]}) if len(ledger.history) > 1 else None


def _without_words(ledger: ModelLedgerSpec) -> ModelLedgerSpec | None:
    """Without why a version was rolled back, and then by whom; the lowest numbers first."""
    for field, empty in (("reason", ""), ("by", UNKNOWN)):
        for number, one in enumerate(ledger.rolled_back):
            if getattr(one, field) not in (empty, UNKNOWN):
                shorter: RolledBack = one.model_copy(update={field: empty})
                out = (*ledger.rolled_back[:number], shorter, *ledger.rolled_back[number + 1 :])
                return ledger.model_copy(update={"rolled_back": out})
    return None


def _without_release(ledger: ModelLedgerSpec) -> ModelLedgerSpec | None:
    needed = {ledger.champion, ledger.predecessor}
    spare = next((one for one in ledger.released if one.version not in needed), None)
    if spare is None:
        return None
    return ledger.model_copy(update={"released": tuple(one for one in ledger.released if one is not spare)})
