"""What all pods of Slipway share: the `restricted` security context, scratch space, the fetch step."""

from typing import Any

from ..api import tasks
from ..api.base import Value
from .platform import Platform, PoolSettings

UID = 65532


def pod_security() -> dict[str, Any]:
    """The pod's half of Pod Security `restricted`."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container(
    platform: Platform,
    name: str,
    program: str,
    task: Value | None = None,
    mounts: dict[str, str] | None = None,
    read_only: tuple[str, ...] = (),
    resources: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A container that runs one program of the runner image; `mounts` maps volumes to paths."""
    found: dict[str, Any] = {
        "name": name,
        "image": platform.runner_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["python", "-m", f"slipway.runner.{program}"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": volume, "mountPath": path} | ({"readOnly": True} if volume in read_only else {})
            for volume, path in (mounts or {}).items()
        ],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}],
        "terminationMessagePolicy": "File",
    }
    if task is not None:
        found["env"].insert(
            0, {"name": tasks.VARIABLE, "value": task.model_dump_json(by_alias=True, exclude_none=True)}
        )
    if resources:
        found["resources"] = resources
    return found


def placed(platform: Platform, pool: PoolSettings | None, spec: dict[str, Any]) -> dict[str, Any]:
    """The pod spec, sent to a pool, without a ServiceAccount token and with the image's pull secrets."""
    placement: dict[str, Any] = {}
    if pool and pool.node_selector:
        placement["nodeSelector"] = dict(pool.node_selector)
    if pool and pool.tolerations:
        placement["tolerations"] = [toleration.wire() for toleration in pool.tolerations]
    if platform.image_pull_secrets:
        placement["imagePullSecrets"] = [{"name": name} for name in platform.image_pull_secrets]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        **placement,
        **spec,
    }


def scratch(*names: str) -> list[dict[str, Any]]:
    """Empty volumes."""
    return [{"name": name, "emptyDir": {}} for name in names]
