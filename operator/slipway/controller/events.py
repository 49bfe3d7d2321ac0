"""kopf as the transport of events: it lists, watches and reconnects, keeps next to nothing, and decides nothing."""

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import kopf

from ..adapters.cluster import Kind, Object
from .kinds import Watched
from .watch import Watch

IDENTITY: Any = "slipway"  # given, since kopf would look the user up, and a pod's has no name
# For so long a busy thread may keep the interpreter from another that asks for it. kopf's thread asks after every wait
# for the network: with CPython's 5 ms, some 300 events took 20 s beside a busy loop, and 0.5 s with 1 ms or less.
SWITCH_SECONDS = 0.0005
IDLE_SECONDS = 0.1  # after an object's last event, until kopf lets go of it
Saw = Callable[[Kind, str | None, Object], None]


class Kopf:
    """It cancels every task of its loop when it ends, so it has a loop, and a thread, to itself."""

    def __init__(self, namespaces: tuple[str, ...], operator_namespace: str, watch: Watch) -> None:
        self._namespaces, self._operator_namespace, self._watch = namespaces, operator_namespace, watch
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def start(self, saw: Saw, ended: Callable[[], None]) -> None:
        """Events are handed to `saw` in the loop that calls this: of the kinds that could be listed before."""
        sys.setswitchinterval(SWITCH_SECONDS)
        loop = asyncio.get_running_loop()
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        rows = [row for row in self._watch.begin() if not (row.clusterwide and self._namespaces)]
        for row in rows:
            self._register(registry, row, lambda *event: loop.call_soon_threadsafe(saw, *event))
        self._thread = threading.Thread(
            target=self._run,
            args=(registry, _settings(rows), lambda: loop.call_soon_threadsafe(ended)),
            name="kopf",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """No event is handed over any more."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=10)

    def _register(self, registry: kopf.OperatorRegistry, row: Watched, hand_over: Callable[..., Any]) -> None:
        kind = row.kind
        group, version, plural = _qualified(kind)
        everywhere = not self._namespaces or row.clusterwide
        places = {*self._namespaces, self._operator_namespace} if row.beside else {*self._namespaces}

        async def saw(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            if not everywhere and body.metadata.get("namespace") not in places:
                return
            found = dict(body) | {"apiVersion": kind.api_version, "kind": kind.kind}
            if self._watch.lacks(kind, type, found):  # kopf begins by telling again what was listed a moment ago
                hand_over(kind, type, found)

        kopf.on.event(group, version, plural, registry=registry, id=f"saw-{plural}")(saw)

    def _run(self, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, ended: Callable[[], None]) -> None:
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


def _settings(rows: list[Watched]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # the CRDs are there when it starts, and its rights end at them
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = _NoEssence()
    settings.persistence.progress_storage = _NoProgress()
    for row in rows:
        if row.kind.selector:
            settings.watching.label_selectors[_qualified(row.kind)] = row.kind.selector
    return settings


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


class _NoProgress(kopf.ProgressStorage):
    """No handler's progress is kept in an object: the only handler is done at once."""

    def fetch(self, **_: Any) -> Any:
        """None was stored."""
        return None

    def store(self, **_: Any) -> None:
        """None is."""

    def purge(self, **_: Any) -> None:
        """There is none."""

    def touch(self, **_: Any) -> None:
        """Nothing is touched."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing of it is in the object."""
        return essence


def _qualified(kind: Kind) -> Any:
    *group, version = kind.api_version.split("/")
    return (group[0] if group else "", version, kind.plural)


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
