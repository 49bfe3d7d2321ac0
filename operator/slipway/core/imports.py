"""The rule of the Imported condition: one import Job beside the operator, and the digest that it computed.

Evaluation data that the registry holds comes with the model's first import, and by a Job of its own when it changes.
"""

from ..api import tasks
from ..api.base import seconds, size_bytes
from ..api.connection import MLflow
from ..api.modelversion import DataRecord, ImportRecord, ModelVersion
from ..api.validation import Data
from ..resources import jobs as builders
from ..resources import naming
from . import attempts, sources
from .attempts import Progress
from .conditions import Verdict, failed, passed
from .decision import Act, Apply
from .jobs import Persistence, parse_time
from .ledger import is_rolled_back, stamp
from .observed import VersionSeen
from .reasons import LASTING_REASONS, Reason, reason_named
from .registry import Silent
from .revisions import import_key
from .step import Step

PURPOSE, DATA_PURPOSE = "import", "data"
QUEUE = "import"
PENDING_SECONDS = 600


def decide(seen: VersionSeen) -> Step:
    """The files are in the artifact store under their digest, or on their way, or why they are not."""
    status = seen.version.status
    key = import_key(seen.version)
    if isinstance(seen.registry, Silent) and not _is_done(status.imported, key):
        return Step(failed(reason_named(seen.registry.reason), seen.registry.message), again_seconds=30.0)
    if not _is_done(status.imported, key) and (said := _out_of_bounds(seen)):
        return Step(failed(Reason.ArtifactForbidden, said), again_seconds=60.0)
    progress = _progress(seen, _whole(status.imported), key, PURPOSE)
    stale = attempts.leftovers(progress, seen.jobs, PURPOSE, seen.platform.namespace)
    if progress.recorded and progress.outcome == "Passed" and status.imported:
        stored = status.imported
        return Step(_stored(stored), {"digest": stored.digest}, acts=(*stale, *_cleared(seen, progress)))
    if progress.job and progress.job.phase == "Succeeded":
        return _result(seen, progress)
    record = ImportRecord(**progress.fields())
    verdict = attempts.held_up(progress, seen, QUEUE, seen.platform.namespace)
    data = None if is_data_there(seen) or _runs_forbidden(seen) else _registry_data(seen)
    acts = () if verdict and verdict.reason is Reason.Queued else _started(seen, progress, data, PURPOSE)
    return Step(
        verdict or attempts.verdict(progress, Reason.ImportRunning),
        {"imported": record},
        (*acts, *stale),
        again_seconds=progress.again_seconds,
        queue=QUEUE if progress.outcome == "Running" else "",
    )


def data_step(seen: VersionSeen) -> Step | None:
    """The registry's evaluation data on its way to the store; None once it is there, or if it comes from elsewhere."""
    data = _registry_data(seen)
    if data is None or is_data_there(seen):
        return None
    status, key = seen.version.status, _data_key(seen, data)
    if isinstance(seen.registry, Silent):
        return Step(failed(reason_named(seen.registry.reason), seen.registry.message), again_seconds=30.0)
    if said := _runs_forbidden(seen):
        return Step(failed(Reason.ArtifactForbidden, said), again_seconds=60.0)
    progress = _progress(seen, _whole(status.data), key, DATA_PURPOSE)
    stale = attempts.leftovers(progress, seen.jobs, DATA_PURPOSE, seen.platform.namespace)
    if progress.job and progress.job.phase == "Succeeded":
        result = _read(progress)
        if result is None or result.data_digest is None:
            over = progress.ended(stamp(seen.now), "Failed", Reason.ReportMissing, "The import ended without a result.")
        else:
            over = progress.ended(stamp(seen.now), "Passed")
        record = DataRecord(**over.fields(), digest=result.data_digest if result else None)
        return Step(attempts.verdict(over, Reason.ImportRunning), {"data": record}, stale, again_seconds=1)
    verdict = attempts.held_up(progress, seen, QUEUE, seen.platform.namespace)
    acts = () if verdict and verdict.reason is Reason.Queued else _started(seen, progress, data, DATA_PURPOSE)
    return Step(
        verdict or attempts.verdict(progress, Reason.ImportRunning),
        {"data": DataRecord(**progress.fields())},
        (*acts, *stale),
        again_seconds=progress.again_seconds,
        queue=QUEUE if progress.outcome == "Running" else "",
    )


