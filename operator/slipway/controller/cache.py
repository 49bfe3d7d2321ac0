"""What the operator last saw of the cluster, by model: watches, lists and its own writes feed it.

An older resource version never replaces a newer one (they compare as integers, KEP-5504), so a pass always sees the
writes of the pass before it; an object that was deleted does not come back by an event that was late. Every change
of the cache notifies the listener.

Versions are many and mostly at rest: each is kept compressed, and unpacked for who asks. Nobody changes what is
given out.
"""

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import ValidationError

from ..adapters.cluster import LEDGER, MODEL, REGISTRY, VERSION, Kind, Object
from ..api.modelledger import ModelLedger
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from .identity import Family, Place, family_of, place_of, uid_of, version_of
from .kinds import table
from .queue import Key
from .wakes import DRIFTED, Change

Value = RegisteredModel | ModelVersion | ModelLedger | ModelRegistry
_TYPES: dict[Kind, type[Value]] = {
    MODEL: RegisteredModel, VERSION: ModelVersion, LEDGER: ModelLedger, REGISTRY: ModelRegistry
}  # fmt: skip
GRAVES = 4096
VALUES = 300  # parsed objects that are remembered, some 20 KB each, beside the versions of the largest model


@dataclass(frozen=True)
class Unreadable:
    """An object that cannot be parsed, such as one that was stored before a rule of its CRD was there."""

    kind: Kind
    name: str
    why: str
    rest: RegisteredModel | None = None  # a model, without what cannot be read of its spec


