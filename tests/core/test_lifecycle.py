"""The life of a version: what it waits for, what it is refused for, and what is never repeated."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.api.modelledger import ModelLedgerSpec, RolledBack
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.api.report import PREFIX, Measured, Rehearsal, Report, Summary
from slipway.core import lifecycle, promotion, registries
from slipway.core.decision import Decision
from slipway.core.jobs import JobSeen
from slipway.core.observed import VersionSeen
from slipway.core.pods import Trouble
from slipway.core.reasons import Reason
from slipway.core.registry import Absent, Silent

from tests.worlds import (
    DATA,
    GATE,
    NOW,
    RELATIVE,
    STAMP,
    applied,
    deleted,
    digest,
    job,
    model,
    model_seen,
    pods_of,
    proven,
    release,
    serves,
    version,
    version_seen,
)

POLICY = {"validation": {"modelType": "regressor", "data": DATA, "gates": [GATE, RELATIVE]}}


def conditions(decision: Decision) -> dict[str, tuple[str, str]]:
    assert decision.status is not None
    return {one["type"]: (one["status"], one["reason"]) for one in decision.status["conditions"]}


def jobs_of(decision: Decision) -> list[str]:
    return [one["metadata"]["name"] for one in applied(decision) if one["kind"] == "Job"]


def after(seen: VersionSeen, decision: Decision, **changes: Any) -> VersionSeen:
    """The world once a decision was carried out."""
    fresh = ModelVersion.model_validate(
        {"metadata": seen.version.metadata.wire(), "spec": seen.version.spec.wire(), "status": decision.status}
    )
    return of_family(replace(seen, version=fresh), **changes)


def of_family(seen: VersionSeen, **changes: Any) -> VersionSeen:
    """The same world with other facts, in the version's own eyes and beside it."""
    seen = replace(seen, **{key: one for key, one in changes.items() if key != "parent"})
    if seen.family is None:
        return seen
    parent = changes.get("parent", seen.family.model)
    if parent is None:
        return replace(seen, family=None)
    family = replace(
        seen.family, model=parent, versions=(seen.version,), ledger=seen.ledger, registry=seen.registry, now=seen.now
    )
    return replace(seen, family=family)


def finished(name: str, result: str, log: str = "") -> dict[str, JobSeen]:
    return {name: job(name, "Succeeded", result=result, log=log)}


IMPORTED = '{"digest": "%s", "sizeBytes": 1000, "dataDigest": "%s"}' % (digest("a"), digest("d"))


def at_validation(
    of: ModelVersion, parent: RegisteredModel, ledger: ModelLedgerSpec | None = None
) -> tuple[VersionSeen, Decision]:
    """A version that was imported, and the decision that asks for its validation."""
    seen = version_seen(of, parent, ledger=ledger)
    first = lifecycle.decide(seen)
    (name,) = jobs_of(first)
    second_seen = after(seen, first, jobs=finished(name, IMPORTED))
    second = lifecycle.decide(second_seen)
    third_seen = after(second_seen, second, jobs={})
    return third_seen, lifecycle.decide(third_seen)


def judged(seen: VersionSeen, asked: Decision, rmse: float, champion: float | None = None, **lies: Any) -> VersionSeen:
    """The world in which the validation Job has ended with a report."""
    (name,) = jobs_of(asked)
    revision = asked.status["validation"]["revision"] if asked.status else ""
    found = Report(
        revision=lies.get("revision", revision),
        candidate=Measured(digest=lies.get("digest", digest("a")), metrics={"root_mean_squared_error": rmse}),
        champion=Measured(digest=seen.ledger.serving.digest, metrics={"root_mean_squared_error": champion})
        if champion
        else None,
        rows=100,
        rehearsal=lies.get("rehearsal"),
    ).model_dump_json(by_alias=True)
    summary = Summary(report_digest="sha256:" + hashlib.sha256(found.encode()).hexdigest(), revision=revision)
    log = "loading\n" + PREFIX + lies.get("text", found)
    done = {name: job(name, "Succeeded", result=summary.model_dump_json(by_alias=True), log=log)}
    return after(seen, asked, jobs=done)


