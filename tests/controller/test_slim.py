"""What is kept of an object is all that any decision reads, and little else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.api import names
from slipway.controller import slim
from slipway.core import jobs, pods
from slipway.resources import serving

from tests.worlds import PLATFORM, digest, model

T = "2026-03-06T17:00:00Z"
OF_V1 = {names.MANAGED_BY: names.MANAGER, names.MODEL: "flights", names.MODEL_VERSION: "1"}
WORDS = st.sampled_from(["", "Error", "OOMKilled", "CrashLoopBackOff", "ImagePullBackOff", "exceeded quota: cpu"])
CODES = st.sampled_from([0, 1, 10, 137, 143])
TIMES = st.sampled_from([T, "2026-03-06T17:00:05Z"])
TERMINATED = st.fixed_dictionaries(
    {"exitCode": CODES, "reason": WORDS, "message": WORDS},
    optional={"finishedAt": TIMES, "startedAt": TIMES, "containerID": st.just("containerd://1")},
)
STATE = st.one_of(
    st.fixed_dictionaries({"waiting": st.fixed_dictionaries({"reason": WORDS}, optional={"message": WORDS})}),
    st.fixed_dictionaries({"running": st.just({"startedAt": T})}),
    st.fixed_dictionaries({"terminated": TERMINATED}),
    st.just({}),
)


def container(*names_of_it: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": st.sampled_from(names_of_it), "image": st.just("runner:1"), "state": STATE},
        optional={
            "imageID": st.just("docker-pullable://runner@" + digest("e")),
            "lastState": st.fixed_dictionaries({}, optional={"terminated": TERMINATED}),
            "restartCount": st.integers(0, 3),
        },
    )


def conditions(*types: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries(
        {"type": st.sampled_from(types), "status": st.sampled_from(["True", "False"]), "lastTransitionTime": TIMES},
        optional={"reason": st.sampled_from(["ProgressDeadlineExceeded", "Unschedulable"]), "message": WORDS},
    )
    return st.lists(one, max_size=3)


PODS = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "metadata": st.fixed_dictionaries(
            {"name": st.just("flights-v1-x"), "uid": st.just("pod"), "creationTimestamp": TIMES},
            optional={"deletionTimestamp": TIMES, "deletionGracePeriodSeconds": st.integers(0, 30)},
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.just([{"name": "judge", "image": "runner:1"}])},
            optional={"activeDeadlineSeconds": st.just(60), "restartPolicy": st.sampled_from(["Never", "Always"])},
        ),
        "status": st.fixed_dictionaries(
            {"phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])},
            optional={
                "reason": st.sampled_from(["DeadlineExceeded", "Evicted"]),
                "message": WORDS,
                "podIP": st.just("10.0.0.1"),
                "conditions": conditions("PodScheduled", "DisruptionTarget", "Ready"),
                "initContainerStatuses": st.lists(container("fetch", "score-candidate", "serve-candidate"), max_size=2),
                "containerStatuses": st.lists(container("judge", "serve"), max_size=1),
            },
        ),
    }
)
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j", "uid": "j", "creationTimestamp": T, "labels": {**OF_V1, names.PURPOSE: "validate"}},
    "spec": {"template": {"spec": {"containers": [{"name": "judge", "image": "runner:1"}]}}},
}
DEPLOYMENTS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": st.just("flights-v1"), "creationTimestamp": TIMES, "labels": st.just(OF_V1)},
            optional={"generation": st.integers(1, 2), "annotations": st.just({names.RECORD: "abc", "other": "x"})},
        ),
        "spec": st.fixed_dictionaries({"template": st.just({"spec": {}})}, optional={"replicas": st.integers(0, 2)}),
        "status": st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), st.just(2)),
                "observedGeneration": st.integers(1, 2),
                "conditions": conditions("ReplicaFailure", "Progressing", "Available"),
            },
        ),
    }
)


@given(PODS, conditions("Complete", "Failed"))
def test_what_is_read_of_a_job_and_its_pod_is_kept(pod: dict[str, Any], ended: list[dict[str, Any]]) -> None:
    job = JOB | {"status": {"conditions": ended, "active": 1}}
    assert jobs.read(slim.job(job), [slim.pod(pod)]) == jobs.read(job, [pod])
    assert jobs.log_container(slim.job(job), slim.pod(pod)) == jobs.log_container(job, pod)


@given(DEPLOYMENTS, PODS)
def test_what_is_read_of_serving_pods_is_kept(deployment: dict[str, Any], pod: dict[str, Any]) -> None:
    kept = pods.serving_pods(1, slim.deployment(deployment), [slim.pod(pod)])
    assert kept == pods.serving_pods(1, deployment, [pod])


def record(number: int, letter: str) -> dict[str, Any]:
    """The record of a version, as it comes from the API server: everything in it is a copy of its own."""
    pool = PLATFORM.pools[0]
    template = serving.pod_template(PLATFORM, model(), number, digest(letter), pool)
    made = serving.Rendered(number, digest(letter), "inputs", 1, template)
    copy: dict[str, Any] = json.loads(json.dumps(serving.controller_revision(model(), made)))
    return copy


def test_a_record_is_kept_word_for_word() -> None:
    before = record(1, "a")
    after = slim.Records()(before)
    assert after["data"] == before["data"]
    assert serving.template_hash(after["data"]["template"]) == serving.template_hash(before["data"]["template"])


def test_records_share_what_is_the_same_in_them() -> None:
    records = slim.Records()
    one, other = records(record(1, "a")), records(record(2, "b"))
    ours, theirs = one["data"]["template"]["spec"], other["data"]["template"]["spec"]
    assert ours != theirs
    assert ours["volumes"] is theirs["volumes"]
    assert ours["containers"][0]["readinessProbe"] is theirs["containers"][0]["readinessProbe"]


def test_true_and_one_are_not_the_same() -> None:
    records = slim.Records()
    found = [records({"metadata": {"name": "a"}, "data": {"flag": value}})["data"] for value in (True, 1, 1.0)]
    assert [type(one["flag"]) for one in found] == [bool, int, float]


def test_other_writers_annotations_and_managed_fields_are_not_kept() -> None:
    meta = {
        "name": "flights",
        "managedFields": ["much"],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", names.RETRY: "1"},
    }
    kept = slim.custom({"metadata": meta, "spec": {"a": 1}, "status": {"b": 2}})
    assert kept["metadata"] == {"name": "flights", "annotations": {names.RETRY: "1"}}
    assert (kept["spec"], kept["status"]) == ({"a": 1}, {"b": 2})


def test_what_the_crd_says_in_the_operators_place_is_not_taken_for_its_own_word() -> None:
    said = {"observedGeneration": -1, "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending"}]}
    found = {"apiVersion": "slipway.dev/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "v"}, "status": said}
    assert slim.custom(found)["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param(
            [{"manager": "argocd-controller", "time": "2026-03-06T17:00:00Z", "fieldsV1": {"f:spec": {"f:stage": {}}}}],
            ("argocd-controller", "2026-03-06T17:00:00Z"),
        ),
        pytest.param(
            [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:model": {}}}}], (None, None), id="another field"
        ),
        pytest.param(
            ["hostile", {"fieldsV1": "x"}, {"manager": 1, "fieldsV1": {"f:spec": {"f:stage": {}}}}], (None, None)
        ),
        pytest.param("hostile", (None, None)),
    ],
)
def test_of_who_wrote_what_only_the_program_that_set_the_stage_and_when_is_kept(fields: object, said: object) -> None:
    found = {"kind": "ModelVersion", "metadata": {"name": "flights-v1", "managedFields": fields}, "spec": {}}
    kept = slim.custom(found)["metadata"]
    assert (kept.get("stagedBy"), kept.get("stagedAt")) == said
