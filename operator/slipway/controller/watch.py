"""Events wake keys. kopf carries them, in a thread of its own; a periodic relist finds what a watch has missed."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import kopf

from ..adapters.cluster import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    LEDGER,
    MODEL,
    POD,
    RECORD,
    REGISTRY,
    SERVICE,
    VERSION,
    WATCHED,
    Cluster,
    Kind,
    Object,
)
from ..adapters.errors import AdapterError
from ..api import names
from .cache import Cache, Family, Place, family_of, version_of
from .queue import Key
from .telemetry import Telemetry

log = logging.getLogger("slipway")
COMMANDS = {names.ROLLBACK, names.RESUME}


class Wake(Protocol):
    """Has a key looked at."""

    def __call__(self, item: Key, /, *, urgent: bool = False) -> None:
        """Before the others, where it is urgent."""
        ...


IDENTITY: Any = "slipway"  # given, since kopf would look the user up, and a pod's has no name
ON_ITS_WAY_SECONDS = 5.0
STALE_RELISTS = 2  # so many relists in a row that found what a watch should have told: the watch is dead


class Watch:
    """Feeds the cache and wakes the keys that an object concerns."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        wake: Wake,
        telemetry: Telemetry,
        patience_seconds: float = ON_ITS_WAY_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._cluster, self._cache, self._wake, self._telemetry = cluster, cache, wake, telemetry
        self._missed: dict[str, int] = {}
        self._asked: dict[tuple[str, str, str], object] = {}  # of models and registries: what was asked of them last
        cache.listen(self.wake)
        self.listed_at: float | None = None

    def saw(self, kind: Kind, event: str | None, found: Object) -> None:
        """An event from a watch. The object counts, not the order of events."""
        meta = found["metadata"]
        if event == "DELETED":
            self._cache.remove(kind, meta.get("namespace", ""), meta["name"], meta.get("uid", ""), version_of(found))
        else:
            self._cache.put(kind, found)

    def wake(self, kind: Kind, found: Object) -> None:
        """Wake every key whose decision may depend on the object; what moves traffic, or a person asked for, first."""
        meta = found["metadata"]
        place = (meta.get("namespace", ""), meta["name"])
        if kind is REGISTRY:
            self._wake(Key("registry", *place))
            for model in self._cache.all(MODEL) if self._is_edited(kind, found) else ():
                self._wake_family((model["metadata"]["namespace"], model["metadata"]["name"]))
            return
        family = family_of(kind, found)
        if family is None:
            return
        labels = meta.get("labels") or {}
        if kind is MODEL:
            self._wake(Key("model", *family), urgent=bool(COMMANDS & (meta.get("annotations") or {}).keys()))
            if self._is_edited(kind, found):
                self._wake_versions(family)
        elif kind in (LEDGER, SERVICE, DEPLOYMENT, RECORD, BUDGET) or (kind is POD and names.TRACK in labels):
            self._wake(Key("model", *family), urgent=kind in (LEDGER, SERVICE, DEPLOYMENT))
        elif kind is VERSION:
            self._wake(Key("model", *family))
            self._wake(Key("version", *place))
        else:
            self._wake_versions(family, labels.get(names.MODEL_VERSION))

    def _wake_family(self, family: Family) -> None:
        self._wake(Key("model", *family))
        self._wake_versions(family)

    def _wake_versions(self, family: Family, number: str | None = None) -> None:
        for version in self._cache.family(*family, VERSION):
            if number is None or str(version["spec"]["version"]) == number:
                self._wake(Key("version", version["metadata"]["namespace"], version["metadata"]["name"]))

    def _is_edited(self, kind: Kind, found: Object) -> bool:
        """Whether somebody changed what is asked of the object, since it was seen last."""
        meta = found["metadata"]
        asked = (meta["uid"], meta.get("generation"), meta.get("annotations"), meta.get("deletionTimestamp"))
        place = (kind.plural, meta.get("namespace", ""), meta["name"])
        known = self._cache.get(kind, meta.get("namespace", ""), meta["name"]) is not None
        before = self._asked.pop(place, None)
        if known:
            self._asked[place] = asked
        return before != asked or not known

    async def relist(self, namespaces: tuple[str, ...], operator_namespace: str) -> None:
        """The cache is as the API server has it, deletions too; what the watch had not told in time is counted."""
        try:
            await self._relist(namespaces, operator_namespace)
        except AdapterError:
            self._telemetry.relist_failures.inc()
            raise
        self._telemetry.relisted.set_to_current_time()

    async def _relist(self, namespaces: tuple[str, ...], operator_namespace: str) -> None:
        first = self.listed_at is None
        listed: dict[Kind, dict[Place, Object]] = {}
        before: dict[Kind, dict[Place, str]] = {}
        for kind in WATCHED:
            before[kind] = {_place(one): one["metadata"].get("uid", "") for one in self._cache.all(kind)}
            listed[kind] = {}
            for namespace in _places(kind, namespaces, operator_namespace):
                found = await self._cluster.every(kind, namespace)
                listed[kind] |= {_place(one): one for one in found}
        if not first:  # what changed a moment ago is on its way: only what is still unknown later was missed
            await asyncio.sleep(self._patience_seconds)
        for kind, found_now in listed.items():
            missed = sum(self._cache.put(kind, one) for one in found_now.values())
            gone = before[kind].keys() - found_now.keys()
            missed += sum(self._cache.remove(kind, *place, before[kind][place]) for place in gone)
            if not first:
                self._judge(kind, missed)
        self.listed_at = time.monotonic()

    def _judge(self, kind: Kind, missed: int) -> None:
        """A watch that misses changes at every relist is dead."""
        self._missed[kind.plural] = self._missed.get(kind.plural, 0) + 1 if missed else 0
        if missed:
            self._telemetry.missed.labels(kind.plural).inc(missed)
            log.warning("the watch of %s had not told of %d changes", kind.plural, missed)

    @property
    def stale(self) -> list[str]:
        """Kinds whose watch is dead."""
        return [plural for plural, count in self._missed.items() if count >= STALE_RELISTS]


