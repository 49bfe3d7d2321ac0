"""What a pod's status says in the words of the catalogue: why it waits, why it died, whose fault it is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..api import names
from ..api.tasks import SERVER, Problem
from .reasons import Reason, reason_named

Object = Mapping[str, Any]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# The kubelet's words for a variable whose Secret, or whose key in it, is not there.
_NO_SECRET = re.compile(
    r'secret "(?P<secret>[^"]+)" not found|couldn\'t find key (?P<key>\S+) in Secret [^/\s]+/(?P<of>\S+)'
)
_BELIEVED = {"import", "environment", "fetch", "judge"}  # programs that run no model code
# Exit codes of the score program (it runs model code, so nothing else that it says is believed).
_SCORE = {
    10: Reason.ModelDoesNotLoad,
    11: Reason.PredictionFailed,
    12: Reason.PredictionsInvalid,
    13: Reason.DataDoesNotFit,
}


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not do what it should."""

    reason: Reason
    message: str
    container: str = ""  # the container whose log tells more
    explained: bool = False  # the program said itself what was wrong


@dataclass(frozen=True)
class VersionPods:
    """The serving pods of one version, as its Deployment's status tells."""

    version: int
    replicas: int  # that its spec asks for
    ready: int
    complete: bool  # all replicas run the newest template and are available
    record: str  # hash of the newest template
    trouble: Trouble | None = None
    late: bool = False  # its rollout has failed: no progress within the deadline
    since: str | None = None  # when the Deployment was made


def waiting(pod: Object) -> Trouble | None:
    """Why a pod that has not ended is not getting on; None if it is."""
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble(Reason.Unschedulable, f"Waiting for a node: {condition.get('message', '')}")
    for container in _containers(pod):
        stuck = container.get("state", {}).get("waiting", {})
        why, detail = stuck.get("reason", ""), stuck.get("message", "")
        if why in _PULL:
            return Trouble(Reason.ImagePullFailed, f"{container.get('image')}: {detail or why}", container["name"])
        if why in _CONFIG:
            return _unset(container["name"], detail) or Trouble(
                Reason.PodConfigInvalid, detail or why, container["name"]
            )
        if why == "CrashLoopBackOff":
            last = container.get("lastState", {}).get("terminated", {})
            return ended(container["name"], last) or Trouble(Reason.ModelCrashed, detail, container["name"])
        # Between two starts the kubelet shows the end of the last one, for minutes in the end.
        over = container.get("state", {}).get("terminated") or {}
        if over.get("exitCode") and pod.get("spec", {}).get("restartPolicy") != "Never":
            return ended(container["name"], over)
    return None


def _unset(container: str, detail: str) -> Trouble | None:
    """A variable of the model that has no value yet. The kubelet starts the container once the Secret is there."""
    found = _NO_SECRET.search(detail)
    if found is None:
        return None
    lacks = f"There is no Secret '{found['secret']}'"
    if found["key"]:
        lacks = f"There is no key '{found['key']}' in the Secret '{found['of']}'"
    said = f"{lacks} of this namespace, which spec.serving.pod.env of the RegisteredModel names for step '{container}'."
    return Trouble(Reason.VariableNotFound, said, container)


def failed(pod: Object) -> Trouble:
    """Why a failed pod failed."""
    status = pod.get("status", {})
    if status.get("reason") == "DeadlineExceeded":
        return Trouble(Reason.DeadlineExceeded, f"Ran longer than {pod['spec'].get('activeDeadlineSeconds')} s.")
    disrupted = [c for c in status.get("conditions", []) if c["type"] == "DisruptionTarget" and c["status"] == "True"]
    if not status.get("reason") and not disrupted:
        if trouble := server_ended(pod):
            return trouble
        for container in _containers(pod):
            if container["name"] == SERVER:
                continue  # once the judge has ended, the kubelet ends it
            state = container.get("state", {}).get("terminated") or {}
            trouble = None if _after_deletion(pod, state) else ended(container["name"], state)
            if trouble:
                return trouble
    if pod["metadata"].get("deletionTimestamp"):
        return Trouble(Reason.PodLost, "The pod was deleted while it ran.")
    return Trouble(Reason.PodLost, f"{status.get('reason', 'The pod ended')}: {status.get('message', '')}".strip(": "))


def server_ended(pod: Object) -> Trouble | None:
    """How the server beside the judge ended before the judge did; None if it did not. The kubelet starts it again.

    A judge that was content with what it heard is believed.
    """
    over = _server_over(pod)
    if not over:
        return None
    said = f"Step '{SERVER}' ended with code {over.get('exitCode')} while the judge asked it."
    return ended(SERVER, over) or Trouble(Reason.ModelCrashed, said, SERVER)


def server_ended_at(pod: Object) -> datetime | None:
    """When it did so."""
    at = _server_over(pod).get("finishedAt")
    return datetime.fromisoformat(at) if at else None


def _server_over(pod: Object) -> Object:
    states = {one["name"]: one for one in _containers(pod)}
    judge, server = _terminated(states.get("judge", {}), "state"), states.get(SERVER, {})
    before = _terminated(server, "lastState")
    over = before or _terminated(server, "state")
    if not over or _after_deletion(pod, over) or (judge and judge.get("exitCode") == 0):
        return {}
    if judge and not before:  # once the judge has ended, the server is told to
        told_to = over.get("exitCode") in (0, 137, 143) and over.get("reason") != "OOMKilled"
        if told_to or over.get("finishedAt", "") > judge.get("finishedAt", ""):
            return {}
    return over


