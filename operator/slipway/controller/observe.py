"""Gather everything that one decision may look at. Reads only; an answer that does not come is a value too."""

import time as clock
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ..adapters.cluster import DEPLOYMENT, EVENT, JOB, MODEL, POD, RECORD, SERVICE, VERSION, Cluster, Kind, Object
from ..adapters.errors import AdapterError, NotFound, Unauthorized, Unreachable
from ..api import names
from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..core import jobs, labels, pods
from ..core.observed import Fleet, Kept, ModelSeen, VersionSeen
from ..core.reasons import Reason
from ..core.registry import Absent, Entry, Labels, Silent
from ..resources import naming
from ..resources.platform import Platform
from ..resources.serving import Traffic, read_traffic, recall_traffic
from .cache import Cache
from .registries import Reached, Registries


class Observer:
    """Reads the cache, the API server and the registry."""

    def __init__(self, cluster: Cluster, cache: Cache, registries: Registries, platform: Platform) -> None:
        self._cluster, self._cache, self._registries, self._platform = cluster, cache, registries, platform
        self._logs: dict[str, str] = {}  # of pods that have ended, by uid: they change no more
        self._labels: dict[tuple[str, str, int], tuple[float, str, Labels | Absent]] = {}

    async def version(self, namespace: str, name: str) -> VersionSeen | None:
        """Everything about a version; None if it is gone."""
        found = self._cache.get(VERSION, namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        version = ModelVersion.model_validate(found)
        parent = self._cache.get(MODEL, namespace, version.spec.model)
        model = RegisteredModel.model_validate(parent) if parent else None
        reached = await self._registries.of(model) if model else Silent(Reason.Resolving, "")
        return VersionSeen(
            now=datetime.now(UTC).replace(microsecond=0),
            platform=self._platform,
            version=version,
            model=model,
            registry=reached.resource if isinstance(reached, Reached) else reached,
            entry=await self._entry(version, model, reached),
            credentials=reached.files if isinstance(reached, Reached) else {},
            jobs=await self._jobs(version),
            traffic=await self._traffic(namespace, version.spec.model, model),
        )

    async def model(self, namespace: str, name: str) -> ModelSeen | None:
        """Everything about a model; None if it is gone."""
        found = self._cache.get(MODEL, namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        model = RegisteredModel.model_validate(found)
        family = self._cache.family(namespace, name, VERSION)
        versions = tuple(one for found in family if (one := _readable(found)) is not None)
        reached = await self._registries.of(model)
        seen = ModelSeen(
            now=datetime.now(UTC).replace(microsecond=0),
            platform=self._platform,
            model=model,
            versions=versions,
            registry=reached.resource if isinstance(reached, Reached) else reached,
            traffic=await self._traffic(namespace, name, model),
            kept=self._kept(model),
            fleets=self._fleets(model),
            labels={},
        )
        if isinstance(reached, Reached):
            seen = ModelSeen(**{**seen.__dict__, "labels": await self._read_labels(seen, reached)})
        return seen

    async def _traffic(self, namespace: str, name: str, model: RegisteredModel | None) -> Traffic:
        """The traffic of a model; its status is asked only when the API server itself says that the Service is gone."""
        service = self._cache.get(SERVICE, namespace, name)
        if service is None and model is not None and model.status.champion is not None:
            try:
                service = await self._cluster.get(SERVICE, namespace, name)
            except NotFound:
                return recall_traffic(model)
        return read_traffic(service)

    async def _entry(
        self, version: ModelVersion, model: RegisteredModel | None, reached: Reached | Silent
    ) -> Entry | Absent | Silent | None:
        """What the registry says, asked only until it is pinned."""
        if model is None or version.status.resolved is not None:
            return None
        if isinstance(reached, Silent):
            return reached
        try:
            return await reached.client.resolve(registered_name(model), version.spec.version)
        except AdapterError as error:
            return await self._silence(error, reached)

    async def _silence(self, error: AdapterError, reached: Reached) -> Silent:
        if isinstance(error, Unreachable):
            return Silent(Reason.RegistryUnreachable, str(error))
        if isinstance(error, Unauthorized):
            await self._registries.reach(reached.resource, anew=True)
            return Silent(Reason.RegistryUnauthorized, str(error), False)
        return Silent(Reason.RegistryRejected, str(error), False)

    async def _jobs(self, version: ModelVersion) -> Mapping[str, jobs.JobSeen]:
        namespace, model = version.metadata.namespace, version.spec.model
        found: dict[str, jobs.JobSeen] = {}
        every_pod = self._cache.family(namespace, model, POD)
        for job in self._cache.family(namespace, model, JOB):
            if not self._is_of(job, version):
                continue
            its = [pod for pod in every_pod if _owned_by(pod, job["metadata"]["uid"])]
            events = [] if its else await self._refusals(job)
            found[job["metadata"]["name"]] = jobs.read(job, its, events, await self._log(job, its))
        return found

    def _is_of(self, job: Object, version: ModelVersion) -> bool:
        """Whether the operator made the Job for this version: anybody can copy labels, but not an owner's uid."""
        meta = job["metadata"]
        if meta["labels"].get(names.MODEL_VERSION) != str(version.spec.version):
            return False
        return meta["namespace"] == self._platform.namespace or _owned_by(job, version.metadata.uid)

    async def _refusals(self, owner: Object) -> list[Object]:
        """Events in which a controller says that it may not create pods; only it knows why."""
        fields = f"involvedObject.uid={owner['metadata']['uid']},reason=FailedCreate"
        try:
            return await self._cluster.every(EVENT, owner["metadata"]["namespace"], fields)
        except AdapterError:
            return []

    async def _log(self, job: Object, its_pods: list[Object]) -> str:
        newest = jobs.newest(its_pods)
        container = jobs.log_container(job, newest) if newest else None
        if newest is None or container is None:
            return ""
        pod = newest["metadata"]
        if pod["uid"] not in self._logs:
            if len(self._logs) > 500:
                self._logs.clear()
            self._logs[pod["uid"]] = await self._cluster.log(pod["namespace"], pod["name"], container)
        return self._logs[pod["uid"]]

    def _kept(self, model: RegisteredModel) -> Mapping[int, Kept]:
        found: dict[int, Kept] = {}
        for number, record in self._own(model, RECORD):
            if number in found and found[number].revision > record["revision"]:
                continue
            data = record["data"]
            found[number] = Kept(
                number, data["digest"], data["inputs"], record["revision"], record["metadata"]["name"], data["template"]
            )
        return found

    def _fleets(self, model: RegisteredModel) -> Mapping[int, Fleet]:
        found: dict[int, Fleet] = {}
        meta = model.metadata
        every_pod = [
            p for p in self._cache.family(meta.namespace, meta.name, POD) if names.TRACK in p["metadata"]["labels"]
        ]
        for number, one in self._own(model, DEPLOYMENT):
            if one["metadata"]["name"] != naming.version(meta.name, number):
                continue
            label = str(number)
            its = [pod for pod in every_pod if pod["metadata"]["labels"].get(names.MODEL_VERSION) == label]
            found[number] = fleet(number, one, its)
        return found

    def _own(self, model: RegisteredModel, kind: Kind) -> Iterator[tuple[int, Object]]:
        """The objects that the model owns, by version; copies that somebody made of them are not its own."""
        for one in self._cache.family(model.metadata.namespace, model.metadata.name, kind):
            label = one["metadata"]["labels"].get(names.MODEL_VERSION, "")
            if label.isdigit() and _owned_by(one, model.metadata.uid):
                yield int(label), one

    async def _read_labels(self, seen: ModelSeen, reached: Reached) -> dict[int, Labels | Absent | Silent]:
        """Labels of the versions of which the registry has something to be told; the champion's once per poll."""
        found: dict[int, Labels | Absent | Silent] = {}
        interval = seconds(reached.resource.spec.sync.interval)
        silence: Labels | Absent | Silent | None = None
        for version in labels.versions_told(seen.versions, seen.traffic.champion):
            number = version.spec.version
            wished = labels.wish(seen, version, seen.traffic, reached.resource)
            if wished is None:
                continue
            before = labels.previous(seen, number)
            told = before is not None and before.holds and before.message == wished.fact
            if told and number != seen.traffic.champion:
                continue
            key = (seen.model.metadata.namespace, seen.model.metadata.name, number)
            at, fact, known = self._labels.get(key, (0.0, "", None))
            if told and known is not None and fact == wished.fact and clock.monotonic() - at < interval:
                found[number] = known
                continue
            if isinstance(silence, Silent):
                found[number] = silence
                continue
            try:
                answer = await reached.client.labels(registered_name(seen.model), number)
                self._labels[key] = (clock.monotonic(), wished.fact, answer)
                found[number] = answer
            except AdapterError as error:
                found[number] = await self._silence(error, reached)
                silence = found[number] if isinstance(error, Unreachable) else None  # one time-out is enough
        return found


def _owned_by(found: Object, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or []
    return any(one.get("uid") == uid for one in owners)


def _readable(found: Object) -> ModelVersion | None:
    """The version; None for one that was stored before a rule of the CRD was there: its own pass says so."""
    try:
        return ModelVersion.model_validate(found)
    except ValidationError:
        return None


def registered_name(model: RegisteredModel) -> str:
    """The model's name in the registry."""
    return model.spec.source.name or model.metadata.name


def fleet(number: int, deployment: Mapping[str, Any], its_pods: list[Object]) -> Fleet:
    """The pods of one version as their Deployment tells."""
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    replicas = spec.get("replicas", 1)
    current = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    complete = (
        current
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
    )
    refused = [c for c in status.get("conditions", []) if c["type"] == "ReplicaFailure" and c["status"] == "True"]
    trouble = pods.refusal([{"reason": "FailedCreate", "message": refused[0].get("message", "")}]) if refused else None
    if trouble is None:
        trouble = next((found for pod in its_pods if (found := pods.waiting(pod))), None)
    inputs = (meta.get("annotations") or {}).get(names.INPUTS, "")
    return Fleet(number, replicas, status.get("readyReplicas", 0), complete, inputs, trouble)