def test_a_version_without_a_model_gets_one_with_an_empty_spec() -> None:
    decision = lifecycle.decide(version_seen(version(1), None))
    (made,) = applied(decision)
    assert (made["kind"], made["spec"], made["metadata"]["name"]) == ("RegisteredModel", {}, "flights")
    assert made["metadata"]["annotations"] == {"slipway.dev/implicit": "true"}


def test_a_version_waits_a_moment_for_a_model_that_is_applied_with_it() -> None:
    decision = lifecycle.decide(version_seen(version(1, created=STAMP), None))
    assert (decision.acts, decision.requeue_after_seconds) == ((), 3.0)


def test_a_version_whose_model_was_deleted_is_not_promoted_without_its_gates() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    orphan = after(seen, asked, parent=None)
    decision = lifecycle.decide(orphan)
    assert applied(decision) == []
    assert conditions(decision)["Stalled"] == ("True", "ModelMissing")


@pytest.mark.parametrize(
    ("parent", "entry"),
    [(model(POLICY), Silent("RegistryUnreachable", "no answer")), (model({**POLICY, "suspend": True}), None)],
    ids=["a silent registry", "a suspended model"],
)
def test_nor_is_one_about_which_no_registry_was_heard(parent: RegisteredModel, entry: Silent | None) -> None:
    seen = replace(version_seen(version(1), parent), entry=entry)
    orphan = after(seen, lifecycle.decide(seen), parent=None)
    decision = lifecycle.decide(orphan)
    assert applied(decision) == []
    assert conditions(decision)["Stalled"] == ("True", "ModelMissing")


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (Silent("RegistryUnreachable", "no answer"), ("Unknown", "RegistryUnreachable")),
        (Silent("RegistryNotAllowed", "not for ml", False), ("False", "RegistryNotAllowed")),
        (Absent("VersionNotFound", "no such version"), ("False", "VersionNotFound")),
        (Absent("ArtifactMissing", "no MLmodel"), ("False", "ArtifactMissing")),
    ],
)
def test_what_the_registry_says_is_told_as_it_is(answer: Absent | Silent, want: tuple[str, str]) -> None:
    decision = lifecycle.decide(version_seen(version(1), model(), entry=answer))
    assert conditions(decision)["Resolved"] == want
    assert applied(decision) == []


def test_a_version_without_a_stage_is_only_looked_up() -> None:
    decision = lifecycle.decide(version_seen(version(1, "None"), model()))
    assert conditions(decision) == {"Resolved": ("True", "Registered"), "Ready": ("True", "Registered")}
    assert jobs_of(decision) == []


def test_the_import_runs_beside_the_operator_and_gets_its_credential_once_its_job_owns_it() -> None:
    seen = version_seen(version(1), model())
    first = lifecycle.decide(seen)
    (made,) = applied(first)
    assert made["metadata"]["namespace"] == "slipway-system"
    name = made["metadata"]["name"]
    second = lifecycle.decide(after(seen, first, jobs={name: job(name, "Waiting")}))
    secret = next(one for one in applied(second) if one["kind"] == "Secret")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == f"{name}-uid"
    assert secret["metadata"]["namespace"] == "slipway-system"


def test_no_credential_is_named_in_a_pod_of_the_users_namespace() -> None:
    _, asked = at_validation(version(1), model(POLICY))
    (made,) = applied(asked)
    assert made["metadata"]["namespace"] == "ml"
    assert "hush" not in str(made) and "/run/slipway/registry" not in str(made)


def test_a_passed_validation_is_not_run_again() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    proven_seen = judged(seen, asked, rmse=11.0)
    decision = lifecycle.decide(proven_seen)
    assert conditions(decision)["Validated"] == ("True", "GatesPassed")
    again = lifecycle.decide(after(proven_seen, decision, jobs={}))
    assert jobs_of(again) == []
    assert conditions(again)["Validated"] == ("True", "GatesPassed")


