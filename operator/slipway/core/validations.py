"""The rule of the Validated condition: a chain of steps on the pool, a report, and the gates' word on it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from ..api import names, report, tasks
from ..api.base import seconds
from ..api.modelversion import ModelVersion, ValidationRecord
from ..api.registeredmodel import RegisteredModel
from ..api.validation import Data, Gate
from ..resources import jobs as builders
from ..resources import naming
from ..resources.platform import Manifest, PoolSettings
from . import attempts, gates
from .attempts import Progress
from .conditions import Verdict, failed, passed
from .decision import Document
from .imports import registry_data
from .observed import VersionSeen
from .reasons import Reason
from .step import Step

PURPOSE = "validate"


def decide(seen: VersionSeen) -> Step:
    """Every gate passed on a report made for this revision and this champion, or why not."""
    policy = plan(seen)
    if isinstance(policy, Verdict):
        return Step(policy)
    pool, asked = policy
    status, model = seen.version.status, seen.model
    assert model is not None and status.digest is not None
    revision = revision_of(model, seen.version, asked)
    before = status.validation
    opponent = _opponent(seen, revision)
    stale = opponent.again
    key = _key(seen, revision, opponent.digest)
    progress = attempts.advance(
        before, key, lambda n: naming.job(seen.version.metadata.name, PURPOSE, key, n),
        seen.jobs, seen.now, seconds(model.spec.validation.pending_timeout),
    )  # fmt: skip
    leftovers = attempts.leftovers(progress, seen.jobs, PURPOSE, seen.version.metadata.namespace)
    if progress.recorded and progress.outcome == "Passed" and before:
        return Step(proven(before), retire=leftovers)
    facts = {
        "revision": revision,
        "champion_version": opponent.version,
        "champion_digest": opponent.digest or None,
        "pool": pool.name,
    }
    if progress.job and progress.job.phase == "Succeeded" and progress.outcome == "Running":
        return _result(seen, progress, asked, facts)
    told = before if before and progress.recorded else None
    record = told or ValidationRecord(**progress.fields(), **facts)
    ensure: tuple[Manifest, ...] = ()
    if progress.outcome == "Running":
        ensure = (builders.validation_job(seen.platform, seen.version, _trial(seen, progress, facts, asked, pool)),)
    verdict = attempts.verdict(progress, Reason.EvidenceStale if stale else Reason.ValidationRunning)
    return Step(verdict, {"validation": record}, ensure, leftovers, again_seconds=progress.again_seconds)


def plan(seen: VersionSeen) -> tuple[PoolSettings, tuple[Gate, ...]] | Verdict:
    """Pool and gates of this version, or why its own wishes cannot be granted."""
    assert seen.model is not None
    policy, own = seen.model.spec.validation, seen.version.spec.validation
    merged = gates.merged(policy, own)
    if isinstance(merged, str):
        return failed(Reason.GateNotOverridable, merged)
    if merged and policy.data is None:
        return failed(Reason.InvalidSpec, "Gates need spec.validation.data in the RegisteredModel to be judged on.")
    name = policy.pool.name if policy.pool else None
    if own and own.pool and own.pool.name != name:
        if policy.pool is None or not policy.pool.overridable:
            chosen = name or seen.platform.default_pool
            return failed(Reason.GateNotOverridable, f"pool '{chosen}' is the model's choice and is not overridable.")
        name = own.pool.name
    pool = seen.platform.pool(name)
    if pool is None:
        there = ", ".join(one.name for one in seen.platform.pools)
        wanted = name or seen.platform.default_pool
        return failed(Reason.PoolNotFound, f"There is no pool '{wanted}'; the operator's settings name: {there}.")
    return pool, merged


def revision_of(model: RegisteredModel, version: ModelVersion, asked: tuple[Gate, ...]) -> str:
    """Hash of what invalidates evidence: what the user set and the files; never an image, never a default."""
    policy = model.spec.validation
    own = version.spec.validation
    chosen: dict[str, Any] = {
        "digest": version.status.digest,
        "data": policy.data.model_dump(mode="json", exclude_defaults=True) if policy.data else None,
        "modelType": policy.model_type,
        "gates": sorted(
            (gate.model_dump(mode="json", exclude_defaults=True) for gate in asked), key=lambda g: g["name"]
        ),
        "pool": [pool.name if pool else None for pool in (policy.pool, own.pool if own else None)],
        "evaluation": policy.evaluation,
    }
    return naming.short_hash(chosen)


@dataclass(frozen=True)
class Opponent:
    """The champion that a version is compared with."""

    digest: str
    version: int | None
    again: bool = False  # it was compared with another one before


def _opponent(seen: VersionSeen, revision: str) -> Opponent:
    """The champion of now for a validation that begins; a validation that began keeps the champion of its time.

    Evidence that passed is made anew only when the model's reconciler says that it holds a release up: a version that
    was refused, or that another one supersedes, is not judged again whenever the champion changes.
    """
    before, now = seen.version.status.validation, seen.traffic
    if before is None or before.key != _key(seen, revision, before.champion_digest or ""):
        return Opponent(now.digest, now.champion)
    asked_anew = seen.handed is not None and seen.handed.released.reason == Reason.EvidenceStale
    if before.outcome == "Passed" and asked_anew and (before.champion_digest or "") != now.digest:
        return Opponent(now.digest, now.champion, again=True)
    return Opponent(before.champion_digest or "", before.champion_version)


def _key(seen: VersionSeen, revision: str, champion_digest: str) -> str:
    meta = seen.version.metadata
    return naming.short_hash([meta.uid, revision, champion_digest, meta.annotations.get(names.RETRY, "")])


def _trial(
    seen: VersionSeen, progress: Progress, facts: dict[str, Any], asked: tuple[Gate, ...], pool: PoolSettings
) -> builders.Trial:
    model, status = seen.model, seen.version.status
    assert model is not None and status.digest is not None
    policy, champion = model.spec.validation, facts["champion_digest"]
    fetch = tasks.FetchTask(
        store=tasks.Store(url=seen.platform.store.url),
        candidate_digest=status.digest,
        champion_digest=champion,
        data=_data(seen, policy.data) if policy.data else None,
    )
    judge = tasks.JudgeTask(
        revision=facts["revision"],
        candidate_digest=status.digest,
        champion_digest=champion,
        model_type=policy.model_type,
        with_data=policy.data is not None,
        metrics=gates.metrics(asked),
    )
    return builders.Trial(progress.job_name, fetch, judge, policy.data, pool, seconds(policy.timeout))


def _data(seen: VersionSeen, data: Data) -> tasks.DataSource:
    """Data of the registry came into the store with the import; other data is fetched where it is."""
    if not registry_data(seen):
        return tasks.DataSource(
            uri=data.uri, digest=data.digest, target=data.target, endpoint=data.endpoint, access=seen.platform.data
        )
    imported = seen.version.status.imported
    return tasks.DataSource(
        uri="store:" + data.uri, digest=imported.data_digest if imported else data.digest, target=data.target
    )


def _result(seen: VersionSeen, progress: Progress, asked: tuple[Gate, ...], facts: dict[str, Any]) -> Step:
    stamp = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = believed(seen, progress, facts["revision"], facts["champion_digest"])
    if isinstance(found, str):
        lost = progress.ended(stamp, "Failed", Reason.ReportMissing, found)
        record = ValidationRecord(**lost.fields(), **facts)
        return Step(attempts.verdict(lost, Reason.ValidationRunning), {"validation": record}, again_seconds=1)
    results = gates.judge(asked, found)
    missed = [f"{one.name}: {one.message}" for one in results if one.result == "Failed"]
    facts = facts | {"data_digest": found.data_digest, "rows": found.rows, "gates": results}
    if missed:
        over = progress.ended(stamp, "Failed", Reason.GateFailed, "; ".join(missed) + ".")
        record = ValidationRecord(**over.fields(), **facts)
        verdict = failed(Reason.GateFailed, over.message)
    else:
        record = ValidationRecord(**progress.ended(stamp, "Passed").fields(), **facts)
        verdict = proven(record)
    return Step(verdict, {"validation": record}, documents=_keep(seen, found))


def believed(seen: VersionSeen, progress: Progress, revision: str, opponent: str | None) -> report.Report | str:
    """The report in the judge's log if it is whole and was made for this; a sentence if it was not."""
    job = progress.job
    line = next((one for one in reversed((job.log if job else "").splitlines()) if one.startswith(report.PREFIX)), None)
    if job is None or line is None:
        return "The judge's log holds no report."
    text = line.removeprefix(report.PREFIX)
    try:
        summary = report.Summary.model_validate_json(job.result)
        found = report.Report.model_validate_json(text)
    except ValueError:
        return "The judge's report cannot be read."
    if summary.report_digest != "sha256:" + hashlib.sha256(text.encode()).hexdigest():
        return "The judge's report is not the one that it signed off."
    champion = found.champion.digest if found.champion else None
    made_for = (found.revision, found.candidate.digest, champion)
    if made_for != (revision, seen.version.status.digest, opponent):
        return "The judge's report was made for another revision, version or champion."
    return found


def _keep(seen: VersionSeen, found: report.Report) -> tuple[Document, ...]:
    """The report goes to the run that made the model, where people look for it."""
    pinned = seen.version.status.resolved
    if pinned is None or not pinned.run_id:
        return ()
    path = f"slipway/{seen.platform.cluster_name}/{seen.version.metadata.name}-{found.revision}.json"
    return (Document(pinned.run_id, path, found.model_dump_json(by_alias=True, indent=2).encode()),)


def proven(record: ValidationRecord) -> Verdict:
    against = f" against version {record.champion_version}" if record.champion_version else ""
    if not record.gates:
        return passed(Reason.LoadsAndPredicts, f"No gates are set: the model loads and predicts on pool {record.pool}.")
    skipped = sum(1 for one in record.gates if one.result == "Skipped")
    said = "; ".join(f"{one.name}: {one.message}" for one in record.gates)
    note = f", {skipped} skipped" if skipped else ""
    count = len(record.gates) - skipped
    return passed(Reason.GatesPassed, f"{count} {'gate' if count == 1 else 'gates'} passed{note}{against} ({said}).")
