"""Why a pod waits or failed, from what a kubelet wrote into its status."""

from typing import Any, NamedTuple

import pytest
from slipway.core import pods
from slipway.core.reasons import Reason


def pod(*containers: dict[str, Any], phase: str = "Failed", deleted: str = "", **status: Any) -> dict[str, Any]:
    """A pod; `deleted` is its deletionTimestamp, half a minute after somebody asked for it."""
    meta = {"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30} if deleted else {}
    status = {"phase": phase, "containerStatuses": list(containers), **status}
    return {"metadata": meta, "spec": {"activeDeadlineSeconds": 60}, "status": status}


def terminated(name: str, code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}


def stuck(reason: str, message: str = "") -> dict[str, Any]:
    return {"name": "serve", "image": "runner:1", "state": {"waiting": {"reason": reason, "message": message}}}


PROBLEM = '{"reason": "DataColumnMissing", "message": "no column air_time"}'
LIE = '{"reason": "GatesPassed", "message": "trust me"}'


class Case(NamedTuple):
    name: str
    because: str
    pod: dict[str, Any]
    want: Reason


FAILURES = [
    Case("out of memory", "the kernel killed it", pod(terminated("score-candidate", 137, "OOMKilled")), Reason.OutOfMemory),
    Case("deadline", "the pod ran too long", pod(reason="DeadlineExceeded"), Reason.DeadlineExceeded),
    Case("evicted", "the node needed room", pod(terminated("judge", 137), reason="Evicted"), Reason.PodLost),
    Case("ended from outside", "somebody deleted it", pod(terminated("judge", 143)), Reason.PodLost),
    Case("does not load", "the score program says so", pod(terminated("score-candidate", 10)), Reason.ModelDoesNotLoad),
    Case("does not predict", "the score program says so", pod(terminated("score-candidate", 11)), Reason.PredictionFailed),
    Case("segmentation fault", "model code died", pod(terminated("score-candidate", 139)), Reason.ModelCrashed),
    Case("champion", "nothing can be compared", pod(terminated("score-champion", 11)), Reason.ChampionFailed),
    Case("fetch", "it runs no model code", pod(terminated("fetch", 1, message=PROBLEM)), Reason.DataColumnMissing),
    Case("a model that lies", "model code is not believed", pod(terminated("score-candidate", 1, message=LIE)), Reason.ModelCrashed),
    Case("a serving model that lies", "nor here", pod(terminated("serve", 1, message=PROBLEM)), Reason.ModelCrashed),
    Case("unknown word", "nobody foresaw it", pod(terminated("judge", 1, message='{"reason": "Xyz", "message": ""}')), Reason.InternalError),
]  # fmt: skip


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case.name)
def test_why_a_pod_failed(case: Case) -> None:
    assert pods.failed(case.pod).reason is case.want, case.because


T1, T2 = "2026-03-06T16:59:30Z", "2026-03-06T16:59:31Z"


def over(code: int, at: str = T1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}


