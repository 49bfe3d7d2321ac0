"""The YAML that the demo applies: MLflow, and the four objects that a person writes for Slipway. Pure."""

import base64
from typing import Any

Object = dict[str, Any]
MLFLOW, MODELS, SYSTEM = "mlflow", "ml", "slipway-system"  # namespaces
MODEL = "flights"
CLUSTER = "demo"  # its name in the registry's tags
AUTHORITIES = {"name": "authorities", "key": "ca-certificates.crt"}
MLFLOW_PORT = 5000
THRESHOLD, RELATIVE_CHANGE = 12.0, 0.01  # minutes; and better than the champion by 1 %
_ALLOWED_HOSTS = ("mlflow.mlflow.svc.cluster.local", "mlflow.mlflow.svc", "mlflow.mlflow", "mlflow")
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def namespace(name: str, **labels: str) -> Object:
    """A namespace that admits only pods which keep to the restricted profile."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    given = {"slipway.dev/models": labels["models"]} if "models" in labels else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted | given}}


def authorities(namespace: str, certificates: str) -> Object:
    """The ConfigMap that the chart's caBundle names: whom pods trust beside the public authorities."""
    meta = {"name": AUTHORITIES["name"], "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {AUTHORITIES["key"]: certificates}}


def within(name: str) -> Object:
    """All pods of a namespace, as a peer of a NetworkPolicy."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def mlflow(image: str) -> list[Object]:
    """MLflow's server with its registry: SQLite and artifacts on one volume."""
    labels = {"app.kubernetes.io/name": "mlflow"}
    meta = {"name": "mlflow", "namespace": MLFLOW, "labels": labels}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"selector": labels, "ports": [{"name": "http", "port": MLFLOW_PORT, "targetPort": "http"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # SQLite: never two servers on one file
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _mlflow_pod(image)},
        },
    }
    return [namespace(MLFLOW), claim, service, deployment]


def _mlflow_pod(image: str) -> Object:
    hosts = [f"{name}:*" for name in (*_ALLOWED_HOSTS, "localhost", "127.0.0.1")]
    options = {
        "--host": "0.0.0.0",
        "--port": str(MLFLOW_PORT),
        "--workers": "1",  # more than one adds 44 ms to each request on a kept connection
        "--backend-store-uri": "sqlite:////data/mlflow.db",
        "--artifacts-destination": "/data/artifacts",
        "--allowed-hosts": ",".join(hosts),
    }
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "HOME": "/tmp",
        # Webhooks to a Service of the cluster, by http. The key is as secret as the demo; a team's comes from a Secret.
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(b"the key of a demo's own MLflow..").decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    }
    server = {
        "name": "mlflow",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mlflow", "server", *(word for pair in options.items() for word in pair)],
        "workingDir": "/tmp",
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "ports": [{"name": "http", "containerPort": MLFLOW_PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 2},
        "securityContext": _RESTRICTED,
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": _POD_SECURITY,
        "containers": [server],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "mlflow"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def model_registry() -> Object:
    """Where the models are registered, and who may use it."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": MLFLOW},
        "spec": {
            "backend": {"mlflow": {"uri": f"http://mlflow.{MLFLOW}.svc.cluster.local:{MLFLOW_PORT}"}},
            "allowedNamespaces": {"selector": {"matchLabels": {"slipway.dev/models": "true"}}},
            "sync": {"interval": "10s"},
        },
    }


def registered_model(name: str, data_uri: str, data_digest: str, target: str, by_labels: bool = False) -> Object:
    """How versions of the model are proven and served, and whether MLflow's labels say which."""
    gate = {
        "name": "error",
        "metric": {
            "name": "root_mean_squared_error",
            "threshold": THRESHOLD,
            "minRelativeChange": RELATIVE_CHANGE,
            "greaterIsBetter": False,
        },
    }
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "RegisteredModel",
        "metadata": {"name": MODEL, "namespace": MODELS},
        "spec": {
            "source": {"registryRef": {"name": "mlflow", "namespace": MLFLOW}, "name": name},
            "validation": {
                "pool": {"name": "cpu"},
                "timeout": "10m",
                "modelType": "regressor",
                "data": {"uri": data_uri, "digest": data_digest, "target": target},
                "gates": [gate],
            },
            "serving": {
                "pool": {"name": "cpu"},
                "scaling": {"fixed": {"replicas": 2}},
                "resources": {"requests": {"cpu": "100m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
            },
            **({"promotion": {"source": "Registry"}} if by_labels else {}),
        },
    }


def model_version(version: int) -> Object:
    """One version, wanted in Production."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{MODEL}-v{version}", "namespace": MODELS},
        "spec": {"model": MODEL, "version": version, "stage": "Production"},
    }


def load_pod(image: str, program: str, namespace: str = MODELS, name: str = "load") -> Object:
    """A pod that runs the load client, for clusters whose Services cannot be reached from this machine."""
    client = {
        "name": "load",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", program],
        "stdin": True,
        "stdinOnce": True,
        "securityContext": _RESTRICTED,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "load"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "activeDeadlineSeconds": 900,
            "terminationGracePeriodSeconds": 1,
            "securityContext": _POD_SECURITY,
            "containers": [client],
        },
    }
