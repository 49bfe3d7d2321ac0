"""The kinds that are watched, one row each: what is kept of an object, and whom a change of it wakes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..adapters.cluster import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    LEDGER,
    MODEL,
    NAMESPACE,
    POD,
    RECORD,
    REGISTRY,
    SERVICE,
    VERSION,
    Kind,
    Object,
)
from . import slim, wakes
from .wakes import Around, Change, Woken


@dataclass(frozen=True)
class Watched:
    """One kind."""

    kind: Kind
    slim: Callable[[Mapping[str, Any]], Object]
    wakes: Callable[[Change, Around], Woken]
    optional: bool = False  # the operator works without it where the API server has no such kind, or does not show it
    beside: bool = False  # some of its objects lie in the operator's namespace
    clusterwide: bool = False  # its objects lie in no namespace


def table() -> tuple[Watched, ...]:
    """Every kind, in the order in which they are listed first."""
    return (
        Watched(NAMESPACE, slim.namespace, wakes.namespace, optional=True, clusterwide=True),
        Watched(REGISTRY, slim.custom, wakes.registry, beside=True),
        Watched(MODEL, slim.custom, wakes.model),
        Watched(LEDGER, slim.custom, wakes.ledger),
        Watched(VERSION, slim.custom, wakes.version),
        Watched(JOB, slim.job, wakes.work, beside=True),
        Watched(POD, slim.pod, wakes.pod, beside=True),
        Watched(DEPLOYMENT, slim.deployment, wakes.serving),
        Watched(SERVICE, slim.service, wakes.serving),
        Watched(RECORD, slim.Records(), wakes.part),
        Watched(BUDGET, slim.named, wakes.part, optional=True),
    )
