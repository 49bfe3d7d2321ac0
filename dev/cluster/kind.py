"""A kind cluster of the same shape, where a Docker engine answers."""

import json
import os
import shutil
import subprocess

import programs
from layout import NODES
from nodes import GPU
from paths import BIN, CACHE, STATE, write
from say import Trouble, say, step
from scratch import S3_IMAGE, STORE_IMAGE

NAME = "slipway"
CONTEXT = f"kind-{NAME}"
KUBECONFIG = CACHE / "kind.kubeconfig"
_UPSTREAM = {STORE_IMAGE: "registry:3", S3_IMAGE: "versity/versitygw:v1.8.0"}


def _program() -> str:
    if found := shutil.which("kind"):
        return found
    programs.ensure(["kind"])
    return str(BIN / "kind")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _configuration() -> str:
    workers = []
    for node in NODES:
        taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if node.gpus else []
        patch = {"kind": "JoinConfiguration", "nodeRegistration": {"taints": taints}}
        labels = {"pool": node.pool, "slipway.dev/local": node.name}
        workers.append({"role": "worker", "labels": labels, "kubeadmConfigPatches": [json.dumps(patch)]})
    roles = [{"role": "control-plane"}, *workers]
    return json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles})


def _kubectl(*arguments: str) -> str:
    return _run(str(BIN / "kubectl"), "--kubeconfig", str(KUBECONFIG), *arguments)


def up() -> None:
    programs.ensure(programs.CLIENTS)
    kind = _program()
    if NAME in _run(kind, "get", "clusters").split():
        _run(kind, "export", "kubeconfig", "--name", NAME, "--kubeconfig", str(KUBECONFIG))
        say(f"the kind cluster {NAME!r} exists")
    else:
        configuration = STATE / "kind.json"
        write(configuration, _configuration())
        with step(f"creating the kind cluster {NAME!r}"):
            options = ("--config", str(configuration), "--kubeconfig", str(KUBECONFIG), "--wait", "120s")
            _run(kind, "create", "cluster", "--name", NAME, *options)
    for node in NODES:
        if node.gpus:
            name = _kubectl("get", "nodes", "--selector", f"slipway.dev/local={node.name}", "--output", "name").strip()
            operation = {"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(node.gpus)}
            _kubectl("patch", name, "--subresource=status", "--type=json", "--patch", json.dumps([operation]))


def load(images: list[str]) -> None:
    _run(_program(), "load", "docker-image", "--name", NAME, *images)


def load_archive(path: str) -> None:
    _run(_program(), "load", "image-archive", "--name", NAME, path)


def load_upstream(image: str) -> None:
    """Somebody else's image, under the name that the local cluster gives it."""
    _run("docker", "pull", "--quiet", _UPSTREAM[image])
    _run("docker", "tag", _UPSTREAM[image], image)
    load([image])


def down() -> None:
    if KUBECONFIG.exists():
        with step(f"deleting the kind cluster {NAME!r}"):
            _run(_program(), "delete", "cluster", "--name", NAME, "--kubeconfig", os.fspath(KUBECONFIG))
            KUBECONFIG.unlink(missing_ok=True)