def test_a_missed_gate_refuses_the_version_for_good_and_tells_both_numbers() -> None:
    seen, asked = at_validation(version(2), model(POLICY), serves(1))
    bad = judged(seen, asked, rmse=11.0, champion=11.0)
    decision = lifecycle.decide(bad)
    assert conditions(decision)["Stalled"] == ("True", "GateFailed")
    assert decision.status is not None
    failed = next(one for one in decision.status["validation"]["gates"] if one["name"] == "better")
    assert (failed["result"], failed["candidate"], failed["champion"]) == ("Failed", 11.0, 11.0)
    again = lifecycle.decide(after(bad, decision, jobs={}, now=NOW + timedelta(days=1)))
    assert jobs_of(again) == [], "a bad model is not tried again"


def test_a_retry_asks_again() -> None:
    seen, asked = at_validation(version(2), model(POLICY), serves(1))
    decision = lifecycle.decide(judged(seen, asked, rmse=99.0, champion=11.0))
    refused = after(seen, decision)
    annotated = refused.version.model_copy(
        update={"metadata": refused.version.metadata.model_copy(update={"annotations": {"slipway.dev/retry": "1"}})}
    )
    assert len(jobs_of(lifecycle.decide(of_family(refused, version=annotated)))) == 1


@pytest.mark.parametrize(
    ("lie", "because"),
    [
        ({"revision": "other"}, "it was made for another revision"),
        ({"digest": digest("b")}, "it was made for another version"),
        ({"text": "{}"}, "it is not the one that the judge signed off"),
    ],
)
def test_a_report_that_does_not_belong_here_proves_nothing(lie: dict[str, str], because: str) -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    decision = lifecycle.decide(judged(seen, asked, rmse=1.0, **lie))
    assert conditions(decision)["Validated"] == ("False", "ReportMissing"), because


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            Rehearsal(example=True, formats=("CSV", "V2"), rows=107, at_once=16, ready_seconds=3.21, fast_way=True),
            "Ready after 3.2 s; answered its input example and 107 rows as predicted (CSV, V2; 16 at a time). "
            "The fast way is on.",
        ),
        (
            Rehearsal(example=False, formats=("V2",), rows=7, at_once=16, exact=False, fast_way=False,
                      fast_way_reason="it has no signature", note="It has no input example"),
            "Ready after 0.0 s; answered 7 rows as predicted, but for last digits (V2; 16 at a time). "
            "It has no input example. The fast way is off: it has no signature.",
        ),
        (Rehearsal(example=False), "Ready after 0.0 s; answered nothing but /ping."),
        (None, None),
    ],
)  # fmt: skip
def test_the_status_says_how_the_rehearsal_went(found: Rehearsal | None, says: str | None) -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    decision = lifecycle.decide(judged(seen, asked, rmse=1.0, rehearsal=found))
    assert decision.status is not None
    assert decision.status["validation"].get("rehearsal") == says


def test_a_refused_version_is_not_judged_again_when_the_champion_changes() -> None:
    seen, asked = at_validation(version(2), model(POLICY), serves(1))
    bad = judged(seen, asked, rmse=99.0, champion=11.0)
    decision = lifecycle.decide(bad)
    later = lifecycle.decide(after(bad, decision, ledger=serves(3, released=(release(3),)), jobs={}))
    assert jobs_of(later) == []
    assert conditions(later)["Validated"] == ("False", "GateFailed")


def test_a_validation_that_runs_keeps_the_champion_of_its_time() -> None:
    seen, asked = at_validation(version(3), model(POLICY), serves(1))
    (name,) = jobs_of(asked)
    running = after(seen, asked, ledger=serves(2), jobs={name: job(name, "Running")})
    decision = lifecycle.decide(running)
    assert (jobs_of(decision), deleted(decision)) == ([name], [])


def test_evidence_against_an_earlier_champion_is_stale_once_it_holds_a_release_up() -> None:
    seen, asked = at_validation(version(3), model(POLICY), serves(1))
    proven_seen = judged(seen, asked, rmse=5.0, champion=11.0)
    decision = lifecycle.decide(proven_seen)
    assert conditions(decision)["Validated"][0] == "True"
    moved = after(proven_seen, decision, ledger=serves(2), jobs={})
    assert moved.family is not None
    behind = replace(moved.family, versions=(moved.version, version(4)))
    assert jobs_of(lifecycle.decide(replace(moved, family=behind))) == [], "nobody waits for it: version 4 comes first"
    again = lifecycle.decide(moved)
    assert conditions(again)["Validated"] == ("False", "EvidenceStale")
    assert len(jobs_of(again)) == 1