def beside(judge: dict[str, Any], state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    """A pod in which the judge asks a server."""
    server = {"name": "serve-candidate", "state": state, "lastState": last or {}}
    judged = {"name": "judge", "state": judge}
    return pod(judged, phase="Running", initContainerStatuses=[terminated("score-candidate", 0), server])


AT_WORK: dict[str, Any] = {"running": {}}
GONE = {"terminated": {"exitCode": 1, "finishedAt": T1, "message": '{"reason": "RehearsalFailed", "message": "gone"}'}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("found", "want", "because"),
    [
        (beside(AT_WORK, AT_WORK), None, "a server that runs is no step that has not ended"),
        (beside(AT_WORK, over(139)), Reason.ModelCrashed, "it has just died"),
        (beside(AT_WORK, WAITING, over(139)), Reason.ModelCrashed, "it died and is to be started again"),
        (beside(AT_WORK, AT_WORK, over(139)), Reason.ModelCrashed, "it died and was started again"),
        (beside(AT_WORK, AT_WORK, over(0)), Reason.ModelCrashed, "a model called exit: nobody answers meanwhile"),
        (beside(AT_WORK, WAITING, over(137, reason="OOMKilled")), Reason.OutOfMemory, "the kernel killed it"),
        (beside(GONE, over(139)), Reason.ModelCrashed, "the judge ended because of it, in the same second"),
        (beside(GONE, over(143, T2), over(1)), Reason.ModelCrashed, "it died once, and was ended at last"),
        (beside(GONE, over(143)), None, "the judge had ended, so the kubelet ended it"),
        (beside(GONE, over(137)), None, "so it did, and it did not listen"),
        (beside(GONE, over(139, T2)), None, "it died of its own end"),
        (beside(over(0), over(137)), None, "all is well"),
        (beside(over(0), over(139), over(139)), None, "the judge has heard what it needs"),
        (beside({"waiting": {"reason": "PodInitializing"}}, AT_WORK), None, "the judge is about to start"),
        (pod(terminated("judge", 0)), None, "a chain of an earlier release has no server"),
    ],
)  # fmt: skip
def test_a_server_beside_the_judge_that_ends_first_is_the_models_fault(
    found: dict[str, Any], want: Reason | None, because: str
) -> None:
    trouble = pods.server_ended(found)
    assert (trouble.reason if trouble else None) is want, because
    assert trouble is None or trouble.container == "serve-candidate"


@pytest.mark.parametrize(
    ("found", "want"),
    [
        (beside(GONE, over(143, T2)), Reason.RehearsalFailed),
        (beside(GONE, over(137, T2)), Reason.RehearsalFailed),
        (beside(GONE, over(139)), Reason.ModelCrashed),
    ],
)
def test_how_the_kubelet_ends_a_server_is_no_failure_of_its_own(found: dict[str, Any], want: Reason) -> None:
    assert pods.failed(found).reason is want


def test_a_server_that_was_started_again_has_its_last_words_in_the_log_before() -> None:
    assert pods.started_again(beside(AT_WORK, AT_WORK, over(139)), "serve-candidate")
    assert not pods.started_again(beside(AT_WORK, WAITING, over(139)), "serve-candidate")
    assert not pods.started_again(beside(AT_WORK, over(139)), "serve-candidate")


UNSCHEDULED = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
WAITS = [
    Case("no node", "the scheduler says so", pod(phase="Pending", conditions=UNSCHEDULED), Reason.Unschedulable),
    Case("no image", "the kubelet cannot pull", pod(stuck("ImagePullBackOff"), phase="Pending"), Reason.ImagePullFailed),
    Case("no secret", "the kubelet cannot mount", pod(stuck("CreateContainerConfigError"), phase="Pending"), Reason.PodConfigInvalid),
]  # fmt: skip


@pytest.mark.parametrize("case", WAITS, ids=lambda case: case.name)
def test_why_a_pod_waits(case: Case) -> None:
    trouble = pods.waiting(case.pod)
    assert trouble is not None and trouble.reason is case.want, case.because


@pytest.mark.parametrize(
    ("kubelet", "says"),
    [
        ('secret "openai" not found', "There is no Secret 'openai' of this namespace"),
        (
            "couldn't find key test in Secret ml/openai",
            "There is no key 'test' in the Secret 'openai' of this namespace",
        ),
    ],
)
def test_a_variable_whose_secret_is_not_there_is_named(kubelet: str, says: str) -> None:
    found = pods.waiting(pod(stuck("CreateContainerConfigError", kubelet), phase="Pending"))
    assert found is not None and found.reason is Reason.VariableNotFound
    assert found.message == f"{says}, which spec.serving.pod.env of the RegisteredModel names for step 'serve'."


@pytest.mark.parametrize(
    "kubelet", ['configmap "openai" not found', "container has runAsNonRoot and image will run as root"]
)
def test_what_else_keeps_a_container_from_being_set_up_is_told_in_the_kubelets_words(kubelet: str) -> None:
    found = pods.waiting(pod(stuck("CreateContainerConfigError", kubelet), phase="Pending"))
    assert found is not None
    assert (found.reason, found.message) == (Reason.PodConfigInvalid, kubelet)


@pytest.mark.parametrize(
    ("finished", "want", "because"),
    [
        ("2026-03-06T16:59:30Z", Reason.PodLost, "deleting the pod killed it"),
        ("2026-03-06T16:59:29Z", Reason.ModelCrashed, "it had crashed before anybody deleted the pod"),
    ],
)
def test_a_step_that_a_deletion_ended_is_not_the_models_fault(finished: str, want: Reason, because: str) -> None:
    killed = terminated("score-candidate", 137)
    killed["state"]["terminated"]["finishedAt"] = finished
    found = pod(killed, deleted="2026-03-06T17:00:00Z")
    assert pods.failed(found).reason is want, because


def test_a_pod_that_is_getting_on_has_no_trouble() -> None:
    assert pods.waiting(pod(stuck("ContainerCreating"), phase="Pending")) is None


@pytest.mark.parametrize(
    ("message", "want"),
    [
        ('pods "x" is forbidden: exceeded quota: small, requested: pods=1', Reason.QuotaExceeded),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', Reason.AdmissionDenied),
    ],
)
def test_why_a_pod_was_not_let_in(message: str, want: Reason) -> None:
    refusal = pods.refusal([{"reason": "FailedCreate", "message": message}])
    assert refusal is not None and refusal.reason is want


@pytest.mark.parametrize(("policy", "reason"), [("Always", Reason.ArtifactMissing), ("Never", None)])
def test_a_step_that_is_about_to_start_again_says_how_it_ended(policy: str, reason: Reason | None) -> None:
    problem = '{"reason": "ArtifactMissing", "message": "the artifact store has no model sha256:aa"}'
    ended = {"name": "fetch", "state": {"terminated": {"exitCode": 1, "message": problem}}, "restartCount": 3}
    pod = {"spec": {"restartPolicy": policy}, "status": {"phase": "Pending", "initContainerStatuses": [ended]}}
    found = pods.waiting(pod)
    assert (found.reason if found else None) is reason
