"""The rule of the Imported condition: one import Job beside the operator, and the digest that it computed."""

from ..api import names, tasks
from ..api.base import size_bytes
from ..api.modelversion import ImportRecord
from ..resources import jobs as builders
from ..resources import naming
from ..resources.platform import Manifest
from . import attempts
from .attempts import Progress
from .conditions import Verdict, failed, passed
from .observed import VersionSeen
from .reasons import Reason, reason_named
from .registry import Silent
from .step import Step

PURPOSE = "import"
PENDING_SECONDS = 600


def decide(seen: VersionSeen) -> Step:
    """The files are in the artifact store under their digest, or on their way, or why they are not."""
    status = seen.version.status
    key = _key(seen)
    if isinstance(seen.registry, Silent) and not _imported(seen, key):
        return Step(failed(reason_named(seen.registry.reason), seen.registry.message), again_seconds=30.0)
    progress = attempts.advance(
        status.imported, key, lambda n: naming.job(seen.version.metadata.name, PURPOSE, key, n),
        seen.jobs, seen.now, PENDING_SECONDS,
    )  # fmt: skip
    stale = attempts.leftovers(progress, seen.jobs, PURPOSE, seen.platform.namespace)
    if progress.recorded and progress.outcome == "Passed" and status.imported:
        # A credential goes with its Job as soon as it is needed no more; any other Job stays for a person to look at.
        guarded = seen.credentials or isinstance(seen.registry, Silent)
        done = (attempts.retire(progress.job_name, seen.platform.namespace, "its result is in status"),)
        return Step(_stored(status.imported), retire=stale + (done if progress.job and guarded else ()))
    if progress.job and progress.job.phase == "Succeeded":
        return _result(seen, progress)
    record = ImportRecord(**progress.fields())
    ensure = _ensure(seen, progress) if progress.outcome == "Running" else ()
    verdict = attempts.verdict(progress, Reason.ImportRunning)
    return Step(verdict, {"imported": record}, ensure, stale, again_seconds=progress.again_seconds)


def asked_again(seen: VersionSeen) -> bool:
    """Whether a retry asks for the files of a released version, and they did not come yet: a store may lose them.

    One that lets a rolled-back version return asks for none, nor does one from before the status was lost.
    """
    version, status = seen.version, seen.version.status
    asked, number = version.metadata.annotations.get(names.RETRY), version.spec.version
    returns = number in seen.traffic.rolled_back and number != seen.traffic.champion
    if not asked or returns or status.digest is None:
        return False
    record = status.imported
    pending = record is not None and record.key == _key(seen) and record.outcome != "Passed"
    return pending or asked != status.last_handled_retry


def _imported(seen: VersionSeen, key: str) -> bool:
    """Whether what is asked for now was imported: a retry, or other data, needs the registry once more."""
    record = seen.version.status.imported
    return record is not None and record.key == key and record.outcome == "Passed"


def _stored(record: ImportRecord) -> Verdict:
    size = f", {record.size_bytes / 1e6:.1f} MB" if record.size_bytes else ""
    return passed(Reason.Imported, f"{record.digest}{size}")


def _result(seen: VersionSeen, progress: Progress) -> Step:
    stamp = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        result = tasks.ImportResult.model_validate_json(progress.job.result if progress.job else "")
    except ValueError:
        lost = progress.ended(stamp, "Failed", Reason.ReportMissing, "The import ended without a result.")
        return Step(
            attempts.verdict(lost, Reason.ImportRunning), {"imported": ImportRecord(**lost.fields())}, again_seconds=1
        )
    record = ImportRecord(
        **progress.ended(stamp, "Passed").fields(),
        digest=result.digest,
        size_bytes=result.size_bytes,
        data_digest=result.data_digest,
    )
    return Step(_stored(record), {"imported": record, "digest": result.digest}, again_seconds=1)


def registry_data(seen: VersionSeen) -> str | None:
    """URI of the evaluation data if the registry holds it; then it comes with the import, without a credential."""
    data = seen.model.spec.validation.data if seen.model else None
    return data.uri if data and data.uri.startswith(("runs:/", "mlflow-artifacts:/")) else None


def _key(seen: VersionSeen) -> str:
    pinned = seen.version.status.resolved
    data = seen.model.spec.validation.data if seen.model and registry_data(seen) else None
    return naming.short_hash(
        [
            seen.version.metadata.uid,
            pinned.source if pinned else "",
            pinned.mlmodel_digest if pinned else "",
            seen.version.spec.digest,
            [data.uri, data.digest] if data else None,
            seen.version.metadata.annotations.get(names.RETRY, ""),
        ]
    )


def _ensure(seen: VersionSeen, progress: Progress) -> tuple[Manifest, ...]:
    """The Job, and its credential once the Job exists to own it."""
    pinned, model = seen.version.status.resolved, seen.model
    assert pinned is not None and model is not None and not isinstance(seen.registry, Silent)
    data = model.spec.validation.data if registry_data(seen) else None
    backend = seen.registry.spec.backend.mlflow
    task = tasks.ImportTask(
        registry_uri=backend.uri if backend else "",
        source=pinned.source,
        model_name=model.spec.source.name or model.metadata.name,
        version=seen.version.spec.version,
        mlmodel_digest=pinned.mlmodel_digest,
        expected_digest=seen.version.spec.digest or seen.traffic.history.get(seen.version.spec.version),
        data_uri=data.uri if data else None,
        data_digest=data.digest if data else None,
        max_bytes=size_bytes(seen.platform.imports.max_model_size),
        store=seen.platform.store.for_imports(),
    )
    name, secret = progress.job_name, seen.credentials
    job = builders.import_job(seen.platform, seen.version, name, task, with_credentials=bool(secret))
    if not secret or progress.job is None:
        return (job,)
    return job, builders.import_secret(seen.platform, name, progress.job.uid, secret)