def test_a_cause_outside_the_model_is_tried_again_three_times_in_all() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    names = []
    for _ in range(3):
        (name,) = jobs_of(asked)
        names.append(name)
        lost = {name: job(name, "Failed", trouble=Trouble(Reason.PodLost, "evicted"))}
        failed = lifecycle.decide(after(seen, asked, jobs=lost))
        seen = after(seen, failed, jobs={}, now=seen.now + timedelta(minutes=10))
        asked = lifecycle.decide(seen)
    assert len(set(names)) == 3
    assert jobs_of(asked) == []
    assert conditions(asked)["Validated"] == ("False", "PodLost")
    assert conditions(asked)["Stalled"] == ("True", "PodLost"), "what was tried in vain is not called progress"


def test_a_first_failure_that_is_tried_again_is_no_refusal() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    (name,) = jobs_of(asked)
    lost = {name: job(name, "Failed", trouble=Trouble(Reason.PodLost, "evicted"))}
    decision = lifecycle.decide(after(seen, asked, jobs=lost))
    assert "Stalled" not in conditions(decision)
    assert conditions(decision)["Reconciling"] == ("True", "PodLost")


def test_another_digest_than_the_released_one_is_not_served_under_a_pin() -> None:
    pinned = version(1, spec={"digest": digest("9")})
    decision = lifecycle.decide(version_seen(pinned, model(), ledger=serves(1)))
    assert conditions(decision)["Imported"] == ("False", "DigestMismatch")


def test_a_pod_that_finds_no_node_is_given_up_after_the_pending_timeout() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    (name,) = jobs_of(asked)
    trouble = Trouble(Reason.Unschedulable, "0/3 nodes")
    early = lifecycle.decide(after(seen, asked, jobs={name: job(name, "Waiting", 60, trouble=trouble)}))
    assert conditions(early)["Validated"] == ("False", "Unschedulable")
    assert deleted(early) == []
    late = lifecycle.decide(after(seen, asked, jobs={name: job(name, "Waiting", 601, trouble=trouble)}))
    assert [one.name for one in deleted(late)] == [name]


def test_a_pool_that_does_not_exist_is_named_with_those_that_do() -> None:
    _, decision = at_validation(version(1), model({"validation": {"pool": {"name": "tpu"}}}))
    assert conditions(decision)["Validated"] == ("False", "PoolNotFound")
    assert decision.status is not None
    message = next(one["message"] for one in decision.status["conditions"] if one["type"] == "Validated")
    assert "'tpu'" in message and "cpu, gpu" in message


def test_without_gates_validated_means_that_it_loads_and_says_so() -> None:
    seen, asked = at_validation(version(1), model())
    decision = lifecycle.decide(judged(seen, asked, rmse=1.0))
    assert conditions(decision)["Validated"] == ("True", "LoadsAndPredicts")


def test_a_released_version_whose_status_was_lost_is_neither_imported_nor_judged_again() -> None:
    decision = lifecycle.decide(version_seen(version(1), model(POLICY), ledger=serves(1)))
    assert jobs_of(decision) == []
    assert conditions(decision)["Validated"] == ("True", "AlreadyReleased")


@given(st.sampled_from(["RegistryUnreachable", "RegistryUnauthorized"]), st.booleans())
def test_silence_takes_no_condition_back(reason: str, retry: bool) -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    proven_seen = judged(seen, asked, rmse=5.0)
    decision = lifecycle.decide(proven_seen)
    silent = Silent(reason, "no answer", retry)
    later = lifecycle.decide(after(proven_seen, decision, registry=silent, entry=None, jobs={}))
    before, now = conditions(decision), conditions(later)
    assert {kind: now[kind] for kind in ("Resolved", "Imported", "Validated")} == {
        kind: before[kind] for kind in ("Resolved", "Imported", "Validated")
    }


