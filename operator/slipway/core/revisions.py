"""What an import and a validation depend on, as hashes: another hash, and they are done anew."""

from typing import Any

from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..api.validation import Gate
from ..resources import naming
from ..resources.platform import IMAGE, Environment
from . import origin as origins


def import_key(version: ModelVersion) -> str:
    """Hash of what the import of just this object depends on: a copy of its status belongs to another uid."""
    pinned = version.status.resolved
    its = origins.of_version(pinned.origin) if pinned else ""
    read = [its] if its else []  # a place may have other files by now
    return naming.short_hash(
        [
            version.metadata.uid,
            pinned.source if pinned else "",
            pinned.mlmodel_digest if pinned else "",
            version.spec.digest,
            None,  # where the data was: without it, every import would begin anew at an upgrade
            version.retry or "",
            *read,
        ]
    )


def packages_key(version: ModelVersion) -> str:
    """Hash of the files whose packages a record of this object tells of."""
    return naming.short_hash([version.metadata.uid, version.status.digest])


def environment_of(version: ModelVersion) -> Environment:
    """What a version is proven and served in; the runner image, too, while that is not known yet."""
    record = version.status.environment
    known = record is not None and record.outcome == "Passed" and record.key.startswith(packages_key(version))
    return Environment(record.digest, record.python) if known and record else IMAGE


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
    if policy.positive_label:
        chosen["positiveLabel"] = policy.positive_label
    if policy.outputs:
        chosen["outputs"] = policy.outputs.model_dump(mode="json", exclude_defaults=True)
    runs_in = environment_of(version)
    chosen |= {"environment": runs_in.packages} if runs_in.packages else {}
    chosen |= {"python": runs_in.python} if runs_in.python else {}
    if given := {one.name: one.validation.wire() for one in model.variables if one.validation}:
        chosen["variables"] = given
    return naming.short_hash(chosen)
