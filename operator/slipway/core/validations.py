"""The rule of the Validated condition: a chain of steps on the pool, a report, and the gates' word on it."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..api import report, tasks
from ..api.base import seconds, size_bytes
from ..api.modelversion import GateResult, ValidationRecord
from ..api.registeredmodel import RegisteredModel
from ..api.scoring import Scoring
from ..api.validation import Data, Gate
from ..resources import jobs as builders
from ..resources import naming, serving
from ..resources.platform import IMAGE, Environment, PoolSettings
from . import adoption, attempts, changes, environments, gates, imports, jobs, page
from .adoption import Opponent
from .attempts import Progress
from .conditions import Verdict, clipped, failed, passed, sentence
from .decision import Act, Apply, Document
from .description import report_path
from .election import elect
from .jobs import JobSeen
from .observed import VersionSeen
from .reasons import Reason
from .revisions import environment_of, revision_of
from .step import Step

PURPOSE = "validate"
CHAMPION_SECONDS = 5.0  # between two looks whether there is something to compare with
LOG_PATIENCE = timedelta(seconds=60)  # a log that cannot be read for so long is lost, with the node maybe


def decide(seen: VersionSeen) -> Step:
    """Every gate passed on a report made for this revision and this champion, or why not."""
    policy = plan(seen)
    if isinstance(policy, Verdict):
        return Step(policy)
    if data := imports.data_step(seen):
        return data
    pool, asked = policy
    status, model = seen.version.status, seen.model
    assert model is not None and status.digest is not None
    revision = revision_of(model, seen.version, asked)
    before = status.validation
    against = adoption.opponent(seen.family, seen.ledger, seen.version) if seen.family else Opponent()
    if against is None:
        said = "The version that the adopted Deployment runs is imported first, to compare with."
        return Step(Verdict("False", Reason.ImportRunning, said), again_seconds=CHAMPION_SECONDS)
    champion, stale = _champion(seen, revision, against)
    key = _key(seen, revision, champion.digest)
    progress = attempts.advance(
        before, key, lambda n: naming.job(seen.version.metadata.name, PURPOSE, key, n),
        _jobs(seen), seen.now, seconds(model.spec.validation.pending_timeout),
    )  # fmt: skip
    if not progress.recorded and (packages := environments.step(seen)):
        return packages  # a validation is to begin
    leftovers = attempts.leftovers(progress, seen.jobs, PURPOSE, seen.version.metadata.namespace)
    if progress.recorded and progress.outcome == "Passed" and before:
        return Step(proven(before), acts=leftovers)
    facts = {
        "revision": revision,
        "champion_version": champion.version,
        "champion_digest": champion.digest or None,
        "pool": pool.name,
    }
    if progress.job and progress.job.phase == "Succeeded" and progress.outcome == "Running":
        return _result(seen, progress, asked, facts)
    kept = before if before and progress.recorded else None
    queue = f"{PURPOSE} {pool.name}"
    verdict = attempts.held_up(progress, seen, queue, seen.version.metadata.namespace)
    acts: tuple[Act, ...] = leftovers
    if progress.outcome == "Running" and not (verdict and verdict.reason is Reason.Queued):
        comparison = _comparison(seen, progress, facts, asked, pool)
        for one in (comparison.fetch.candidate_python, comparison.fetch.champion_python):
            if said := environments.no_image(seen.platform, one):
                return Step(failed(Reason.EnvironmentNotReproducible, said), acts=leftovers)
        acts = (Apply(builders.validation_job(seen.platform, seen.version, comparison)), *leftovers)
    return Step(
        verdict or attempts.verdict(progress, Reason.EvidenceStale if stale else Reason.ValidationRunning),
        {"validation": kept or ValidationRecord(**progress.fields(), **facts)},
        acts,
        again_seconds=progress.again_seconds,
        queue=queue if progress.outcome == "Running" else "",
    )


def _jobs(seen: VersionSeen) -> Mapping[str, JobSeen]:
    """The Jobs. What they were given is part of their names, so the settings of now say whether it was secret."""
    assert seen.model is not None
    secret = any(one.validation and one.validation.secret_key_ref for one in seen.model.variables)
    return {name: jobs.discreet(one) for name, one in seen.jobs.items()} if secret else seen.jobs


def plan(seen: VersionSeen) -> tuple[PoolSettings, tuple[Gate, ...]] | Verdict:
    """Pool and gates of this version, or why its own wishes cannot be granted."""
    assert seen.family is not None
    policy, own = seen.family.policy, seen.version.spec.validation
    merged = gates.merged(policy, own)
    if isinstance(merged, str):
        return failed(Reason.GateNotOverridable, merged)
    if merged and policy.data is None:
        return failed(Reason.InvalidSpec, "Gates need spec.validation.data in the RegisteredModel to be judged on.")
    if policy.data and (wrong := gates.of_no_target(merged, policy.data.targets)):
        return failed(Reason.InvalidSpec, wrong)
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


def _champion(seen: VersionSeen, revision: str, now: Opponent) -> tuple[Opponent, bool]:
    """The champion to compare with, and whether the version was compared with another one before.

    It is that of now for a validation that begins; a validation that began keeps the champion of its time.

    Evidence is made anew only when it holds a release up: a version that was refused, or that another one supersedes,
    is not judged again whenever the champion changes, but when a label asks for it again.
    """
    before = seen.version.status.validation
    if before is None or before.key != _key(seen, revision, before.champion_digest or ""):
        return now, False
    if before.outcome != "Running" and (before.champion_digest or "") != now.digest and _holds_up(seen):
        return now, True
    return Opponent(before.champion_digest or "", before.champion_version), False


def _holds_up(seen: VersionSeen) -> bool:
    """Whether this version is next, and only its evidence is missing."""
    if seen.family is None or seen.stage != "Production":
        return False
    found = elect(seen.family, seen.ledger)
    return found.target == seen.version.spec.version and not found.proven


def _key(seen: VersionSeen, revision: str, champion_digest: str) -> str:
    meta = seen.version.metadata
    return naming.short_hash([meta.uid, revision, champion_digest, seen.version.retry or ""])


def _comparison(
    seen: VersionSeen, progress: Progress, facts: dict[str, Any], asked: tuple[Gate, ...], pool: PoolSettings
) -> builders.Comparison:
    model, status = seen.model, seen.version.status
    assert model is not None and status.digest is not None
    policy, champion = model.spec.validation, facts["champion_digest"]
    own, others = environment_of(seen.version), _of_champion(seen, facts)
    fetch = tasks.FetchTask(
        store=tasks.Store(url=seen.platform.store.url),
        candidate_digest=status.digest,
        champion_digest=champion,
        candidate_environment=own.packages,
        champion_environment=others.packages,
        candidate_python=own.python,
        champion_python=others.python,
        refuse_unstated=seen.platform.refuses_unstated,
        data=_data(seen, policy.data) if policy.data else None,
        check_environment=own == IMAGE and not environments.is_known(seen),
    )
    judge = tasks.JudgeTask(
        revision=facts["revision"],
        candidate_digest=status.digest,
        champion_digest=champion,
        model_type=policy.model_type,
        positive_label=policy.positive_label,
        outputs=policy.outputs,
        with_data=policy.data is not None,
        metrics=gates.metrics(asked),
        served=_served(seen, model),
    )
    return builders.Comparison(progress.job_name, model, fetch, judge, policy.data, pool, seconds(policy.timeout))


def _served(seen: VersionSeen, model: RegisteredModel) -> tasks.Served:
    """How its server is asked; it answers itself once a request has taken its time."""
    is_quiet = any(one.validation and one.validation.secret_key_ref for one in model.variables)
    scoring, usual = serving.scoring_of(model), Scoring()
    is_usual = (scoring.request_timeout, scoring.max_body_size) == (usual.request_timeout, usual.max_body_size)
    return tasks.Served(
        model=seen.version.spec.model,
        version=seen.version.spec.version,
        request_seconds=None if is_usual else seconds(scoring.request_timeout),
        max_body_bytes=None if is_usual else size_bytes(scoring.max_body_size),
        is_quiet=is_quiet or None,
    )


def _of_champion(seen: VersionSeen, facts: dict[str, Any]) -> Environment:
    """What the champion runs in, if there is one."""
    number, digest = facts["champion_version"], facts["champion_digest"]
    if seen.family is None or number is None or digest is None:
        return IMAGE
    return environments.of_version(seen.family, seen.ledger.release(number), number, digest)


def _data(seen: VersionSeen, data: Data) -> tasks.DataSource:
    """Data of the registry came into the store with the import; other data is fetched where it is."""
    if not imports.comes_from_registry(data):
        return tasks.DataSource(
            uri=data.uri, digest=data.digest, targets=data.columns, endpoint=data.endpoint, access=seen.platform.data
        )
    record = seen.version.status.data
    return tasks.DataSource(
        uri="store:" + data.uri, digest=record.digest if record else data.digest, targets=data.columns
    )


def _result(seen: VersionSeen, progress: Progress, asked: tuple[Gate, ...], facts: dict[str, Any]) -> Step:
    stamp = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    job = progress.job
    if job and job.log_trouble and (job.pod_ended is None or seen.now - job.pod_ended < LOG_PATIENCE):
        waiting = Verdict("False", Reason.ValidationRunning, f"The judge's log cannot be read yet: {job.log_trouble}")
        return Step(waiting, again_seconds=5.0)
    found = believed(seen, progress, facts["revision"], facts["champion_digest"])
    if isinstance(found, str):
        lost = progress.ended(stamp, "Failed", Reason.ReportMissing, found)
        record = ValidationRecord(**lost.fields(), **facts)
        return Step(attempts.verdict(lost, Reason.ValidationRunning), {"validation": record}, again_seconds=1)
    results = gates.evaluate(asked, found)
    missed = gates.missed(asked, results)
    facts = facts | {
        "data_digest": found.data_digest,
        "rows": found.rows,
        "gates": results,
        "environment": (progress.job.environment if progress.job else "") or None,
        "python": environment_of(seen.version).python or found.python,
        "rehearsal": rehearsed(found.rehearsal) if found.rehearsal else None,
    }
    if missed:
        over = progress.ended(stamp, "Failed", Reason.GateFailed, "; ".join(missed) + ".")
        record = ValidationRecord(**over.fields(), **facts)
        verdict = failed(Reason.GateFailed, over.message)
    else:
        record = ValidationRecord(**progress.ended(stamp, "Passed").fields(), **facts)
        verdict = proven(record)
    return Step(verdict, {"validation": record}, documents=_keep(seen, found, verdict.message, results))


def rehearsed(found: report.Rehearsal) -> str:
    """A rehearsal in words."""
    asked = ["its input example"] if found.example else []
    if found.formats:
        exact = "" if found.exact else ", but for last digits"
        asked.append(f"{found.rows} rows as predicted{exact} ({', '.join(found.formats)}; {found.at_once} at a time)")
    said = f"Ready after {found.ready_seconds:.1f} s; answered {' and '.join(asked) or 'nothing but /ping'}."
    note = f" {sentence(found.note)}" if found.note else ""
    if found.fast_way is None:
        return clipped(said + note, 1000)
    why = f": {found.fast_way_reason}" if found.fast_way_reason else ""
    return clipped(f"{said}{note} The fast way is {'on' if found.fast_way else 'off'}{why}.", 1000)


def believed(seen: VersionSeen, progress: Progress, revision: str, opponent: str | None) -> report.Report | str:
    """The report in the judge's log if it is whole and was made for this; a sentence if it was not."""
    job = progress.job
    line = next((one for one in reversed((job.log if job else "").splitlines()) if one.startswith(report.PREFIX)), None)
    if job is not None and job.log_trouble:
        return f"The judge's log cannot be read: {job.log_trouble}"
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


