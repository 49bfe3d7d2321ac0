"""Everything that runs during a measurement at scale, and who talks to it."""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway import settings

from bench import population
from bench.api import SLIPWAY, Api, connected
from bench.population import Place
from bench.proven import Past
from bench.simulation import REGISTRY, SYSTEM, Simulation, build
from dev.demo.console import Console
from tests.integration.control_plane import Operator
from tests.mlflow_server import MLflowServer, start_mlflow


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything."""

    models: int = 1000
    versions: int = 10
    fresh: int = 300
    rounds: int = 5
    rest_minutes: float = 5.0

    @property
    def registered(self) -> int:
        """Models in the registry at the end, those of earlier measurements too."""
        return self.models + self.fresh * (self.rounds + 1)


@dataclass(frozen=True)
class World:
    """A cluster, a registry, an operator that can be started, and a person."""

    simulation: Simulation
    mlflow: MLflowServer
    operator: Operator
    person: Api
    account: Api
    past: Past
    sizes: Sizes
    console: Console

    def place(self, name: str) -> Place:
        """A namespace for models."""
        self.simulation.apply(population.namespace(name))
        return Place(name, self.person, self.account)


@contextmanager
def programs(folder: Path, logs: Path) -> Iterator[tuple[Simulation, MLflowServer]]:
    """The control plane and MLflow, for as long as the block lasts; where it breaks, what they said is kept."""
    simulation, server = Simulation(build(), folder), None
    try:
        simulation.start()
        server = start_mlflow(folder / "mlflow")
        yield simulation, server
    except BaseException:
        logs.mkdir(parents=True, exist_ok=True)
        for log in (*folder.glob("*.log"), *folder.glob("mlflow/*.log")):
            shutil.copy(log, logs / log.name)
        print(f"\nlogs: {logs}", flush=True)
        raise
    finally:
        if server is not None:
            server.stop()
        simulation.stop()


@asynccontextmanager
async def world(
    simulation: Simulation,
    mlflow: MLflowServer,
    sizes: Sizes,
    console: Console,
    environment: Mapping[str, str] | None = None,
    **values: str,
) -> AsyncIterator[World]:
    """The chart is installed with more values, but for the operator's pod; the registry is known."""
    names = {"defaultRegistry_name": REGISTRY, "defaultRegistry_namespace": SYSTEM, "registries_namespaces[0]": SYSTEM}
    # Twice as often as by default: a complete list falls into the time of rest.
    config = simulation.install(clusterName="bench", relistInterval="5m", **names, **values)
    simulation.apply(population.registry(mlflow.uri))
    token = simulation.token()
    kubeconfig = simulation.folder / "operator.kubeconfig"
    kubeconfig.write_text(simulation.config(token))
    operator = Operator(simulation.folder, kubeconfig, config, **(environment or {}))
    platform = settings.load({"SLIPWAY_CONFIG": str(simulation.folder / "config.yaml"), "SLIPWAY_NAMESPACE": SYSTEM})
    async with connected(simulation.url, simulation.admin) as person, connected(simulation.url, token) as account:
        resource = await person.get(f"{SLIPWAY}/namespaces/{SYSTEM}/modelregistries/{REGISTRY}")
        past = Past(platform, resource)
        yield World(simulation, mlflow, operator, person, account, past, sizes, console)
