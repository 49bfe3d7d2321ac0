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
from .platform import IMAGE, Environment, Manifest, Platform, PoolSettings
from .pods import container, placed, scratch, variables

PORT = tasks.SERVER_PORT
METRICS_PORT = 8081
MARGIN_SECONDS = 5  # beyond what a pod needs to end by itself
FORGET_SECONDS = 5  # a pod keeps answering while the network forgets it
CONNECTION_SECONDS = 15  # a keep-alive connection is asked to close at this age, so that clients follow the traffic
PROGRESS_SECONDS = 600  # without progress for so long, a Deployment's rollout has failed


def inputs(model: RegisteredModel, digest: str, environment: Environment = IMAGE) -> str:
    """Hash of what a version's serving pods depend on by the user's will: never an image, never a default."""
    spec = model.spec.serving.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spec.pop("scaling", None)
    runs_in = [one for one in environment if one]
    return naming.short_hash([spec, digest, model.metadata.annotations.get(names.REFRESH, ""), *runs_in])


def pod_template(
    platform: Platform,
    model: RegisteredModel,
    version: int,
    digest: str,
    pool: PoolSettings,
    environment: Environment = IMAGE,
) -> Manifest:
    """The pods that serve one version: fetch its files from the store, check them, answer."""
    platform, packages = platform.on(environment.python), environment.packages
    serving = model.spec.serving
    extras = serving.pod
    scoring = scoring_of(model)
    ending = FORGET_SECONDS + seconds(scoring.grace_period) + scoring.answering_seconds + MARGIN_SECONDS
    chosen = sizes(model, pool)
    fetch_task = tasks.FetchTask(
        store=tasks.Store(url=platform.store.url),
        candidate_digest=digest,
        candidate_environment=packages,
        check_environment=False,
    )
    mounts = {"model": tasks.CANDIDATE, "tmp": "/tmp"} | ({"environment": tasks.ENVIRONMENT} if packages else {})
    fetch = container(platform, "fetch", "fetch", fetch_task, mounts, resources=chosen or None)
    serve = server(platform, "serve", version, mounts, model, chosen, environment)
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
    found = {names.DIGEST: digest, names.ENVIRONMENT: packages, names.PYTHON: environment.python}
    annotations = {name: value for name, value in found.items() if value}
    return {
        "metadata": {"labels": pod_labels(model, version), "annotations": annotations},
        "spec": placed(platform, pool, spec),
    }


def scoring_of(model: RegisteredModel) -> Scoring:
    """The bounds of its server."""
    return model.spec.serving.runtime.scoring or Scoring()


def sizes(model: RegisteredModel, pool: PoolSettings) -> dict[str, Any]:
    """What a serving pod reserves: the model's own choice, or that of its pool."""
    resources = model.spec.serving.resources
    return resources.wire() if resources else dict(pool.serving_resources)


def server(
    platform: Platform,
    name: str,
    version: int,
    mounts: dict[str, str],
    model: RegisteredModel,
    resources: dict[str, Any],
    environment: Environment = IMAGE,
    in_validation: bool = False,
) -> dict[str, Any]:
    """The container that answers for a version: the same in a serving pod and in a rehearsal.

    But for its volumes, of which it may write to `tmp` only; for the values of variables that unproven code gets; and
    for its end, which nobody waits for in a rehearsal.
    """
    read = tuple(volume for volume, path in mounts.items() if path != "/tmp")
    found = container(platform.on(environment.python), name, "serve", None, mounts, read, resources or None)
    scoring = scoring_of(model)
    drain_seconds = 0 if in_validation else seconds(scoring.grace_period)
    found["env"] += [
        *variables(model.variables, in_validation),
        {"name": "SLIPWAY_MODEL", "value": model.metadata.name},
        {"name": "SLIPWAY_MODEL_VERSION", "value": str(version)},
        {"name": "SLIPWAY_CONNECTION_SECONDS", "value": str(CONNECTION_SECONDS)},
        {"name": "SLIPWAY_DRAIN_SECONDS", "value": str(drain_seconds)},
    ]
    if bounds := scoring.model_dump_json(by_alias=True, exclude_defaults=True).strip("{}"):
        found["env"].append({"name": tasks.SCORING, "value": f"{{{bounds}}}"})
    if environment.packages:
        found["env"].append({"name": "SLIPWAY_ENVIRONMENT", "value": environment.packages})
    found["ports"] = [
        {"name": name, "containerPort": port, "protocol": "TCP"}
        for name, port in (("http", PORT), ("metrics", METRICS_PORT))
    ]
    return found


def environment_of(template: Manifest) -> Environment:
    """What pods of this template run in."""
    annotations = template["metadata"].get("annotations") or {}
    return Environment(annotations.get(names.ENVIRONMENT) or None, annotations.get(names.PYTHON) or None)


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
