"""What is told to others when a condition changes: one CloudEvent for each, in CloudEvents 1.0's JSON format.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

An event is made of nothing but the object and, where the status of the condition did not flip, the version of the
object: a retry and another operator make the same event with the same id, so that a receiver can tell what it has had.
A refusal is told once more where the registry asks for the version once more: then no condition changes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..resources.platform import EventType, Manifest
from .reasons import REGISTRY_REASONS, Reason, reason_named

_PLURALS = {"ModelVersion": "modelversions", "RegisteredModel": "registeredmodels", "ModelRegistry": "modelregistries"}
_PROOFS = ("Resolved", "Imported", "Validated")
GATES = 16  # in one event, those that failed first
CHANGED: EventType = "dev.slipway.condition.changed"
REFUSED: EventType = "dev.slipway.modelversion.refused"
RELEASED: EventType = "dev.slipway.modelversion.released"
ROLLED_BACK: EventType = "dev.slipway.modelversion.rolledback"


@dataclass(frozen=True)
class News:
    """One event, ready to be sent."""

    id: str
    type: str
    subject: str
    body: bytes  # at most some 30 KB, as the API bounds what is in a status


def changes(cluster: str, before: Mapping[str, Any], now: Manifest, at: str) -> tuple[News, ...]:
    """What the conditions of an object say that its status `before` did not; `at` is the time (RFC 3339)."""
    known = _conditions(before)
    status = now.get("status") or {}
    said = _conditions(status)
    found = []
    for kind, condition in {**said, **dict(_ended(known, said, at))}.items():
        old = known.get(kind, {})
        if (old.get("status"), old.get("reason")) == (condition.get("status"), condition.get("reason")):
            continue
        flipped = old.get("status") != condition.get("status")
        mark = "" if flipped else now["metadata"].get("resourceVersion", "")
        found.append(_event(cluster, now, condition, at if mark else condition.get("lastTransitionTime", at), mark))
    return (*found, *_in_vain(cluster, before, now))


def asked_in_vain(before: Mapping[str, Any], status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The condition by which a version is refused that the registry asked for since; None where that is no news.

    It is none while a refusal is new: the condition itself tells of it.
    """
    at = status.get("refusedAt")
    if not at or at == before.get("refusedAt"):
        return None
    conditions = _conditions(status)
    for kind in _PROOFS:
        one = conditions.get(kind)
        if one is not None and one["status"] != "True" and _refuses(one.get("reason", "")):
            judged = (status.get("validation") or {}).get("finishedAt", "") if kind == "Validated" else ""
            return one if max(one.get("lastTransitionTime", ""), judged) < at else None
    return None


def _in_vain(cluster: str, before: Mapping[str, Any], now: Manifest) -> Iterator[News]:
    status = now.get("status") or {}
    if now["kind"] == "ModelVersion" and (one := asked_in_vain(before, status)) is not None:
        yield _event(cluster, now, one, status["refusedAt"], f"asked for at {status['refusedAt']}")


def recent(cluster: str, now: Manifest, since: datetime) -> tuple[News, ...]:
    """What flipped since then: told again by an operator that cannot know whether the one before it has told it."""
    status = now.get("status") or {}
    flipped = (
        _event(cluster, now, one, one["lastTransitionTime"], "")
        for one in _conditions(status).values()
        if (at := _time(one.get("lastTransitionTime"))) is not None and at >= since
    )
    refused = _time(status.get("refusedAt"))
    return (*flipped, *(_in_vain(cluster, {}, now) if refused is not None and refused >= since else ()))


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["type"]: one for one in status.get("conditions") or ()}


def _ended(
    known: Mapping[str, Any], said: Mapping[str, Mapping[str, Any]], at: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Reconciling and Stalled are there only while they are so, and what no stage asks for any more is not judged."""
    ready = said.get("Ready", {})
    for kind, one in known.items():
        if kind not in said:
            status = "False" if kind in ("Reconciling", "Stalled") else "Unknown"
            if one.get("status") != status:
                said_now = {"reason": ready.get("reason", ""), "message": ready.get("message", "")}
                yield kind, {"type": kind, "status": status, "lastTransitionTime": at, **said_now}


def _event(cluster: str, found: Manifest, condition: Mapping[str, Any], at: str, mark: str) -> News:
    meta = found["metadata"]
    kind = _type(found, condition)
    named = [meta["uid"], *(condition.get(key, "") for key in ("type", "lastTransitionTime", "status", "reason")), mark]
    path = f"/apis/{found['apiVersion']}/namespaces/{meta['namespace']}/{_PLURALS[found['kind']]}/{meta['name']}"
    event = {
        "specversion": "1.0",
        "id": hashlib.sha256("/".join(named).encode()).hexdigest()[:32],
        "source": f"/clusters/{cluster}",
        "type": kind,
        "subject": path,
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "cluster": cluster,
            "object": {
                "apiVersion": found["apiVersion"],
                "kind": found["kind"],
                **{key: meta[key] for key in ("namespace", "name", "uid", "generation") if key in meta},
            },
            **_version(found),
            "condition": dict(condition),
            **({"gates": _gates(found)} if kind == REFUSED else {}),
        },
    }
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return News(str(event["id"]), kind, path, body)


def _type(found: Manifest, condition: Mapping[str, Any]) -> EventType:
    """What a change means to people, where it has a name of its own."""
    which, status, reason = (condition.get(key, "") for key in ("type", "status", "reason"))
    if found["kind"] == "ModelVersion":
        if which in _PROOFS and status != "True" and _refuses(reason):
            return REFUSED
        if which == "Released" and reason == Reason.Serving:
            return RELEASED
        if which == "Released" and reason == Reason.RolledBack:
            return ROLLED_BACK
    return CHANGED


def _refuses(reason: str) -> bool:
    return reason_named(reason).outlook == "Stuck" and reason_named(reason) not in REGISTRY_REASONS


def _version(found: Manifest) -> dict[str, Any]:
    """Which version of which model it is about."""
    if found["kind"] == "ModelVersion":
        spec = found.get("spec") or {}
        return {"model": spec.get("model", ""), "version": spec.get("version", 0)}
    return {"model": found["metadata"]["name"]} if found["kind"] == "RegisteredModel" else {}


def _gates(found: Manifest) -> list[Mapping[str, Any]]:
    """What the gates said, with both numbers."""
    gates = ((found.get("status") or {}).get("validation") or {}).get("gates") or []
    return sorted(gates, key=lambda one: one.get("result") != "Failed")[:GATES]


def _time(stamp: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return found if found.tzinfo else None
