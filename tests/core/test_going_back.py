"""Going back: to what was released, in one step, whatever the spec says now; and what stays out afterwards."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slipway.api.modelledger import Hold, RolledBack
from slipway.api.modelversion import ModelVersion
from slipway.core import ledger as ledgers
from slipway.core import promotion

from tests.core.decided import FLIGHTS, V1, V2, A, champion_after, deployed, with_rollback
from tests.worlds import (
    DATA,
    GATE,
    NOW,
    STAMP,
    deleted,
    digest,
    ledger_after,
    model,
    model_seen,
    pods_of,
    proven,
    record_of,
    release,
    released_of,
    serves,
    version,
    with_ledger,
)


def test_the_predecessor_stays_warm_and_is_then_retired() -> None:
    seen = model_seen((version(1), version(2)), serves(2, 1), (V1, V2))
    assert deleted(promotion.decide(seen)) == []
    later = promotion.decide(replace(seen, now=NOW + timedelta(hours=1, seconds=1)))
    assert [one.name for one in deleted(later)] == ["flights-v1"]


def test_a_rollback_returns_to_the_warm_predecessor_in_one_pass_and_is_not_replayed() -> None:
    asked = model(rollback="friday-1")
    seen = model_seen((version(1), version(2)), serves(2, 1), (pods_of(1, asked), pods_of(2, asked)), asked)
    decision = promotion.decide(seen)
    ledger = ledger_after(decision)
    assert ledger is not None and champion_after(decision) == 1
    assert [one.version for one in ledger.rolled_back] == [2]
    after = with_ledger(seen, ledger)
    assert ledger_after(promotion.decide(after)) is None, "v2 does not come back by itself"
    assert released_of(after, 2) == ("False", "RolledBack")


def test_the_record_of_a_rollback_holds_who_when_and_why() -> None:
    asked = model(rollback="to=1, by=alice, reason=slow, and wrong for JFK")
    seen = model_seen((version(1), version(2), version(3)), serves(3, 2), (V1, V2, pods_of(3)), asked)
    ledger = ledger_after(promotion.decide(seen))
    assert ledger is not None and ledger.hold is not None
    assert (ledger.champion, ledger.predecessor) == (1, None)
    assert {(one.version, one.by, one.at, one.reason) for one in ledger.rolled_back} == {
        (number, "alice", STAMP, "slow, and wrong for JFK") for number in (2, 3)
    }


def test_what_was_waiting_at_a_rollback_goes_on_waiting_and_is_free_after_resume() -> None:
    asked = model(rollback="friday-1")
    waiting = proven(4, champion=digest("a"))
    seen = model_seen((version(1), version(3), waiting), serves(3, 1), (V1, pods_of(3), pods_of(4)), asked)
    seen = replace(seen, ledger=serves(3, 1, released=(release(1), release(3))))
    after = with_ledger(seen, ledger_after(promotion.decide(seen)))
    assert after.ledger is not None and [one.version for one in after.ledger.rolled_back] == [3]
    assert (champion_after(promotion.decide(after)), released_of(after, 4)) == (1, ("False", "Held"))
    resumed = replace(after, model=model(rollback="friday-1", resume="1"))
    assert champion_after(promotion.decide(resumed)) == 4


def test_two_rollbacks_in_a_row_go_back_two_releases_and_keep_to_one_history_limit() -> None:
    limited = {"rollout": {"historyLimit": 1}}
    first = model(limited, rollback="1")
    pods = (pods_of(1, first), pods_of(2, first), pods_of(3, first))
    seen = model_seen((version(1), version(2), version(3)), serves(3, 2), pods, first)
    ledger = ledger_after(promotion.decide(seen))
    assert ledger is not None and (ledger.champion, ledger.predecessor) == (2, 1)
    second = replace(with_ledger(seen, ledger), model=model(limited, rollback="2"))
    assert champion_after(promotion.decide(second)) == 1


def test_ten_releases_that_were_rolled_back_leave_the_way_back_open() -> None:
    versions: tuple[ModelVersion, ...] = (version(1),)
    seen = model_seen(versions, serves(1), (V1,))
    for number in range(2, 12):
        ledger = seen.ledger
        assert ledger is not None
        free = ledger.model_copy(update={"hold": None})
        released = ledgers.move(free, release(number), 5, NOW)
        asked = model(rollback=f"bad-{number}")
        versions = (*versions, version(number))
        pods = {1: V1, number: pods_of(number)}
        seen = replace(with_ledger(seen, released), model=asked, versions=versions, pods=pods)
        seen = with_ledger(seen, ledger_after(promotion.decide(seen)))
        assert seen.ledger is not None and seen.ledger.champion == 1
    assert len(seen.ledger.rolled_back if seen.ledger else ()) == 10


def test_after_a_rollback_no_rollout_starts_until_somebody_resumes() -> None:
    hold = Hold(at=STAMP, by="alice", reason="slow")
    ledger = serves(1, hold=hold)
    newer = (version(1), proven(2, champion=A))
    held = model_seen(newer, ledger, (V1, V2))
    assert (champion_after(promotion.decide(held)), released_of(held, 2)) == (1, ("False", "Held"))
    resumed = replace(held, model=model(resume="by=bob"))
    decision = promotion.decide(resumed)
    after = ledger_after(decision)
    assert after is not None and (after.hold, after.champion) == (None, 2)


def test_a_rolled_back_version_stays_out_after_resume_until_a_retry() -> None:
    out = RolledBack(version=2, at=STAMP, by="alice")
    ledger = serves(1, rolled_back=(out,), released=(release(1), release(2)))
    assert champion_after(promotion.decide(model_seen((version(1), version(2)), ledger, (V1, V2)))) == 1
    again = promotion.decide(model_seen((version(1), proven(2, champion=A, retry="1")), ledger, (V1, V2)))
    assert champion_after(again) == 2


def test_a_released_version_above_the_champion_whose_status_was_lost_is_proven_anew_before_it_returns() -> None:
    ledger = serves(1, released=(release(1), release(2)))
    assert champion_after(promotion.decide(model_seen((version(1), version(2)), ledger, (V1, V2)))) == 1
    assert champion_after(promotion.decide(model_seen((version(1), proven(2, champion=A)), ledger, (V1, V2)))) == 2


@pytest.mark.parametrize(
    "edit",
    [
        {"digest": digest("9")},
        {"validation": {"gates": [GATE]}},
        {"validation": {"pool": {"name": "gpu"}}},
    ],
)
def test_no_edit_brings_a_rolled_back_version_into_production(edit: dict[str, Any]) -> None:
    out = RolledBack(version=2, at=STAMP, by="alice")
    ledger = serves(1, rolled_back=(out,), released=(release(1), release(2)))
    edited = version(2, spec=edit)
    assert champion_after(promotion.decide(model_seen((version(1), edited), ledger, (V1, V2)))) == 1


def test_a_pin_that_forbids_what_was_released_keeps_the_version_out() -> None:
    ledger = serves(1, released=(release(1), release(2)))
    pinned = version(2, spec={"digest": digest("9")})
    assert champion_after(promotion.decide(model_seen((version(1), pinned), ledger, (V1, V2)))) == 1


def test_a_retried_version_meets_the_gates_of_now_before_it_goes_forward() -> None:
    ledger = serves(1, released=(release(1), release(2)))
    stricter = model({"validation": {"modelType": "regressor", "data": DATA, "gates": [GATE]}})
    seen = model_seen(
        (version(1), proven(2, champion=A)), ledger, (pods_of(1, stricter), pods_of(2, stricter)), stricter
    )
    assert champion_after(promotion.decide(seen)) == 1


def test_a_rollback_without_a_predecessor_is_told_and_handled() -> None:
    asked = model(rollback="friday-1")
    seen = model_seen((version(1),), serves(1), (V1,), asked)
    decision = promotion.decide(seen)
    ledger = ledger_after(decision)
    assert ledger is not None and ledger.champion == 1
    (event,) = decision.events
    assert (event.reason, event.message) == ("RollbackImpossible", "Rollback: there is no version to go back to.")
    assert promotion.decide(with_ledger(seen, ledger)).events == ()


def test_a_rollback_to_a_version_that_was_never_released_names_those_that_were() -> None:
    asked = model(rollback="to=7")
    decision = promotion.decide(model_seen((version(1), version(2)), serves(2, 1), (V1, V2), asked))
    assert champion_after(decision) == 2
    assert decision.events[0].message == "Rollback: version 7 is not among the releases that are known: 1."


def test_a_rollback_of_a_model_that_never_served_asks_for_nothing() -> None:
    decision = promotion.decide(model_seen((), of=model(rollback="friday-1")))
    assert (decision.acts, decision.requeue_after_seconds) == ((), None)


def test_a_refresh_that_renders_the_same_pods_disarms_no_rollback() -> None:
    refreshed = model(refresh="1", rollback="friday-1")
    seen = model_seen((version(1), version(2)), serves(2, 1), (V1, V2), refreshed)
    assert champion_after(promotion.decide(seen)) == 1


def test_no_edit_of_the_model_reaches_the_warm_predecessor() -> None:
    bigger = model({"serving": {"resources": {"requests": {"memory": "999Gi"}}}})
    seen = model_seen((version(1), version(2)), serves(2, 1), (V1, V2), bigger)
    pods = deployed(promotion.decide(seen))
    assert pods["flights-v1"]["spec"]["template"] == record_of(1, FLIGHTS).template
    assert pods["flights-v2"]["spec"]["template"] == record_of(2, bigger).template
    stuck = replace(seen, pods={1: V1, 2: pods_of(2, bigger, ready=False)}, model=with_rollback(bigger))
    assert champion_after(promotion.decide(stuck)) == 1


def test_going_back_needs_no_more_ready_pods_than_the_champion_has() -> None:
    three = model({"serving": {"scaling": {"fixed": {"replicas": 3}}}}, rollback="1")
    warm = replace(V1, replicas=3, ready=2, complete=False)
    worn = replace(V2, replicas=3, ready=2, complete=False)
    seen = model_seen((version(1), version(2)), serves(2, 1), (warm, worn), three)
    assert champion_after(promotion.decide(seen)) == 1
    assert champion_after(promotion.decide(replace(seen, pods={1: replace(warm, ready=1), 2: worn}))) == 2


def test_a_cold_predecessor_comes_up_as_it_was_released_and_then_takes_over() -> None:
    asked = model({"serving": {"resources": {"requests": {"memory": "999Gi"}}}}, rollback="1")
    seen = model_seen((version(1), version(2)), serves(2, 1), (V2,), asked)
    decision = promotion.decide(seen)
    assert champion_after(decision) == 2
    assert deployed(decision)["flights-v1"]["spec"]["template"] == record_of(1, FLIGHTS).template
    assert champion_after(promotion.decide(replace(seen, pods={1: V1, 2: V2}))) == 1


def test_a_rollback_to_a_predecessor_that_was_archived_keeps_serving() -> None:
    asked = model(rollback="friday-1")
    seen = model_seen((version(1, "Archived"), version(2)), serves(2, 1), (V1, V2), asked)
    ledger = ledger_after(promotion.decide(seen))
    after = with_ledger(seen, ledger)
    assert champion_after(promotion.decide(after)) == 1
    resumed = replace(after, model=model(rollback="friday-1", resume="1"))
    assert champion_after(promotion.decide(resumed)) == 1
    assert released_of(with_ledger(resumed, ledger_after(promotion.decide(resumed))), 1) == ("False", "StillServing")


def test_a_rollback_says_nothing_of_versions_that_never_asked_for_the_traffic() -> None:
    asked = model(rollback="friday-1")
    seen = model_seen((version(1), version(2), proven(3, "Staging")), serves(2, 1), (V1, V2), asked)
    ledger = ledger_after(promotion.decide(seen))
    assert ledger is not None and [one.version for one in ledger.rolled_back] == [2]


@pytest.mark.parametrize(
    ("pods", "want"),
    [((V1, V2), ("True", "PredecessorWarm", "to v1, warm")), ((V2,), ("True", "PredecessorCold", "to v1, cold"))],
)
def test_whether_a_rollback_can_be_done_is_visible_beforehand(
    pods: tuple[Any, ...], want: tuple[str, str, str]
) -> None:
    status = promotion.decide(model_seen((version(1), version(2)), serves(2, 1), pods)).status
    assert status is not None
    condition = next(one for one in status["conditions"] if one["type"] == "RollbackReady")
    assert (condition["status"], condition["reason"], status["rollback"]) == want


def test_a_rolled_back_version_that_is_created_anew_unchanged_stays_rolled_back() -> None:
    out = RolledBack(version=2, at=STAMP, by="alice")
    ledger = serves(1, rolled_back=(out,), released=(release(1), release(2)))
    before = version(2)
    again = before.model_copy(update={"metadata": before.metadata.model_copy(update={"uid": "new", "generation": 7})})
    assert champion_after(promotion.decide(model_seen((version(1), again), ledger, (V1, V2)))) == 1


def test_leaving_production_ends_a_rollback_so_that_returning_is_a_new_wish() -> None:
    out = RolledBack(version=2, at=STAMP, by="alice")
    ledger = serves(1, rolled_back=(out,), released=(release(1), release(2)))
    left = ledger_after(promotion.decide(model_seen((version(1), version(2, "Archived")), ledger, (V1, V2))))
    assert left is not None and left.rolled_back == ()
