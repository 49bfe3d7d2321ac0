"""What served when: told to people in the cluster and in the registry, within bounds, and asked by no decision."""

import json
from dataclasses import replace
from datetime import timedelta

from slipway.api.modelledger import (
    HISTORY,
    LIMIT_BYTES,
    REASON_BYTES,
    RELEASES,
    ROLLED_BACK,
    SELECTOR_BYTES,
    SHOWN,
    TAKEN_BACK,
    TOLD,
    WHO_BYTES,
    Adopted,
    Following,
    Handled,
    Hold,
    ModelLedgerSpec,
    Release,
    Request,
    RolledBack,
    Served,
    Shift,
    Shown,
    TakenBack,
    Told,
)
from slipway.core import history, promotion
from slipway.core import ledger as ledgers
from slipway.core.commands import Command
from slipway.core.drift import synced
from slipway.core.labels import wanted
from slipway.core.registry import Labels, RegistryModel

from tests.worlds import (
    NOW,
    STAMP,
    digest,
    ledger_after,
    model_seen,
    pods_of,
    proven,
    release,
    serves,
    version,
    with_ledger,
)

LATER, LAST = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
HIGH = 2_147_480_000
NEW = ModelLedgerSpec(model_uid="model-uid")


def full() -> ModelLedgerSpec:
    """Every list at its bound, every text at its length."""
    many = [HIGH + number for number in range(SHOWN)]
    ten, sha = "0" * 10, "sha256:" + "e" * 64
    releases = tuple(
        Release(version=one, digest=sha, environment=sha, python="3.13", record=ten, inputs=ten, since=STAMP)
        for one in many[:RELEASES]
    )
    who, why = "w" * WHO_BYTES, "r" * REASON_BYTES
    selector = {"l" * 40 + str(one): "v" * 8 for one in range(6)}
    assert len(json.dumps(selector)) <= SELECTOR_BYTES
    return ModelLedgerSpec(
        model_uid="u" * 64,
        champion=releases[-1].version,
        predecessor=releases[0].version,
        since=STAMP,
        shift=Shift(to=releases[0], weight=100, step=100, since=STAMP),
        hold=Hold(at=STAMP, by=who, reason=why),
        released=releases,
        rolled_back=tuple(
            RolledBack(version=n, at=STAMP, by=who, reason=why, retry=ten, approvals=(ten, ten))
            for n in many[:ROLLED_BACK]
        ),
        adopted=Adopted(deployment="d" * 253, selector=selector, port=65535),
        following=Following(
            of=ten,
            shown=tuple(Shown(version=n, by="Stage", asked=True) for n in many),
            request=Request(version=HIGH, at=STAMP, against=HIGH, retry=ten, again=True),
            taken_back=tuple(TakenBack(version=n, at=STAMP, retry=ten) for n in many[:TAKEN_BACK]),
            archived="Aside",
            read_at=STAMP,
            restore=True,
        ),
        history=tuple(
            Served(version=n, digest=sha, since=STAMP, until=STAMP, by=who, report=ten, left=why)
            for n in many[:HISTORY]
        ),
        handled=Handled(rollback=ten, resume=ten),
        told=tuple(Told(version=n, state="S" * 16, stage="Production", alias=ten) for n in many[:TOLD]),
    )


def size(ledger: ModelLedgerSpec) -> int:
    return len(json.dumps(ledger.wire(), ensure_ascii=False).encode())


def test_a_ledger_with_every_list_full_is_cut_to_its_bound_and_forgets_nothing_that_decides() -> None:
    before = full()
    assert size(before) > LIMIT_BYTES
    after = history.fit(before)
    assert size(after) <= LIMIT_BYTES
    for field in ("champion", "predecessor", "since", "shift", "hold", "adopted", "following", "handled", "told"):
        assert getattr(after, field) == getattr(before, field), field
    assert [(one.version, one.retry, one.approvals) for one in after.rolled_back] == [
        (one.version, one.retry, one.approvals) for one in before.rolled_back
    ]
    assert after.serving == before.serving and after.release(before.predecessor)
    assert after.history[-1] == before.history[-1], "the latest is the last to go"
    assert history.fit(after) == after


