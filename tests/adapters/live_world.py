"""The operator over a real MLflow server: its own loops, a cluster in memory, and time that goes by as fast as it can.

With no request on its way, the clock is set to the next alarm. So a story of twelve minutes takes a second or two, and
the pauses between sweeps, tries and passes are the operator's own.
"""

import asyncio
import base64
import selectors
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import mlflow
from slipway.adapters.cluster import WATCHED, Kind, Object
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.mlflow_answers import Patience
from slipway.adapters.ports import Connection
from slipway.api import names
from slipway.api.modelversion import Stage
from slipway.controller.apply import Applier
from slipway.controller.cache import Cache
from slipway.controller.labeller import Labeller
from slipway.controller.loop import Loop
from slipway.controller.observe import Observer
from slipway.controller.outside import Outside
from slipway.controller.pace import Pace
from slipway.controller.queue import Key, Queue
from slipway.controller.reconcile import Hands, Reconciler
from slipway.controller.refusals import Refusals
from slipway.controller.registries import Registries
from slipway.controller.resolve import Keeper, Resolver
from slipway.controller.slots import Slots, queues_of, running_in
from slipway.controller.sweeper import Sweeper
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Wakes, Watch

from tests.adapters.registry_shelf import MLMODEL, MLflowShelf
from tests.declared import GATED, model
from tests.memory_registry import Model
from tests.mlflow_server import MLflowServer
from tests.nodes import Nodes, routed
from tests.worlds import NOW, PLATFORM

INTERVAL_SECONDS = 30.0
SWEPT_SECONDS = INTERVAL_SECONDS + 15.0  # until what somebody does in MLflow is seen and answered
BLINK_SECONDS = 1e-9
PATIENT = Patience(total_seconds=60)  # a machine busy with other tests is no outage


class Alarms(selectors.DefaultSelector):
    """A clock that stands still while somebody works, goes on while requests are on their way, and jumps otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.away = 0.0, 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.away:
            began = time.monotonic()
            found = super().select(0.05 if timeout is None else min(timeout, 0.05))
            self.now += time.monotonic() - began
            return found
        found = super().select(0)
        # No round takes no time: two that wait for a moment which rounding puts right before it would for ever.
        self.now += timeout if not found and timeout > 0 else BLINK_SECONDS
        return found


class Hours(asyncio.SelectorEventLoop):
    """A loop that lives by such a clock."""

    def __init__(self) -> None:
        self.alarms = Alarms()
        super().__init__(self.alarms)

    def time(self) -> float:
        return self.alarms.now


class Counted:
    """A client whose calls are on their way while they run."""

    def __init__(self, client: MLflowRegistry, alarms: Alarms) -> None:
        self._client, self._alarms = client, alarms

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        async def counted(*args: Any, **named: Any) -> Any:
            self._alarms.away += 1
            try:
                return await call(*args, **named)
            finally:
                self._alarms.away -= 1

        return counted


@dataclass(frozen=True)
class Said:
    """What MLflow says of a version, to whoever only opens MLflow."""

    stage: str
    aliases: tuple[str, ...]
    state: str  # our tag
    why: str  # another one
    line: str  # ours in the description; "" if there is none

    @property
    def labels(self) -> tuple[str, tuple[str, ...], str]:
        """Stage, aliases, and the first word of our tag."""
        return self.stage, self.aliases, self.state.split(" ")[0]


@dataclass(frozen=True)
class Registered:
    """A registered model, and an ML engineer with MLflow's client."""

    server: MLflowServer
    client: mlflow.MlflowClient
    name: str

    def registers(self, count: int = 1) -> None:
        """So many more versions."""
        shelf = MLflowShelf(cast(Any, None), self.server)
        for _ in range(count):
            shelf.register(self.name, shelf.log(Model(MLMODEL, requirements=b"xgboost-cpu==3.0.0\n")))

    def moves(self, version: int, stage: str, archive_others: bool = False) -> None:
        """A version is put into a stage, as in MLflow's UI."""
        self.client.transition_model_version_stage(self.name, str(version), stage, archive_others)

    def names(self, version: int, alias: str = "champion") -> None:
        """The alias is moved to a version."""
        self.client.set_registered_model_alias(self.name, alias, str(version))

    def deletes(self, version: int) -> None:
        """The version is there no more."""
        self.client.delete_model_version(self.name, str(version))

    def says(self, version: int, of: str = "test") -> Said:
        """What is to be read of a version, with what the cluster of that name has written."""
        found = self.client.get_model_version(self.name, str(version))
        tags = {key: found.tags.get(f"slipway.dev/{of}/ml/{key}", "") for key in ("state", "reason")}
        ours = [one for one in (found.description or "").split("\n") if one.startswith(f"**Slipway {of}/ml:**")]
        return Said(found.current_stage, tuple(found.aliases), tags["state"], tags["reason"], "\n".join(ours))

    def keeps_report(self, version: int) -> bool:
        """Whether the link in our line leads to a file of the run that made the version."""
        run = self.client.get_model_version(self.name, str(version)).run_id
        link = self.says(version).line.partition(f"[Report](#/experiments/0/runs/{run}/artifacts/")[2].removesuffix(")")
        return link in {one.path for one in self.client.list_artifacts(run, link.rpartition("/")[0])}

    def labels(self, *versions: int, of: str = "test") -> list[tuple[str, tuple[str, ...], str]]:
        """Stage, aliases and state of several."""
        return [self.says(version, of).labels for version in versions]


