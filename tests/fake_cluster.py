"""A cluster in memory that answers as the API server does, as far as the operator can tell.

It passes the contract of the real adapter (tests/adapters/cluster_contract.py). A test makes it refuse, lose answers,
and tell of changes; controllers and kubelets are the test's own. What is stored is never changed in place.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from slipway.adapters.cluster import _KINDS, FIELD_MANAGER, Kind, Object, kind_of
from slipway.adapters.errors import AdapterError, Conflict, NotFound, Rejected, Unreachable

from tests.fake_apply import NOTHING, applied, copied, plain, still_owned
from tests.fake_schema import check_declared, defaulted

Place = tuple[str, str, str]  # kind, namespace, name
Refuses = Callable[[str, Mapping[str, Any]], AdapterError | None]  # of a verb and a manifest
Hears = Callable[[Kind, str, Object], None]  # ADDED, MODIFIED or DELETED
Owned = dict[tuple[str, str], Any]  # by field manager and subresource: what it asked for and nobody changed since

CUSTOM = {"ModelVersion", "RegisteredModel", "ModelRegistry", "ModelLedger"}
COUNTED = CUSTOM | {"Deployment", "Job", "Pod", "PodDisruptionBudget"}  # kinds that have a generation
WITH_STATUS = COUNTED - {"ModelLedger"} | {"Service"}
REPLACED_AS_SEEN = CUSTOM | {"Lease", "PodDisruptionBudget"}  # kinds whose update must name a resource version
FIXED = {"ControllerRevision": ("data",), "Deployment": ("spec", "selector"), "Job": ("spec", "template")}
GIVEN = ("uid", "creationTimestamp", "generation", "resourceVersion")  # what the API server alone says of an object
NOW = "2026-03-06T17:00:00Z"
BY_KIND = {one.kind: one for one in _KINDS.values()}


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
        self._of_kind: dict[str, dict[Place, Object]] = {}
        self._owned: dict[Place, Owned] = {}
        self._version = 0

    async def close(self) -> None:
        """Nothing to give back."""

    async def every(self, kind: Kind, namespace: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind with the kind's labels, and with these fields."""
        wanted = _pairs(fields)
        return [
            copied(one)
            for one in self.of(kind)
            if namespace in ("", one["metadata"].get("namespace", ""))
            and all(_at(one, path.split(".")) == value for path, value in wanted.items())
        ]

    async def pages(self, kind: Kind, namespace: str = "", fields: str = "") -> AsyncIterator[list[Object]]:
        """The same, on one page."""
        yield await self.every(kind, namespace, fields)

    async def heads(self, kind: Kind, namespace: str = "") -> AsyncIterator[list[Object]]:
        """Who they are and how new, on one page."""
        known = ("name", "namespace", "uid", "resourceVersion")
        yield [
            {"metadata": {key: one["metadata"][key] for key in known if key in one["metadata"]}}
            for one in await self.every(kind, namespace)
        ]

    def of(self, kind: Kind) -> Iterator[Object]:
        """The objects of a kind that its label selector chooses, as they are."""
        wanted = _pairs(kind.selector).items()
        for _, found in sorted(self._of_kind.get(kind.kind, {}).items()):
            if wanted <= (found["metadata"].get("labels") or {}).items():
                yield found

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object; NotFound if there is none."""
        return copied(self._find((kind.kind, namespace, name)))

    async def apply(
        self, manifest: Mapping[str, Any], sub: str = "", by: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """Server-side apply: what the same applier asked for before and no longer does is gone."""
        place = _place(manifest)
        self._admit("apply", manifest)
        before = self.objects.get(place)
        if before is None and sub:
            raise NotFound(f'{place[0]} "{place[2]}" not found')
        meta = manifest["metadata"]
        _check_seen(place, before, meta, sub)
        asked = _asked(manifest, sub)
        check_declared(place[0], place[2], asked)
        owned = self._owned.get(place, {})
        others = [fields for holder, fields in owned.items() if holder != (by, sub)]
        after = applied(before or _new(manifest), owned.get((by, sub), NOTHING), asked, others)
        _check_fixed(place, before, after)
        left = self._disowned(place, before, after)
        if not force and any(left[one] != fields for one, fields in owned.items() if one != (by, sub)):
            raise Conflict(f"Apply failed: {place[0]} {place[2]} says otherwise by another field manager")
        mine = left | {(by, sub): asked}
        return self._store("apply", place, before, after, mine)

    async def update(self, manifest: Mapping[str, Any]) -> Object:
        """The object replaced as a whole, if it still has the resource version that the manifest names."""
        place = _place(manifest)
        before = self._find(place)
        self._admit("update", manifest)
        named = manifest["metadata"].get("resourceVersion")
        if not named and place[0] in REPLACED_AS_SEEN:
            raise Rejected("metadata.resourceVersion: Invalid value: must be specified for an update")
        if named and named != before["metadata"]["resourceVersion"]:
            raise Conflict(f"Operation cannot be fulfilled on {place[0]} {place[2]}: the object has been modified")
        if manifest["metadata"].get("uid") not in (None, "", before["metadata"]["uid"]):
            raise Conflict(f"Operation cannot be fulfilled on {place[0]} {place[2]}: the uid is another")
        after = _new(manifest) | plain(manifest)
        after["metadata"] = {**after["metadata"], **_given(before)}
        if place[0] in WITH_STATUS:
            after.pop("status", None)
            after |= {"status": before["status"]} if "status" in before else {}
        _check_fixed(place, before, after)
        return self._store("update", place, before, after, self._disowned(place, before, after))

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """A new object; Conflict if there is one of that name."""
        made = _new(manifest) | plain(manifest)
        if made["metadata"].get("resourceVersion"):
            raise Unreachable("HTTP 500: resourceVersion should not be set on objects to be created")
        meta = made["metadata"] = {key: value for key, value in made["metadata"].items() if key not in GIVEN}
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self._version:05x}"
        place = _place(made)
        self._admit("create", made)
        if place in self.objects:
            raise Conflict(f'{place[0]} "{place[2]}" already exists')
        if place[0] in WITH_STATUS:
            made.pop("status", None)
        return self._store("create", place, None, made, {})

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object is gone, and what it owns: the garbage collector is quick here; gone already is success."""
        place = (kind.kind, namespace, name)
        if place in self.objects:
            if self.objects[place]["metadata"]["uid"] != uid:
                raise Conflict(f"the UID in the precondition ({uid}) is not that of {place[0]} {name}")
            self._admit("delete", self.objects[place])
            self._remove(place)
            self.writes.append(("delete", place[0], place[2]))
            self._lose("delete", place)

    async def log(self, namespace: str, pod: str, container: str, previous: bool = False) -> str:
        """The log that a test has put there; "" if there is none."""
        return self.logs.get(pod, "")

    # What only a test does.

    def put(self, found: Object) -> Object:
        """An object as a controller, a kubelet or a person would leave it: nothing is checked."""
        place = _place(found)
        before = self.objects.get(place)
        after = (_new(found) if before is None else {}) | plain(found)
        if before is not None:
            after["metadata"] = {**before["metadata"], **after["metadata"]}
        return self._store("", place, before, after, self._disowned(place, before, after))

    def become(self, other: "FakeCluster") -> None:
        """The same objects as in another cluster."""
        parts = ("objects", "logs", "_of_kind", "_owned", "_version")
        self.__dict__.update(deepcopy({part: getattr(other, part) for part in parts}))

    def lose(self, kind: str, namespace: str, name: str) -> None:
        """Somebody deletes an object."""
        self._remove((kind, namespace, name))

    def collect(self) -> None:
        """The garbage collector finds what was made for an owner that was gone by then."""
        alive = {found["metadata"]["uid"] for found in self.objects.values()}
        for place, found in list(self.objects.items()):
            owners = {one.get("uid") for one in found["metadata"].get("ownerReferences") or []}
            if place in self.objects and owners and not owners & alive:
                self._remove(place)

    def _find(self, place: Place) -> Object:
        if place not in self.objects:
            raise NotFound(f'{place[0]} "{place[2]}" not found')
        return self.objects[place]

    def _admit(self, verb: str, manifest: Mapping[str, Any]) -> None:
        for refuses in self.refuses:
            if error := refuses(verb, manifest):
                raise error

    def _disowned(self, place: Place, before: Object | None, after: Object) -> Owned:
        """Who owns what after a write: whoever changes a field takes it over."""
        owned = self._owned.get(place, {})
        if before is None:
            return owned
        return {holder: still_owned(fields, before, after) for holder, fields in owned.items()}

    def _store(self, verb: str, place: Place, before: Object | None, after: Object, owned: Owned) -> Object:
        self._owned[place] = owned
        after = defaulted(place[0], after)
        if before is not None and _same(before, after):
            return copied(before)
        self._version += 1
        meta = after["metadata"] = dict(after["metadata"])
        if before is None:
            meta["uid"] = f"uid-{self._version}"
            meta.setdefault("creationTimestamp", self._now())
            if place[0] in COUNTED:
                meta["generation"] = 1
        elif place[0] in COUNTED and _desired(before) != _desired(after):
            meta["generation"] = before["metadata"].get("generation", 1) + 1
        meta["resourceVersion"] = str(self._version)
        self.objects[place] = after
        self._of_kind.setdefault(place[0], {})[place] = after
        self._tell(place, "ADDED" if before is None else "MODIFIED", after)
        if verb:
            self.writes.append((verb, place[0], place[2]))
            self._lose(verb, place)
        return copied(after)

    def _lose(self, verb: str, place: Place) -> None:
        if self.losing > 0:
            self.losing -= 1
            raise Unreachable(f"the answer to {verb} {place[2]} got lost")

    def _remove(self, place: Place) -> None:
        gone = self.objects.pop(place, None)
        if gone is None:
            return
        del self._of_kind[place[0]][place]
        self._version += 1
        self._owned.pop(place, None)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self._version)}}
        self._tell(place, "DELETED", gone)
        uid = gone["metadata"]["uid"]
        for other, found in list(self.objects.items()):
            if any(one.get("uid") == uid for one in found["metadata"].get("ownerReferences") or []):
                self._remove(other)

    def _tell(self, place: Place, event: str, found: Object) -> None:
        for hears in self.hears:
            hears(BY_KIND[place[0]], event, copied(found))