def test_an_ordinary_ledger_keeps_ten_times() -> None:
    ledger = serves(1)
    for number in range(2, 14):
        ledger = ledgers.move(ledger, release(number), 5, NOW, "argocd-controller", "0123456789")
    assert [one.version for one in ledger.history] == list(range(4, 14))
    assert size(ledger) <= LIMIT_BYTES


def test_each_change_of_traffic_ends_one_time_and_begins_another() -> None:
    ledger = ledgers.move(ledgers.EMPTY, release(1), 5, NOW, "argocd-controller", "abc")
    ledger = ledgers.move(ledger, release(2), 5, LATER, "ada", "def")
    seen = replace(model_seen((proven(1), version(2))), now=LAST, ledger=ledger)
    back = ledgers.go_back(seen, ledger, release(1), Command("0" * 10, by="bob", reason="slow"))
    told = [(one.version, one.since[11:16], (one.until or "")[11:16], one.by, one.left) for one in back.history]
    assert told == [
        (1, "17:00", "18:00", "argocd-controller", "replaced by version 2"),
        (2, "18:00", "19:00", "ada", "rolled back by bob: slow"),
        (1, "19:00", "", "bob", ""),
    ]
    assert [one.report for one in back.history[:2]] == ["abc", "def"]
    stopped = ledgers.stop(ledger, LAST)
    assert (stopped.history[-1].version, stopped.history[-1].left) == (2, "archived")


def test_a_champion_from_before_there_was_a_history_is_told_from_its_release() -> None:
    ledger = ledgers.move(serves(1), release(2), 5, LATER)
    first = ledger.history[0]
    assert (first.version, first.digest, first.since, first.by) == (1, digest("a"), STAMP, "unknown")


def test_who_asked_is_the_program_that_set_the_stage_and_never_a_guess() -> None:
    meta = proven(1).metadata.model_copy(update={"staged_by": "argocd-controller"})
    for one, by in ((proven(1), "unknown"), (proven(1).model_copy(update={"metadata": meta}), "argocd-controller")):
        ledger = ledger_after(promotion.decide(model_seen((one,), pods=(pods_of(1),))))
        assert ledger is not None
        (served,) = ledger.history
        assert (served.by, served.report) == (by, one.status.validation.revision if one.status.validation else "")


def test_the_model_tells_its_history_and_what_served_before_in_a_few_words() -> None:
    ledger = ledgers.move(ledgers.move(NEW, release(1), 5, NOW), release(2), 5, LATER)
    status = promotion.decide(model_seen((version(1), version(2)), ledger, (pods_of(2),))).status
    assert status is not None
    assert [one["version"] for one in status["history"]] == [1, 2]
    assert status["before"] == "v1 until 2026-03-06T18:00:00Z, replaced by version 2"


def test_the_registry_gets_a_tag_for_each_time_and_it_is_finished_when_that_ends() -> None:
    ledger = ledgers.move(ledgers.move(ledgers.EMPTY, release(1), 5, NOW, "ada", "abc"), release(2), 5, LATER)
    seen = model_seen((version(1, "None"), version(2)), ledger)
    key = f"slipway.dev/test/ml/served {STAMP}"
    for number, said in ((1, "until 2026-03-06T18:00:00Z: replaced by version 2; asked for by ada; "), (2, "still; ")):
        of = seen.version(number)
        assert of is not None
        one = wanted(seen, ledger, of)
        assert one is not None, "also of a version that nobody asks for any more"
        (note,) = one.write.notes.values()
        assert note.startswith(said) and release(number).digest in note
        assert (key in one.write.notes) == (number == 1)


def test_a_note_that_is_missing_is_written_and_no_label_that_was_moved_with_it() -> None:
    before = replace(model_seen((proven(1),), pods=(pods_of(1),)), labels=RegistryModel({1: Labels("None", (), {})}))
    seen = with_ledger(before, ledger_after(promotion.decide(before)))
    (write,) = promotion.decide(seen).labels
    there = Labels("Production", ("champion",), write.tags, lines=(write.line,))
    assert [one.notes for one in promotion.decide(replace(seen, labels=RegistryModel({1: there}))).labels] == [
        write.notes
    ]
    moved = replace(seen, labels=RegistryModel({1: replace(there, stage="Staging")}))
    champion = moved.version(1)
    assert champion is not None and moved.ledger is not None
    assert (promotion.decide(moved).labels, synced(moved, moved.ledger, champion).reason) == ((), "RegistryDrifted")
