"""What a Job has come to: waiting, running, succeeded or failed, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from ..api import names
from ..api.modelversion import Attempt
from . import pods
from .conditions import clipped
from .pods import Object, Trouble
from .reasons import Reason, reason_named

SAID = "slipway-error: "  # begins the line with which `score` ends where a model fails
ATTEMPTS = 3  # of a Job that failed for a reason outside the model
LONGEST_PAUSE = timedelta(minutes=5)  # between two attempts of what is tried for as long as its cause lasts


@dataclass(frozen=True)
class JobSeen:
    """One Job, as its own and its pod's status tell."""

    name: str
    uid: str
    created: datetime
    phase: Literal["Waiting", "Running", "Succeeded", "Failed"]
    step: str = ""  # the container that is running
    trouble: Trouble | None = None  # why it waits or failed
    result: str = ""  # termination message of the main container
    log: str = ""  # the end of the log of the container that matters
    log_trouble: str = ""  # why that log could not be read
    purpose: str = ""  # what the Job is for: import, data, environment or validate
    pod_created: datetime | None = None  # when its newest pod was made
    pod_ended: datetime | None = None  # when the last of its containers ended
    unread_since: datetime | None = None  # since when it has ended without a pod that could be read
    environment: str = ""  # content digest of the image in which the candidate ran
    server_ended: datetime | None = None  # when the server beside the judge did, if the judge does not know yet

    @property
    def waiting_since(self) -> datetime:
        """Since when it has waited for its pod, or its pod for a node: another pod waits anew."""
        return self.pod_created or self.created


def read(
    job: Object, its_pods: Iterable[Object], events: Iterable[Object] = (), log: str = "", log_trouble: str = ""
) -> JobSeen:
    """The Job in our words. `log` is that of the main container, or of the one that failed."""
    meta = job["metadata"]
    main = job["spec"]["template"]["spec"]["containers"][0]["name"]
    pod = newest(its_pods)
    created = parse_time(meta["creationTimestamp"])

    def seen(
        phase: Literal["Waiting", "Running", "Succeeded", "Failed"],
        step: str = "",
        trouble: Trouble | None = None,
        result: str = "",
    ) -> JobSeen:
        return JobSeen(
            meta["name"], meta.get("uid", ""), created, phase, step, trouble, result, log, log_trouble,
            purpose=(meta.get("labels") or {}).get(names.PURPOSE, ""),
            pod_created=parse_time(pod["metadata"]["creationTimestamp"]) if pod else None,
            pod_ended=pods.ended_at(pod) if pod else None,
            environment=pods.image_of(pod, "score-candidate") if pod else "",
        )  # fmt: skip

    finished = {c["type"]: c for c in job.get("status", {}).get("conditions", []) if c.get("status") == "True"}
    if pod is None:
        if ended := finished.get("Failed") or finished.get("Complete"):
            lost = seen("Failed", trouble=Trouble(Reason.PodLost, "The Job's pod vanished before it was read."))
            at = ended.get("lastTransitionTime")
            return replace(lost, unread_since=parse_time(at) if at else created)
        return seen("Waiting", trouble=pods.refusal(events))
    phase = pod.get("status", {}).get("phase")
    if phase == "Succeeded":
        return seen("Succeeded", result=pods.result_of(pod, main))
    if phase == "Failed":
        return seen("Failed", trouble=pods.failed(pod))
    if "Failed" in finished:
        return seen("Failed", trouble=Trouble(Reason.PodLost, str(finished["Failed"].get("message", ""))))
    if pod["metadata"].get("deletionTimestamp"):
        return seen(
            "Waiting",
            trouble=Trouble(Reason.PodLost, "The pod is being deleted; the step is made anew once it is gone."),
        )
    if ended := pods.server_ended(pod):
        return replace(seen("Failed", trouble=ended), server_ended=pods.server_ended_at(pod) or created)
    trouble, step = pods.waiting(pod), pods.step(pod)
    return seen("Waiting" if trouble or not step else "Running", step=step, trouble=trouble)


def newest(its_pods: Iterable[Object]) -> Object | None:
    """The pod that speaks for a Job: the one that was made last."""
    return max(its_pods, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), default=None)


def log_container(job: Object, pod: Object) -> str | None:
    """The container whose log is worth reading once the Job's pod has ended; None while it has not."""
    phase = pod.get("status", {}).get("phase")
    if phase == "Succeeded":
        return str(job["spec"]["template"]["spec"]["containers"][0]["name"])
    trouble = pods.failed(pod) if phase == "Failed" else pods.server_ended(pod)
    return trouble.container or None if trouble else None


@dataclass(frozen=True)
class Persistence:
    """For which reasons an attempt is repeated for as long as they last, and since when their cause is over."""

    reasons: frozenset[Reason] = frozenset()
    over_since: datetime | None = None  # None: it may still be there


THREE_TIMES = Persistence()


def again_at(record: Attempt, persistence: Persistence) -> datetime | None:
    """When a failed attempt is repeated; None if it is not: only causes outside the model are, and most only so often.

    The pauses grow. Once the cause is over, the next one is due at once.
    """
    reason = reason_named(record.reason or "")
    lasting = reason in persistence.reasons
    if record.finished_at is None or not (lasting or (reason.outlook == "Retrying" and record.attempt < ATTEMPTS)):
        return None
    ended, over = parse_time(record.finished_at), persistence.over_since
    if lasting and over is not None and over > ended:
        return ended
    return ended + min(timedelta(seconds=10 * 3 ** min(record.attempt - 1, ATTEMPTS + 1)), LONGEST_PAUSE)


def discreet(seen: JobSeen) -> JobSeen:
    """The same for a model with secret variables: of a log of its code, only what `score` says of the failure."""
    if seen.trouble is None or not seen.log or not pods.runs_model(seen.trouble.container):
        return seen
    lines = [line for line in seen.log.splitlines() if line.startswith(SAID)]
    return replace(seen, log=lines[-1] if lines else "not shown, since the model has secret variables")


def described(seen: JobSeen, trouble: Trouble) -> str:
    """The trouble, with the end of the log where it helps."""
    if trouble.explained:
        return trouble.message
    lines = [line for line in seen.log.splitlines() if line.strip()][-6:]
    return trouble.message + ("\nLast lines of the log:\n" + clipped("\n".join(lines), 600) if lines else "")


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp."""
    return datetime.fromisoformat(text)