def _place(manifest: Mapping[str, Any]) -> Place:
    meta = manifest["metadata"]
    return kind_of(manifest).kind, meta.get("namespace", ""), meta["name"]


def _pairs(selector: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in selector.split(",") if pair)  # type: ignore[misc]


def _at(found: Any, path: list[str]) -> str:
    for key in path:
        found = (found or {}).get(key)
    return str(found or "")


def _new(wanted: Mapping[str, Any]) -> Object:
    return {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "metadata": {}}


def _check_seen(place: Place, before: Object | None, meta: Mapping[str, Any], sub: str) -> None:
    """What the manifest names is what is there. The uid of a custom resource says nothing when its status is applied."""
    named, uid = meta.get("resourceVersion"), meta.get("uid")
    if before is None and uid:
        raise Conflict(f"Operation cannot be fulfilled on {place[0]} {place[2]}: uid mismatch")
    if before is not None and named and named != before["metadata"]["resourceVersion"]:
        raise Conflict(f"Operation cannot be fulfilled on {place[0]} {place[2]}: the object has been modified")
    if before is not None and uid and uid != before["metadata"]["uid"] and not (sub and place[0] in CUSTOM):
        raise Rejected(f'{place[0]} "{place[2]}" is invalid: metadata.uid: field is immutable')