def _keep(
    seen: VersionSeen, found: report.Report, outcome: str, results: tuple[GateResult, ...]
) -> tuple[Document, ...]:
    """The report goes to the run that made the model, where people look for it, with a page to read it by."""
    pinned = seen.version.status.resolved
    if pinned is None or not pinned.run_id:
        return ()
    version, family = seen.version, seen.family
    differs = (changes.compared(family, seen.ledger, version) if family else None) or version.status.changes
    title = f"{version.spec.model}, version {version.spec.version}"
    contents = {
        "json": found.model_dump_json(by_alias=True, indent=2),
        "html": page.page(title, outcome, results, differs),
    }
    return tuple(
        Document(pinned.run_id, report_path(seen.platform, version, found.revision, ending), text.encode())
        for ending, text in contents.items()
    )


def proven(record: ValidationRecord) -> Verdict:
    against = f" against version {record.champion_version}" if record.champion_version else ""
    if not record.gates:
        return passed(Reason.LoadsAndPredicts, f"No gates are set: the model loads and predicts on pool {record.pool}.")
    skipped = sum(1 for one in record.gates if one.result == "Skipped")
    said = "; ".join(f"{one.name}: {one.message}" for one in record.gates)
    note = f", {skipped} skipped" if skipped else ""
    count = len(record.gates) - skipped
    return passed(Reason.GatesPassed, f"{count} {'gate' if count == 1 else 'gates'} passed{note}{against} ({said}).")
