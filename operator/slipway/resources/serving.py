"""Serving objects of a model: a Deployment per live version, one Service, and a record of what each version runs."""

from dataclasses import dataclass
from typing import Any

from ..api import names, tasks
from ..api.base import API_VERSION, seconds
from ..api.modelledger import Adopted, ModelLedgerSpec
from ..api.registeredmodel import RegisteredModel
from ..api.scoring import Scoring
from . import naming
from .disruption import topology_spread
from .naming import NOBODY, selector
from .platform import Manifest, Platform, PoolSettings
from .pods import THREADS, container, placed, scratch

PORT = 8080
METRICS_PORT = 8081
MARGIN_SECONDS = 5  # beyond what a pod needs to end by itself
FORGET_SECONDS = 5  # a pod keeps answering while the network forgets it
CONNECTION_SECONDS = 15  # a keep-alive connection is asked to close at this age, so that clients follow the traffic
PROGRESS_SECONDS = 600  # without progress for so long, a Deployment's rollout has failed


def inputs(model: RegisteredModel, digest: str, environment: str | None = None) -> str:
    """Hash of what a version's serving pods depend on by the user's will: never an image, never a default."""
    spec = model.spec.serving.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spec.pop("scaling", None)
    packages = [environment] if environment else []
    return naming.short_hash([spec, digest, model.metadata.annotations.get(names.REFRESH, ""), *packages])


def pod_template(
    platform: Platform,
    model: RegisteredModel,
    version: int,
    digest: str,
    pool: PoolSettings,
    environment: str | None = None,
) -> Manifest:
    """The pods that serve one version: fetch its files from the store, check them, answer.

    `environment` is the digest of its packages, where it has other ones than the image.
    """
    serving = model.spec.serving
    extras = serving.pod
    scoring = serving.runtime.scoring or Scoring()
    ending = FORGET_SECONDS + seconds(scoring.grace_period) + scoring.answering_seconds + MARGIN_SECONDS
    chosen = serving.resources.wire() if serving.resources else dict(pool.serving_resources)
    fetch_task = tasks.FetchTask(
        store=tasks.Store(url=platform.store.url),
        candidate_digest=digest,
        candidate_environment=environment,
        check_environment=False,
    )
    mounts = {"model": tasks.CANDIDATE, "tmp": "/tmp"} | ({"environment": tasks.ENVIRONMENT} if environment else {})
    fetch = container(platform, "fetch", "fetch", fetch_task, mounts, resources=chosen or None)
    serve = container(platform, "serve", "serve", None, mounts, ("model", "environment"), chosen or None)
    serve["env"] += [
        *THREADS,
        {"name": "SLIPWAY_MODEL", "value": model.metadata.name},
        {"name": "SLIPWAY_MODEL_VERSION", "value": str(version)},
        {"name": "SLIPWAY_CONNECTION_SECONDS", "value": str(CONNECTION_SECONDS)},
        {"name": "SLIPWAY_DRAIN_SECONDS", "value": str(seconds(scoring.grace_period))},
    ]
    if bounds := scoring.model_dump_json(by_alias=True, exclude_defaults=True).strip("{}"):
        serve["env"].append({"name": tasks.SCORING, "value": f"{{{bounds}}}"})
    if environment:
        serve["env"].append({"name": "SLIPWAY_ENVIRONMENT", "value": environment})
    serve["ports"] = [
        {"name": name, "containerPort": port, "protocol": "TCP"}
        for name, port in (("http", PORT), ("metrics", METRICS_PORT))
    ]
    ping = {"httpGet": {"path": "/ping", "port": "http"}}
    serve["startupProbe"] = {**ping, "periodSeconds": 1, "failureThreshold": 600, "timeoutSeconds": 5}
    serve["readinessProbe"] = {**ping, "periodSeconds": 5, "timeoutSeconds": 5}
    serve["livenessProbe"] = {**ping, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6}
    serve["lifecycle"] = {"preStop": {"sleep": {"seconds": FORGET_SECONDS}}}
    spec = {
        "initContainers": [fetch],
        "containers": [serve],
        "volumes": scratch(platform, *mounts),
        "terminationGracePeriodSeconds": ending,
        "topologySpreadConstraints": topology_spread(model, version),
    }
    if extras and extras.priority_class_name:
        spec["priorityClassName"] = extras.priority_class_name
    annotations = {names.DIGEST: digest} | ({names.ENVIRONMENT: environment} if environment else {})
    return {
        "metadata": {"labels": pod_labels(model, version), "annotations": annotations},
        "spec": placed(platform, pool, spec),
    }


def environment_of(template: Manifest) -> str | None:
    """Digest of the packages that pods of this template run in; None: those of the image."""
    annotations = template["metadata"].get("annotations") or {}
    return annotations.get(names.ENVIRONMENT) or None


def pod_labels(model: RegisteredModel, version: int) -> dict[str, str]:
    """Labels of the pods that serve one version: those that the user asks for, and Slipway's own."""
    extras = model.spec.serving.pod
    own = selector(model.metadata.name, version) | {names.MANAGED_BY: names.MANAGER}
    return (extras.labels if extras else {}) | own


def template_hash(template: Manifest) -> str:
    """What identifies a pod template: it ends its record's name, and the Deployment that runs it carries it."""
    return naming.short_hash(template)


def record_name(model: str, version: int, template: str) -> str:
    """Name of the ControllerRevision with the template of that hash."""
    return f"{naming.version(model, version)}-{template}"


@dataclass(frozen=True)
class Rendered:
    """A pod template of one version, and what it was rendered from."""

    version: int
    digest: str
    inputs: str
    revision: int
    template: Manifest


def controller_revision(model: RegisteredModel, of: Rendered) -> Manifest:
    """The record of what a version runs; drift repair and later releases use it word for word.

    The settings that it answers are an annotation: other settings may render the same template, and `data` never
    changes.
    """
    name = record_name(model.metadata.name, of.version, template_hash(of.template))
    facts = {names.DIGEST: of.digest, names.INPUTS: of.inputs}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": _meta(model, name, of.version) | {"annotations": facts},
        "revision": of.revision,
        "data": {"digest": of.digest, "template": of.template},
    }


def deployment(model: RegisteredModel, version: int, template: Manifest, replicas: int) -> Manifest:
    """The pods of one version."""
    name = naming.version(model.metadata.name, version)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(model, name, version) | {"annotations": {names.RECORD: template_hash(template)}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector(model.metadata.name, version)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": PROGRESS_SECONDS,
            "template": template,
        },
    }


def ledger(model: RegisteredModel, spec: ModelLedgerSpec, resource_version: str) -> Manifest:
    """The model's ledger; it replaces the one of that resource version, or is the first where that is ""."""
    meta = _meta(model, model.metadata.name)
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelLedger",
        "metadata": meta | ({"resourceVersion": resource_version} if resource_version else {}),
        "spec": spec.model_copy(update={"model_uid": model.metadata.uid}).wire(),
    }


def service(model: RegisteredModel, champion: int | None, adopted: Adopted | None = None) -> Manifest:
    """The model's stable address; its selector is the traffic: a version's, or that of an adopted Deployment."""
    chosen = dict(adopted.selector) if adopted else selector(model.metadata.name, champion or NOBODY)
    port = adopted.port if adopted else "http"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(model, model.metadata.name),
        "spec": {
            "selector": chosen,
            "ports": [{"name": "http", "port": 80, "targetPort": port, "protocol": "TCP"}],
        },
    }


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