def _asked(manifest: Mapping[str, Any], sub: str) -> Object:
    """What an apply asks for: of the status only, or of all but the status where the kind keeps that apart."""
    if sub:
        return {"status": plain(manifest.get("status", {}))}
    left_out = {"status"} if manifest["kind"] in WITH_STATUS else set()
    asked: Object = {key: plain(value) for key, value in manifest.items() if key not in left_out}
    asked["metadata"] = {key: value for key, value in asked["metadata"].items() if key not in GIVEN}
    return asked


def _given(found: Object) -> Object:
    return {key: found["metadata"][key] for key in GIVEN if key in found["metadata"]}


def _check_fixed(place: Place, before: Object | None, after: Object) -> None:
    path = FIXED.get(place[0])
    if path and before is not None and _at(before, list(path)) != _at(after, list(path)):
        raise Rejected(f'{place[0]} "{place[2]}" is invalid: {".".join(path)}: field is immutable')


def _desired(found: Object) -> Any:
    """What a generation counts: everything but metadata and status."""
    return {key: value for key, value in found.items() if key not in ("metadata", "status")}


def _same(before: Object, after: Object) -> bool:
    return before == {**after, "metadata": {**after["metadata"], **_given(before)}}


__all__ = ["FIELD_MANAGER", "FakeCluster"]
