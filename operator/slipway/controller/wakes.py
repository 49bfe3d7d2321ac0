"""Which keys an object's change concerns, and how urgently: a function per kind, over slim objects.

A change that no decision reads wakes nobody, so that what the operator says itself does not keep it busy. Which
versions would say something else now, a pass over their model finds out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..adapters.cluster import LEDGER, MODEL, REGISTRY, VERSION, Kind, Object
from ..api import names
from ..resources import naming
from .identity import Family, Place, family_of, place_of, registered_name, section
from .queue import Key, Lane

Woken = Iterable[tuple[Key, Lane]]
COMMANDS = (names.ROLLBACK, names.RESUME, names.REFRESH)
DRIFTED = "RegistryDrifted"  # the reason of Synced that a registry counts
# What says when and in which words, wherever it stands in a status.
_WORDS = {"message", "lastTransitionTime", "startedAt", "finishedAt"}


class Change(NamedTuple):
    """What became of an object."""

    kind: Kind
    before: Object | None  # None: it was not known
    after: Object | None  # None: it is gone
    by: Key | None = None  # whose pass wrote this status; None if it is not known to be the operator's own doing

    @property
    def found(self) -> Object:
        """The object as it was last seen."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found

    def differs(self, of: Callable[[Object], Any]) -> bool:
        """Whether something about the object is not what it was; so it is when the object came or went."""
        return self.before is None or self.after is None or of(self.before) != of(self.after)

    def edited(self, of: Callable[[Object], Any]) -> bool:
        """Whether something about the object was changed while it was there."""
        return self.before is not None and self.after is not None and of(self.before) != of(self.after)

    def lost(self, of: Callable[[Object], set[str]]) -> bool:
        """Whether something is missing that the object had."""
        return self.before is not None and self.after is not None and bool(of(self.before) - of(self.after))


class Known(Protocol):
    """What is known of the cluster."""

    def all(self, kind: Kind) -> Iterator[Object]:
        """Every object of a kind."""
        ...

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, if it is there."""
        ...

    def names(self, namespace: str, model: str, kind: Kind) -> list[str]:
        """Names of the objects of a kind that belong to a model."""
        ...


@dataclass(frozen=True)
class Around:
    """Where a function finds others that a change concerns."""

    known: Known
    uses: Callable[[Object], Place | None]  # the ModelRegistry of a RegisteredModel


def registry(change: Change, around: Around) -> Woken:
    """Its own key; with another spec, whoever uses it."""
    place = place_of(change.found)
    if change.differs(_asked) or change.lost(_conditions):
        yield Key("registry", *place), Lane.USUAL
    if change.differs(_spec):
        yield from _models(around, lambda model: around.uses(model) == place)


def namespace(change: Change, around: Around) -> Woken:
    """The models in it, and who would make some: its labels say what they may use, and whether the operator acts."""
    if change.differs(lambda one: one["metadata"].get("labels")):
        name = change.found["metadata"]["name"]
        for one in around.known.all(REGISTRY):
            if section(one, "spec", "discovery").get("namespace") == name:
                yield Key("registry", *place_of(one)), Lane.USUAL
        yield from _models(around, lambda model: place_of(model)[0] == name)


def model(change: Change, around: Around) -> Woken:
    """Its own key, and its versions and the discovery of its registry if somebody edited it.

    Of its status, only that it was lost counts.
    """
    place = place_of(change.found)
    if change.differs(_asked):
        asked = Lane.URGENT if change.edited(_spec) else Lane.USUAL
        yield Key("model", *place), Lane.COMMAND if change.edited(_commands) else asked
        yield from _versions(around, place)
        if change.before is not None and change.differs(_shares):
            yield from _sharing(around, change.before)
        yield from _discovery(change, around)
    elif change.lost(_conditions):
        yield Key("model", *place), Lane.USUAL


def version(change: Change, around: Around) -> Woken:
    """Its own key and its model's; a status that says the same in other words wakes nobody. Registries count drift.

    Once nobody asks anything of it, another model of the same registered model may tell of its number.
    """
    if _drifted(change.before) != _drifted(change.after) and (registry := _registry_of(change, around)):
        yield Key("registry", *registry), Lane.USUAL
    if not (change.differs(_asked) or change.differs(_facts)):
        return
    if change.before is not None and _in_use(change.before) and not _in_use(change.after):
        yield from _sharing(around, _model_of(change, around))
    asked = Lane.URGENT if change.edited(_stage) else Lane.USUAL
    lane = Lane.COMMAND if change.edited(_retry) else asked
    yield Key("version", *place_of(change.found)), lane
    yield from _model(change, around, lane)


def ledger(change: Change, around: Around) -> Woken:
    """Its model: pods and route follow."""
    if change.differs(_spec):
        yield from _model(change, around, Lane.USUAL if change.before is None else Lane.URGENT)


def work(change: Change, around: Around) -> Woken:
    """The version that a Job works for."""
    if change.differs(_essence):
        yield from _version(change)


def pod(change: Change, around: Around) -> Woken:
    """The version that is told of it, and the model that it serves; whether it answers, its Deployment tells."""
    if not change.differs(_essence):
        return
    yield from _version(change)
    if names.TRACK in (change.found["metadata"].get("labels") or {}):
        yield from _model(change, around, Lane.USUAL)


def serving(change: Change, around: Around) -> Woken:
    """The model, and the version that is told of it; urgent where traffic could go elsewhere than before."""
    if change.differs(_essence):
        moves = change.before is not None and change.differs(_moves_traffic)
        yield from _model(change, around, Lane.URGENT if moves else Lane.USUAL)
        yield from _version(change)


def part(change: Change, around: Around) -> Woken:
    """The model that it belongs to."""
    if change.differs(_essence):
        yield from _model(change, around, Lane.USUAL)


def _models(around: Around, chosen: Callable[[Object], bool]) -> Woken:
    """Models and their versions."""
    for one in around.known.all(MODEL):
        if chosen(one):
            place = place_of(one)
            yield Key("model", *place), Lane.USUAL
            yield from _versions(around, place)


def _discovery(change: Change, around: Around) -> Woken:
    """The registries that make models: of what a model is or was about, or where it is."""
    about = {around.uses(one) for one in (change.before, change.after) if one is not None}
    here = place_of(change.found)[0]
    for one in around.known.all(REGISTRY):
        discovery, place = section(one, "spec", "discovery"), place_of(one)
        if discovery and (place in about or discovery.get("namespace") == here):
            yield Key("registry", *place), Lane.USUAL


def _sharing(around: Around, found: Object | None) -> Woken:
    """The models of the same registered model: one of them sets its labels, and one tells of each version."""
    if found is None:
        return
    name, place = registered_name(found), around.uses(found)
    for one in around.known.all(MODEL):
        if registered_name(one) == name and around.uses(one) == place:
            yield Key("model", *place_of(one)), Lane.USUAL


def _versions(around: Around, family: Family) -> Woken:
    for name in around.known.names(*family, VERSION):
        yield Key("version", family[0], name), Lane.USUAL


def _model(change: Change, around: Around, lane: Lane) -> Woken:
    """The model that an object belongs to; while a person waits for a rollback, whatever concerns it comes first."""
    family = family_of(change.kind, change.found)
    if family is not None:
        yield Key("model", *family), Lane.COMMAND if _is_waited_for(around, family) else lane


def _registry_of(change: Change, around: Around) -> Place | None:
    model = _model_of(change, around)
    return around.uses(model) if model is not None else None


def _model_of(change: Change, around: Around) -> Object | None:
    family = family_of(change.kind, change.found)
    return around.known.get(MODEL, *family) if family is not None else None


def _is_waited_for(around: Around, family: Family) -> bool:
    model, ledger = around.known.get(MODEL, *family), around.known.get(LEDGER, *family)
    asked = ((model or {}).get("metadata", {}).get("annotations") or {}).get(names.ROLLBACK, "")
    spec = section(ledger, "spec")
    if not asked or not spec.get("since"):  # nothing was released yet: there is nothing to go back from
        return False
    return bool(naming.short_hash(asked) != section(spec, "handled").get("rollback", ""))


def _version(change: Change) -> Woken:
    """The version that an object's labels name."""
    family = family_of(change.kind, change.found)
    number = naming.number((change.found["metadata"].get("labels") or {}).get(names.MODEL_VERSION))
    if family is not None and number is not None:
        yield Key("version", family[0], naming.version(family[1], number)), Lane.USUAL


