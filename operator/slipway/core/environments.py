"""The packages that a version was trained with: one Job beside the operator, where the platform names an index.

It is a step of the Validated condition: what is proven is the model in the packages that it will be served in.
"""

from ..api import tasks
from ..api.base import size_bytes
from ..api.modelledger import Release
from ..api.modelversion import EnvironmentRecord
from ..resources import jobs as builders
from ..resources import naming, serving
from ..resources.platform import IMAGE, Environment, Platform
from . import attempts
from .attempts import Progress
from .conditions import failed
from .decision import Act, Apply
from .imports import PENDING_SECONDS, QUEUE
from .jobs import Persistence
from .ledger import stamp
from .observed import ModelSeen, VersionSeen
from .reasons import LASTING_REASONS, Reason
from .revisions import environment_of, packages_key
from .step import Step

PURPOSE = "environment"


def step(seen: VersionSeen) -> Step | None:
    """Its packages on their way to the store; None once they are there, or if nobody is to look for them."""
    record, key = seen.version.status.environment, _key(seen)
    if not seen.platform.environments.indexes or is_known(seen):
        return None
    name, namespace = seen.version.metadata.name, seen.platform.namespace
    python = _begun_on(seen, record, key)
    place = [seen.platform.image(python), *([python] if python else []), *sorted(seen.platform.runtimes)]
    in_image = naming.short_hash([key, *place])
    known = None if record is not None and record.outcome == "Passed" else record  # what passed is asked for anew
    progress = attempts.advance(
        known, key, lambda number: naming.job(name, PURPOSE, in_image, number), seen.jobs, seen.now, PENDING_SECONDS,
        Persistence(LASTING_REASONS),
    )  # fmt: skip
    stale = attempts.leftovers(progress, seen.jobs, PURPOSE, namespace)
    if progress.job and progress.job.phase == "Succeeded":
        running = attempts.verdict(progress, Reason.EnvironmentBuilding)
        return Step(running, {"environment": _ended(seen, progress, python)}, stale, again_seconds=1)
    held = attempts.held_up(progress, seen, QUEUE, namespace)
    acts = () if held and held.reason is Reason.Queued else _started(seen, progress, python)
    return Step(
        held or attempts.verdict(progress, Reason.EnvironmentBuilding),
        {"environment": EnvironmentRecord(**progress.fields(), python=python)},
        (*acts, *stale),
        again_seconds=progress.again_seconds,
        queue=QUEUE if progress.outcome == "Running" else "",
    )


def to_compare_with(seen: VersionSeen) -> Step | None:
    """The same for a version that is never validated itself: what was found once stands, in whatever image."""
    record = seen.version.status.environment
    known = record is not None and (record.key, record.outcome) == (_key(seen), "Passed")
    return None if known else step(seen)


def again(seen: VersionSeen, digest: str) -> Step | None:
    """A retry asks for the packages of a released version, too: a store may lose them. None once they are there."""
    family, version = seen.family, seen.version
    if family is None or version.retry is None or not seen.platform.environments.indexes:
        return None
    if version.status.digest != digest:
        return None  # a status that was lost learns of its files first
    wanted = of_version(family, seen.release, version.spec.version, digest)
    if wanted.packages is None:
        return None
    if under_way := step(seen):
        return under_way
    now, then = environment_of(version).packages, wanted.packages
    said = f"Its packages have the digest {now or 'of none: the image has them'} now, and {then} was released."
    return None if now == then else Step(failed(Reason.DigestMismatch, said))


def of_version(seen: ModelSeen, release: Release | None, number: int, digest: str) -> Environment:
    """What these files of a version run in: as its pods say, or as it was proven."""
    version = seen.version(number)
    known = environment_of(version) if version is not None and version.status.digest == digest else IMAGE
    if release is not None and release.digest == digest and (number, release.record) in seen.records:
        found = serving.environment_of(seen.records[(number, release.record)].template)
        # The same packages are of the same Python, whose image may be another one by now.
        return known if found.packages and found.packages == known.packages else found
    return known


def no_image(platform: Platform, python: str | None) -> str:
    """That a version cannot run here, since its image was taken out of the settings; "" if it is there."""
    if platform.image(python) is not None:
        return ""
    there = ", ".join(sorted(platform.runtimes)) or "none"
    return f"Python {python} has no image any more; besides the runner image's own, runtimes names {there}."


def is_known(seen: VersionSeen) -> bool:
    """Whether it is known what the version runs in. What an image has says nothing of another one."""
    record = seen.version.status.environment
    if record is None or record.key != _key(seen) or record.outcome != "Passed":
        return False
    image = seen.platform.image(record.python)
    return image is not None and (record.digest is not None or record.image == image)


def _key(seen: VersionSeen) -> str:
    return f"{packages_key(seen.version)}-{naming.short_hash(seen.version.retry or '')}"


def _begun_on(seen: VersionSeen, record: EnvironmentRecord | None, key: str) -> str | None:
    """The Python whose image does it: the runner image, until that has read which one the version needs."""
    begun = record is not None and record.key == key and record.outcome != "Passed"
    return record.python if record and begun and seen.platform.image(record.python) else None


def _ended(seen: VersionSeen, progress: Progress, python: str | None) -> EnvironmentRecord:
    try:
        result = tasks.EnvironmentResult.model_validate_json(progress.job.result if progress.job else "")
    except ValueError:
        said = "The step that brings the packages ended without a result."
        ended = progress.ended(stamp(seen.now), "Failed", Reason.ReportMissing, said)
        return EnvironmentRecord(**ended.fields(), python=python)
    if result.python != python:
        return EnvironmentRecord(**progress.fields(), python=result.python)  # its image goes on
    return EnvironmentRecord(
        **progress.ended(stamp(seen.now), "Passed").fields(),
        digest=result.digest,
        image=None if result.digest else seen.platform.image(python),
        python=python,
        packages=result.packages if result.digest else None,
        size_bytes=result.size_bytes if result.digest else None,
        notes=result.notes or None,
    )


def _started(seen: VersionSeen, progress: Progress, python: str | None) -> tuple[Act, ...]:
    if progress.outcome != "Running":
        return ()
    platform, digest = seen.platform, seen.version.status.digest
    assert digest is not None
    chosen = platform.environments
    task = tasks.EnvironmentTask(
        digest=digest,
        indexes=tuple(tasks.Index(name=one.name, url=one.url) for one in chosen.indexes),
        proxy=chosen.proxy or None,
        max_bytes=size_bytes(chosen.max_size),
        refuse_unstated=platform.refuses_unstated,
        store=platform.store.for_imports(),
        python=python,
        pythons=tuple(sorted(platform.runtimes)),
        python_minor=chosen.python_minor,
    )
    return (Apply(builders.environment_job(platform.on(python), seen.version, progress.job_name, task)),)
