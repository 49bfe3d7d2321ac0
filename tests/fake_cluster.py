"""A cluster in memory that answers as the API server does, as far as the operator can tell.

It passes the contract tests of the real adapter (tests/adapters/test_cluster_contract.py). A test makes it refuse, lose
answers, and tell of changes; controllers and kubelets are the test's own.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slipway.adapters.cluster import _KINDS, FIELD_MANAGER, Kind, Object, kind_of
from slipway.adapters.errors import AdapterError, Conflict, NotFound, Unreachable

Place = tuple[str, str, str]  # kind, namespace, name
Refuses = Callable[[str, Mapping[str, Any]], AdapterError | None]  # of a verb and a manifest
Hears = Callable[[Kind, str, Object], None]  # ADDED, MODIFIED or DELETED
WITH_STATUS = {"ModelVersion", "RegisteredModel", "ModelRegistry", "Deployment", "Job", "Pod", "Service"}
NOW = "2026-03-06T17:00:00Z"


class FakeCluster:
    """Takes the place of `slipway.adapters.cluster.Cluster`."""

    def __init__(self, now: Callable[[], str] = lambda: NOW) -> None:
        self.objects: dict[Place, Object] = {}
        self.logs: dict[str, str] = {}  # by pod
        self.refuses: list[Refuses] = []
        self.hears: list[Hears] = []
        self.writes: list[tuple[str, str, str]] = []  # verb, kind, name
        self.losing = 0  # so many answers to writes get lost: they are done, and nobody is told
        self._now = now
        self._owned: dict[tuple[Place, str], Any] = {}  # what each subresource's applier asked for last
        self._version = 0

    async def close(self) -> None:
        """Nothing to give back."""

    async def every(self, kind: Kind, namespace: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind with the kind's labels."""
        return [copy.deepcopy(one) for one in self.of(kind) if namespace in ("", one["metadata"].get("namespace", ""))]

    def of(self, kind: Kind) -> Iterator[Object]:
        """The objects of a kind that its label selector chooses, as they are."""
        wanted = dict(pair.split("=") for pair in kind.selector.split(",") if pair)
        for place, found in sorted(self.objects.items()):
            labels = found["metadata"].get("labels") or {}
            if place[0] == kind.kind and all(labels.get(key) == value for key, value in wanted.items()):
                yield found

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object; NotFound if there is none."""
        return copy.deepcopy(self._find((kind.kind, namespace, name)))

    async def apply(self, manifest: Mapping[str, Any], sub: str = "") -> Object:
        """Server-side apply, by force: what the same applier asked for before and no longer does is gone."""
        place, wanted = _place(manifest), copy.deepcopy(dict(manifest))
        self._admit("apply", wanted)
        before = self.objects.get(place)
        if before is None and sub:
            raise NotFound(f"{place[0]} {place[2]} not found")
        meta = wanted["metadata"]
        if before is not None and meta.pop("resourceVersion", None) not in (
            None,
            before["metadata"]["resourceVersion"],
        ):
            raise Conflict("the object has been modified")
        if before is not None and meta.pop("uid", None) not in (None, before["metadata"]["uid"]):
            raise Conflict("the uid is another one's")
        asked = {"status": wanted.get("status", {})} if sub else {k: v for k, v in wanted.items() if k != "status"}
        after = copy.deepcopy(before) if before else _new(wanted)
        _drop(after, self._owned.get((place, sub), {}), asked)
        _merge(after, asked)
        self._owned[(place, sub)] = asked
        return self._store("apply", place, before, after)

    async def update(self, manifest: Mapping[str, Any]) -> Object:
        """The object replaced as a whole, if it still has the resource version that the manifest names."""
        place = _place(manifest)
        before = self._find(place)
        self._admit("update", manifest)
        if manifest["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        after = copy.deepcopy(dict(manifest))
        kept = {key: before["metadata"][key] for key in ("uid", "creationTimestamp", "generation")}
        after["metadata"] = {**after["metadata"], **kept}
        if "status" in before and place[0] in WITH_STATUS:
            after["status"] = before["status"]
        return self._store("update", place, before, after)

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """A new object; Conflict if there is one of that name."""
        made = copy.deepcopy(dict(manifest))
        meta = made["metadata"]
        if "name" not in meta:
            meta["name"] = f"{meta.pop('generateName')}{self._version}"
        place = _place(made)
        self._admit("create", made)
        if place in self.objects:
            raise Conflict(f"{place[0]} {place[2]} already exists")
        return self._store("create", place, None, _new(made) | made)

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """The object is gone, and whatever it owns; gone already is success."""
        place = (kind.kind, namespace, name)
        if place in self.objects:
            self._admit("delete", self.objects[place])
            self._remove(place)
            self._lose("delete", place)

    async def log(self, namespace: str, pod: str, container: str) -> str:
        """The log that a test has put there; "" if there is none."""
        return self.logs.get(pod, "")

    # What only a test does.

    def put(self, found: Object) -> Object:
        """An object as a controller, a kubelet or a person would leave it: nothing is checked."""
        place = _place(found)
        before = self.objects.get(place)
        after = copy.deepcopy(found) if before else _new(found) | copy.deepcopy(found)
        if before:
            after["metadata"] = {**before["metadata"], **after["metadata"]}
        return self._store("", place, before, after)

    def lose(self, kind: str, namespace: str, name: str) -> None:
        """Somebody deletes an object."""
        self._remove((kind, namespace, name))

    def _find(self, place: Place) -> Object:
        if place not in self.objects:
            raise NotFound(f'{place[0]} "{place[2]}" not found')
        return self.objects[place]

    def _admit(self, verb: str, manifest: Mapping[str, Any]) -> None:
        for refuses in self.refuses:
            if error := refuses(verb, manifest):
                raise error

    def _store(self, verb: str, place: Place, before: Object | None, after: Object) -> Object:
        if before is not None and _same(before, after):
            return copy.deepcopy(before)
        self._version += 1
        meta = dict(after["metadata"])
        if before is None:
            meta |= {"uid": f"uid-{self._version}", "generation": 1}
            meta.setdefault("creationTimestamp", self._now())
        elif _desired(before) != _desired(after):
            meta["generation"] = before["metadata"].get("generation", 1) + 1
        meta["resourceVersion"] = str(self._version)
        after["metadata"] = meta
        self.objects[place] = after
        self._tell(place, "ADDED" if before is None else "MODIFIED", after)
        if verb:
            self.writes.append((verb, place[0], place[2]))
            self._lose(verb, place)
        return copy.deepcopy(after)

    def _lose(self, verb: str, place: Place) -> None:
        if self.losing > 0:
            self.losing -= 1
            raise Unreachable(f"the answer to {verb} {place[2]} got lost")

    def _remove(self, place: Place) -> None:
        gone = self.objects.pop(place, None)
        if gone is None:
            return
        self._version += 1
        for key in [one for one in self._owned if one[0] == place]:
            del self._owned[key]
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self._version)}}
        self._tell(place, "DELETED", gone)
        uid = gone["metadata"]["uid"]
        for other, found in list(self.objects.items()):
            if any(one.get("uid") == uid for one in found["metadata"].get("ownerReferences") or []):
                self._remove(other)

    def _tell(self, place: Place, event: str, found: Object) -> None:
        kind = next((one for one in _KINDS.values() if one.kind == place[0]), None)
        if kind is None:
            return
        for hears in self.hears:
            hears(kind, event, copy.deepcopy(found))


def _place(manifest: Mapping[str, Any]) -> Place:
    meta = manifest["metadata"]
    return kind_of(manifest).kind, meta.get("namespace", ""), meta["name"]


def _new(wanted: Mapping[str, Any]) -> Object:
    found: Object = {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "metadata": {}}
    if wanted["kind"] == "Deployment":
        found["spec"] = {"replicas": 1}
    return found


def _desired(found: Object) -> Any:
    """What a generation counts: everything but metadata and status."""
    return {key: value for key, value in found.items() if key not in ("metadata", "status")}


def _same(before: Object, after: Object) -> bool:
    def bare(found: Object) -> Any:
        meta = {k: v for k, v in found["metadata"].items() if k not in ("resourceVersion", "generation")}
        return {**found, "metadata": meta}

    return bool(bare(before) == bare(after))


def _drop(found: Any, owned: Any, asked: Any) -> None:
    """Remove what was asked for before and is not any more."""
    for key in list(owned) if isinstance(owned, dict) and isinstance(found, dict) else []:
        if key not in asked:
            if isinstance(owned[key], dict) and isinstance(found.get(key), dict):
                _drop(found[key], owned[key], {})
                if not found[key]:
                    del found[key]
            else:
                found.pop(key, None)
        elif isinstance(asked[key], dict):
            _drop(found.get(key), owned[key], asked[key])


def _merge(found: Object, asked: Mapping[str, Any]) -> None:
    for key, value in asked.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            _merge(found[key], value)
        else:
            found[key] = copy.deepcopy(value)


__all__ = ["FIELD_MANAGER", "FakeCluster"]