class Brief(NamedTuple):
    """What is asked of all versions at once."""

    namespace: str
    name: str
    model: str
    ready: tuple[str, str]  # status and reason of its Ready condition; empty before anything was said
    stalled: bool
    holds: frozenset[str]  # types of the conditions that are True
    drifted: bool = False  # its labels in the registry were moved by hand


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One object, as it is kept."""

    uid: str
    version: int
    family: Family | None
    whole: Object | None
    packed: bytes = b""
    brief: Brief | None = None

    @property
    def found(self) -> Object:
        if self.whole is not None:
            return self.whole
        unpacked: Object = msgspec.json.decode(zlib.decompress(self.packed))
        return unpacked


class Cache:
    """Objects by kind and place, and the families of models that they belong to."""

    def __init__(self) -> None:
        self._listener: Callable[[Change], None] = lambda _change: None
        self._slim = {row.kind: row.slim for row in table()}
        self._objects: dict[Kind, dict[Place, _Entry]] = {}
        self._families: dict[Family, dict[Kind, dict[Place, _Entry]]] = {}
        self._graves: OrderedDict[str, int] = OrderedDict()  # uid → its last version
        self._values: OrderedDict[_Entry, Value | Unreadable] = OrderedDict()  # used last comes last
        self._room = VALUES

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call this with every object that changed, came or went."""
        self._listener = listener

    def put(self, kind: Kind, found: Mapping[str, Any], by: Key | None = None) -> bool:
        """Remember the object; False if something as new is known, or that it is gone. `by` told it so."""
        if self._is_late(found) or not self.lacks(kind, found):
            return False
        place, slim = place_of(found), self._slim[kind](found)
        before = self._objects.get(kind, {}).get(place)
        was = before.found if before is not None else None
        if before is not None:
            self._forget(kind, place, before)
        entry = _entry(kind, slim)
        self._objects.setdefault(kind, {})[place] = entry
        if entry.family is not None:
            self._families.setdefault(entry.family, {}).setdefault(kind, {})[place] = entry
        self._listener(Change(kind, was, slim, by))
        return True

    def remove(self, kind: Kind, namespace: str, name: str, uid: str = "", version: int = 0) -> bool:
        """Forget the object; True if it was known (and is the one with that uid, where one is given)."""
        place = (namespace, name)
        before = self._objects.get(kind, {}).get(place)
        if before is None or (uid and before.uid != uid):
            return False
        self._forget(kind, place, before)
        self._graves[before.uid] = max(version, before.version)
        while len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
        self._listener(Change(kind, before.found, None))
        return True

    def lacks(self, kind: Kind, found: Mapping[str, Any]) -> bool:
        """Whether the object tells something newer than what is known. Any thread may ask: it is a hint there."""
        known = self._objects.get(kind, {}).get(place_of(found))
        return known is None or known.version < version_of(found)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, if it is known."""
        known = self._objects.get(kind, {}).get((namespace, name))
        return known.found if known is not None else None

    def all(self, kind: Kind) -> Iterator[Object]:
        """Every object of a kind. Of versions there may be many: `briefs` is a hundred times cheaper."""
        return (known.found for known in list(self._objects.get(kind, {}).values()))

    def uids(self, kind: Kind) -> dict[Place, str]:
        """Which objects of a kind are known."""
        return {place: known.uid for place, known in self._objects.get(kind, {}).items()}

    def family(self, namespace: str, model: str, kind: Kind) -> list[Object]:
        """The objects of a kind that belong to a model, by name."""
        return [known.found for known in self._family(namespace, model, kind)]

    def value(self, kind: Kind, namespace: str, name: str) -> Value | Unreadable | None:
        """The object as a value, parsed once per change."""
        known = self._objects.get(kind, {}).get((namespace, name))
        return None if known is None else self._parsed(kind, known)

    def values(self, namespace: str, model: str, kind: Kind) -> list[Value | Unreadable]:
        """The values of a kind that belong to a model, by name."""
        family = self._family(namespace, model, kind)
        self._room = max(self._room, VALUES + len(family))
        return [self._parsed(kind, known) for known in family]

    def names(self, namespace: str, model: str, kind: Kind) -> list[str]:
        """Names of the objects of a kind that belong to a model."""
        return [name for _, name in self._families.get((namespace, model), {}).get(kind, {})]

    def briefs(self) -> Iterator[Brief]:
        """What can be said of every version without unpacking it."""
        there = list(self._objects.get(VERSION, {}).values())
        return (known.brief for known in there if known.brief is not None)

    def _family(self, namespace: str, model: str, kind: Kind) -> list[_Entry]:
        found = self._families.get((namespace, model), {}).get(kind, {})
        return [found[place] for place in sorted(found)]

    def _parsed(self, kind: Kind, known: _Entry) -> Value | Unreadable:
        value = self._values.get(known)
        if value is None:
            value = self._values[known] = _parse(kind, known.found)
            while len(self._values) > self._room:
                self._values.popitem(last=False)
        else:
            self._values.move_to_end(known)
        return value

    def _is_late(self, found: Mapping[str, Any]) -> bool:
        """Whether it tells of an object that is known to be gone. One that lost its label and got it back is not late:
        a watch by label calls that a deletion, and the object lives on with newer versions."""
        grave = self._graves.get(uid_of(found))
        if grave is None:
            return False
        return version_of(found) <= grave or bool(found["metadata"].get("deletionTimestamp"))

    def _forget(self, kind: Kind, place: Place, known: _Entry) -> None:
        del self._objects[kind][place]
        self._values.pop(known, None)
        if known.family is not None:
            kinds = self._families[known.family]
            del kinds[kind][place]
            if not kinds[kind]:
                del kinds[kind]
            if not kinds:
                del self._families[known.family]


def _entry(kind: Kind, slim: Object) -> _Entry:
    uid, version, family = uid_of(slim), version_of(slim), family_of(kind, slim)
    if kind is not VERSION:
        return _Entry(uid, version, family, slim)
    packed = zlib.compress(msgspec.json.encode(slim), 1)
    return _Entry(uid, version, family, None, packed, _brief(slim))


def _brief(found: Object) -> Brief:
    said = {str(one.get("type")): one for one in (found.get("status") or {}).get("conditions") or ()}
    holds = frozenset(name for name, one in said.items() if one.get("status") == "True")
    ready = said.get("Ready", {})
    _, model = family_of(VERSION, found) or ("", "")
    drifted = said.get("Synced", {}).get("reason") == DRIFTED
    state = (ready.get("status", ""), ready.get("reason", ""))
    return Brief(*place_of(found), model, state, "Stalled" in holds, holds, drifted)


def _parse(kind: Kind, found: Object) -> Value | Unreadable:
    """The value. What cannot be read of a status is lost: nobody but the operator could mend it."""
    try:
        return _TYPES[kind].model_validate(found)
    except ValidationError as error:
        parts = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        if parts == {"status"}:
            return _parse(kind, found | {"status": readable(kind, "status", found.get("status"))})
        wrong = "; ".join(f"{'.'.join(str(p) for p in one['loc'])}: {one['msg']}" for one in error.errors()[:5])
        rest = None
        if kind is MODEL and parts <= {"spec", "status"}:
            rest = RegisteredModel.model_validate(
                found | {part: readable(kind, part, found.get(part)) for part in ("spec", "status")}
            )
        return Unreadable(kind, found["metadata"]["name"], wrong, rest)


def readable(kind: Kind, part: Literal["spec", "status"], value: Any) -> dict[str, Any]:
    """What can be read of an object's spec or status."""
    kept = dict(value) if isinstance(value, Mapping) else {}
    of: Any = _TYPES[kind].model_fields[part].annotation
    while kept:
        try:
            of.model_validate(kept)
        except ValidationError as error:
            wrong = {str(one["loc"][0]) for one in error.errors() if one["loc"]} & kept.keys()
            kept = {key: value for key, value in kept.items() if key not in wrong} if wrong else {}
        else:
            break
    return kept
