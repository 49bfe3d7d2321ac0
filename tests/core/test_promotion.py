"""How a model's traffic moves: only to what is proven and ready, never because of silence, back in one step."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from slipway.core import promotion
from slipway.core.decision import Decision
from slipway.core.election import token
from slipway.core.observed import ModelSeen
from slipway.core.pods import Trouble
from slipway.core.reasons import Reason
from slipway.resources.serving import Traffic, recall_traffic

from tests.worlds import (
    DATA,
    GATE,
    NOW,
    digest,
    fleet,
    model,
    model_seen,
    proven,
    refused,
    serves,
    told,
    traffic_after,
    version,
)

FLIGHTS = model()


def champion_after(decision: Decision) -> int | None:
    found = traffic_after(decision)
    return found.champion if found else None


def deployments(decision: Decision) -> set[str]:
    return {one["metadata"]["name"] for one in decision.ensure if one["kind"] == "Deployment"}


class Case(NamedTuple):
    name: str
    because: str
    seen: ModelSeen
    champion: int | None
    pods: set[str]


V1, V2 = fleet(1, FLIGHTS), fleet(2, FLIGHTS)
A = digest("a")
CASES = [
    Case("nothing asked", "no version wants Production", model_seen((version(1, "Staging"),)), None, set()),
    Case("not proven", "no pod for an unproven version", model_seen((version(1),)), None, set()),
    Case("first, proven", "its pods come up, no traffic yet", model_seen((proven(1),)), None, {"flights-v1"}),
    Case("first, coming up", "not ready: no traffic", model_seen((proven(1),), fleets=(fleet(1, FLIGHTS, False),)), None, {"flights-v1"}),
    Case("first, ready", "proven and ready: traffic", model_seen((proven(1),), fleets=(V1,)), 1, {"flights-v1"}),
    Case("better one coming up", "the champion serves meanwhile",
         model_seen((version(1), proven(2, champion=A)), serves(1), (V1, fleet(2, FLIGHTS, False))), 1, {"flights-v1", "flights-v2"}),
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
    assert told(promotion.decide(seen), 2) == ("False", "EvidenceStale")


def test_the_predecessor_stays_warm_and_is_then_retired() -> None:
    seen = model_seen((version(1), version(2)), serves(2, 1), (V1, V2))
    assert promotion.decide(seen).retire == ()
    later = promotion.decide(replace(seen, now=NOW + timedelta(hours=1, seconds=1)))
    assert [one.what.name for one in later.retire] == ["flights-v1"]


def test_a_rollback_returns_to_the_warm_predecessor_in_one_write_and_is_not_replayed() -> None:
    asked = model(rollback="friday-1")
    fleets = (fleet(1, asked), fleet(2, asked))
    seen = model_seen((version(1), version(2)), serves(2, 1), fleets, asked)
    traffic = traffic_after(promotion.decide(seen))
    assert traffic is not None
    assert (traffic.champion, traffic.handled_rollback, set(traffic.rolled_back)) == (1, "friday-1", {2})
    after = promotion.decide(replace(seen, traffic=traffic))
    assert traffic_after(after) == traffic, "v2 does not come back by itself"
    assert told(after, 2) == ("False", "RolledBack")


def test_a_rollback_brings_up_nothing_that_was_waiting() -> None:
    asked = model(rollback="friday-1")
    fleets = (fleet(1, asked), fleet(3, asked))
    seen = model_seen((version(1), proven(2, champion=A), version(3)), serves(3, 1), fleets, asked)
    traffic = traffic_after(promotion.decide(seen))
    assert traffic is not None and set(traffic.rolled_back) == {2, 3}


def test_a_rolled_back_version_comes_back_when_it_is_asked_for_anew() -> None:
    traffic = replace(serves(1), rolled_back={2: "0123456789"}, history={1: A, 2: digest("b")})
    decision = promotion.decide(model_seen((version(1), version(2, retry="1")), traffic, (V1, V2)))
    assert champion_after(decision) == 2


def test_a_rollback_without_a_predecessor_is_told_and_handled() -> None:
    asked = model(rollback="friday-1")
    decision = promotion.decide(model_seen((version(1),), serves(1), (fleet(1, asked),), asked))
    traffic = traffic_after(decision)
    assert traffic is not None and (traffic.champion, traffic.handled_rollback) == (1, "friday-1")
    assert [event.reason for event in decision.events] == ["RollbackImpossible"]


def test_a_rollback_of_a_model_that_never_served_asks_for_nothing() -> None:
    decision = promotion.decide(model_seen((), of=model(rollback="friday-1")))
    assert (decision.ensure, decision.requeue_after_seconds) == ((), None)


def test_an_upgrade_of_the_operator_renders_nothing_anew() -> None:
    seen = model_seen((version(1),), serves(1), (V1,))
    newer = replace(seen, platform=seen.platform.model_copy(update={"runner_image": "runner:2"}))
    assert promotion.decide(newer).ensure == promotion.decide(seen).ensure


def test_new_resources_render_the_pods_anew_with_the_image_of_now() -> None:
    seen = model_seen((version(1),), serves(1), (V1,))
    changed = model({"serving": {"resources": {"requests": {"cpu": "2"}}}})
    newer = replace(seen, model=changed, platform=seen.platform.model_copy(update={"runner_image": "runner:2"}))
    (made,) = [one for one in promotion.decide(newer).ensure if one["kind"] == "Deployment"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["resources"]["requests"]) == ("runner:2", {"cpu": "2"})


def test_replicas_go_through_the_scale_subresource_only() -> None:
    three = model({"serving": {"scaling": {"fixed": {"replicas": 3}}}})
    decision = promotion.decide(model_seen((proven(1),), fleets=(fleet(1, three),), of=three))
    assert [(one.deployment.name, one.replicas) for one in decision.scale] == [("flights-v1", 3)]
    (made,) = [one for one in decision.ensure if one["kind"] == "Deployment"]
    assert "replicas" not in made["spec"]
    assert champion_after(decision) is None, "one of three pods is not enough"


def test_a_candidate_that_does_not_come_up_says_why_and_the_champion_serves() -> None:
    stuck = fleet(2, FLIGHTS, False, Trouble(Reason.Unschedulable, "0/3 nodes"))
    decision = promotion.decide(model_seen((version(1), proven(2, champion=A)), serves(1), (V1, stuck)))
    assert told(decision, 2) == ("False", "Unschedulable")
    assert champion_after(decision) == 1


def test_a_rollback_to_a_predecessor_that_was_archived_keeps_serving() -> None:
    asked = model(rollback="friday-1")
    fleets = (fleet(1, asked), fleet(2, asked))
    seen = model_seen((version(1, "Archived"), version(2)), serves(2, 1), fleets, asked)
    traffic = traffic_after(promotion.decide(seen))
    assert traffic is not None and traffic.champion == 1
    after = promotion.decide(replace(seen, traffic=traffic))
    assert (champion_after(after), told(after, 1)) == (1, ("False", "StillServing"))


def test_a_rollback_says_nothing_of_versions_that_never_asked_for_the_traffic() -> None:
    asked = model(rollback="friday-1")
    fleets = (fleet(1, asked), fleet(2, asked))
    seen = model_seen((version(1), version(2), proven(3, "Staging")), serves(2, 1), fleets, asked)
    traffic = traffic_after(promotion.decide(seen))
    assert traffic is not None and set(traffic.rolled_back) == {2}


def test_a_service_that_somebody_deleted_is_made_again_from_the_status() -> None:
    seen = model_seen((version(1), version(2)), serves(2, 1), (V1, V2))
    status = promotion.decide(seen).status
    recalled = recall_traffic(model(status=status))
    assert (recalled.champion, recalled.predecessor, recalled.digest) == (2, 1, digest("b"))
    decision = promotion.decide(replace(seen, traffic=recalled))
    assert champion_after(decision) == 2
    assert decision.retire == ()


def test_nothing_is_retired_while_nobody_knows_who_serves() -> None:
    seen = model_seen((version(1), version(2)), Traffic(), (V1, V2))
    assert promotion.decide(seen).retire == ()


def test_a_model_whose_only_version_was_refused_says_so() -> None:
    decision = promotion.decide(model_seen((refused(1),)))
    assert decision.status is not None
    ready = next(one for one in decision.status["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "GateFailed")
    assert "Version 1 was refused" in ready["message"]


def test_evidence_for_other_gates_than_those_of_now_releases_nothing() -> None:
    stricter = model({"validation": {"modelType": "regressor", "data": DATA, "gates": [GATE]}})
    seen = model_seen(
        (version(1), proven(2, champion=A)), serves(1), (fleet(1, stricter), fleet(2, stricter)), stricter
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


def test_a_rolled_back_version_that_is_created_anew_unchanged_stays_rolled_back() -> None:
    before = version(2)
    traffic = replace(serves(1), rolled_back={2: token(before)}, history={1: A, 2: digest("b")})
    again = before.model_copy(update={"metadata": before.metadata.model_copy(update={"uid": "new", "generation": 7})})
    assert champion_after(promotion.decide(model_seen((version(1), again), traffic, (V1, V2)))) == 1


def test_leaving_production_ends_a_rollback_so_that_returning_is_a_new_wish() -> None:
    traffic = replace(serves(1), rolled_back={2: token(version(2))}, history={1: A, 2: digest("b")})
    left = traffic_after(promotion.decide(model_seen((version(1), version(2, "Archived")), traffic, (V1, V2))))
    assert left is not None and left.rolled_back == {}


def test_the_champion_is_told_however_many_versions_are_newer() -> None:
    newer = tuple(version(number, "Staging") for number in range(2, 40))
    decision = promotion.decide(model_seen((version(1), *newer), serves(1), (V1,)))
    assert told(decision, 1) == ("True", "Serving")


def test_a_champion_says_why_some_of_its_pods_are_not_ready() -> None:
    trouble = Trouble(Reason.ArtifactMissing, "the artifact store has no model sha256:aa", "fetch", explained=True)
    half = replace(fleet(1, FLIGHTS, ready=False, trouble=trouble), replicas=2, ready=1)
    decision = promotion.decide(model_seen((proven(1),), serves(1), (half,)))
    assert decision.status is not None
    said = decision.status["versions"][0]["released"]["message"]
    assert said.endswith("1/2 pods ready. ArtifactMissing: the artifact store has no model sha256:aa.")
    assert told(decision, 1) == ("True", "Serving"), "the others answer"
    assert champion_after(decision) == 1


def test_a_candidate_that_never_came_up_follows_the_settings_that_were_corrected() -> None:
    stuck = fleet(2, FLIGHTS, False)
    seen = model_seen((version(1), proven(2, champion=A)), serves(1), (V1, stuck))
    corrected = replace(seen, platform=seen.platform.model_copy(update={"runner_image": "runner:right"}))
    made = {one["metadata"]["name"]: one for one in promotion.decide(corrected).ensure if one["kind"] == "Deployment"}
    images = {name: one["spec"]["template"]["spec"]["containers"][0]["image"] for name, one in made.items()}
    assert images == {"flights-v1": "runner:1", "flights-v2": "runner:right"}


def test_a_new_model_says_nothing_until_the_versions_applied_with_it_had_time_to_come() -> None:
    new = model(created=NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))
    waiting = promotion.decide(model_seen((), of=new))
    assert waiting == Decision(requeue_after_seconds=promotion.NEW_SECONDS)
    later = promotion.decide(model_seen((), of=new, now=NOW + timedelta(seconds=promotion.NEW_SECONDS)))
    assert later.status is not None and later.status["conditions"][0]["reason"] == "NothingToServe"
    assert promotion.decide(model_seen((version(1),), of=new)).status is not None


def test_what_a_version_is_told_of_its_pods_changes_only_when_something_has_happened() -> None:
    before, after = model_seen((version(1),)), model_seen((proven(1),))
    told = [promotion.decide(seen).status for seen in (before, after)]
    assert told[0] is not None and told[1] is not None
    assert told[0]["versions"] == told[1]["versions"], "the same words: the version need not repeat them"
    assert "candidate" in told[1] and "candidate" not in told[0]


def test_a_champion_none_of_whose_pods_answers_keeps_the_traffic_and_is_not_called_ready() -> None:
    down = replace(fleet(1, model(), ready=False), trouble=Trouble(Reason.ImagePullFailed, "no such image"))
    decision = promotion.decide(model_seen((version(1),), serves(1), (down,)))
    assert told(decision, 1, "released") == ("False", "InsufficientCapacity")
    assert decision.status is not None
    ready = decision.status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "InsufficientCapacity")
    assert "No pod of version 1 is ready. ImagePullFailed: no such image." in ready["message"]
    assert decision.status["champion"]["version"] == 1
