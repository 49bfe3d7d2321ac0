"""Serving objects of a model: a Deployment per live version, one Service, and a record of what each version runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api import names, tasks
from ..api.registeredmodel import RegisteredModel
from . import naming
from .platform import Manifest, Platform, PoolSettings
from .pods import container, placed, scratch

PORT = 8080
FORGET_SECONDS = 5  # a pod keeps answering while the network forgets it
CONNECTION_SECONDS = 15  # a keep-alive connection is asked to close at this age, so that clients follow the traffic
NOBODY = "none"  # version that a Service selects while the model serves nothing


@dataclass(frozen=True)
class Traffic:
    """Which version has the traffic, and what led there. Kept on the Service, written together with its selector."""

    champion: int | None = None
    digest: str = ""
    since: str = ""
    predecessor: int | None = None
    handled_rollback: str = ""
    rolled_back: Mapping[int, str] = field(default_factory=dict)  # version → what was asked of it at that time
    history: Mapping[int, str] = field(default_factory=dict)  # released versions → digest, the latest last
    returned: str = ""  # what was asked of the champion when a rollback returned to it; "" if none did


def inputs(model: RegisteredModel, digest: str) -> str:
    """Hash of what a version's serving pods depend on by the user's will: never an image, never a default."""
    spec = model.spec.serving.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spec.pop("scaling", None)
    return naming.short_hash([spec, digest, model.metadata.annotations.get(names.REFRESH, "")])


def pod_template(platform: Platform, model: RegisteredModel, version: int, digest: str, pool: PoolSettings) -> Manifest:
    """The pods that serve one version: fetch its files from the store, check them, answer."""
    serving = model.spec.serving
    extras = serving.pod
    chosen = serving.resources.wire() if serving.resources else dict(pool.serving_resources)
    fetch_task = tasks.FetchTask(
        store=tasks.Store(url=platform.store.url), candidate_digest=digest, check_environment=False
    )
    mounts = {"model": tasks.CANDIDATE, "tmp": "/tmp"}
    fetch = container(platform, "fetch", "fetch", fetch_task, mounts, resources=chosen or None)
    serve = container(platform, "serve", "serve", None, mounts, read_only=("model",), resources=chosen or None)
    serve["env"] += [
        {"name": "SLIPWAY_MODEL_VERSION", "value": str(version)},
        {"name": "SLIPWAY_CONNECTION_SECONDS", "value": str(CONNECTION_SECONDS)},
        {"name": "SLIPWAY_DRAIN_SECONDS", "value": str(CONNECTION_SECONDS)},
    ]
    serve["ports"] = [{"name": "http", "containerPort": PORT, "protocol": "TCP"}]
    ping = {"httpGet": {"path": "/ping", "port": "http"}}
    serve["startupProbe"] = {**ping, "periodSeconds": 1, "failureThreshold": 600, "timeoutSeconds": 5}
    serve["readinessProbe"] = {**ping, "periodSeconds": 5, "timeoutSeconds": 5}
    serve["livenessProbe"] = {**ping, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6}
    serve["lifecycle"] = {"preStop": {"sleep": {"seconds": FORGET_SECONDS}}}
    spec = {
        "initContainers": [fetch],
        "containers": [serve],
        "volumes": scratch(platform, "model", "tmp"),
        "terminationGracePeriodSeconds": 60,
    }
    if extras and extras.priority_class_name:
        spec["priorityClassName"] = extras.priority_class_name
    labels = (extras.labels if extras else {}) | selector(model, version)
    return {
        "metadata": {"labels": labels | {names.MANAGED_BY: names.MANAGER}, "annotations": {names.DIGEST: digest}},
        "spec": placed(platform, pool, spec),
    }


def selector(model: RegisteredModel, version: int | str) -> dict[str, str]:
    """Labels of the pods that serve one version to users."""
    return {names.MODEL: model.metadata.name, names.MODEL_VERSION: str(version), names.TRACK: "production"}


def controller_revision(
    model: RegisteredModel, version: int, digest: str, revision: int, template: Manifest
) -> Manifest:
    """The record of what a version runs; drift repair and later releases use it word for word."""
    name = f"{naming.version(model.metadata.name, version)}-{naming.short_hash([inputs(model, digest), template])}"
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": _meta(model, name, version) | {"annotations": {names.DIGEST: digest}},
        "revision": revision,
        "data": {"inputs": inputs(model, digest), "digest": digest, "template": template},
    }


def deployment(model: RegisteredModel, version: int, template: Manifest, rendered_from: str) -> Manifest:
    """The pods of one version. Without `replicas`: the scale subresource has one writer, and apply is not it."""
    name = naming.version(model.metadata.name, version)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(model, name, version) | {"annotations": {names.INPUTS: rendered_from}},
        "spec": {
            "selector": {"matchLabels": selector(model, version)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600,
            "template": template,
        },
    }


def service(model: RegisteredModel, traffic: Traffic) -> Manifest:
    """The model's stable address; its selector is the traffic, its annotations are the traffic's history."""
    facts = {
        names.DIGEST: traffic.digest,
        names.SINCE: traffic.since,
        names.PREDECESSOR: str(traffic.predecessor or ""),
        names.HANDLED_ROLLBACK: traffic.handled_rollback,
        names.ROLLED_BACK: json.dumps(traffic.rolled_back),
        names.HISTORY: json.dumps(traffic.history),
        names.RETURNED: traffic.returned,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(model, model.metadata.name) | {"annotations": facts},
        "spec": {
            "selector": selector(model, traffic.champion or NOBODY),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def read_traffic(service: Mapping[str, Any] | None) -> Traffic:
    """The traffic that a Service directs: the inverse of `service`."""
    if service is None:
        return Traffic()
    facts = service["metadata"].get("annotations") or {}
    chosen = (service["spec"].get("selector") or {}).get(names.MODEL_VERSION, NOBODY)
    predecessor = facts.get(names.PREDECESSOR, "")
    return Traffic(
        champion=int(chosen) if chosen.isdigit() else None,
        digest=facts.get(names.DIGEST, ""),
        since=facts.get(names.SINCE, ""),
        predecessor=int(predecessor) if predecessor.isdigit() else None,
        handled_rollback=facts.get(names.HANDLED_ROLLBACK, ""),
        rolled_back=_numbered(facts.get(names.ROLLED_BACK)),
        history=_numbered(facts.get(names.HISTORY)),
        returned=facts.get(names.RETURNED, ""),
    )


def recall_traffic(model: RegisteredModel) -> Traffic:
    """The traffic as the model's status tells it: the copy of the ledger, for when somebody deleted the Service."""
    status = model.status
    if status.champion is None:
        return Traffic()
    live = [one for one in (status.predecessor, status.champion) if one is not None and one.digest]
    return Traffic(
        champion=status.champion.version,
        digest=status.champion.digest,
        since=status.champion.since or "",
        predecessor=status.predecessor.version if status.predecessor else None,
        handled_rollback=status.last_handled_rollback or "",
        history={one.version: one.digest for one in live},
    )


def _numbered(text: str | None) -> dict[int, str]:
    """A JSON object with version numbers as keys; empty if somebody wrote something else there."""
    try:
        return {int(key): str(value) for key, value in json.loads(text or "{}").items()}
    except (ValueError, AttributeError):
        return {}


def url(model: RegisteredModel) -> str:
    """Where the model answers inside the cluster."""
    return f"http://{model.metadata.name}.{model.metadata.namespace}.svc"


def _meta(model: RegisteredModel, name: str, version: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": model.metadata.namespace,
        "labels": naming.labels(model.metadata.name, version),
        "ownerReferences": naming.owner("RegisteredModel", model.metadata),
    }
