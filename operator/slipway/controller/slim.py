"""What is kept of an object: what some decision reads, and nothing that changes without meaning anything.

Words that many objects share, such as keys, reasons and times, are kept once.
"""

import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..adapters.cluster import Object
from ..api.base import GROUP
from ..api.tasks import SERVER

_META = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
)
_CONDITION = ("type", "status", "reason", "message")
_DEPLOYMENT_STATUS = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
_DEPLOYMENT_CONDITIONS = {"ReplicaFailure", "Progressing"}
_POD_CONDITIONS = {"PodScheduled", "DisruptionTarget"}
UNTOLD = -1  # observedGeneration before the first status
SHORT = 40  # characters: longer strings are mostly unlike each other
SUBTREES = 4096  # parts of pod templates, of which one copy is kept


def custom(found: Mapping[str, Any]) -> Object:
    """One of our own kinds: everything but what other writers leave in its metadata, and what the CRD says of an object
    of which nothing was told yet. Its shape is certain from here on: what another CRD let in is lost."""
    parts = {key: found[key] for key in ("spec", "status") if isinstance(found.get(key), Mapping)}
    status = parts.get("status", {})
    if isinstance(said := status.get("conditions", ()), list) and status.get("observedGeneration") != UNTOLD:
        parts["status"] = {**status, "conditions": [one for one in said if _is_condition(one)]}
    elif "conditions" in status:
        parts["status"] = {key: value for key, value in status.items() if key != "conditions"}
    kept = _kept(found, **parts)
    if found.get("kind") == "ModelVersion":
        kept["metadata"].update(_stage_set(found))
    return kept


def _stage_set(found: Mapping[str, Any]) -> Mapping[str, str]:
    """The program that set the stage last, and when, by what the API server keeps of who wrote which field."""
    there = found["metadata"].get("managedFields")
    for one in there if isinstance(there, list) else ():
        fields = one.get("fieldsV1") if isinstance(one, Mapping) else None
        spec = fields.get("f:spec") if isinstance(fields, Mapping) else None
        if isinstance(spec, Mapping) and "f:stage" in spec and isinstance(one.get("manager"), str):
            return {"stagedBy": sys.intern(one["manager"][:64]), "stagedAt": str(one.get("time", ""))[:32]}
    return {}


def named(found: Mapping[str, Any]) -> Object:
    """An object of which only metadata is read."""
    return _kept(found)


def namespace(found: Mapping[str, Any]) -> Object:
    """Its labels."""
    meta = found["metadata"]
    kept = {key: meta[key] for key in ("name", "uid", "resourceVersion", "labels") if key in meta}
    shared: Object = _shared({"apiVersion": "v1", "kind": "Namespace", "metadata": kept})
    return shared


def service(found: Mapping[str, Any]) -> Object:
    """All that can be asked for: a Service has no generation that would tell of an edit."""
    return _kept(found, spec=found.get("spec") or {})


def job(found: Mapping[str, Any]) -> Object:
    """The name of its main container, and its conditions with their times."""
    template = ((found.get("spec") or {}).get("template") or {}).get("spec") or {}
    main = [{"name": one["name"]} for one in template.get("containers", [])[:1]]
    status = found.get("status") or {}
    conditions = [_of(one, *_CONDITION, "lastTransitionTime") for one in status.get("conditions", [])]
    return _kept(
        found,
        spec={"template": {"spec": {"containers": main}}},
        status={"conditions": conditions} if conditions else {},
    )


def deployment(found: Mapping[str, Any]) -> Object:
    """How many pods are asked for, and how many there are."""
    status = found.get("status") or {}
    kept = _of(status, *_DEPLOYMENT_STATUS)
    conditions = [_condition(one) for one in status.get("conditions", []) if one.get("type") in _DEPLOYMENT_CONDITIONS]
    return _kept(found, spec=_of(found.get("spec"), "replicas"), status=kept | {"conditions": conditions})