def is_data_there(seen: VersionSeen) -> bool:
    """Whether the evaluation data that is asked for now lies in the store, if the registry holds it."""
    data, record = _registry_data(seen), seen.version.status.data
    return data is None or (record is not None and _is_done(record, _data_key(seen, data)))


def wanted_from(version: ModelVersion) -> str:
    """Where the files lie that are still to be imported; "" if none are, or nobody knows yet."""
    pinned = version.status.resolved
    done = pinned is None or _is_done(version.status.imported, import_key(version))
    return "" if done or pinned is None else pinned.location


def said(version: ModelVersion, digest: str) -> Verdict | None:
    """What a version's own import says of these files; None if it brought others, or none."""
    record = version.status.imported
    done = record is not None and record.digest == digest and _is_done(record, import_key(version))
    return _stored(record) if done and record else None


def asked_again(seen: VersionSeen) -> bool:
    """Whether a retry asks for the files of a released version, and they did not come yet: a store may lose them.

    One that lets a rolled-back version return asks for none, nor does one from before the status was lost.
    """
    version, status = seen.version, seen.version.status
    asked, number = version.retry, version.spec.version
    returns = is_rolled_back(seen.ledger, number) is not None and number != seen.ledger.champion
    if not asked or returns or status.digest is None:
        return False
    record = status.imported
    pending = record is not None and record.key == import_key(seen.version) and record.outcome != "Passed"
    return pending or asked != status.last_handled_retry


def comes_from_registry(data: Data | None) -> bool:
    """Whether the registry holds the evaluation data; then it comes to the store without a credential in a pod."""
    return data is not None and data.uri.startswith(("runs:/", "mlflow-artifacts:/"))


def _registry_data(seen: VersionSeen) -> Data | None:
    data = seen.model.spec.validation.data if seen.model else None
    return data if comes_from_registry(data) else None


def _is_done(record: ImportRecord | DataRecord | None, key: str) -> bool:
    record = _whole(record)
    return record is not None and record.key == key and record.outcome == "Passed"


def _out_of_bounds(seen: VersionSeen) -> str:
    """Why the files may not be read any more: the ModelRegistry may have been changed since they were found."""
    pinned = seen.version.status.resolved
    if pinned is None or not pinned.location or seen.model is None or isinstance(seen.registry, Silent):
        return ""
    namespace, name = seen.version.metadata.namespace, seen.model.registered_name
    return sources.objection(pinned.location, pinned.via, seen.registry, namespace, name)


def _runs_forbidden(seen: VersionSeen) -> str:
    """Why the registry's evaluation data may not be read for this namespace; "" if it may."""
    return sources.runs_forbidden(seen.registry, seen.version.metadata.namespace)


def _whole(record: ImportRecord | DataRecord | None) -> ImportRecord | DataRecord | None:
    """The record; none where what passed has lost its digest, such as in a status that somebody restored in part."""
    return None if record is not None and record.outcome == "Passed" and record.digest is None else record


def _progress(seen: VersionSeen, record: ImportRecord | DataRecord | None, key: str, purpose: str) -> Progress:
    name = seen.version.metadata.name
    known = seen.family.known if seen.family else None
    back = parse_time(known.answers_since) if known and known.answers_since else None
    persistence = Persistence(LASTING_REASONS, back)
    return attempts.advance(
        record, key, lambda n: naming.job(name, purpose, key, n), seen.jobs, seen.now, PENDING_SECONDS, persistence
    )


