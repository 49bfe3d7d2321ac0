"""Gather everything that one decision may look at. Reads only the cache, and of the API server logs, Events and
Deployments to adopt."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ..adapters.cluster import (
    DEPLOYMENT,
    EVENT,
    JOB,
    LEDGER,
    MODEL,
    POD,
    RECORD,
    SERVICE,
    VERSION,
    Cluster,
    Kind,
    Object,
)
from ..adapters.errors import AdapterError
from ..api import names
from ..api.modelledger import ModelLedger
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..core import imports, jobs, pods, recall
from ..core import ledger as ledgers
from ..core.discovery import Around
from ..core.observed import ModelSeen, Record, VersionSeen
from ..core.reasons import Reason
from ..core.registries import RegistrySeen
from ..core.registry import Entry, RegistryState, Silent
from ..resources import naming, serving
from ..resources.platform import Platform
from . import deployments
from .cache import Cache, Unreadable
from .identity import registry_place
from .outside import Outside
from .queue import Key
from .refusals import Refusals
from .registered import Registered
from .registries import Reached

LOGS_BYTES = 8 * 1024 * 1024  # of all the logs that are remembered


class Observer:
    """Reads the cache and what others have found out."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        outside: Outside,
        refusals: Refusals,
        platform: Platform,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> None:
        self._cluster, self._cache, self._outside = cluster, cache, outside
        self._registered = Registered(cache, outside)
        self._refusals, self._platform, self._now = refusals, platform, now
        # Of containers that have ended, by pod and name: they change no more.
        self._logs: OrderedDict[tuple[str, str], str] = OrderedDict()

    def forget(self, key: Key) -> None:
        """The object is gone: nothing is looked up for it."""
        self._outside.resolver.drop(key)

    async def version(self, namespace: str, name: str) -> VersionSeen | Unreadable | None:
        """Everything about a version; None if it is gone. What cannot be read may be what its model is made of, too."""
        key, version = Key("version", namespace, name), self._cache.value(VERSION, namespace, name)
        if version is None or isinstance(version, Unreadable):
            return version
        assert isinstance(version, ModelVersion)
        if version.metadata.deletion_timestamp:
            return None
        family = await self.model(namespace, version.spec.model, way_back=False)
        if isinstance(family, Unreadable):
            return family
        if family and family.invalid:
            return Unreadable(MODEL, version.spec.model, family.invalid)
        reached = await self._outside.registries.of(family.model) if family else Silent(Reason.Resolving, "")
        if family is None:
            self._outside.resolver.drop(key)
        believed = recall.believed(family) if family else ledgers.EMPTY
        seen = VersionSeen(
            now=self._now(),
            platform=self._platform,
            version=version,
            family=family,
            ledger=believed if not isinstance(believed, str) else ledgers.EMPTY,
            registry=reached.resource if isinstance(reached, Reached) else reached,
            entry=None,
            credentials=reached.files if isinstance(reached, Reached) else {},
            jobs=await self._jobs(version),
            refusals=self._refusals.of(key),
        )
        seen = replace(seen, entry=self._registered.entry(key, seen, reached))
        seen = replace(seen, facts=self._registered.facts(key, seen, reached))
        return await self._with_bucket(seen, reached)

    async def _with_bucket(self, seen: VersionSeen, reached: Reached | Silent) -> VersionSeen:
        """With the credential for where the files lie, which may have been found just now: an import begins at once."""
        where = seen.entry.location if isinstance(seen.entry, Entry) else imports.wanted_from(seen.version)
        if seen.model is None or isinstance(reached, Silent) or not where:
            return seen
        found = await self._outside.registries.with_bucket(reached, where, seen.model.registered_name)
        if isinstance(found, Silent):
            return replace(seen, registry=found, entry=found, credentials={})  # nothing is pinned that nobody checked
        return replace(seen, credentials=found.files)

    async def model(self, namespace: str, name: str, way_back: bool = True) -> ModelSeen | Unreadable | None:
        """Everything about a model; None if it is gone. Without its ledger nothing can be said of it.

        With `way_back`, a Deployment that was adopted is read although a version serves: a rollback may lead there.
        """
        found = self._cache.value(MODEL, namespace, name)
        if found is None or (isinstance(found, Unreadable) and found.rest is None):
            return found
        model, invalid = (found.rest, found.why) if isinstance(found, Unreadable) else (found, "")
        assert isinstance(model, RegisteredModel)
        if model.metadata.deletion_timestamp:
            return None
        key = Key("model", namespace, name)
        reached = await self._outside.registries.of(model)
        family = self._cache.values(namespace, name, VERSION)
        versions = tuple(one for one in family if isinstance(one, ModelVersion))
        unreadable = {_number(one.name): one.why for one in family if isinstance(one, Unreadable)}
        ledger = self._cache.value(LEDGER, namespace, name)
        if isinstance(ledger, Unreadable):
            return ledger
        known = ledger if isinstance(ledger, ModelLedger) else None
        numbers = [one.spec.version for one in versions]
        others = await self._registered.others(key, reached, model.registered_name)
        return ModelSeen(
            now=self._now(),
            platform=self._platform,
            model=model,
            invalid=invalid,
            labelled_by=others.labelled_by,
            told_by=others.told_by,
            versions=versions,
            registry=reached.resource if isinstance(reached, Reached) else reached,
            ledger=known.spec if known else None,
            ledger_version=known.metadata.resource_version if known else "",
            route=self._route(model),
            unreadable=unreadable,
            records=self._records(model),
            pods=self._pods(model),
            labels=self._registered.labels(reached, model.registered_name),
            label_refusals={n: one for n in numbers if (one := self._outside.labels.refusal(key, n))},
            contested={n: said for n in numbers if (said := self._outside.labels.contested(key, n))},
            refusals=self._refusals.of(key),
            deployments=await deployments.read(
                self._cluster, self._cache, namespace, deployments.named(model, known.spec if known else None, way_back)
            ),
        )

    async def registry(self, registry: ModelRegistry, state: RegistryState | None, served: bool) -> RegistrySeen:
        """Everything about a registry. What is in the cluster matters to discovery only."""
        discovery, place = registry.spec.discovery, registry_place(registry)
        uses = await self._registered.uses(registry)
        if discovery is None:
            return RegistrySeen(self._now(), registry, state, uses=uses)
        return RegistrySeen(
            self._now(),
            registry,
            state,
            Around(
                models=tuple(self._registered.present(place)),
                namespace=await self._outside.registries.namespace(discovery.namespace),
                served=served,
                refusals=self._refusals.of(Key("registry", *place)),
            ),
            uses=uses,
        )

    def _route(self, model: RegisteredModel) -> str:
        """The version that the model's Service selects, or what was adopted; "" while there is none of its own."""
        found = self._cache.get(SERVICE, model.metadata.namespace, model.metadata.name)
        if found is None or not _owned_by(found, model.metadata.uid):
            return ""
        selector = found["spec"].get("selector") or {}
        return str(selector.get(names.MODEL_VERSION, naming.ADOPTED if selector else ""))

    async def _jobs(self, version: ModelVersion) -> Mapping[str, jobs.JobSeen]:
        namespace, model = version.metadata.namespace, version.spec.model
        found: dict[str, jobs.JobSeen] = {}
        every_pod = self._cache.family(namespace, model, POD)
        for job in self._cache.family(namespace, model, JOB):
            if not self._is_of(job, version):
                continue
            its = [pod for pod in every_pod if _owned_by(pod, job["metadata"]["uid"])]
            events = [] if its else await self._refused_pods(job)
            found[job["metadata"]["name"]] = jobs.read(job, its, events, *await self._log(job, its))
        return found

    def _is_of(self, job: Object, version: ModelVersion) -> bool:
        """Whether the operator made the Job for this version: anybody can copy labels, but not an owner's uid."""
        meta = job["metadata"]
        if meta["labels"].get(names.MODEL_VERSION) != str(version.spec.version):
            return False
        return meta["namespace"] == self._platform.namespace or _owned_by(job, version.metadata.uid)

    async def _refused_pods(self, owner: Object) -> list[Object]:
        """Events in which a controller says that it may not create pods; only it knows why."""
        fields = f"involvedObject.uid={owner['metadata']['uid']},reason=FailedCreate"
        try:
            return await self._cluster.every(EVENT, owner["metadata"]["namespace"], fields)
        except AdapterError:
            return []

    async def _log(self, job: Object, its_pods: list[Object]) -> tuple[str, str]:
        """The log that matters, and why it could not be read."""
        newest = jobs.newest(its_pods)
        container = jobs.log_container(job, newest) if newest else None
        if newest is None or container is None:
            return "", ""
        pod = newest["metadata"]
        known = (pod["uid"], container)
        if known not in self._logs:
            try:
                again = pods.started_again(newest, container)
                self._logs[known] = await self._cluster.log(pod["namespace"], pod["name"], container, again)
            except AdapterError as error:
                return "", str(error)
            while sum(len(one) for one in self._logs.values()) > LOGS_BYTES and len(self._logs) > 1:
                self._logs.popitem(last=False)
        return self._logs[known], ""

    def _records(self, model: RegisteredModel) -> Mapping[tuple[int, str], Record]:
        """The pod templates that are kept; one whose content is not what its name says is none."""
        found: dict[tuple[int, str], Record] = {}
        for number, one in self._own(model, RECORD):
            data, meta = one.get("data") or {}, one["metadata"]
            template = data.get("template")
            if not isinstance(template, Mapping) or not isinstance(data.get("digest"), str):
                continue
            short = serving.template_hash(template)
            if meta["name"] != serving.record_name(model.metadata.name, number, short):
                continue
            inputs = (meta.get("annotations") or {}).get(names.INPUTS, "")
            found[(number, short)] = Record(number, data["digest"], short, inputs, one.get("revision", 0), template)
        return found

    def _pods(self, model: RegisteredModel) -> Mapping[int, pods.VersionPods]:
        found: dict[int, pods.VersionPods] = {}
        meta = model.metadata
        every_pod = [
            p for p in self._cache.family(meta.namespace, meta.name, POD) if names.TRACK in p["metadata"]["labels"]
        ]
        for number, one in self._own(model, DEPLOYMENT):
            if one["metadata"]["name"] != naming.version(meta.name, number):
                continue
            label = str(number)
            its = [pod for pod in every_pod if pod["metadata"]["labels"].get(names.MODEL_VERSION) == label]
            found[number] = pods.serving_pods(number, one, its)
        return found

    def _own(self, model: RegisteredModel, kind: Kind) -> Iterator[tuple[int, Object]]:
        """The objects that the model owns, by version; copies that somebody made of them are not its own."""
        for one in self._cache.family(model.metadata.namespace, model.metadata.name, kind):
            number = naming.number(one["metadata"]["labels"].get(names.MODEL_VERSION))
            if number is not None and _owned_by(one, model.metadata.uid):
                yield number, one


def _owned_by(found: Object, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or []
    return any(one.get("uid") == uid for one in owners)


def _number(name: str) -> int:
    """The version in a ModelVersion's name, which the API server has checked."""
    return naming.number(name.rpartition("-v")[2]) or 0