def _condition(one: Mapping[str, Any]) -> dict[str, Any]:
    """While all is well, a Deployment's message tells how it came to be so: each of its pods would be a change."""
    failed = one.get("type") == "ReplicaFailure" or one.get("status") == "False"
    return _of(one, *_CONDITION) if failed else _of(one, "type", "status", "reason")


def pod(found: Mapping[str, Any]) -> Object:
    """Why it waits, how its containers ended, and what they ran."""
    status = found.get("status") or {}
    kept = _of(status, "phase", "reason", "message")
    kept["conditions"] = [
        _of(one, *_CONDITION) for one in status.get("conditions", []) if one.get("type") in _POD_CONDITIONS
    ]
    for name in ("initContainerStatuses", "containerStatuses"):
        if name in status:
            kept[name] = [_container(one) for one in status[name]]
    return _kept(found, spec=_of(found.get("spec"), "activeDeadlineSeconds", "restartPolicy"), status=kept)


def _container(one: Mapping[str, Any]) -> dict[str, Any]:
    kept = _of(one, "name", "image", "imageID")
    state, last = one.get("state") or {}, (one.get("lastState") or {}).get("terminated")
    kept["state"] = {which: _state(which, one or {}) for which, one in state.items()}
    # How it ended is asked of one that is not started again, and of a server that should not have ended.
    if last and ("waiting" in state or one.get("name") == SERVER):
        kept["lastState"] = {"terminated": _state("terminated", last)}
    return kept


def _state(which: str, found: Mapping[str, Any]) -> dict[str, Any]:
    if which == "running":
        return {}
    if which == "waiting":
        return _of(found, "reason", "message")
    return _of(found, "exitCode", "reason", "message", "finishedAt")


class Records:
    """ControllerRevisions: the templates in them differ in a digest and a number, and share all else."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, Any] = OrderedDict()

    def __call__(self, found: Mapping[str, Any]) -> Object:
        """The record, with one copy of every part that other records have too."""
        kept = _kept(found, revision=found.get("revision", 0))
        kept["data"] = self._one(_shared(found.get("data") or {}))[0]
        return kept

    def _one(self, value: Any) -> tuple[Any, Any]:
        """The copy to keep, and what identifies it among those that are kept."""
        if isinstance(value, dict):
            parts = {key: self._one(part) for key, part in value.items()}
            mark: Any = ("{", *((key, known) for key, (_, known) in parts.items()))
            copy: Any = {key: part for key, (part, _) in parts.items()}
        elif isinstance(value, list):
            items = [self._one(part) for part in value]
            mark, copy = ("[", *(known for _, known in items)), [part for part, _ in items]
        else:
            return value, (type(value), value)
        kept = self._known.setdefault(mark, copy)
        self._known.move_to_end(mark)
        if len(self._known) > SUBTREES:
            self._known.popitem(last=False)
        return kept, id(kept)  # whoever holds the whole holds the part, so no other part takes its id


def _kept(found: Mapping[str, Any], **parts: Any) -> Object:
    meta = found["metadata"]
    kept = {key: meta[key] for key in _META if key in meta}
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(f"{GROUP}/")}
    if annotations:
        kept["annotations"] = annotations
    if meta.get("ownerReferences"):
        kept["ownerReferences"] = [_of(one, "kind", "name", "uid") for one in meta["ownerReferences"]]
    whole = {"apiVersion": found.get("apiVersion", ""), "kind": found.get("kind", ""), "metadata": kept, **parts}
    shared: Object = _shared(whole)
    return shared


def _is_condition(one: Any) -> bool:
    return isinstance(one, Mapping) and "type" in one and all(isinstance(one.get(key, ""), str) for key in _CONDITION)


def _of(found: Mapping[str, Any] | None, *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found} if found else {}


def _shared(value: Any) -> Any:
    """A copy in which equal short strings are the same string."""
    if type(value) is str:
        return sys.intern(value) if len(value) <= SHORT else value
    if isinstance(value, Mapping):
        return {sys.intern(key): _shared(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shared(one) for one in value]
    return value
