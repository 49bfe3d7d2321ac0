"""The chart as Helm renders it, for tests."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "slipway"
CACHE = Path(
    os.environ.get("SLIPWAY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"
)
NAMESPACED = {"watch": {"namespaces": ["ml", "vision"]}}
MODES: dict[str, dict[str, Any]] = {"cluster-wide": {}, "namespaced": NAMESPACED}
READ = {"get", "list", "watch"}

Manifest = dict[str, Any]


def helm(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Helm on the chart, as for the oldest Kubernetes that is supported."""
    local = CACHE / "bin" / "helm"
    program = str(local) if local.exists() else shutil.which("helm")
    if not program:
        pytest.skip("helm is neither in the cache nor in PATH; run `dev/cluster up`")
    words = [program, *arguments, "--kube-version", "1.31.0", "--values", "-"]
    given = {"clusterName": "test"} | (values or {})
    return subprocess.run(words, check=False, input=json.dumps(given), capture_output=True, text=True, timeout=60)


def template(values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    return helm("template", "slipway", str(CHART), "--namespace", "platform", values=values)


def rendered(values: dict[str, Any] | None = None) -> list[Manifest]:
    """The manifests that these values make."""
    done = template(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def config(manifests: list[Manifest]) -> Any:
    return yaml.safe_load(one(manifests, "ConfigMap", "slipway")["data"]["config.yaml"])


def granted(manifests: list[Manifest], *names: str) -> set[tuple[str, str]]:
    """(verb, resource) that roles of these names grant."""
    return {
        (verb, resource)
        for role in of_kind(manifests, "Role", "ClusterRole")
        if role["metadata"]["name"] in names
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"


def policy(manifests: list[Manifest], ending: str) -> str:
    """The full name of the policy that ends so."""
    (found,) = [
        p["metadata"]["name"] for p in of_kind(manifests, POLICY) if p["metadata"]["name"].endswith(f"-{ending}")
    ]
    return str(found)


EGRESS = {"enabled": True, "namespaces": ["ml"]}
