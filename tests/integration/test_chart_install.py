"""The chart's output on a real API server, in a namespace that enforces Pod Security `restricted`."""

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Kubectl, cache

CRD = "CustomResourceDefinition"


def rendered(namespace: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests of the chart, released into that namespace."""
    local = cache() / "bin" / "helm"
    program = str(local) if local.exists() else shutil.which("helm")
    if not program:
        pytest.skip("helm is neither in the cache nor in PATH; run `dev/cluster up`")
    words = [program, "template", "slipway", str(ROOT / "charts" / "slipway"), "--namespace", namespace]
    done = subprocess.run(
        [*words, "--kube-version", "1.31.0", "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.mark.parametrize("mode", ["cluster-wide", "namespaced"])
def test_the_api_server_takes_it_without_a_warning(kubectl: Kubectl, mode: str) -> None:
    watched = [kubectl.namespace] if mode == "namespaced" else []
    objects = rendered(kubectl.namespace, {"watch": {"namespaces": watched}})
    dry = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-")
    kubectl.must(*dry, stdin=[one for one in objects if one["kind"] == CRD])
    answer = kubectl.ask(*dry, stdin=[one for one in objects if one["kind"] != CRD])
    assert answer.code == 0, answer.err
    assert answer.err == ""  # such as: would violate PodSecurity "restricted:latest"


def test_its_pods_are_admitted(kubectl: Kubectl) -> None:
    objects = rendered(kubectl.namespace, {"crds": {"enabled": False}})
    accounts = [one for one in objects if one["kind"] == "ServiceAccount"]
    default = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    kubectl.must("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=[*accounts, default])
    deployments = [one for one in objects if one["kind"] == "Deployment"]
    assert len(deployments) == 2
    for deployment in deployments:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "tried"},
            "spec": deployment["spec"]["template"]["spec"],
        }
        kubectl.must("create", "--dry-run=server", "--filename=-", stdin=pod)


def allowed(kubectl: Kubectl, account: str, verb: str, resource: str) -> bool:
    """Whether that ServiceAccount may, in kubectl's namespace; `resource` may name a subresource."""
    kind, _, part = resource.partition("/")
    answer = kubectl.ask("auth", "can-i", verb, kind, f"--subresource={part}", f"--as={account}")
    return answer.out.strip() == "yes"


def test_what_the_operator_may_do_where_it_is_confined(kubectl: Kubectl) -> None:
    place, elsewhere = kubectl.namespace, kubectl.within("default")
    objects = rendered(place, {"crds": {"enabled": False}, "watch": {"namespaces": [place]}})
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[one for one in objects if "Role" in one["kind"]])
    account = f"system:serviceaccount:{place}:slipway"
    for verb, resource in (
        ("patch", "modelversions.slipway.dev/status"),
        ("create", "jobs.batch"),
        ("get", "pods/log"),
        ("get", "secrets"),
        ("update", "deployments.apps/scale"),
    ):
        assert allowed(kubectl, account, verb, resource), f"may not {verb} {resource}"
        assert not allowed(elsewhere, account, verb, resource), f"may {verb} {resource} elsewhere"
    for verb, resource in (
        ("list", "secrets"),
        ("patch", "modelversions.slipway.dev"),
        ("promote", "modelversions.slipway.dev"),
        ("create", "pods"),
        ("get", "nodes"),
    ):
        assert not allowed(kubectl, account, verb, resource), f"may {verb} {resource}"