def _cleared(seen: VersionSeen, progress: Progress) -> tuple[Act, ...]:
    """A credential goes with its Job as soon as it is needed no more; any other Job stays for a person to look at."""
    if progress.job is None or not (seen.credentials or isinstance(seen.registry, Silent)):
        return ()
    return (attempts.retire(progress.job_name, seen.platform.namespace, "its result is in status"),)


def _stored(record: ImportRecord) -> Verdict:
    size = f", {record.size_bytes / 1e6:.1f} MB" if record.size_bytes else ""
    return passed(Reason.Imported, f"{record.digest}{size}")


def _read(progress: Progress) -> tasks.ImportResult | None:
    try:
        return tasks.ImportResult.model_validate_json(progress.job.result if progress.job else "")
    except ValueError:
        return None


def _result(seen: VersionSeen, progress: Progress) -> Step:
    result = _read(progress)
    if result is None or result.digest is None:
        over = progress.ended(stamp(seen.now), "Failed", Reason.ReportMissing, "The import ended without a result.")
        failure = attempts.verdict(over, Reason.ImportRunning)
        return Step(failure, {"imported": ImportRecord(**over.fields())}, again_seconds=1)
    over = progress.ended(stamp(seen.now), "Passed")
    record = ImportRecord(**over.fields(), digest=result.digest, size_bytes=result.size_bytes)
    remember: dict[str, object] = {"imported": record, "digest": result.digest}
    if (data := _registry_data(seen)) is not None and (result.data_digest or result.data_problem):
        problem = result.data_problem
        ended = over if problem is None else progress.ended(stamp(seen.now), "Failed", problem.reason, problem.message)
        fields = ended.fields() | {"key": _data_key(seen, data), "attempt": 1}
        remember["data"] = DataRecord(**fields, digest=result.data_digest)
    return Step(_stored(record), remember, again_seconds=1)


def _data_key(seen: VersionSeen, data: Data) -> str:
    meta = seen.version.metadata
    return naming.short_hash([meta.uid, data.uri, data.digest, seen.version.retry or ""])


def _access(backend: MLflow | None) -> tasks.RegistryAccess:
    """By the registry's settings; a large file takes longer to begin than a short answer."""
    if backend is None:
        return tasks.RegistryAccess()
    connect, answer = float(seconds(backend.timeouts.connect)), float(seconds(backend.timeouts.answer))
    usual = tasks.RegistryAccess()
    return tasks.RegistryAccess(
        proxy=backend.proxy,
        connect_seconds=max(connect, usual.connect_seconds),
        answer_seconds=max(answer, usual.answer_seconds),
    )


def _started(seen: VersionSeen, progress: Progress, data: Data | None, purpose: str) -> tuple[Act, ...]:
    """The Job, and its credential once the Job exists to own it; nothing once the attempt has ended."""
    pinned, model = seen.version.status.resolved, seen.model
    if progress.outcome != "Running":
        return ()
    assert pinned is not None and model is not None and not isinstance(seen.registry, Silent)
    backend, release = seen.registry.spec.backend.mlflow, seen.release
    task = tasks.ImportTask(
        registry_uri=backend.uri if backend else "",
        registry_access=_access(backend),
        source=(pinned.location or pinned.source) if purpose == PURPOSE else None,
        bucket=sources.bucket_of(pinned.location, seen.registry) if purpose == PURPOSE else None,
        model_name=model.registered_name,
        version=seen.version.spec.version,
        mlmodel_digest=pinned.mlmodel_digest,
        expected_digest=seen.version.spec.digest or (release.digest if release else None),
        data_uri=data.uri if data else None,
        data_digest=data.digest if data else None,
        max_bytes=size_bytes(seen.platform.imports.max_model_size),
        store=seen.platform.store.for_imports(),
    )
    name, secret = progress.job_name, seen.credentials
    job = builders.import_job(seen.platform, seen.version, name, task, purpose, with_credentials=bool(secret))
    if not secret or progress.job is None:
        return (Apply(job),)
    return Apply(job), Apply(builders.import_secret(seen.platform, name, progress.job.uid, secret))