def started_again(pod: Object, container: str) -> bool:
    """Whether a container's log is that of another start than the one that ended."""
    found: Object = next((one for one in _containers(pod) if one.get("name") == container), {})
    return bool(_terminated(found, "lastState")) and "waiting" not in found.get("state", {})


def _terminated(container: Object, which: str) -> Object:
    found: Object = (container.get(which) or {}).get("terminated") or {}
    return found


def _after_deletion(pod: Object, state: Object) -> bool:
    """Whether a container ended because its pod was deleted; what failed before that keeps its own reason."""
    meta, finished = pod["metadata"], state.get("finishedAt")
    if not meta.get("deletionTimestamp") or not finished:
        return False
    asked = datetime.fromisoformat(meta["deletionTimestamp"]) - timedelta(
        seconds=meta.get("deletionGracePeriodSeconds", 0)
    )
    return datetime.fromisoformat(finished) >= asked


def ended(container: str, state: Object) -> Trouble | None:
    """What a container's end means; None if it ended well or has not ended.

    The score steps and the servers run model code: of all that they say, only the exit code is read, and that only into
    reasons that speak of the model. The other programs run none, so their termination message is believed.
    """
    code = state.get("exitCode", 0)
    if code == 0:
        return None
    if state.get("reason") == "OOMKilled":
        return Trouble(Reason.OutOfMemory, f"Step '{container}' exceeded its memory limit.", container)
    if container == "score-champion":
        return Trouble(Reason.ChampionFailed, f"Step '{container}' ended with code {code}.", container)
    if container == "score-candidate":
        reason = _SCORE.get(code, Reason.ModelCrashed)
        return Trouble(reason, f"Step '{container}' ended with code {code}.", container)
    problem = problem_in(str(state.get("message", ""))) if container in _BELIEVED else None
    if problem:
        return Trouble(reason_named(problem[0]), problem[1], container, explained=True)
    if code in (137, 143) or state.get("reason") in ("ContainerStatusUnknown", "Unknown"):
        return Trouble(Reason.PodLost, f"Step '{container}' was ended from outside (code {code}).", container)
    reason = Reason.InternalError if container in _BELIEVED else Reason.ModelCrashed
    return Trouble(reason, f"Step '{container}' ended with code {code}.", container)


def runs_model(container: str) -> bool:
    """Whether a container runs code of a model."""
    return container not in _BELIEVED


def problem_in(message: str) -> tuple[str, str] | None:
    """Reason and message of a program's termination message, if it is one."""
    try:
        problem = Problem.model_validate_json(message)
    except ValueError:
        return None
    return problem.reason, problem.message


def result_of(pod: Object, container: str) -> str:
    """Termination message of a container that ended well; "" if there is none."""
    for one in _containers(pod):
        state = one.get("state", {}).get("terminated") or {}
        if one.get("name") == container and state.get("exitCode") == 0:
            return str(state.get("message", ""))
    return ""


def ended_at(pod: Object) -> datetime | None:
    """When the last of a pod's containers ended, among those that have."""
    ends = [str(one.get("state", {}).get("terminated", {}).get("finishedAt") or "") for one in _containers(pod)]
    last = max((one for one in ends if one), default="")
    return datetime.fromisoformat(last) if last else None


def image_of(pod: Object, container: str) -> str:
    """Content digest (sha256:…) of the image that a container ran, as the kubelet tells it; "" if it does not."""
    found = next((str(one.get("imageID", "")) for one in _containers(pod) if one.get("name") == container), "")
    _, at, digest = found.rpartition("sha256:")
    return f"sha256:{digest}" if at and len(digest) == 64 else ""


def step(pod: Object) -> str:
    """Name of the container that ran last, "" if none has begun."""
    begun = [one["name"] for one in _containers(pod) if one.get("state", {}).keys() & {"running", "terminated"}]
    return begun[-1] if begun else ""


def refusal(events: Iterable[Object]) -> Trouble | None:
    """Why the pods of a Job or ReplicaSet were not let in, from the events of its controller."""
    for event in events:
        if event.get("reason") == "FailedCreate":
            message = str(event.get("message", ""))
            reason = Reason.QuotaExceeded if "exceeded quota" in message else Reason.AdmissionDenied
            return Trouble(reason, message)
    return None


def _containers(pod: Object) -> list[Any]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def serving_pods(number: int, deployment: Object, its_pods: Iterable[Object]) -> VersionPods:
    """The pods of one version, as their Deployment tells."""
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    replicas = spec.get("replicas", 1)
    current = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    counts = (status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    failure = conditions.get("ReplicaFailure", {})
    trouble = None
    if failure.get("status") == "True":
        trouble = refusal([{"reason": "FailedCreate", "message": failure.get("message", "")}])
    if trouble is None:
        trouble = next((found for pod in its_pods if (found := waiting(pod))), None)
    progressing = conditions.get("Progressing", {})
    return VersionPods(
        version=number,
        replicas=replicas,
        ready=status.get("readyReplicas", 0),
        complete=current and all(count == replicas for count in counts),
        record=(meta.get("annotations") or {}).get(names.RECORD, ""),
        trouble=trouble,
        late=current and progressing.get("reason") == "ProgressDeadlineExceeded",
        since=meta.get("creationTimestamp"),
    )