class LiveWorld(Nodes):
    """An operator and its cluster: the model `flights` in `ml`, of a registered model in MLflow."""

    def __init__(self, uri: str, name: str, cluster_name: str = "test") -> None:
        self.loop = Hours()
        super().__init__(lambda: self.now)
        self.uri, self.name = uri, name
        self.platform = PLATFORM.model_copy(update={"cluster_name": cluster_name})
        self.routes: list[str] = []  # whom the Service has selected, one after the other
        self.wires: list[tuple[Callable[[Kind, Object], bool], Callable[[], None]]] = []
        self._generation = 0
        self.connects()
        self.start()

    @property
    def now(self) -> datetime:
        return (NOW + timedelta(seconds=self.loop.time())).replace(microsecond=0)

    def connects(self, mlflow: Mapping[str, Any] | None = None, **spec: Any) -> None:
        """The ModelRegistry is this: with `mlflow` how the server is reached."""
        self._generation += 1
        backend = {"mlflow": {"uri": self.uri, **(mlflow or {})}}
        meta = {"name": "mlflow", "namespace": "ml", "generation": self._generation}
        spec = {"backend": backend, "sync": {"interval": f"{INTERVAL_SECONDS:.0f}s"}, **spec}
        api = "slipway.dev/v1alpha1"
        self.cluster.put({"apiVersion": api, "kind": "ModelRegistry", "metadata": meta, "spec": spec})

    def declares(self, **spec: Any) -> None:
        """The RegisteredModel is this, and the operator has had a moment for it."""
        self.cluster.put(model(**{"validation": GATED, "source": {"name": self.name}, **spec}))
        self.passes(SWEPT_SECONDS)

    def declares_version(self, number: int, stage: Stage = "Production") -> None:
        """A ModelVersion is applied, or edited, and the operator has had a moment for it."""
        spec = {"model": "flights", "version": number, "stage": stage}
        meta = {"name": f"flights-v{number}", "namespace": "ml", "creationTimestamp": "2026-03-06T16:00:00Z"}
        api = "slipway.dev/v1alpha1"
        self.cluster.put({"apiVersion": api, "kind": "ModelVersion", "metadata": meta, "spec": spec})
        self.passes(SWEPT_SECONDS)

    def keeps_secret(self, name: str, **data: str) -> None:
        """A Secret beside the ModelRegistry, which may name it."""
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        meta = {"name": name, "namespace": "ml", "labels": {names.REGISTRY_SECRET: ""}}
        self.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": coded})

    def keeps_bundle(self, name: str, certificates: str) -> None:
        """A ConfigMap with authorities, likewise."""
        meta = {"name": name, "namespace": "ml"}
        self.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": certificates}})

    def start(self) -> None:
        """An operator that remembers nothing lists the cluster and begins."""
        self._stop = asyncio.Event()
        running = self._wired()
        self.cluster.hears = [self._hear]
        for kind in WATCHED:
            for found in self.cluster.of(kind):
                self.cache.put(kind, found)
        self._running = [self.loop.create_task(one) for one in (*running, self._works())]

    def restarts(self, freeze: str = "") -> None:
        """Another operator takes over, with another setting it may be."""
        self.stop()
        self.platform = self.platform.model_copy(update={"freeze": freeze})
        self.start()

    def _wired(self) -> list[Any]:
        clock, cluster, self.cache = self.loop.time, cast(Any, self.cluster), Cache()
        telemetry, refusals = Telemetry(), Refusals(clock)
        queue: Queue[Key] = Queue(clock, usual_at_once=3)
        registries = self.registries = Registries(cluster, self.cache, self.platform, self._client, clock)
        self.sweeper = sweeper = Sweeper(self.cache, registries, queue.wake, telemetry, clock, lambda: self.now)
        labeller = Labeller(sweeper, registries, queue.wake, telemetry, clock)
        resolver, keeper = Resolver(registries, queue.wake, clock), Keeper(registries, clock)
        sweeper.listen(resolver.again)
        outside = Outside(registries, sweeper, labeller, resolver)
        slots = Slots(
            queues_of(self.platform), self.platform.validations.max_concurrent, lambda: running_in(self.cache)
        )
        reconciler = Reconciler(
            self.cache,
            Observer(cluster, self.cache, outside, refusals, self.platform, lambda: self.now),
            Applier(cluster, self.cache, refusals, telemetry),
            refusals,
            slots,
            Hands(labeller.want, keeper.keep, queue.wake, labeller.forget),
            sweeper.registry,
            telemetry,
            Pace(clock),
        )
        self._watch = Watch(cluster, self.cache, Wakes(queue.wake, registries.place), telemetry)
        passes = Loop(queue, reconciler, telemetry).run(4, self._stop)
        return [passes, *(one.run(self._stop) for one in (sweeper, labeller, resolver, keeper))]

    def _client(self, connection: Connection) -> Any:
        return Counted(MLflowRegistry(connection, patience=PATIENT), self.loop.alarms)

    def _hear(self, kind: Kind, event: str, found: Object) -> None:
        if kind in WATCHED:
            self.loop.call_soon(self._watch.saw, kind, event, found)
        if kind.kind == "Service" and (to := routed(found)) != (self.routes or [""])[-1]:
            self.routes.append(to)
        for trips, then in list(self.wires):
            if event != "DELETED" and trips(kind, found):
                self.wires.remove((trips, then))
                then()

    async def _works(self) -> None:
        """Nodes and controllers, once a second."""
        while not self._stop.is_set():
            while self.work():
                pass
            await asyncio.sleep(1)

    def passes(self, seconds: float = SWEPT_SECONDS) -> None:
        """Time goes by."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def stop(self) -> None:
        """The operator ends, and lets go of what it holds."""
        self._stop.set()
        ended = asyncio.gather(*self._running, return_exceptions=True)
        found = self.loop.run_until_complete(ended)
        self.loop.run_until_complete(self.registries.close())
        assert not [one for one in found if isinstance(one, Exception)], found

    def close(self) -> None:
        """It is over."""
        self.stop()
        self.loop.close()

    def reason(self, number: int, of: str = "Ready") -> str:
        """The reason of a version's condition."""
        return str(self.condition("ModelVersion", f"flights-v{number}", of).get("reason"))

    def versions(self) -> list[int]:
        """Those of which there is a ModelVersion."""
        return sorted(int(name.rpartition("-v")[2]) for kind, _, name in self.cluster.objects if kind == "ModelVersion")
