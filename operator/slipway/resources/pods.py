"""What all pods of Slipway share: the `restricted` security context, placement, scratch space."""

from typing import Any

from ..api import tasks
from ..api.base import Value, size_bytes
from ..api.connection import ConfigMapKeyRef
from ..api.variables import Variable, VariableValue
from .platform import Platform, PoolSettings

UID = 65532
# Numeric libraries see the node's cores, and more threads than the limit allows wait for each other. The kubelet rounds
# the limit up to whole cores; where there is none, it gives the node's.
_CORES = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


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
    inside: str = "",
) -> dict[str, Any]:
    """A container that runs one program of the runner image; `mounts` maps volumes to paths.

    With `inside`, it runs in the packages that lie there, and in none of the image.
    """
    started = ["slipway.runner.inside", inside, f"{program}.py"] if inside else [f"slipway.runner.{program}"]
    found: dict[str, Any] = {
        "name": name,
        "image": platform.runner_image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["python", "-m", *started],
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


def variables(given: tuple[Variable, ...], validation: bool = False) -> list[dict[str, Any]]:
    """The variables of a container that runs the model's code: threads as it has cores, and what its owner gives it.

    In a validation nobody has proven that code yet: it gets only what is marked for it.
    """
    chosen = {one.name: one.validation if validation else one for one in given}
    own = [{"name": name, **_source(one)} for name, one in chosen.items() if one is not None]
    named = {one["name"] for one in own}
    return [{"name": name, "valueFrom": _CORES} for name in _THREADS if name not in named] + own


def _source(given: VariableValue) -> dict[str, Any]:
    if given.secret_key_ref is None:
        return {"value": given.value or ""}
    return {"valueFrom": {"secretKeyRef": given.secret_key_ref.wire()}}


def placed(platform: Platform, pool: PoolSettings | None, spec: dict[str, Any]) -> dict[str, Any]:
    """The pod spec, sent to a pool, without a ServiceAccount token, with pull secrets and authorities."""
    placement: dict[str, Any] = {}
    if pool and pool.node_selector:
        placement["nodeSelector"] = dict(pool.node_selector)
    if pool and pool.tolerations:
        placement["tolerations"] = [toleration.wire() for toleration in pool.tolerations]
    if pool and pool.runtime_class_name:
        placement["runtimeClassName"] = pool.runtime_class_name
    if pool and not pool.host_users:
        placement["hostUsers"] = False
    if platform.image_pull_secrets:
        placement["imagePullSecrets"] = [{"name": name} for name in platform.image_pull_secrets]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        **placement,
        **(_trusting(platform.ca_bundle.config_map_key_ref, spec) if platform.ca_bundle else spec),
    }


def _trusting(authorities: ConfigMapKeyRef, spec: dict[str, Any]) -> dict[str, Any]:
    """Every container sees the platform's certificates, in a namespace that has them; another one does without."""
    items = [{"key": authorities.key, "path": "ca.crt"}]
    volume = {"name": "authorities", "configMap": {"name": authorities.name, "items": items, "optional": True}}
    mount = {"name": "authorities", "mountPath": tasks.AUTHORITIES, "readOnly": True}
    mounted = {
        kind: [one | {"volumeMounts": [*one["volumeMounts"], mount]} for one in spec[kind]]
        for kind in ("initContainers", "containers")
        if kind in spec
    }
    return spec | mounted | {"volumes": [*spec["volumes"], volume]}


def scratch(platform: Platform, *names: str) -> list[dict[str, Any]]:
    """Empty volumes, each with a limit: the kubelet ends a pod that exceeds one, before its node's disk is full."""
    return [{"name": name, "emptyDir": {"sizeLimit": _limit(platform, name)}} for name in names]


def _limit(platform: Platform, name: str) -> str:
    # A volume's blocks and folders count, too: what holds files of a known size gets the scratch space on top.
    packages = size_bytes(platform.environments.max_size)
    model, spare = size_bytes(platform.imports.max_model_size), size_bytes(platform.scratch_size)
    known = {
        "model": model,
        "candidate": model,
        "champion": model,
        "environment": packages,
        "champion-environment": packages,
        "packages": 2 * packages,  # as they came, and unpacked
        "files": model + tasks.DATA_BYTES,
        "features": 2 * tasks.DATA_BYTES,  # written anew as Parquet, which may be larger than what came
        "truth": 2 * tasks.DATA_BYTES,
    }
    return _canonical((known.get(name, 0) + spare) >> 20)


def _canonical(mebibytes: int) -> str:
    """As the API server stores it, so that what is compared with it is the same."""
    return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"
