"""The whole operator over a cluster in memory: real observers, decisions and writes; simulated nodes and registry."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from slipway.adapters.cluster import LEDGER, MODEL, REGISTRY, SERVICE, VERSION, WATCHED, Kind, Object
from slipway.adapters.errors import AdapterError, Conflict, Unreachable
from slipway.api.facts import Facts
from slipway.api.modelregistry import Discovery, ModelRegistry, PromotionPolicy, Stages
from slipway.api.registeredmodel import RegisteredModel
from slipway.controller.apply import Applier
from slipway.controller.cache import Cache
from slipway.controller.identity import Place, place_of
from slipway.controller.observe import Observer
from slipway.controller.outside import Lookup, Outside
from slipway.controller.pace import Pace
from slipway.controller.queue import Key, Lane
from slipway.controller.reconcile import Hands, Reconciler
from slipway.controller.refusals import Refusals
from slipway.controller.registries import Reached
from slipway.controller.slots import Slots, queues_of, running_in
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Wakes, Watch
from slipway.core.decision import Document
from slipway.core.facts import Logged, bounded
from slipway.core.news import changes
from slipway.core.registry import Absent, Contest, Entry, Labels, RegistryModel, Silent, Write
from slipway.resources.platform import Platform

from tests.nodes import METRIC, Nodes, digest_of, routed
from tests.worlds import ENTRY, NOW, PLATFORM
from tests.worlds import REGISTRY as MLFLOW

NO_LABELS = Labels("None", (), {})
SILENT = Silent("RegistryUnreachable", "no answer")
FAILED_SECONDS = 5.0  # until what was refused is tried again
PASSES = 2000  # after so many in a row without an end, it does not settle


@dataclass
class Registry:
    """MLflow, as the sweeper, the label writer and the resolver would tell of it.

    What was written is known at once of the version that was written, and of others by the next sweep.
    """

    labels: dict[int, Labels] = field(default_factory=dict)
    swept: dict[int, Labels] = field(default_factory=dict)
    read_at: str = ""
    gone: set[int] = field(default_factory=set)  # versions that it has said to be deleted
    silent: bool = False
    nobody_waits: set[Key] = field(default_factory=set)
    named: tuple[Key, ...] = (Key("model", "ml", "flights"),)
    created: int = 1  # when the registered model was
    wrote: dict[int, Write] = field(default_factory=dict)  # the last that had tags, by version
    moves: int = 0  # the clock of what enters a stage, in milliseconds
    clock: Callable[[], int] = lambda: 0  # what it goes by
    era: int = 1  # when versions are registered that are not there yet
    lost: set[int] = field(default_factory=set)  # versions that were there before a backup came back
    updated: int = 0  # when the registered model last changed, as MLflow dates it; no alias and no tag does that
    dated: int = 0  # the same, as the last sweep read it
    unexplained: int = 0  # when it changed last and no version in a sweep showed why
    resource: ModelRegistry = MLFLOW
    shut_out: set[str] = field(default_factory=set)  # namespaces that may not use it
    unusable: Silent | None = None  # why nobody can use it
    bucket_known: bool = True  # whether the Secret of a bucket can be read
    buckets: dict[str, dict[str, str]] = field(default_factory=dict)  # credentials, by where files lie

    def may_promote(self, **policy: Any) -> None:
        """What labels may promote, as the owner of the ModelRegistry says."""
        spec = self.resource.spec.model_copy(update={"promotion": PromotionPolicy.model_validate(policy)})
        self.resource = self.resource.model_copy(update={"spec": spec})

    def discovers(self) -> None:
        """The owner of the ModelRegistry has switched discovery on for the namespace."""
        spec = self.resource.spec.model_copy(update={"discovery": Discovery(namespace="ml", models=("*",))})
        self.resource = self.resource.model_copy(update={"spec": spec})

    def maps(self, **stages: Any) -> None:
        """Which labels stand for which stage, as the owner of the ModelRegistry says."""
        spec = self.resource.spec.model_copy(update={"stages": Stages.model_validate(stages)})
        self.resource = self.resource.model_copy(update={"spec": spec})

    async def of(self, model: RegisteredModel) -> Reached | Silent:
        """Every model may use it, unless its namespace is shut out."""
        if said := await self.forbids(self.resource, model.metadata.namespace, model.registered_name):
            return Silent("RegistryNotAllowed", said, False)
        return self.unusable or Reached(self.resource, cast(Any, None), {})

    async def forbids(self, _resource: object, namespace: str, _name: str) -> str:
        """Why a namespace may not use it."""
        return "it does not allow the namespace" if namespace in self.shut_out else ""

    def place(self, _model: object) -> Place:
        """Every model names it."""
        return place_of(MLFLOW.wire())

    async def with_bucket(self, reached: Reached, location: str, _name: str) -> Reached | Silent:
        """A bucket has a credential of its own."""
        return replace(reached, files=self.buckets.get(location, {})) if self.bucket_known else SILENT

    async def reach(self, _resource: object, anew: bool = False) -> Silent:
        """Passes over the registry itself are not simulated."""
        return SILENT

    def model(self, _registry: object, _name: str) -> RegistryModel | Absent | Silent | None:
        """The labels as they are known."""
        if self.silent:
            return SILENT
        found = RegistryModel(dict(self.swept), self.read_at, self.created, frozenset(self.gone))
        return replace(found, updated=self.dated, unexplained=self.unexplained)

    def look(self, at: str) -> None:
        """A sweep reads it."""
        self.swept, self.read_at = dict(self.labels), at
        if self.updated > self.dated and all(one.moved < self.updated for one in self.labels.values()):
            self.unexplained = self.updated
        self.dated = self.updated

    def models(self, _registry: object, _name: str) -> tuple[Key, ...]:
        """The RegisteredModels that name it."""
        return self.named

    def refusal(self, _model: Key, _version: int) -> Silent | None:
        """Nothing is refused for long."""
        return SILENT if self.silent else None

    def contested(self, _model: Key, version: int) -> Contest | None:
        """Whether somebody has made something else of the tags that were written."""
        write, tags = self.wrote.get(version), self.swept.get(version, NO_LABELS).tags
        contests = write is not None and any(tags.get(key, value) != value for key, value in write.tags.items())
        return Contest("somebody else writes", write.tags) if write and contests else None

    def ask(self, lookup: Lookup) -> Entry | Absent | Silent | None:
        """Every version is registered; those of a model that was made anew lie elsewhere."""
        if self.silent:
            return SILENT
        made = (self.labels.get(lookup.version) or replace(NO_LABELS, created=self.era)).created
        first = made <= 1 and self.created == 1
        where = ENTRY.location if first else f"{ENTRY.location}/{self.created}/{made}"
        source = ENTRY.source if first else f"models:/m-{self.created}-{made}"
        return replace(ENTRY, source=source, location=where, created=made)

    def forget(self, _lookup: Lookup) -> None:
        """Nothing is remembered."""

    def facts(self, lookup: Lookup) -> Facts | None:
        """How it was made: each version took another depth."""
        return None if self.silent else bounded(Logged(params={"max_depth": str(lookup.version)}, commit="c" * 40))

    def forget_facts(self, _lookup: Lookup) -> None:
        """Nothing is remembered."""

    def drop(self, key: Key) -> None:
        """Nobody waits any more."""
        self.nobody_waits.add(key)

    def write(self, writes: tuple[Write, ...]) -> bool:
        """The labels are as asked for; True if that was new. MLflow archives others only when a stage changes."""
        before = dict(self.labels)
        for one in () if self.silent else writes:
            if one.version in self.lost:
                continue
            there = self.labels.setdefault(one.version, NO_LABELS)
            if self._was_moved(one, there):  # a sweep follows at once
                self.look(self.read_at)
                return True
            if one.stage and one.stage != there.stage:
                self.put(one.version, one.stage)
            for number in one.archive:
                if number in self.labels and self.labels[number].stage == one.stage:
                    self.put(number, one.aside)
                    self._read(number)
            if one.alias and one.alias not in there.aliases:
                self.name(one.version, one.alias)
            there = self.labels[one.version]
            there = replace(there, aliases=tuple(alias for alias in there.aliases if alias != one.without))
            self.labels[one.version] = replace(
                there, tags={**there.tags, **one.all_tags}, lines=(one.line,) if one.line else there.lines
            )
            if one.tags:
                self.wrote[one.version] = one
            self._read(one.version)
        return before != self.labels

    def _was_moved(self, write: Write, now: Labels) -> bool:
        """Whether somebody has moved the labels since the write was decided; then nothing is written."""
        expected, alias = write.expected, write.alias if write.alias not in now.aliases else None
        if expected is None or (write.stage in (None, now.stage) and not alias and write.without not in now.aliases):
            return False
        holder = next((number for number, one in self.labels.items() if alias in one.aliases), None)
        moved = now.stage != expected.stage or not set(now.aliases) <= set(expected.aliases)
        return moved or bool(alias and holder != expected.holder)

    def _read(self, version: int) -> None:
        now, before = self.labels[version], self.swept.get(version)
        if before is not None and before.stage != now.stage:
            self.dated = max(self.dated, now.moved)
        for number, other in self.swept.items():
            left = tuple(one for one in other.aliases if one not in now.aliases)
            self.swept[number] = replace(other, aliases=left)
        self.swept[version] = now

    def put(self, version: int, stage: str, archive_others: bool = False) -> None:
        """A version is in a stage; MLflow archives the others there, if it is asked to."""
        at = self._tick()
        for number, other in self.labels.items():
            if archive_others and number != version and other.stage == stage:
                self.labels[number] = replace(other, stage="Archived", moved=at)
        self.labels[version] = replace(self._known(version), stage=stage, moved=at)

    def delete(self, version: int) -> None:
        """A version is deleted, and its labels with it."""
        del self.labels[version]
        self._tick()

    def backup(self) -> "Backup":
        """What it would be again, once it is restored."""
        return Backup(dict(self.labels), self.updated)

    def restore_from(self, backup: "Backup") -> None:
        """It is what it was then; its clock goes on."""
        self.labels, self.updated = dict(backup.labels), backup.updated

    def _tick(self) -> int:
        self.moves = self.updated = max(self.moves + 1, self.clock())
        return self.moves

    def name(self, version: int, alias: str) -> None:
        """An alias is moved to a version."""
        for number, other in self.labels.items():
            self.labels[number] = replace(other, aliases=tuple(one for one in other.aliases if one != alias))
        there = self._known(version)
        self.labels[version] = replace(there, aliases=(*there.aliases, alias))

    def _known(self, version: int) -> Labels:
        """A version's labels; one that is not there is registered."""
        self.lost.discard(version)
        return self.labels.get(version) or replace(NO_LABELS, created=self.era)

    def make_anew(self) -> None:
        """The registered model is deleted, and one of its name is made."""
        self.labels = {}
        self.created += 1
        self.era += 1

    def restore(self, without: int) -> None:
        """A backup comes back, of when this version and later ones were not registered yet."""
        self.lost |= {number for number in self.labels if number >= without}
        self.labels = {number: one for number, one in self.labels.items() if number < without}
        self.era += 1


