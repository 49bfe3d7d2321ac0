"""What the operator last saw of the cluster, by model: watches, lists and its own writes feed it.

An older resource version never replaces a newer one (they compare as integers, KEP-5504), so a pass always sees the
writes of the pass before it; an object that was deleted does not come back by an event that was late. Every change
of the cache notifies the listener.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..adapters.cluster import LEDGER, MODEL, REGISTRY, VERSION, Kind, Object
from ..api import names
from ..api.modelledger import ModelLedger
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel

Value = RegisteredModel | ModelVersion | ModelLedger | ModelRegistry
_TYPES: dict[Kind, type[Value]] = {
    MODEL: RegisteredModel, VERSION: ModelVersion, LEDGER: ModelLedger, REGISTRY: ModelRegistry
}  # fmt: skip
Place = tuple[str, str]  # namespace, name
Family = tuple[str, str]  # namespace of the model, name of the model
GRAVES = 4096


@dataclass(frozen=True)
class Unreadable:
    """An object that cannot be parsed, such as one that was stored before a rule of its CRD was there."""

    name: str
    why: str


class Cache:
    """Objects by kind and place, and the families of models that they belong to."""

    def __init__(self) -> None:
        self._listener: Callable[[Kind, Object], None] = lambda _kind, _found: None
        self._objects: dict[str, dict[Place, Object]] = {}
        self._families: dict[Family, dict[str, dict[Place, Object]]] = {}
        self._graves: OrderedDict[str, int] = OrderedDict()  # uid → its last version
        self._values: dict[tuple[str, str, str], tuple[str, Value | Unreadable]] = {}

    def listen(self, listener: Callable[[Kind, Object], None]) -> None:
        """Call this with every object that changed, came or went."""
        self._listener = listener

    def put(self, kind: Kind, found: Mapping[str, Any]) -> bool:
        """Remember the object; False if something as new is known, or that it is gone."""
        meta = found["metadata"]
        place = (meta.get("namespace", ""), meta["name"])
        if self._is_late(found):
            return False
        before = self._objects.get(kind.kind, {}).get(place)
        if before is not None and version_of(before) >= version_of(found) and _uid(before) == _uid(found):
            return False
        if before is not None:
            self._forget(kind, place, before)
        slim = {**found, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}
        self._objects.setdefault(kind.kind, {})[place] = slim
        family = family_of(kind, slim)
        if family:
            self._families.setdefault(family, {}).setdefault(kind.kind, {})[place] = slim
        self._listener(kind, slim)
        return True

    def remove(self, kind: Kind, namespace: str, name: str, uid: str = "", version: int = 0) -> bool:
        """Forget the object; True if it was known (and is the one with that uid, where one is given)."""
        place = (namespace, name)
        before = self._objects.get(kind.kind, {}).get(place)
        if before is None or (uid and _uid(before) != uid):
            return False
        self._forget(kind, place, before)
        self._graves[_uid(before)] = max(version, version_of(before))
        while len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
        self._listener(kind, before)
        return True

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, if it is known."""
        return self._objects.get(kind.kind, {}).get((namespace, name))

    def all(self, kind: Kind) -> Iterator[Object]:
        """Every object of a kind."""
        return iter(list(self._objects.get(kind.kind, {}).values()))

    def family(self, namespace: str, model: str, kind: Kind) -> list[Object]:
        """The objects of a kind that belong to a model, by name."""
        found = self._families.get((namespace, model), {}).get(kind.kind, {})
        return [found[place] for place in sorted(found)]

    def value(self, kind: Kind, namespace: str, name: str) -> Value | Unreadable | None:
        """The object as a value, parsed once per change."""
        found = self.get(kind, namespace, name)
        return None if found is None else self._parsed(kind, found)

    def values(self, namespace: str, model: str, kind: Kind) -> list[Value | Unreadable]:
        """The values of a kind that belong to a model, by name."""
        return [self._parsed(kind, found) for found in self.family(namespace, model, kind)]

    def _parsed(self, kind: Kind, found: Object) -> Value | Unreadable:
        key = (kind.kind, found["metadata"].get("namespace", ""), found["metadata"]["name"])
        version, value = self._values.get(key, ("", None))
        if value is None or version != found["metadata"].get("resourceVersion"):
            value = _parse(kind, found)
            self._values[key] = (found["metadata"].get("resourceVersion", ""), value)
        return value

    def _is_late(self, found: Mapping[str, Any]) -> bool:
        """Whether it tells of an object that is known to be gone. One that lost its label and got it back is not late:
        a watch by label calls that a deletion, and the object lives on with newer versions."""
        grave = self._graves.get(_uid(found))
        if grave is None:
            return False
        return version_of(found) <= grave or bool(found["metadata"].get("deletionTimestamp"))

    def _forget(self, kind: Kind, place: Place, before: Object) -> None:
        del self._objects[kind.kind][place]
        family = family_of(kind, before)
        if family:
            kinds = self._families[family]
            del kinds[kind.kind][place]
            if not any(kinds.values()):
                del self._families[family]


def family_of(kind: Kind, found: Mapping[str, Any]) -> Family | None:
    """The model that an object belongs to."""
    meta = found["metadata"]
    namespace, labels = meta.get("namespace", ""), meta.get("labels") or {}
    if kind is REGISTRY:
        return None
    if kind in (MODEL, LEDGER):  # of the same name
        return namespace, meta["name"]
    if kind is VERSION:
        return namespace, found.get("spec", {}).get("model", "")
    model = labels.get(names.MODEL)
    return (labels.get(names.OWNER_NAMESPACE, namespace), model) if model else None


def version_of(found: Mapping[str, Any]) -> int:
    """The object's resource version as a number; 0 if it has none."""
    text = found["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0


def _uid(found: Mapping[str, Any]) -> str:
    return str(found["metadata"].get("uid", ""))


def _parse(kind: Kind, found: Object) -> Value | Unreadable:
    try:
        return _TYPES[kind].model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in one['loc'])}: {one['msg']}" for one in error.errors()[:5])
        return Unreadable(found["metadata"]["name"], wrong)
