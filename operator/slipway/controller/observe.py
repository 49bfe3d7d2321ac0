"""Gather everything that one decision may look at. Reads only the cache, and of the API server logs, Events and
Deployments to adopt."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

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
from ..api.facts import Facts
from ..api.modelledger import ModelLedger
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..core import imports, jobs, lifecycle, pods, recall
from ..core import ledger as ledgers
from ..core.discovery import Around, Present
from ..core.observed import ModelSeen, Record, VersionSeen
from ..core.permissions import Use
from ..core.reasons import Reason
from ..core.registries import RegistrySeen
from ..core.registry import Absent, Contest, Entry, RegistryModel, RegistryState, Silent
from ..resources import naming, serving
from ..resources.platform import Platform
from . import deployments
from .cache import Cache, Unreadable
from .identity import Place, section
from .identity import place_of as cached_place
from .queue import Key
from .refusals import Refusals
from .registries import Reached, Registries

LOGS_BYTES = 8 * 1024 * 1024  # of all the logs that are remembered


class Lookup(NamedTuple):
    """A version of a registered model, to be looked up in its registry."""

    key: Key  # who waits for it
    registry: tuple[str, str]  # namespace and name of the ModelRegistry
    name: str  # of the registered model
    version: int


class Shelf(Protocol):
    """The registries as they were last read."""

    def model(self, registry: tuple[str, str], name: str) -> RegistryModel | Absent | Silent | None:
        """A registered model; None if it was not read yet."""
        ...

    def models(self, registry: tuple[str, str], name: str) -> tuple[Key, ...]:
        """The RegisteredModels that name it."""
        ...


class LabelWriter(Protocol):
    """What became of the labels that were to be written."""

    def refusal(self, model: Key, version: int) -> Silent | None:
        """Why they could not be written."""
        ...

    def contested(self, model: Key, version: int) -> Contest | None:
        """What another writer has made of ours since."""
        ...


class Resolver(Protocol):
    """Reads versions from registries, in its own time."""

    def ask(self, lookup: Lookup) -> Entry | Absent | Silent | None:
        """What the registry says; None if it has not said it yet."""
        ...

    def forget(self, lookup: Lookup) -> None:
        """It is known."""
        ...

    def facts(self, lookup: Lookup) -> Facts | None:
        """How the version was made; None if that was not read yet."""
        ...

    def forget_facts(self, lookup: Lookup) -> None:
        """They are known, or nobody asks."""
        ...

    def drop(self, key: Key) -> None:
        """Who waited is not there any more, or has nothing to look up."""
        ...


class Outside(NamedTuple):
    """What is known of the registries without asking them."""

    registries: Registries
    shelf: Shelf
    labels: LabelWriter
    resolver: Resolver


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
        self._refusals, self._platform, self._now = refusals, platform, now
        self._logs: OrderedDict[str, str] = OrderedDict()  # of pods that have ended, by uid: they change no more

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
        if family and isinstance(reached, Reached) and (where := imports.wanted_from(version)):
            reached = await self._outside.registries.with_bucket(reached, where, family.model.registered_name)
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
        seen = replace(seen, entry=self._entry(key, seen, reached))
        return replace(seen, facts=self._facts(key, seen, reached))

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
        labelled_by, told_by = await self._others(key, reached, model.registered_name)
        return ModelSeen(
            now=self._now(),
            platform=self._platform,
            model=model,
            invalid=invalid,
            labelled_by=labelled_by,
            told_by=told_by,
            versions=versions,
            registry=reached.resource if isinstance(reached, Reached) else reached,
            ledger=known.spec if known else None,
            ledger_version=known.metadata.resource_version if known else "",
            route=self._route(model),
            unreadable=unreadable,
            records=self._records(model),
            pods=self._pods(model),
            labels=self._labels(reached, model.registered_name),
            label_refusals={n: one for n in numbers if (one := self._outside.labels.refusal(key, n))},
            contested={n: said for n in numbers if (said := self._outside.labels.contested(key, n))},
            refusals=self._refusals.of(key),
            deployments=await deployments.read(
                self._cluster, self._cache, namespace, deployments.named(model, known.spec if known else None, way_back)
            ),
        )

    async def registry(self, registry: ModelRegistry, state: RegistryState | None, served: bool) -> RegistrySeen:
        """Everything about a registry. What is in the cluster matters to discovery only."""
        discovery, place = registry.spec.discovery, place_of(registry)
        if discovery is None:
            return RegistrySeen(self._now(), registry, state, uses=self._uses(place))
        return RegistrySeen(
            self._now(),
            registry,
            state,
            Around(
                models=tuple(self._present(place)),
                namespace=await self._outside.registries.namespace(discovery.namespace),
                served=served,
                refusals=self._refusals.of(Key("registry", *place)),
            ),
            uses=self._uses(place),
        )

    def _present(self, registry: tuple[str, str]) -> Iterator[Present]:
        for found in self._cache.all(MODEL):
            meta, annotations = found["metadata"], found["metadata"].get("annotations") or {}
            about = self._outside.registries.place(found) == registry
            registered = str(section(found, "spec", "source").get("name") or meta["name"]) if about else ""
            made = annotations.get(names.DISCOVERED) == "/".join(registry)
            yield Present(meta.get("namespace", ""), meta["name"], registered, made)

    def _uses(self, registry: Place) -> tuple[Use, ...]:
        drifted = {(one.namespace, one.model) for one in self._cache.briefs() if one.drifted}
        found = []
        for model in self._cache.all(MODEL):
            if self._outside.registries.place(model) == registry:
                place = cached_place(model)
                name = str(section(model, "spec", "source").get("name") or place[1])
                follows = section(model, "spec", "promotion").get("source") == "Registry"
                found.append(Use(name, follows, place in drifted))
        return tuple(found)

    async def _others(self, key: Key, reached: Reached | Silent, name: str) -> tuple[str, str]:
        """Other models of the same registered model: one that sets stage and alias, one that tells of it.

        Of those that follow its labels, the first sets them. In each namespace one tells: the one that sets them, or
        else the oldest.
        """
        if isinstance(reached, Silent) or len(keys := self._outside.shelf.models(place_of(reached.resource), name)) < 2:
            return "", ""
        usable = [one for one in keys if await self._may_use(one)]
        sets = min([one for one in usable if self._follows(one)], default=None)
        here = [one for one in usable if one.namespace == key.namespace]
        tells = sets if sets in here else min(here, key=self._age, default=None)
        return _other(sets, key), _other(tells, key)

    def _age(self, key: Key) -> tuple[str, str]:
        found = self._cache.get(MODEL, key.namespace, key.name) or {}
        return str(section(found, "metadata").get("creationTimestamp", "")), key.name

    async def _may_use(self, key: Key) -> bool:
        """Whether the registry lets it: who may not use it takes no labels from anybody."""
        model = self._cache.value(MODEL, key.namespace, key.name)
        model = model.rest if isinstance(model, Unreadable) else model
        return isinstance(model, RegisteredModel) and isinstance(await self._outside.registries.of(model), Reached)

    def _follows(self, key: Key) -> bool:
        """Whether a model follows labels; one that cannot be read follows them as before."""
        model = self._cache.value(MODEL, key.namespace, key.name)
        if isinstance(model, RegisteredModel):
            return model.spec.promotion.source == "Registry"
        ledger = self._cache.value(LEDGER, key.namespace, key.name)
        return model is not None and isinstance(ledger, ModelLedger) and ledger.spec.following is not None

    def _labels(self, reached: Reached | Silent, name: str) -> RegistryModel | Absent | Silent | None:
        return reached if isinstance(reached, Silent) else self._outside.shelf.model(place_of(reached.resource), name)

    def _route(self, model: RegisteredModel) -> str:
        """The version that the model's Service selects, or what was adopted; "" while there is none of its own."""
        found = self._cache.get(SERVICE, model.metadata.namespace, model.metadata.name)
        if found is None or not _owned_by(found, model.metadata.uid):
            return ""
        selector = found["spec"].get("selector") or {}
        return str(selector.get(names.MODEL_VERSION, naming.ADOPTED if selector else ""))

    def _entry(self, key: Key, seen: VersionSeen, reached: Reached | Silent) -> Entry | Absent | Silent | None:
        """What the registry says, asked only until it is pinned."""
        if seen.model is None or isinstance(reached, Silent):
            return reached if isinstance(reached, Silent) else None
        place = place_of(reached.resource)
        lookup = Lookup(key, place, seen.model.registered_name, seen.version.spec.version)
        if lifecycle.pinned_entry(seen) is not None:
            self._outside.resolver.forget(lookup)
            return None
        return self._outside.resolver.ask(lookup)

    def _facts(self, key: Key, seen: VersionSeen, reached: Reached | Silent) -> Facts | None:
        """How the version was made, asked only until it is in the status."""
        if seen.model is None or isinstance(reached, Silent):
            return None
        lookup = Lookup(key, place_of(reached.resource), seen.model.registered_name, seen.version.spec.version)
        if lifecycle.needs_facts(seen):
            return self._outside.resolver.facts(lookup)
        self._outside.resolver.forget_facts(lookup)
        return None

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
        if pod["uid"] not in self._logs:
            try:
                self._logs[pod["uid"]] = await self._cluster.log(pod["namespace"], pod["name"], container)
            except AdapterError as error:
                return "", str(error)
            while sum(len(one) for one in self._logs.values()) > LOGS_BYTES and len(self._logs) > 1:
                self._logs.popitem(last=False)
        return self._logs[pod["uid"]], ""

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


def _other(one: Key | None, key: Key) -> str:
    return "" if one is None or one == key else f"{one.namespace}/{one.name}"


def _owned_by(found: Object, uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or []
    return any(one.get("uid") == uid for one in owners)


def _number(name: str) -> int:
    """The version in a ModelVersion's name, which the API server has checked."""
    return naming.number(name.rpartition("-v")[2]) or 0


def place_of(registry: ModelRegistry) -> tuple[str, str]:
    """Namespace and name of a ModelRegistry."""
    return registry.metadata.namespace, registry.metadata.name
