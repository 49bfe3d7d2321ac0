"""One Job per attempt, and a record that remembers how it ended: a finished attempt is never repeated by accident.

The record's key is a hash of all that the result depends on. Another key begins anew; the same key goes on, waits,
or has ended. Only causes outside the model are tried again, three times in all; some of an import for as long as they
last, which is said as stalled from the third on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..api.modelversion import Attempt
from . import jobs
from .conditions import MESSAGE_LIMIT, Verdict, clipped, failed, sentence
from .decision import Delete, Ref
from .jobs import THREE_TIMES, JobSeen, Persistence
from .observed import VersionSeen
from .pods import Trouble
from .reasons import Reason, reason_named

JUDGE_ENDS = timedelta(seconds=30)  # where it was being answered, it ends by itself, and its Job stays to be looked at
POD_COMES = timedelta(seconds=15)  # watches of different kinds are not told in one order


@dataclass(frozen=True)
class Progress:
    """How far the attempt has come."""

    key: str
    attempt: int
    job_name: str
    outcome: str  # Running, Passed, Failed
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    job: JobSeen | None = None  # the attempt's Job, if it exists
    recorded: bool = False  # the outcome was already in the record
    again_seconds: float | None = None  # when to look again
    abandoned: bool = False  # the Job is to be removed although it has not ended
    lasting: bool = False  # it failed, and is tried again for as long as it fails for that reason
    before: tuple[str, str] | None = None  # reason and message of the attempt before, once it was one too many

    def ended(self, now: str, outcome: str, reason: str = "", message: str = "") -> "Progress":
        """The same attempt, over."""
        return replace(self, outcome=outcome, reason=reason, message=message, finished_at=now)

    def fields(self) -> dict[str, Any]:
        """The fields of its record. One that goes on after too many keeps what they failed of."""
        reason, message = (self.before if self.outcome == "Running" else None) or (self.reason, self.message)
        return {
            "key": self.key,
            "attempt": self.attempt,
            "outcome": self.outcome,
            "reason": reason or None,
            "message": clipped(message, MESSAGE_LIMIT) or None,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }


def advance(
    record: Attempt | None,
    key: str,
    name_of: Callable[[int], str],
    seen_jobs: Mapping[str, JobSeen],
    now: datetime,
    pending_seconds: int,
    persistence: Persistence = THREE_TIMES,
) -> Progress:
    """Where the attempt for `key` stands. A Job that succeeded is left `Running`: the caller judges its result."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if record is None or record.key != key:
        return _look(Progress(key, 1, name_of(1), "Running", started_at=stamp), seen_jobs, now, pending_seconds)
    here = Progress(
        key, record.attempt, name_of(record.attempt), record.outcome, record.reason or "", record.message or "",
        record.started_at, record.finished_at, seen_jobs.get(name_of(record.attempt)), recorded=True,
        lasting=record.outcome == "Failed" and reason_named(record.reason or "") in persistence.reasons,
    )  # fmt: skip
    said = (record.reason or "", record.message or "")
    if record.outcome == "Passed":
        return here
    if record.outcome == "Failed":
        at = jobs.again_at(record, persistence)
        if at is None:
            return here
        if now < at:
            return replace(here, again_seconds=(at - now).total_seconds())
        number = record.attempt + 1
        here = Progress(key, number, name_of(number), "Running", started_at=stamp)
    before = said if here.attempt > jobs.ATTEMPTS and said[0] else None
    found = _look(replace(here, before=before), seen_jobs, now, pending_seconds)
    return replace(found, lasting=found.outcome == "Failed" and reason_named(found.reason) in persistence.reasons)