def _spec(found: Object) -> Any:
    return found["metadata"].get("uid"), found["metadata"].get("deletionTimestamp"), found.get("spec")


def _asked(found: Object) -> Any:
    return _spec(found), found["metadata"].get("annotations")


def _shares(found: Object) -> Any:
    ended = found["metadata"].get("deletionTimestamp")
    return ended, section(found, "spec", "promotion").get("source"), section(found, "spec", "source")


def _commands(found: Object) -> Any:
    annotations = found["metadata"].get("annotations") or {}
    return [annotations.get(one) for one in COMMANDS]


def _in_use(found: Object | None) -> bool:
    """Whether something is asked of a version."""
    return any(section(found, part).get("stage") not in (None, "None") for part in ("spec", "status"))


def _stage(found: Object) -> Any:
    return (found.get("spec") or {}).get("stage")


def _retry(found: Object) -> Any:
    return (found["metadata"].get("annotations") or {}).get(names.RETRY)


def _conditions(found: Object) -> set[str]:
    """The conditions that an object has, whatever they say."""
    return {str(one.get("type")) for one in (found.get("status") or {}).get("conditions") or ()}


def _drifted(found: Object | None) -> bool:
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any((one.get("type"), one.get("reason")) == ("Synced", DRIFTED) for one in conditions)


def _facts(found: Object) -> Any:
    return _without_words(found.get("status") or {})


def _without_words(value: Any) -> Any:
    if isinstance(value, str):  # most are: the check for a Mapping takes ten times as long
        return value
    if isinstance(value, Mapping):
        return {key: _without_words(one) for key, one in value.items() if key not in _WORDS}
    if isinstance(value, list):
        return [_without_words(one) for one in value]
    return value


def _essence(found: Object) -> Any:
    """Everything but the resource version, which changes with what was not kept too."""
    meta = {key: value for key, value in found["metadata"].items() if key != "resourceVersion"}
    return {**found, "metadata": meta}


def _moves_traffic(found: Object) -> Any:
    """What decides where traffic can go: whom a Service selects, how many pods of a Deployment answer."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    return status.get("readyReplicas"), status.get("availableReplicas"), spec.get("replicas"), spec.get("selector")
