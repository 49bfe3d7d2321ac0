"""From `kubectl apply` of a Production ModelVersion to the first prediction, against the same steps by hand.

By hand means: the very Jobs, Deployment and Service that the operator made in the round before, with the same images,
under other names, each applied by kubectl as soon as the one before is done, as a careful script would.
"""

import copy
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from bench import footprint
from bench.cluster import SLIPWAY, Object, Reader
from dev.demo import manifests
from dev.demo.console import Console
from dev.demo.install import Story
from dev.demo.kube import Kube

NAMESPACE, BY_HAND, SYSTEM = "bench", "bench-by-hand", manifests.SYSTEM
MODEL = "flights"
OPERATOR = f"system:serviceaccount:{SYSTEM}:slipway"
LONGEST_SECONDS = 300
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Round:
    """One promotion on each side."""

    slipway_seconds: float
    by_hand_seconds: float
    phases: dict[str, float]  # seconds since the apply at which Slipway's conditions came true
    by_hand_phases: dict[str, float]
    wrote: dict[str, int]  # the operator's writes, without Events and Leases, for a model's first version
    wrote_next: dict[str, int]  # the same for the next one, which takes the traffic from it

    def told(self) -> Object:
        """As JSON."""
        return {
            "slipway_seconds": round(self.slipway_seconds, 2),
            "by_hand_seconds": round(self.by_hand_seconds, 2),
            "slipway_phases": {key: round(value, 2) for key, value in self.phases.items()},
            "by_hand_phases": {key: round(value, 2) for key, value in self.by_hand_phases.items()},
            "wrote": self.wrote,
            "wrote_next": self.wrote_next,
        }

    @property
    def writes(self) -> int:
        """Of the promotion that took more."""
        return max(sum(self.wrote.values()), sum(self.wrote_next.values()))


