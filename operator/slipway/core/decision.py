"""A Decision: everything that one pass wants to be true. Carried out in the order of its fields, status last."""

from dataclasses import dataclass
from typing import Any, Literal

from ..resources.platform import Manifest
from .registry import Write


@dataclass(frozen=True)
class Ref:
    """One object in the cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Scale:
    """Give a Deployment so many replicas."""

    deployment: Ref
    replicas: int


@dataclass(frozen=True)
class Retire:
    """Delete an object. Nothing is ever deleted by being left out."""

    what: Ref
    because: str


@dataclass(frozen=True)
class Document:
    """A document to keep in the registry, among the artifacts of a run."""

    run_id: str
    path: str
    content: bytes


@dataclass(frozen=True)
class Event:
    """Something to tell people, once the status says so too."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    about: str = ""  # the condition that changed


@dataclass(frozen=True)
class Decision:
    """What one pass wants to be true."""

    ensure: tuple[Manifest, ...] = ()
    scale: tuple[Scale, ...] = ()
    retire: tuple[Retire, ...] = ()
    labels: tuple[Write, ...] = ()
    documents: tuple[Document, ...] = ()
    status: dict[str, Any] | None = None  # the whole status, as Kubernetes spells it
    events: tuple[Event, ...] = ()
    requeue_after_seconds: float | None = None  # None: nothing happens until something wakes the key
    settled: bool = True  # False: once this is carried out, another look will want more
