"""How a model's traffic moves: only to what is proven and ready, never because of silence, back in one step."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from slipway.api.modelledger import Release, RolledBack
from slipway.api.modelversion import Resolved
from slipway.core import promotion
from slipway.core.decision import Apply, Decision, Ref, Refusal
from slipway.core.observed import ModelSeen
from slipway.core.pods import Trouble
from slipway.core.reasons import Reason
from slipway.core.registry import Labels, Silent
from slipway.core.revisions import import_key

from tests.core.decided import FLIGHTS, V1, V2, A, champion_after, deployed, deployments, imported, ready_of
from tests.worlds import (
    DATA,
    GATE,
    NOW,
    STAMP,
    applied,
    deleted,
    digest,
    ledger_after,
    model,
    model_seen,
    pods_of,
    proven,
    refused,
    release,
    released_of,
    serves,
    version,
    with_ledger,
)


class Case(NamedTuple):
    name: str
    because: str
    seen: ModelSeen
    champion: int | None
    pods: set[str]


CASES = [
    Case("nothing asked", "no version wants Production", model_seen((version(1, "Staging"),)), None, set()),
    Case("not proven", "no pod for an unproven version", model_seen((version(1),)), None, set()),
    Case("first, proven", "its pods come up, no traffic yet", model_seen((proven(1),)), None, {"flights-v1"}),
    Case("first, coming up", "not ready: no traffic", model_seen((proven(1),), pods=(pods_of(1, FLIGHTS, False),)), None, {"flights-v1"}),
    Case("first, ready", "proven and ready: traffic", model_seen((proven(1),), pods=(V1,)), 1, {"flights-v1"}),
    Case("better one coming up", "the champion serves meanwhile",
         model_seen((version(1), proven(2, champion=A)), serves(1), (V1, pods_of(2, FLIGHTS, False))), 1, {"flights-v1", "flights-v2"}),
    Case("better one ready", "it takes over, the predecessor stays",
         model_seen((version(1), proven(2, champion=A)), serves(1), (V1, V2)), 2, {"flights-v1", "flights-v2"}),
    Case("evidence of another time", "it was compared with another champion",
         model_seen((version(1), proven(2, champion=digest("z"))), serves(1), (V1, V2)), 1, {"flights-v1"}),
    Case("refused", "the champion goes on", model_seen((version(1), refused(2)), serves(1), (V1,)), 1, {"flights-v1"}),
    Case("both want it", "the highest comes first", model_seen((version(1), version(2)), serves(2), (V2,)), 2, {"flights-v2"}),
    Case("newer one archived", "rolling back in Git",
         model_seen((version(1), version(2, "Archived")), serves(2, 1), (V1, V2)), 1, {"flights-v1", "flights-v2"}),
    Case("stage withdrawn", "nobody can take over", model_seen((version(1, "None"),), serves(1), (V1,)), 1, {"flights-v1"}),
    Case("object deleted", "deleting is not retiring", model_seen((), serves(1), (V1,)), 1, {"flights-v1"}),
    Case("the only one archived", "it was said aloud", model_seen((version(1, "Archived"),), serves(1), (V1,)), None, set()),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_where_the_traffic_goes(case: Case) -> None:
    decision = promotion.decide(case.seen)
    assert champion_after(decision) == case.champion, case.because
    assert deployments(decision) == case.pods, case.because


def test_evidence_of_another_time_is_told_so_that_it_is_made_anew() -> None:
    seen = model_seen((version(1), proven(2, champion=digest("z"))), serves(1), (V1, V2))
    assert released_of(seen, 2) == ("False", "EvidenceStale")


def test_a_suspended_model_rolls_back_all_the_same() -> None:
    asked = model({"suspend": True}, rollback="friday-1")
    seen = model_seen((version(1), version(2)), serves(2, 1), (pods_of(1, asked), pods_of(2, asked)), asked)
    assert champion_after(promotion.decide(seen)) == 1


def test_a_refresh_that_renders_the_same_pods_is_remembered_so_that_an_upgrade_moves_nothing() -> None:
    seen = model_seen((version(1),), serves(1), (V1,), model(refresh="1"))
    seen = with_ledger(seen, ledger_after(promotion.decide(seen)))
    newer = replace(seen, platform=seen.platform.model_copy(update={"runner_image": "runner:2"}))
    assert deployed(promotion.decide(newer)) == deployed(promotion.decide(seen))


def test_an_upgrade_of_the_operator_renders_nothing_anew() -> None:
    seen = model_seen((version(1),), serves(1), (V1,))
    newer = replace(seen, platform=seen.platform.model_copy(update={"runner_image": "runner:2"}))
    assert promotion.decide(newer).acts == promotion.decide(seen).acts


def test_new_resources_render_the_pods_anew_with_the_image_of_now() -> None:
    seen = model_seen((version(1),), serves(1), (V1,))
    changed = model({"serving": {"resources": {"requests": {"cpu": "2"}}}})
    newer = replace(seen, model=changed, platform=seen.platform.model_copy(update={"runner_image": "runner:2"}))
    (made,) = deployed(promotion.decide(newer)).values()
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["resources"]["requests"]) == ("runner:2", {"cpu": "2"})


def test_a_deployment_is_made_with_its_replicas() -> None:
    three = model({"serving": {"scaling": {"fixed": {"replicas": 3}}}})
    decision = promotion.decide(model_seen((proven(1),), pods=(pods_of(1, three),), of=three))
    assert deployed(decision)["flights-v1"]["spec"]["replicas"] == 3
    assert champion_after(decision) is None, "one of three pods is not enough"


def test_a_candidate_that_does_not_come_up_says_why_and_the_champion_serves() -> None:
    stuck = pods_of(2, FLIGHTS, False, Trouble(Reason.Unschedulable, "0/3 nodes"))
    decision = promotion.decide(model_seen((version(1), proven(2, champion=A)), serves(1), (V1, stuck)))
    assert ready_of(decision)["reason"] == "Unschedulable"
    assert champion_after(decision) == 1


def test_a_service_that_somebody_deleted_is_made_again_and_nothing_is_forgotten() -> None:
    out = RolledBack(version=3, at=STAMP, by="alice")
    ledger = serves(2, 1, rolled_back=(out,))
    seen = model_seen((version(1), version(2), version(3)), ledger, (V1, V2))
    told = with_ledger(seen, ledger_after(promotion.decide(seen)))
    decision = promotion.decide(replace(told, route=""))
    assert (champion_after(decision), deleted(decision), ledger_after(decision)) == (2, [], None)


def test_a_ledger_that_somebody_deleted_is_recalled_from_the_statuses() -> None:
    back = imported(3, "RolledBack")
    seen = model_seen((imported(1), imported(2), back), serves(2, 1), (V1, V2))
    status = promotion.decide(seen).status
    lost = replace(seen, model=model(status=status), ledger=None, ledger_version="")
    ledger = ledger_after(promotion.decide(lost))
    assert ledger is not None and (ledger.champion, ledger.predecessor) == (2, 1)
    assert [one.version for one in ledger.rolled_back] == [3]


def test_a_ledger_that_is_recalled_knows_from_which_registered_model_its_releases_are() -> None:
    pinned = Resolved(source="models:/m-1", origin="0" * 10)
    key = import_key(version(1, status={"resolved": pinned.wire()}))
    of_now, other = (
        one.model_copy(update={"status": one.status.model_copy(update={"resolved": pinned})})
        for one in (imported(1, key=key), imported(2, digest_of=digest("f")))
    )
    seen = model_seen((of_now, other), serves(1, 2), (V1, V2))
    lost = replace(seen, model=model(status=promotion.decide(seen).status), ledger=None, ledger_version="")
    ledger = ledger_after(promotion.decide(lost))
    assert ledger is not None
    assert [one.origin for one in ledger.released if one.version == 1] == [pinned.origin]
    assert pinned.origin not in {one.origin for one in ledger.released if one.version == 2}, "it is of other files"


def test_a_restored_ledger_is_believed_once_its_champion_is_imported_again_under_its_digest() -> None:
    restored = serves(2, 1).model_copy(update={"model_uid": "of another life"})
    waiting = promotion.decide(model_seen((version(1), version(2)), restored))
    assert (waiting.acts, ready_of(waiting)["reason"]) == ((), "LedgerUnproven")
    ledger = ledger_after(promotion.decide(model_seen((version(1), imported(2)), restored)))
    assert ledger is not None and (ledger.model_uid, ledger.champion, ledger.predecessor) == ("model-uid", 2, None)
    forged = imported(2, digest_of=digest("f"))
    assert promotion.decide(model_seen((version(1), forged), restored)).acts == ()
    of_the_backup = imported(2, key="of another life")
    assert promotion.decide(model_seen((version(1), of_the_backup), restored)).acts == ()


def test_nothing_is_retired_while_nobody_knows_who_serves() -> None:
    seen = model_seen((version(1), version(2)), None, (V1, V2))
    assert deleted(promotion.decide(seen)) == []


def test_nothing_is_retired_before_the_route_is_seen_to_follow_the_ledger() -> None:
    seen = model_seen((version(1, "Archived"), version(2)), serves(2, since=NOW - timedelta(hours=2)), (V1, V2))
    assert [one.name for one in deleted(promotion.decide(seen))] == ["flights-v1"]
    assert deleted(promotion.decide(replace(seen, route="1"))) == []


def test_the_ledger_and_the_route_come_before_the_pods_and_retirements_come_last() -> None:
    seen = model_seen((version(1), proven(2, champion=A)), serves(1), (V1, V2, pods_of(3)))
    seen = replace(seen, records={})
    kinds = [one["kind"] for one in applied(promotion.decide(seen))]
    assert kinds[:3] == ["ModelLedger", "Service", "ControllerRevision"]
    moved = promotion.decide(model_seen((version(1), proven(2, champion=A)), serves(1), (V1, V2)))
    assert [one["kind"] for one in applied(moved)][:2] == ["ModelLedger", "Service"]
    assert isinstance(moved.acts[0], Apply) and moved.acts[0].manifest["metadata"]["resourceVersion"] == "1"


def test_an_unreadable_version_lets_the_traffic_move_by_a_rollback_only() -> None:
    seen = model_seen((version(1),), serves(3, 1), (V1, pods_of(3)))
    blind = replace(seen, unreadable={3: "spec.stage: unknown"})
    decision = promotion.decide(blind)
    assert (champion_after(decision), ready_of(decision)["reason"]) == (3, "InvalidSpec")
    assert champion_after(promotion.decide(replace(blind, model=model(rollback="1")))) == 1


def test_an_unreadable_model_lets_the_traffic_move_by_a_rollback_only_and_changes_no_pods() -> None:
    seen = model_seen((version(1), version(2), proven(3, champion=digest("b"))), serves(2, 1), (V1, V2, pods_of(3)))
    blind = replace(seen, invalid="serving: Input should be a valid dictionary")
    decision = promotion.decide(blind)
    assert (champion_after(promotion.decide(seen)), champion_after(decision)) == (3, 2)
    assert (ready_of(decision)["reason"], "serving: Input" in ready_of(decision)["message"]) == ("InvalidSpec", True)
    assert {one["kind"] for one in applied(decision)} <= {"ModelLedger", "Service"}
    assert (deleted(decision), decision.labels) == ([], ())
    back = promotion.decide(replace(blind, model=model(rollback="1")))
    assert champion_after(back) == 1
    templates = {
        one["metadata"]["name"]: one["spec"]["template"] for one in applied(back) if one["kind"] == "Deployment"
    }
    assert templates and all(
        {**record.template}["spec"] == templates[f"flights-v{number}"]["spec"]
        for (number, _), record in seen.records.items()
        if f"flights-v{number}" in templates
    )


def test_a_freeze_keeps_every_rollout_from_starting_and_no_rollback() -> None:
    seen = model_seen((version(1), version(2), proven(3, champion=digest("b"))), serves(2, 1), (V1, V2, pods_of(3)))
    frozen = replace(seen, platform=seen.platform.model_copy(update={"freeze": "Black Friday"}))
    assert (champion_after(promotion.decide(seen)), champion_after(promotion.decide(frozen))) == (3, 2)
    assert released_of(frozen, 3) == ("False", "Frozen")
    assert champion_after(promotion.decide(replace(frozen, model=model(rollback="1")))) == 1


def test_a_refused_candidate_says_so_in_the_api_servers_words() -> None:
    seen = model_seen((version(1), proven(2, champion=A)), serves(1), (V1,))
    ref = Ref("apps/v1", "Deployment", "ml", "flights-v2")
    said = "Deployment flights-v2: exceeded quota: compute, requested: pods=1"
    seen = replace(seen, refusals={ref: Refusal(ref, "QuotaExceeded", said)})
    ready = ready_of(promotion.decide(seen))
    assert (ready["status"], ready["reason"], ready["message"].startswith(said)) == ("False", "QuotaExceeded", True)
    assert released_of(seen, 2) == ("False", "QuotaExceeded")


def test_a_candidate_past_its_deadline_is_stalled() -> None:
    late = replace(pods_of(2, ready=False), late=True, trouble=Trouble(Reason.Unschedulable, "0/3 nodes"))
    decision = promotion.decide(model_seen((version(1), proven(2, champion=A)), serves(1), (V1, late)))
    assert decision.status is not None
    stalled = next(one for one in decision.status["conditions"] if one["type"] == "Stalled")
    assert (stalled["reason"], "0/3 nodes" in stalled["message"]) == ("ProgressDeadlineExceeded", True)


def test_a_version_that_was_there_before_its_model_was_not_refused() -> None:
    lonely = refused(1, "ModelMissing")
    assert ready_of(promotion.decide(model_seen((lonely,))))["reason"] == "RolloutProgressing"


def test_a_model_whose_only_version_was_refused_says_so() -> None:
    decision = promotion.decide(model_seen((refused(1),)))
    assert decision.status is not None
    ready = next(one for one in decision.status["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "GateFailed")
    assert "Version 1 was refused" in ready["message"]


def test_evidence_for_other_gates_than_those_of_now_releases_nothing() -> None:
    stricter = model({"validation": {"modelType": "regressor", "data": DATA, "gates": [GATE]}})
    seen = model_seen(
        (version(1), proven(2, champion=A)), serves(1), (pods_of(1, stricter), pods_of(2, stricter)), stricter
    )
    assert champion_after(promotion.decide(seen)) == 1


def test_a_version_whose_import_is_being_redone_is_not_released() -> None:
    candidate = proven(2, champion=A)
    conditions = tuple(
        one.model_copy(update={"status": "False"}) if one.type == "Imported" else one
        for one in candidate.status.conditions
    )
    redone = candidate.model_copy(update={"status": candidate.status.model_copy(update={"conditions": conditions})})
    assert champion_after(promotion.decide(model_seen((version(1), redone), serves(1), (V1, V2)))) == 1


def test_however_many_versions_ask_for_production_each_of_them_settles() -> None:
    newest = Release.model_validate(release(1).wire() | {"version": 1000})
    many = tuple(version(number) for number in range(1, 1001))
    seen = model_seen(many, serves(1).model_copy(update={"champion": 1000, "released": (release(1), newest)}))
    assert {released_of(seen, number) for number in (1, 2, 33, 500, 999)} == {("False", "Superseded")}


def test_a_champion_says_why_some_of_its_pods_are_not_ready() -> None:
    trouble = Trouble(Reason.ArtifactMissing, "the artifact store has no model sha256:aa", "fetch", explained=True)
    half = replace(pods_of(1, FLIGHTS, ready=False, trouble=trouble), replicas=2, ready=1)
    decision = promotion.decide(model_seen((proven(1),), serves(1), (half,)))
    assert decision.status is not None
    said = ready_of(decision)["message"]
    assert said.endswith("1/2 pods ready. ArtifactMissing: the artifact store has no model sha256:aa.")
    assert ready_of(decision)["reason"] == "Serving", "the others answer"
    assert champion_after(decision) == 1


def test_a_champion_says_that_a_stage_below_those_that_are_remembered_asks_for_nothing() -> None:
    follows = model({"promotion": {"source": "Registry"}})
    labels = {1: Labels("Production", ("champion",), {})} | {n: Labels("Production", (), {}) for n in range(2, 40)}
    seen = model_seen((proven(1),), serves(1), (pods_of(1, follows),), of=follows, labels=labels)
    said = ready_of(promotion.decide(with_ledger(seen, ledger_after(promotion.decide(seen)))))
    assert said["reason"] == "Serving"
    assert "More than 24 versions are in the stage Production of the registry: on one below 17," in said["message"]


def test_a_candidate_that_never_came_up_follows_the_settings_that_were_corrected() -> None:
    stuck = pods_of(2, FLIGHTS, False)
    seen = model_seen((version(1), proven(2, champion=A)), serves(1), (V1, stuck))
    corrected = replace(seen, platform=seen.platform.model_copy(update={"runner_image": "runner:right"}))
    made = deployed(promotion.decide(corrected))
    images = {name: one["spec"]["template"]["spec"]["containers"][0]["image"] for name, one in made.items()}
    assert images == {"flights-v1": "runner:1", "flights-v2": "runner:right"}


def test_a_model_of_which_the_registry_says_too_much_serves_on_and_says_so() -> None:
    seen = model_seen((version(1), version(2, "Staging")), serves(1), (V1,))
    decision = promotion.decide(replace(seen, labels=Silent("ModelTooLarge", Reason.ModelTooLarge.meaning, False)))
    said = ready_of(decision)
    assert (said["status"], said["reason"], champion_after(decision)) == ("False", "ModelTooLarge", 1)
    assert "In MLflow, remove tags" in said["message"] and decision.labels == ()


def test_a_new_model_says_nothing_until_the_versions_applied_with_it_had_time_to_come() -> None:
    new = model(created=NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))
    waiting = promotion.decide(model_seen((), of=new))
    assert waiting == Decision(requeue_after_seconds=promotion.NEW_SECONDS)
    later = promotion.decide(model_seen((), of=new, now=NOW + timedelta(seconds=promotion.NEW_SECONDS)))
    assert later.status is not None and ready_of(later)["reason"] == "NothingToServe"
    assert promotion.decide(model_seen((version(1),), of=new)).status is not None


def test_a_champion_none_of_whose_pods_answers_keeps_the_traffic_and_is_not_called_ready() -> None:
    down = replace(pods_of(1, model(), ready=False), trouble=Trouble(Reason.ImagePullFailed, "no such image"))
    decision = promotion.decide(model_seen((version(1),), serves(1), (down,)))
    ready = ready_of(decision)
    assert decision.status is not None and (ready["status"], ready["reason"]) == ("False", "InsufficientCapacity")
    assert "No pod of version 1 is ready. ImagePullFailed: no such image." in ready["message"]
    assert decision.status["champion"]["version"] == 1
