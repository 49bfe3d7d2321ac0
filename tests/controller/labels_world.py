"""A model that follows its labels in MLflow, and what somebody does to them there."""

from typing import Any

from slipway.adapters.cluster import VERSION

from tests.declared import GATED, model
from tests.simulation import Simulation

MOMENT_SECONDS = 11.0


def by_registry(*, bad: set[int] | None = None, **promotion: Any) -> Simulation:
    """A model that follows the registry, of which no version was declared."""
    of = Simulation()
    of.bad = bad or set()
    of.cluster.put(model(validation=GATED, promotion={"source": "Registry", **promotion}))
    of.settle()
    of.advance(MOMENT_SECONDS)
    return of


def moved(of: Simulation, version: int, stage: str = "", alias: str = "", archive_others: bool = False) -> None:
    """Somebody moves labels in MLflow, and a sweep sees it."""
    if stage:
        of.registry.put(version, stage, archive_others)
    if alias:
        of.registry.name(version, alias)
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)


def released(of: Simulation, version: int) -> str:
    return str(of.condition("ModelVersion", f"flights-v{version}", "Released").get("reason"))


def declared(of: Simulation) -> list[str]:
    return sorted(found["metadata"]["name"] for found in of.cluster.of(VERSION))
