"""What the operator would have written about versions that were proven and served, computed by its own code.

The one place that knows how a proven version looks: it follows the core.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.api.facts import Facts
from slipway.api.modelledger import ModelLedgerSpec, Release
from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ImportRecord, ModelVersion, Resolved, ValidationRecord
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import labels, lifecycle, promotion, validations
from slipway.core import ledger as ledgers
from slipway.core.observed import ModelSeen, Record, VersionSeen
from slipway.core.pods import VersionPods
from slipway.core.registry import Labels, RegistryModel, Write
from slipway.core.revisions import import_key, revision_of
from slipway.resources import serving
from slipway.resources.platform import Platform
from slipway.resources.serving import Rendered

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
        family = self._family(self._model(version), (version,), ledgers.EMPTY)
        return self._told(self._proof(version, champion, family), family)

    def served(self, model: Object, versions: Sequence[Object]) -> Served:
        """All of a model whose versions were promoted one after the other, up to the last one."""
        parent = RegisteredModel.model_validate(model)
        every = [ModelVersion.model_validate(one) for one in versions]
        records = [self._record(parent, one.spec.version) for one in every[-REMEMBERED:]]
        family = self._family(parent, tuple(every), self._ledger(parent, records), records)
        proofs = tuple(self._proof(one, self._champion_of(one), family) for one in every)
        family = replace(family, versions=proofs)
        proofs = tuple(_as_told(one, self._told(one, family)) for one in proofs)  # what differs from the champion
        family = replace(family, versions=proofs)
        ledger = family.ledger or ledgers.EMPTY
        ledger = ledgers.tell(ledger, labels.told(family, ledger))
        found = {one.spec.version: labels.wanted(family, ledger, one) for one in proofs}
        writes = {number: one.write for number, one in found.items() if one}
        says = RegistryModel({number: shown(write) for number, write in writes.items()})
        family = replace(family, ledger=ledger, labels=says)
        status = promotion.decide(family).status or {}
        statuses = [self._told(one, family) for one in proofs]
        made = [
            serving.controller_revision(
                parent, Rendered(one.version, one.digest, one.inputs, one.revision, one.template)
            )
            for one in records
        ]
        traffic = [serving.ledger(parent, ledger, ""), serving.service(parent, ledger.champion)]
        return Served(status, statuses, [*map(dict, made), *map(dict, traffic)], writes)

    def _family(
        self, model: RegisteredModel, versions: tuple[ModelVersion, ...], ledger: ModelLedgerSpec,
        records: Sequence[Record] = (),
    ) -> ModelSeen:  # fmt: skip
        champion = ledger.serving
        pods = {champion.version: VersionPods(champion.version, 1, 1, True, champion.record)} if champion else {}
        return ModelSeen(
            now=self._now, platform=self._platform, model=model, versions=versions, registry=self._registry,
            ledger=ledger if ledger.since else None, ledger_version="1", route=str(ledger.champion or ""),
            records={(one.version, one.hash): one for one in records}, pods=pods, labels=RegistryModel({}),
        )  # fmt: skip

    def _told(self, version: ModelVersion, family: ModelSeen) -> Object:
        return lifecycle.decide(self._seen(version, family)).status or {}

    def _proof(self, version: ModelVersion, champion: str, family: ModelSeen) -> ModelVersion:
        """The version with its records: an import and a validation that passed, and the conditions that follow."""
        name, number = version.spec.model, version.spec.version
        files = digest(name, number)
        found = Resolved(
            source=f"models:/m-{files[7:39]}", mlmodel_digest=digest(f"{name}/MLmodel", number),
            mlflow_version="3.17.2", flavors=("python_function", "sklearn"), size_bytes=200_000,
        )  # fmt: skip
        version = _with(version, resolved=found, digest=files, facts=Facts(registry=found.registry))
        ended = {"outcome": "Passed", "started_at": self._then, "finished_at": self._then}
        key = import_key(version)
        version = _with(version, imported=ImportRecord(key=key, digest=files, size_bytes=200_000, **ended))
        revision = revision_of(family.model, version, ())
        key = validations._key(self._seen(version, family), revision, champion)
        number_of = number - 1 if champion else None
        record = ValidationRecord(
            key=key, revision=revision, champion_version=number_of, champion_digest=champion or None,
            pool=self._platform.default_pool, **ended,
        )  # fmt: skip
        version = _with(version, validation=record)
        return _as_told(version, self._told(version, family))

    def _seen(self, version: ModelVersion, family: ModelSeen) -> VersionSeen:
        return VersionSeen(
            now=self._now, platform=self._platform, version=version, family=family,
            ledger=family.ledger or ledgers.EMPTY, registry=self._registry, entry=None,
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

    def _ledger(self, model: RegisteredModel, records: Sequence[Record]) -> ModelLedgerSpec:
        released = tuple(
            Release(version=one.version, digest=one.digest, record=one.hash, inputs=one.inputs, since=self._then)
            for one in records
        )
        return ModelLedgerSpec(
            model_uid=model.metadata.uid,
            champion=records[-1].version,
            predecessor=records[-2].version if len(records) > 1 else None,
            since=self._then,
            released=released,
        )

    def _record(self, model: RegisteredModel, number: int) -> Record:
        files = digest(model.metadata.name, number)
        pool = self._platform.pool(None)
        assert pool is not None
        template = serving.pod_template(self._platform, model, number, files, pool)
        return Record(number, files, serving.template_hash(template), serving.inputs(model, files), number, template)


def _as_told(version: ModelVersion, status: Object) -> ModelVersion:
    return version.model_copy(update={"status": type(version.status).model_validate(status)})


def _with(version: ModelVersion, **fields: Any) -> ModelVersion:
    return version.model_copy(update={"status": version.status.model_copy(update=fields)})


def shown(write: Write) -> Labels:
    """What the registry shows once that is written."""
    aliases, lines = (write.alias,) if write.alias else (), (write.line,) if write.line else ()
    return Labels(write.stage or "None", aliases, dict(write.all_tags), lines=lines)