@dataclass(frozen=True)
class Stage:
    """Where it happens."""

    kube: Kube
    api: Reader
    story: Story

    def object(self, path: str) -> Object:
        """The object at a path; empty if there is none."""
        return self.api.get(path) or {}

    def answers(self, namespace: str) -> bool:
        """Whether the model's Service predicts; asked at its cluster address from this machine."""
        address = self.object(f"/api/v1/namespaces/{namespace}/services/{MODEL}").get("spec", {}).get("clusterIP")
        if not address:
            return False
        request, _ = self.story.sample(1, self.story.good)
        asked = urllib.request.Request(
            f"http://{address}/invocations",
            data=json.dumps(request).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def compare(stage: Stage, console: Console, rounds: int) -> list[Round]:
    """So many rounds; each begins with empty namespaces on both sides."""
    found = []
    for number in range(1, rounds + 1):
        _empty(stage)
        slipway, phases, made, wrote = _by_slipway(stage)
        wrote_next = _next(stage)
        by_hand, by_hand_phases = _by_hand(stage, made)
        found.append(Round(slipway, by_hand, phases, by_hand_phases, wrote, wrote_next))
        console.say(f"round {number}: Slipway {slipway:.1f} s, by hand {by_hand:.1f} s, {found[-1].writes} writes")
    _empty(stage, again=False)
    return found


def _empty(stage: Stage, again: bool = True) -> None:
    """Both namespaces are gone, and there again where they are needed."""
    for namespace in (NAMESPACE, BY_HAND):
        stage.kube.run("kubectl", "delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    for namespace in (NAMESPACE, BY_HAND):
        _await("the namespace is gone", lambda name=namespace: not stage.object(f"/api/v1/namespaces/{name}"))
    if again:
        stage.kube.apply(*(manifests.namespace(name, models="true") for name in (NAMESPACE, BY_HAND)))


def _by_slipway(stage: Stage) -> tuple[float, dict[str, float], list[Object], dict[str, int]]:
    data = stage.story.data
    model = manifests.registered_model(stage.story.model_name, data["data_uri"], data["data_digest"], data["target"])
    version = manifests.model_version(stage.story.good)
    for one in (model, version):
        one["metadata"]["namespace"] = NAMESPACE
    name = version["metadata"]["name"]
    stage.kube.apply(model)
    audit, phases, made = footprint.Audit(), dict[str, float](), dict[str, Object]()
    began = time.monotonic()
    stage.kube.apply(version)

    def answered() -> bool:
        for kind in _true(stage, name):
            phases.setdefault(kind, time.monotonic() - began)
        for place in (SYSTEM, NAMESPACE):
            if place not in made:
                jobs = stage.object(f"/apis/batch/v1/namespaces/{place}/jobs").get("items", [])
                ours = [job for job in jobs if _is_ours(job, stage.story.good)]
                # Items of a list do not name their kind.
                made.update({place: ours[0] | {"apiVersion": "batch/v1", "kind": "Job"}} if ours else {})
        return stage.answers(NAMESPACE)

    _await("Slipway's first prediction", answered)
    took = time.monotonic() - began
    _await("the labels are written", lambda: {"Synced", "Ready"} <= _true(stage, name))
    wrote = audit.writes_of(OPERATOR, (NAMESPACE, SYSTEM))
    deployment = stage.object(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
    return took, phases, [made[SYSTEM], made[NAMESPACE], deployment], wrote


def _next(stage: Stage) -> dict[str, int]:
    """The operator's writes while a better version takes the traffic over."""
    version = manifests.model_version(stage.story.better)
    version["metadata"]["namespace"] = NAMESPACE
    before = manifests.model_version(stage.story.good)["metadata"]["name"]
    audit = footprint.Audit()
    stage.kube.apply(version)
    _await("the next version serves", lambda: {"Synced", "Ready"} <= _true(stage, version["metadata"]["name"]))
    _await("the version before says so", lambda: "Released" not in _true(stage, before))
    return audit.writes_of(OPERATOR, (NAMESPACE, SYSTEM))


def _is_ours(job: Object, version: int) -> bool:
    labels = job["metadata"].get("labels", {})
    place = labels.get("slipway.dev/owner-namespace", job["metadata"]["namespace"])
    return place == NAMESPACE and labels.get("slipway.dev/version") == str(version)


def _true(stage: Stage, name: str) -> set[str]:
    """The conditions of a version that hold."""
    found = stage.object(f"{SLIPWAY}/namespaces/{NAMESPACE}/modelversions/{name}")
    return {one["type"] for one in found.get("status", {}).get("conditions", []) if one["status"] == "True"}


def _by_hand(stage: Stage, made: list[Object]) -> tuple[float, dict[str, float]]:
    imported, validated, deployment = (_stripped(one) for one in made)
    imported["metadata"] |= {"name": "by-hand-import", "namespace": SYSTEM}
    validated["metadata"] |= {"name": "by-hand-validate", "namespace": BY_HAND}
    deployment["metadata"] |= {"name": MODEL, "namespace": BY_HAND}
    stage.kube.run("kubectl", "delete", "job", "-n", SYSTEM, "by-hand-import", "--ignore-not-found")
    phases: dict[str, float] = {}
    began = time.monotonic()
    for step, job in (("Imported", imported), ("Validated", validated)):
        stage.kube.apply(job)
        place = ["-n", job["metadata"]["namespace"], f"job/{job['metadata']['name']}"]
        limit = f"--timeout={LONGEST_SECONDS}s"
        stage.kube.run("kubectl", "wait", "--for=condition=Complete", limit, *place, timeout=LONGEST_SECONDS + 10)
        phases[step] = time.monotonic() - began
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": MODEL, "namespace": BY_HAND},
        "spec": {
            "selector": deployment["spec"]["selector"]["matchLabels"],
            "ports": [{"port": 80, "targetPort": "http"}],
        },
    }
    stage.kube.apply(deployment, service)
    _await("the first prediction by hand", lambda: stage.answers(BY_HAND))
    phases["Released"] = time.monotonic() - began
    return phases["Released"], phases


def _stripped(found: Object) -> Object:
    """The object as somebody would write it: without what the cluster and the operator added."""
    clean = copy.deepcopy(found)
    clean.pop("status", None)
    # Its pods need Slipway's labels to reach the store, and only the operator may make such pods unasked.
    broken = {"slipway.dev/break-glass": "the other side of a benchmark"}
    clean["metadata"] = {"labels": {"app.kubernetes.io/part-of": "bench"}, "annotations": broken}
    template = clean["spec"]["template"]["metadata"]
    labels = {
        key: value for key, value in (template.get("labels") or {}).items() if "job" not in key and "uid" not in key
    }
    labels["app.kubernetes.io/managed-by"] = "hand"
    template["labels"] = labels
    if clean["kind"] == "Job":
        clean["spec"].pop("selector", None)
    return clean


def _await(what: str, check: Callable[[], bool], pause: float = POLL_SECONDS) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {LONGEST_SECONDS} s: {what}")
        time.sleep(pause)