def _place(found: Object) -> Place:
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def _places(kind: Kind, namespaces: tuple[str, ...], operator_namespace: str) -> tuple[str, ...]:
    """Where to list a kind: everywhere, or in the namespaces that were named, and beside the operator for its own."""
    if not namespaces:
        return ("",)
    own = (operator_namespace,) if kind in (JOB, POD, REGISTRY) else ()
    return tuple(dict.fromkeys((*namespaces, *own)))


class Kopf:
    """kopf as the watch transport: it cancels every task of its loop when it ends, so it has a loop to itself."""

    def __init__(self, namespaces: tuple[str, ...], operator_namespace: str) -> None:
        self._namespaces, self._operator_namespace = namespaces, operator_namespace
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def start(self, saw: Callable[[Kind, str | None, Object], None], ended: Callable[[], None]) -> None:
        """Events are handed to `saw` in the loop that calls this."""
        loop = asyncio.get_running_loop()
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for kind in WATCHED:
            self._register(registry, kind, lambda *event: loop.call_soon_threadsafe(saw, *event))
        self._thread = threading.Thread(
            target=self._run, args=(registry, lambda: loop.call_soon_threadsafe(ended)), name="kopf", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """No event is handed over any more."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=10)

    def _register(self, registry: kopf.OperatorRegistry, kind: Kind, hand_over: Callable[..., Any]) -> None:
        *group, version = kind.api_version.split("/")

        async def saw(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            hand_over(kind, type, dict(body) | {"apiVersion": kind.api_version, "kind": kind.kind})

        kopf.on.event(group[0] if group else "", version, kind.plural, registry=registry, id=f"saw-{kind.plural}")(saw)

    def _run(self, registry: kopf.OperatorRegistry, ended: Callable[[], None]) -> None:
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True  # the CRDs are there when it starts, and its rights end at them
        settings.posting.enabled = False
        settings.watching.chunk_size = 500
        settings.peering.standalone = True
        settings.persistence.diffbase_storage = _NoEssence()
        for kind in WATCHED:
            if kind.selector:
                settings.watching.label_selectors[_qualified(kind)] = kind.selector
        places = tuple(dict.fromkeys((*self._namespaces, self._operator_namespace))) if self._namespaces else ()
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry,
                    settings=settings,
                    clusterwide=not places,
                    namespaces=places,
                    stop_flag=self._stop,
                    standalone=True,
                    identity=IDENTITY,
                )
            )
        except BaseException as error:  # noqa: BLE001 - the thread's last word: whoever waits must be told
            self.failure = error
        finally:
            ended()


class _NoEssence(kopf.DiffBaseStorage):
    """Nothing is remembered of an object between two events. kopf would copy each one in order to compare them."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> Any:
        """No essence."""
        return {}

    def fetch(self, *, body: kopf.Body) -> Any:
        """None was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """None is."""


def _qualified(kind: Kind) -> Any:
    *group, version = kind.api_version.split("/")
    return (group[0] if group else "", version, kind.plural)


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