def _look(here: Progress, seen_jobs: Mapping[str, JobSeen], now: datetime, pending_seconds: int) -> Progress:
    job = seen_jobs.get(here.job_name)
    here = replace(here, job=job, recorded=False)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if job is None:
        return replace(here, message="The Job is being created.")
    if job.unread_since and (left := job.unread_since + POD_COMES - now) > timedelta(0):
        return replace(
            here, message="The Job has ended; its pod is looked for.", again_seconds=left.total_seconds() + 1
        )
    if job.server_ended and (left := job.server_ended + JUDGE_ENDS - now) > timedelta(0):
        trouble = job.trouble or Trouble(Reason.ModelCrashed, "")
        return replace(here, message=sentence(trouble.message), again_seconds=left.total_seconds() + 1)
    if job.phase == "Failed":
        trouble = job.trouble or Trouble(Reason.PodLost, "")
        over = here.ended(stamp, "Failed", trouble.reason, jobs.described(job, trouble))
        return replace(over, again_seconds=1.0, abandoned=job.server_ended is not None)
    if job.phase == "Waiting":
        left = job.waiting_since + timedelta(seconds=pending_seconds) - now
        trouble = job.trouble or Trouble(Reason.PodConfigInvalid, "The pod has not started.")
        if left <= timedelta(0):
            message = f"{sentence(trouble.message)} Gave up after {pending_seconds} s."
            return replace(here.ended(stamp, "Failed", trouble.reason, message), abandoned=True)
        reason = job.trouble.reason if job.trouble else ""
        message = job.trouble.message if job.trouble else "The pod is starting."
        return replace(here, reason=reason, message=message, again_seconds=left.total_seconds() + 1)
    return replace(here, message=f"Step '{job.step}' is running." if job.step else "")


def verdict(progress: Progress, running: Reason) -> Verdict:
    """What is known while the attempt runs, or why it failed."""
    if progress.outcome == "Running" and progress.before:
        why, message = progress.before
        return replace(failed(reason_named(why), f"{sentence(message)} Attempt {progress.attempt} runs."), final=True)
    if progress.outcome == "Running":
        reason = reason_named(progress.reason) if progress.reason else running
        attempt = f" (attempt {progress.attempt} of {jobs.ATTEMPTS})" if progress.attempt > 1 else ""
        return Verdict("False", reason, f"{sentence(progress.message)}{attempt}")
    reason = reason_named(progress.reason)
    if reason.outlook == "Retrying" and progress.attempt < jobs.ATTEMPTS:
        again = f" Attempt {progress.attempt} of {jobs.ATTEMPTS}; the next one follows."
        return Verdict("False", reason, sentence(progress.message) + again)
    if progress.lasting:
        minutes = jobs.LONGEST_PAUSE.total_seconds() / 60
        said = f"{sentence(progress.message)} It is tried again within {minutes:.0f} minutes, as long as it lasts."
        return replace(failed(reason, said), final=progress.attempt >= jobs.ATTEMPTS)
    return replace(failed(reason, progress.message), final=True)


def leftovers(progress: Progress, seen_jobs: Mapping[str, JobSeen], purpose: str, namespace: str) -> tuple[Delete, ...]:
    """Jobs that nobody waits for any more: of another key, or given up."""
    stale = [
        job.name
        for job in seen_jobs.values()
        if job.purpose == purpose and job.phase in ("Waiting", "Running") and job.name != progress.job_name
    ]
    if progress.abandoned:
        stale.append(progress.job_name)
    return tuple(retire(name, namespace, "nobody waits for it any more") for name in stale)


def retire(name: str, namespace: str, because: str) -> Delete:
    """Remove a Job with its pods."""
    return Delete(job_ref(namespace, name), because)


def job_ref(namespace: str, name: str) -> Ref:
    """A Job."""
    return Ref("batch/v1", "Job", namespace, name)


def held_up(progress: Progress, seen: VersionSeen, queue: str, namespace: str) -> Verdict | None:
    """Why the Job of a running attempt is not there: the API server refused it, or it waits for its turn."""
    if progress.outcome != "Running" or progress.job is not None:
        return None
    if refusal := seen.refusals.get(job_ref(namespace, progress.job_name)):
        return failed(reason_named(refusal.reason), refusal.message)
    place = seen.places.get(queue)
    if place is None or place.admitted:
        return None
    said = f"{place.ahead} wait before it; {place.limit} run at the same time ({queue})."
    return Verdict("False", Reason.Queued, f"Waits for its turn: {said}")
