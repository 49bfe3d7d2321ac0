"""Every field of a ModelRegistry and of a RegisteredModel, with a change of it: what admission has to guard."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from slipway.api.base import Value

Manifest = dict[str, Any]
WINDOW = {"days": ["Monday"], "start": "09:00", "end": "16:00", "timeZone": "Etc/UTC"}
REGISTRY: Manifest = {
    "apiVersion": "slipway.dev/v1alpha1",
    "kind": "ModelRegistry",
    "metadata": {"name": "mlflow"},
    "spec": {
        "backend": {
            "mlflow": {
                "uri": "https://mlflow.example.com",
                "auth": {"basic": {"secretRef": {"name": "password"}}},
                "caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}},
            }
        },
        "allowedNamespaces": {"selector": {"matchLabels": {"team": "air"}}, "models": ["air-*"]},
        "webhook": {"secretRef": {"name": "hook"}},
        "discovery": {"namespace": "ml", "models": ["air-*"]},
        "promotion": {"windows": [WINDOW]},
    },
}
# What is asked for, by field: the new value, or the new value of something around it.
Around = tuple[str, Any]
ROOTS = "backend.mlflow.artifactRoots"
OF_REGISTRY: dict[str, Any] = {
    "suspend": True,
    "backend.mlflow.uri": "https://collector.example.com",
    "backend.mlflow.auth.basic.secretRef.name": "other",
    "backend.mlflow.auth.bearer.secretRef.name": (
        "backend.mlflow.auth",
        {"basic": None, "bearer": {"secretRef": {"name": "token"}}},
    ),
    "backend.mlflow.artifactHosts": ["collector.example.com"],
    "backend.mlflow.artifactRoots.prefix": (ROOTS, [{"prefix": "s3://other"}]),
    "backend.mlflow.artifactRoots.region": (ROOTS, [{"prefix": "s3://other", "region": "eu-central-1"}]),
    "backend.mlflow.artifactRoots.endpoint": (ROOTS, [{"prefix": "s3://other", "endpoint": "https://s3.example"}]),
    "backend.mlflow.artifactRoots.models": (ROOTS, [{"prefix": "s3://other", "models": ["*"]}]),
    "backend.mlflow.artifactRoots.secretRef.name": (ROOTS, [{"prefix": "s3://other", "secretRef": {"name": "other"}}]),
    "backend.mlflow.auth.serviceAccountToken": ("backend.mlflow.auth", {"basic": None, "serviceAccountToken": {}}),
    "backend.mlflow.clientCertificate.secretRef.name": "other",
    "backend.mlflow.proxy": "http://collector.example.com:3128",
    "backend.mlflow.timeouts.connect": "5s",
    "backend.mlflow.timeouts.answer": "20s",
    "backend.mlflow.caBundle.configMapKeyRef.name": "other",
    "backend.mlflow.caBundle.configMapKeyRef.key": "other.crt",
    "allowedNamespaces.selector.matchLabels": {"team": "sea"},
    "allowedNamespaces.models": ["*"],
    "stages.Staging.stage": "None",
    "stages.Staging.alias": "other",
    "stages.Production.stage": "None",
    "stages.Production.alias": "other",
    "stages.Archived.stage": "None",
    "stages.Archived.alias": "other",
    "sync.interval": "1h",
    "discovery.namespace": "other",
    "discovery.stages": ("discovery.stages", ["Production"]),
    "discovery.models": ["*"],
    "discovery.limit": 7,
    "webhook.url": "https://collector.example.com",
    "webhook.secretRef.name": "other",
    "promotion.namespaces": ["ml"],
    "promotion.models": ["air-*"],
    "promotion.approvals": 1,
    "promotion.windows.days": ("promotion.windows", [WINDOW | {"days": ["Friday"]}]),
    "promotion.windows.start": ("promotion.windows", [WINDOW | {"start": "00:00"}]),
    "promotion.windows.end": ("promotion.windows", [WINDOW | {"end": "23:00"}]),
    "promotion.windows.timeZone": ("promotion.windows", [WINDOW | {"timeZone": "Europe/Berlin"}]),
}

METRIC = {"name": "root_mean_squared_error", "threshold": 12.0, "greaterIsBetter": False}
GATE: dict[str, Any] = {"name": "error", "metric": METRIC}
DATA = {"uri": "s3://months/holdout.parquet", "target": "air_time", "secretRef": {"name": "bucket"}}
CLASSIFIER = {"modelType": "classifier", "data": DATA}
MODEL: Manifest = {
    "apiVersion": "slipway.dev/v1alpha1",
    "kind": "RegisteredModel",
    "metadata": {"name": "flights"},
    "spec": {
        "source": {"registryRef": {"name": "mlflow", "namespace": "platform"}},
        "validation": {
            "pool": {"name": "cpu"},
            "modelType": "regressor",
            "data": DATA,
            "gates": [GATE],
        },
        "serving": {"pool": {"name": "cpu"}},
        "promotion": {"source": "Registry"},
    },
}


def gate(**change: Any) -> Around:
    return "validation.gates", [GATE | change]


def metric(**change: Any) -> Around:
    return gate(metric=METRIC | change)


def predictions(**one: str) -> Around:
    return "validation.outputs", {"predictions": [one]}


def probabilities(**one: str) -> Around:
    return "validation", CLASSIFIER | {"outputs": {"probabilities": [one]}}


def variable(**change: Any) -> Around:
    return "serving.pod.env", [{"name": "API_KEY"} | change]


OF_MODEL: dict[str, Any] = {
    "suspend": True,
    "source.registryRef.name": "other",
    "source.registryRef.namespace": "other",
    "source.name": "another model",
    "adopt.deployment": ("adopt", {"deployment": "old-flights", "port": 8080}),
    "adopt.port": ("adopt", {"deployment": "older-flights", "port": 9090}),
    "adopt.version": ("adopt", {"deployment": "old-flights", "port": 8080, "version": 3}),
    "validation.pool.name": "gpu",
    "validation.pool.overridable": True,
    "validation.timeout": "1h",
    "validation.pendingTimeout": "1h",
    "validation.modelType": "classifier",
    "validation.data.uri": "s3://months/easy.parquet",
    "validation.data.digest": "sha256:" + "a" * 64,
    "validation.data.target": "distance",
    "validation.data.targets": ("validation.data", DATA | {"target": None, "targets": ["air_time", "delay"]}),
    "validation.data.secretRef.name": "other",
    "validation.data.endpoint": "https://collector.example.com",
    "validation.gates.name": gate(name="other"),
    "validation.gates.overridable": gate(overridable=True),
    "validation.gates.metric.name": metric(name="max_error"),
    "validation.gates.metric.threshold": metric(threshold=99.0),
    "validation.gates.metric.minAbsoluteChange": metric(minAbsoluteChange=1.0),
    "validation.gates.metric.minRelativeChange": metric(minRelativeChange=0.1),
    "validation.gates.metric.greaterIsBetter": metric(greaterIsBetter=True),
    "validation.gates.metric.target": metric(target="air_time"),
    "validation.positiveLabel": ("validation", CLASSIFIER | {"positiveLabel": "late"}),
    "validation.outputs.predictions.target": predictions(target="air_time", output="label"),
    "validation.outputs.predictions.output": predictions(target="air_time", output="1"),
    "validation.outputs.probabilities.label": probabilities(label="late"),
    "validation.outputs.probabilities.output": probabilities(label="late", output="p"),
    "validation.evaluation": 2,
    "serving.pool.name": "gpu",
    "serving.runtime.scoring.maxConcurrency": 4,
    "serving.runtime.scoring.maxQueue": 16,
    "serving.runtime.scoring.requestTimeout": "5s",
    "serving.runtime.scoring.maxBodySize": "1Mi",
    "serving.runtime.scoring.gracePeriod": "30s",
    "serving.scaling.fixed.replicas": 3,
    "serving.resources.requests": {"cpu": "2"},
    "serving.resources.limits": {"memory": "8Gi"},
    "serving.runtime.scoring.batching.maxRows": 64,
    "serving.pod.labels": {"team": "sea"},
    "serving.pod.env.name": variable(name="OTHER", value="x"),
    "serving.pod.env.value": variable(value="x"),
    "serving.pod.env.secretKeyRef.name": variable(secretKeyRef={"name": "other", "key": "key"}),
    "serving.pod.env.secretKeyRef.key": variable(secretKeyRef={"name": "openai", "key": "other"}),
    "serving.pod.env.validation.value": variable(value="x", validation={"value": "x"}),
    "serving.pod.env.validation.secretKeyRef.name": variable(
        value="x", validation={"secretKeyRef": {"name": "other", "key": "key"}}
    ),
    "serving.pod.env.validation.secretKeyRef.key": variable(
        value="x", validation={"secretKeyRef": {"name": "openai", "key": "other"}}
    ),
    "serving.pod.priorityClassName": "high",
    "rollout.keepWarm": "2h",
    "rollout.historyLimit": 8,
    "promotion.source": "Cluster",
    "promotion.onRefusal": "Keep",
    "promotion.onDrift": "Correct",
}


def leaves(kind: type[Value], path: str = "") -> Iterator[str]:
    """The paths of all fields that hold no others; one path for all items of a list. A choice of one is none."""
    for name, field in kind.model_fields.items():
        here = path + (field.alias or name)
        parts = list(_types(field.annotation))
        for part in parts:
            yield from leaves(part, f"{here}.")
        if all(not part.model_fields for part in parts) and (not parts or len(kind.model_fields) > 1):
            yield here


def _types(annotation: Any) -> Iterator[type[Value]]:
    if isinstance(annotation, type) and issubclass(annotation, Value):
        yield annotation
    for one in get_args(annotation):
        yield from _types(one)


def change(path: str, value: Any) -> Mapping[str, Any]:
    """A spec in which only that differs."""
    if isinstance(value, tuple):
        path, value = value
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)
