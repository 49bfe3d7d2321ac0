"""Servers that tests run in the cluster: a pod that keeps to the restricted profile, and its address."""

from typing import Any

from dev.demo.kube import Object


def server(name: str, image: str, command: list[str], port: int, **pod: Any) -> Object:
    """A pod that keeps to the restricted profile."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    } | pod.pop("container", {})
    safe = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"terminationGracePeriodSeconds": 1, "securityContext": safe, "containers": [container], **pod}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def service(name: str, port: int) -> Object:
    """The address of such a pod."""
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
