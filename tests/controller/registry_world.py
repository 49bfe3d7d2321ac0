"""A cluster and its registries for tests of what reads and writes them: time stands still until it is moved."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.adapters.cluster import MODEL, REGISTRY, SECRET, VERSION, Kind, Object
from slipway.adapters.errors import NotFound
from slipway.adapters.ports import Connection
from slipway.controller.cache import Cache
from slipway.controller.labeller import Labeller
from slipway.controller.queue import Key
from slipway.controller.registries import Registries
from slipway.controller.sweeper import Sweeper
from slipway.controller.telemetry import Telemetry
from slipway.resources.platform import DefaultRegistry, Platform

from tests.memory_registry import MemoryRegistry, Model

PLACE = ("ml", "mlflow")
REGISTRY_KEY = Key("registry", *PLACE)
FLIGHTS = Key("model", "ml", "flights")
STATE = "slipway.dev/test/ml/state"
PLATFORM = Platform(
    registry_namespaces=("ml", "platform"),
    namespace="slipway-system",
    cluster_name="test",
    runner_image="runner:1",
    default_registry=DefaultRegistry(name="mlflow", namespace="ml"),
)


@dataclass
class ApiServer:
    """What the operator asks of the API server about registries: Secrets, ConfigMaps, Namespaces."""

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    refuses: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self.asked.append(f"{kind.kind} {namespace}/{name}")
        if self.refuses is not None:
            raise self.refuses
        try:
            return self.objects[kind.kind, namespace, name]
        except KeyError:
            raise NotFound(f'{kind.plural} "{name}" not found') from None

    def put(self, kind: Kind, namespace: str, name: str, labels: dict[str, str], **content: Any) -> None:
        self.objects[kind.kind, namespace, name] = {"metadata": {"name": name, "labels": labels}, **content}

    def secret(self, name: str = "credential", /, **data: str) -> None:
        """The Secret, which is the registry's unless it is named, holds this."""
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.put(SECRET, "ml", name, {"slipway.dev/registry": ""}, data=coded)


@dataclass
class World:
    """All parts, wired as the operator wires them."""

    now: float = 0.0
    server: MemoryRegistry = field(default_factory=MemoryRegistry)
    api: ApiServer = field(default_factory=ApiServer)
    cache: Cache = field(default_factory=Cache)
    woken: list[Key] = field(default_factory=list)
    clients: list[tuple[Connection, Any]] = field(default_factory=list)
    connect: Callable[[Connection], Any] | None = None
    changes: int = 0
    _woke: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        def clock() -> float:
            return self.now

        def calendar() -> datetime:
            return datetime(2026, 3, 6, 17, 0, tzinfo=UTC) + timedelta(seconds=self.now)

        self.token: str | Exception = "ours"
        self.registries = Registries(self.api, self.cache, PLATFORM, self._connect, clock, self._token)  # type: ignore[arg-type]
        self.telemetry = Telemetry()
        self.sweeper = Sweeper(self.cache, self.registries, self._wake, self.telemetry, clock, calendar, lambda: 0.5)
        self.may_write = 10.0
        self.labeller = Labeller(
            self.sweeper, self.registries, self._wake, self.telemetry, clock, lambda: 0.5, lambda: self.may_write
        )

    def _token(self) -> str:
        if isinstance(self.token, Exception):
            raise self.token
        return self.token

    def _wake(self, key: Key) -> None:
        self.woken.append(key)
        self._woke.set()

    async def until_woken(self, key: Key) -> None:
        """Wait until the key is woken."""
        while key not in self.woken:
            self._woke.clear()
            await asyncio.wait_for(self._woke.wait(), 10)

    def _connect(self, connection: Connection) -> Any:
        client = self.connect(connection) if self.connect else self.server
        self.clients.append((connection, client))
        return client

    def registry(
        self, uri: str = "http://mlflow:5000", generation: int = 1, namespace: str = "ml", **spec: Any
    ) -> None:
        """The ModelRegistry `mlflow`."""
        backend = {"mlflow": {"uri": uri, **spec.pop("mlflow", {})}}
        self._put(REGISTRY, namespace, "mlflow", {"backend": backend, **spec}, generation=generation)

    def model(self, name: str = "flights", namespace: str = "ml", /, **source: Any) -> Key:
        """A RegisteredModel."""
        self._put(MODEL, namespace, name, {"source": source} if source else {})
        return Key("model", namespace, name)

    def version(self, number: int, *passed: str) -> Key:
        """A ModelVersion of `flights` with these conditions True."""
        status = {"conditions": [{"type": one, "status": "True"} for one in passed]}
        self._put(VERSION, "ml", f"flights-v{number}", {"model": "flights", "version": number}, status=status)
        return Key("version", "ml", f"flights-v{number}")

    def register(self, name: str = "flights", count: int = 1) -> None:
        """So many versions more are in the registry."""
        for _ in range(count):
            self.server.register(name, Model(b"flavors: {sklearn: {}}"))

    def _put(self, kind: Kind, namespace: str, name: str, spec: Any, generation: int = 1, **more: Any) -> None:
        self.changes += 1
        meta = {
            "name": name, "namespace": namespace, "uid": f"{kind.kind}-{namespace}-{name}",
            "resourceVersion": str(self.changes), "generation": generation,
        }  # fmt: skip
        self.cache.put(
            kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec, **more}
        )

    async def sweep(self, after_seconds: float = 30.0) -> set[Key]:
        """A sweep after so many seconds; whom it woke."""
        self.now += after_seconds
        self.woken.clear()
        await self.sweeper.sweep(PLACE)
        return set(self.woken)
