"""What the operator would have written about versions that were proven and served, computed by its own code.

The one place that knows how a proven version looks: it follows the core.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ImportRecord, ModelVersion, Resolved, ValidationRecord
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import imports, labels, lifecycle, promotion, validations
from slipway.core.observed import Fleet, Kept, ModelSeen, VersionSeen
from slipway.core.registry import Labels, Write
from slipway.resources import serving
from slipway.resources.platform import Platform
from slipway.resources.serving import Traffic

Object = dict[str, Any]
REMEMBERED = 6  # released versions that a model knows besides those that were forgotten


def digest(model: str, version: int) -> str:
    """Digest of the files of a version."""
    return "sha256:" + hashlib.sha256(f"{model}/{version}".encode()).hexdigest()


@dataclass(frozen=True)
class Served:
    """Everything that the operator has written about a model that serves."""

    model: Object  # status
    versions: list[Object]  # statuses, in the order of the versions
    objects: list[Object]  # what holds its traffic, and the records of what its versions run
    registry: dict[int, Write]  # what the registry was told, by version


class Past:
    """Writes the past of models, as of a moment."""

    def __init__(self, platform: Platform, registry: Object, ago: timedelta = timedelta(hours=2)) -> None:
        self._platform, self._registry = platform, ModelRegistry.model_validate(registry)
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._then = (self._now - ago).strftime("%Y-%m-%dT%H:%M:%SZ")

    def proven(self, created: Object, champion: str = "") -> Object:
        """Status of a version without a model yet, which was imported and validated against that champion."""
        version = ModelVersion.model_validate(created)
        return self._told(version, self._model(version), champion, Traffic())

    def served(self, model: Object, versions: Sequence[Object]) -> Served:
        """All of a model whose versions were promoted one after the other, up to the last one."""
        parent = RegisteredModel.model_validate(model)
        every = [ModelVersion.model_validate(one) for one in versions]
        traffic = self._traffic(parent, [one.spec.version for one in every])
        proofs = [self._proof(one, parent, self._champion_of(one), traffic) for one in every]
        kept = {number: self._kept(parent, number) for number in traffic.history}
        seen = ModelSeen(
            now=self._now, platform=self._platform, model=parent, versions=tuple(proofs), registry=self._registry,
            traffic=traffic, kept=kept, fleets={traffic.champion or 0: self._fleet(parent, traffic)}, labels={},
        )  # fmt: skip
        wishes = {one.spec.version: labels.wish(seen, one, traffic, self._registry) for one in proofs}
        told = {number: wish.write for number, wish in wishes.items() if wish}
        says = {number: _labels(write) for number, write in told.items()}
        status = promotion.decide(replace(seen, labels=says)).status or {}
        parent = parent.model_copy(update={"status": type(parent.status).model_validate(status)})
        statuses = [self._told(one, parent, self._champion_of(one), traffic) for one in every]
        records = [
            serving.controller_revision(parent, one.version, one.digest, one.revision, dict(one.template))
            for one in kept.values()
        ]
        return Served(status, statuses, [*records, serving.service(parent, traffic)], told)

    def _told(self, version: ModelVersion, model: RegisteredModel, champion: str, traffic: Traffic) -> Object:
        proof = self._proof(version, model, champion, traffic)
        return lifecycle.decide(self._seen(proof, model, traffic)).status or {}

    def _proof(self, version: ModelVersion, model: RegisteredModel, champion: str, traffic: Traffic) -> ModelVersion:
        """The version with its records: an import and a validation that passed, and the conditions that follow."""
        name, number = version.spec.model, version.spec.version
        files = digest(name, number)
        found = Resolved(
            source=f"models:/m-{files[7:39]}", mlmodel_digest=digest(f"{name}/MLmodel", number),
            mlflow_version="3.17.2", flavors=("python_function", "sklearn"), size_bytes=200_000,
        )  # fmt: skip
        version = _with(version, resolved=found, digest=files)
        ended = {"outcome": "Passed", "started_at": self._then, "finished_at": self._then}
        key = imports._key(self._seen(version, model, traffic))
        version = _with(version, imported=ImportRecord(key=key, digest=files, size_bytes=200_000, **ended))
        revision = validations.revision_of(model, version, ())
        key = validations._key(self._seen(version, model, traffic), revision, champion)
        number_of = number - 1 if champion else None
        record = ValidationRecord(
            key=key, revision=revision, champion_version=number_of, champion_digest=champion or None,
            pool=self._platform.default_pool, **ended,
        )  # fmt: skip
        version = _with(version, validation=record)
        decided = lifecycle.decide(self._seen(version, model, traffic)).status or {}
        return version.model_copy(update={"status": type(version.status).model_validate(decided)})

    def _seen(self, version: ModelVersion, model: RegisteredModel, traffic: Traffic) -> VersionSeen:
        return VersionSeen(
            now=self._now, platform=self._platform, version=version, model=model, registry=self._registry,
            entry=None, credentials={}, jobs={}, traffic=traffic,
        )  # fmt: skip

    def _model(self, version: ModelVersion) -> RegisteredModel:
        """The model that will be created for a version: one without wishes of its own."""
        meta = {"name": version.spec.model, "namespace": version.metadata.namespace, "uid": "", "generation": 1}
        created = self._now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return RegisteredModel.model_validate({"metadata": meta | {"creationTimestamp": created}, "spec": {}})

    def _champion_of(self, version: ModelVersion) -> str:
        """Digest of the version that served while this one was validated."""
        before = version.spec.version - 1
        return digest(version.spec.model, before) if before else ""

    def _traffic(self, model: RegisteredModel, numbers: list[int]) -> Traffic:
        name = model.metadata.name
        history = {number: digest(name, number) for number in numbers[-REMEMBERED:]}
        champion, before = numbers[-1], numbers[-2] if len(numbers) > 1 else None
        return Traffic(champion, history[champion], self._then, before, history=history)

    def _kept(self, model: RegisteredModel, number: int) -> Kept:
        files = digest(model.metadata.name, number)
        pool = self._platform.pool(None)
        assert pool is not None
        template = serving.pod_template(self._platform, model, number, files, pool)
        record = serving.controller_revision(model, number, files, number, template)
        return Kept(number, files, serving.inputs(model, files), number, record["metadata"]["name"], template)

    def _fleet(self, model: RegisteredModel, traffic: Traffic) -> Fleet:
        return Fleet(traffic.champion or 0, 1, 1, True, serving.inputs(model, traffic.digest))


def _with(version: ModelVersion, **fields: Any) -> ModelVersion:
    return version.model_copy(update={"status": version.status.model_copy(update=fields)})


def _labels(write: Write) -> Labels:
    return Labels(write.stage or "None", (write.alias,) if write.alias else (), dict(write.tags))