def test_a_retry_brings_the_files_of_what_serves_into_the_store_again_as_they_were_released() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    served = lifecycle.decide(judged(seen, asked, rmse=5.0))
    asking = version(1, status=served.status, retry="the store is empty")
    retried = of_family(seen, version=asking, ledger=serves(1), jobs={})

    decision = lifecycle.decide(retried)
    (name,) = jobs_of(decision)
    assert serves(1).serving.digest in str(applied(decision)[0]), "other files are refused"
    assert decision.status and decision.status["serving"] is True
    again = after(retried, decision, jobs={name: job(name, "Running")})
    assert jobs_of(lifecycle.decide(again)) == [name]

    result = f'{{"digest": "{serves(1).serving.digest}", "sizeBytes": 1}}'
    there = lifecycle.decide(replace(again, jobs=finished(name, result)))
    later = lifecycle.decide(after(again, there, jobs={}))
    assert (jobs_of(later), conditions(later)["Imported"]) == ([], ("True", "Imported"))

    mismatch = Trouble(Reason.DigestMismatch, "the model's files have another digest", explained=True)
    refused = lifecycle.decide(replace(again, jobs={name: job(name, "Failed", trouble=mismatch)}))
    still = lifecycle.decide(after(again, refused, jobs={}))
    assert conditions(still)["Imported"] == ("False", "DigestMismatch"), "nobody takes it for done"


def test_a_retry_that_lets_a_rolled_back_version_return_needs_no_registry() -> None:
    ledger = serves(2, rolled_back=(RolledBack(version=1, at=STAMP, by="unknown"),))
    back = version(1, status={"digest": digest("a"), "lastHandledRetry": None}, retry="try it again")
    assert jobs_of(lifecycle.decide(version_seen(back, model(POLICY), ledger=ledger))) == []


def test_what_is_imported_anew_needs_a_registry_and_says_so() -> None:
    seen, asked = at_validation(version(1), model(POLICY))
    again = version(1, status=asked.status, retry="the store was emptied")
    gone = Silent(Reason.RegistryNotFound, "There is no ModelRegistry ml/mlflow.", False)
    decision = lifecycle.decide(of_family(seen, version=again, registry=gone))
    assert conditions(decision)["Imported"] == ("False", "RegistryNotFound")
    assert jobs_of(decision) == []


def test_a_suspended_model_asks_for_nothing() -> None:
    decision = lifecycle.decide(version_seen(version(1), model({"suspend": True})))
    assert decision.acts == ()
    assert conditions(decision)["Ready"] == ("False", "Suspended")


def test_what_a_job_is_named_by_never_changes_between_releases() -> None:
    first = lifecycle.decide(version_seen(version(1), model(POLICY)))
    _, asked = at_validation(version(1), model(POLICY))
    names = (*jobs_of(first), *jobs_of(asked))
    assert names == ("flights-v1-import-1f5012f38e-1", "flights-v1-validate-c7e5988145-1"), (
        "another name starts every Job anew at an upgrade: keep the old hash for what was asked before"
    )


class TestSuspendedRegistry:
    """Nothing is asked of it: what needs it waits, and says for what."""

    SILENT = registries.SUSPENDED

    def test_a_new_version_waits(self) -> None:
        seen = version_seen(version(1), model(), entry=self.SILENT, registry=self.SILENT)
        decision = lifecycle.decide(seen)
        assert conditions(decision)["Resolved"] == conditions(decision)["Ready"] == ("False", "Suspended")
        assert "Stalled" not in conditions(decision) and not jobs_of(decision)

    def test_a_version_that_is_resolved_is_not_imported(self) -> None:
        seen = version_seen(version(1), model())
        decision = lifecycle.decide(after(seen, lifecycle.decide(seen), registry=self.SILENT, entry=self.SILENT))
        assert conditions(decision)["Imported"] == ("False", "Suspended") and not jobs_of(decision)

    def test_a_model_that_serves_is_ready_still(self) -> None:
        seen = model_seen((proven(1),), serves(1), pods=(pods_of(1),), registry=self.SILENT)
        said = promotion.decide(seen).status
        assert said is not None
        (ready,) = [one for one in said["conditions"] if one["type"] == "Ready"]
        assert (ready["status"], ready["reason"]) == ("True", "Serving")