@dataclass(frozen=True)
class Backup:
    """The registry as it was at a time."""

    labels: Mapping[int, Labels]
    updated: int


class Simulation(Nodes):
    """One model, `flights` in `ml`, from the objects that people apply to the traffic that they get."""

    def __init__(self, platform: Platform = PLATFORM, serves: Callable[[str], bool] = lambda _: True) -> None:
        super().__init__(lambda: self.now)
        self.now = NOW
        self.platform, self.serves = platform, serves
        self.loop = asyncio.new_event_loop()
        self.registry = Registry(clock=lambda: int(self.now.timestamp() * 1000))
        self.kept: list[Document] = []  # in the registry
        self.news: list[dict[str, Any]] = []  # CloudEvents, as targets get them
        self.random = random.Random(0)  # of what happens in no order
        self.cluster.put(_registry())
        self.cluster.hears.append(self._hear)
        self.start()

    def _changed(self, before: Mapping[str, Any], now: Object) -> None:
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.news += [json.loads(one.body) for one in changes(self.platform.cluster_name, before, now, at)]

    def start(self) -> None:
        """An operator that remembers nothing lists the cluster and begins."""
        cache, telemetry = Cache(), Telemetry()
        self.cache, self.dirty, self.due = cache, dict[Key, None](), dict[Key, datetime]()
        me = cast(Any, self.registry)
        refusals = Refusals(self._seconds)
        cluster = cast(Any, self.cluster)
        observer = Observer(cluster, cache, Outside(me, me, me, me), refusals, self.platform, lambda: self.now)
        slots = Slots(queues_of(self.platform), self.platform.validations.max_concurrent, lambda: running_in(cache))
        hands = Hands(
            self._label, lambda _, document: self.kept.append(document), self.wake, lambda _: None, self._changed
        )
        applier = Applier(cluster, cache, refusals, telemetry)
        pace = Pace(self._seconds)
        self.reconciler = Reconciler(
            cache, observer, applier, refusals, slots, hands, lambda _: None, telemetry, pace, self.serves
        )
        watch = Watch(cluster, cache, Wakes(self.wake, lambda _: ("ml", "mlflow")), telemetry)
        self.watch = watch
        self.untold = dict[tuple[Kind, Place], list[tuple[str, Object]]]()  # events on their way, by object
        for kind in WATCHED:
            for found in self.run(self.cluster.every(kind)):
                cache.put(kind, found)

    def _hear(self, kind: Kind, event: str, found: Object) -> None:
        if kind in WATCHED:
            self.untold.setdefault((kind, place_of(found)), []).append((event, found))

    def _tell(self) -> None:
        """A watch tells of an object: of each in order, of several in any."""
        of = self.random.choice(list(self.untold))
        event, found = self.untold[of].pop(0)
        if not self.untold[of]:
            del self.untold[of]
        self.watch.saw(of[0], event, found)

    def _seconds(self) -> float:
        return self.now.timestamp()

    def run(self, call: Any) -> Any:
        """The result of a coroutine."""
        return self.loop.run_until_complete(call)

    def wake(self, key: Key, *_: Any, lane: Lane = Lane.USUAL) -> None:
        """The key is looked at before long."""
        if key.reconciler != "registry":
            self.dirty.setdefault(key)

    def _label(self, key: Key, _registry: object, _name: str, writes: tuple[Write, ...]) -> None:
        if self.registry.write(writes):
            self.wake(key)

    def swept(self) -> None:
        """What the sweeper does when labels have changed, or the registry fell silent or came back."""
        if not self.registry.silent:
            self.registry.look(self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.wake(Key("model", "ml", "flights"))
        for version in self.cache.briefs():
            if not version.holds >= {"Resolved", "Imported"}:
                self.wake(Key("version", "ml", version.name))

    def wake_family(self) -> None:
        """The model and its versions are looked at, though nothing has changed."""
        self.wake(Key("model", "ml", "flights"))
        for found in self.cluster.of(VERSION):
            self.wake(Key("version", "ml", found["metadata"]["name"]))

    def settle(self, nodes: bool = True) -> None:
        """Passes, watches and nodes take turns, in any order, until nothing happens any more."""
        for _ in range(PASSES):
            if self.untold and (not self.dirty or self.random.random() < 0.5):
                self._tell()
            elif self.dirty:
                key = self.random.choice(list(self.dirty))
                del self.dirty[key]
                self._pass(key)
            elif not (nodes and self.work()):
                return
        raise AssertionError(f"it does not settle: {list(self.dirty)[:5]}")

    def _pass(self, key: Key) -> None:
        self.due.pop(key, None)
        try:
            again = self.run(self.reconciler(key))
        except (Conflict, Unreachable):
            self.wake(key)
        except AdapterError:
            self.due[key] = self.now + timedelta(seconds=FAILED_SECONDS)
        else:
            if again is not None:
                self.due[key] = self.now + timedelta(seconds=again)

    def advance(self, seconds: float) -> None:
        """Time goes on; whoever waited for it is looked at."""
        until = self.now + timedelta(seconds=seconds)
        while self.due and min(self.due.values()) <= until:
            self.now = max(self.now, min(self.due.values()))
            self._sweep()
            for key in [key for key, at in self.due.items() if at <= self.now]:
                self.wake(key)
                del self.due[key]
            self.settle()
        self.now = until
        self._sweep()
        self.settle()

    def _sweep(self) -> None:
        """The sweeper looks; it wakes only those whose labels are others."""
        changed = self.registry.swept != self.registry.labels
        if not self.registry.silent:
            self.registry.look(self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
            if changed:
                self.swept()


def _registry() -> Object:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": "ml"},
        "spec": {"backend": {"mlflow": {"uri": "http://mlflow:5000"}}},
    }


__all__ = ["LEDGER", "METRIC", "MODEL", "REGISTRY", "SERVICE", "Simulation", "digest_of", "routed"]
