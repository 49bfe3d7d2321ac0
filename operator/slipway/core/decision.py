"""A Decision: everything that one pass wants to be true. Acts are carried out in their order; the status follows."""

from collections.abc import Iterable
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

    @classmethod
    def of(cls, manifest: Manifest) -> "Ref":
        """The object that a manifest describes."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])


@dataclass(frozen=True)
class Refusal:
    """The API server understood what was asked, and refused it."""

    of: Ref
    reason: str  # of the catalogue
    message: str  # in the API server's own words


Rank = Literal["ledger", "route", "pods", "record", "retire"]
_ORDER: tuple[Rank, ...] = ("ledger", "route", "record", "pods", "retire")


@dataclass(frozen=True)
class Apply:
    """Make an object as the manifest says. `needs` names an object without which this one must not be made."""

    manifest: Manifest
    rank: Rank = "pods"
    needs: Ref | None = None


@dataclass(frozen=True)
class Delete:
    """Delete an object. Nothing is ever deleted by being left out."""

    what: Ref
    because: str
    rank: Rank = "retire"


@dataclass(frozen=True)
class Create:
    """Make an object where there is none. One that is there, whoever made it, is left as it is."""

    manifest: Manifest
    rank: Rank = "pods"
    needs: Ref | None = None


Act = Apply | Create | Delete


def in_order(acts: Iterable[Act]) -> tuple[Act, ...]:
    """What serves first: the ledger and the route, then records and pods, then what nobody needs any more."""
    return tuple(sorted(acts, key=lambda one: _ORDER.index(one.rank)))


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

    acts: tuple[Act, ...] = ()
    labels: tuple[Write, ...] = ()
    documents: tuple[Document, ...] = ()
    status: dict[str, Any] | None = None  # the whole status, as Kubernetes spells it
    events: tuple[Event, ...] = ()
    wake: tuple[str, ...] = ()  # ModelVersions whose conditions are not what they would say now
    queues: tuple[str, ...] = ()  # in which a version waits for its turn, or has it
    requeue_after_seconds: float | None = None  # None: nothing happens until something wakes the key
