"""The chart on a real API server: rendered for one that enforces Pod Security `restricted`, and installed by helm and
by kubectl into a control plane of the test's own, from the first installation to the last trace."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import CRDS, ROOT, Answer, Kubectl, cache, programs
from .control_plane import ControlPlane, until

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
        input=json.dumps({"clusterName": "test"} | values),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.mark.parametrize("mode", ["cluster-wide", "namespaced"])
def test_the_api_server_takes_it_without_a_warning(kubectl: Kubectl, mode: str) -> None:
    watched = [kubectl.namespace] if mode == "namespaced" else []
    internet = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}], "ports": [{"port": 443}]}]
    egress = {"enabled": True, "namespaces": [kubectl.namespace], "allowValidation": internet}
    denied = {"deniedCidrs": ["10.96.0.0/12", "fd00:1::/48"]}
    objects = rendered(kubectl.namespace, {"watch": {"namespaces": watched}, "egress": egress, "data": denied})
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
        ("create", "modelversions.slipway.dev"),  # for what labels in the registry ask for
        ("create", "jobs.batch"),
        ("get", "pods/log"),
        ("get", "secrets"),
        ("update", "deployments.apps/scale"),
    ):
        assert allowed(kubectl, account, verb, resource), f"may not {verb} {resource}"
        assert not allowed(elsewhere, account, verb, resource), f"may {verb} {resource} elsewhere"
    for verb, resource in (
        ("list", "secrets"),
        ("delete", "modelversions.slipway.dev"),
        ("promote", "modelversions.slipway.dev"),
        ("create", "pods"),
        ("get", "nodes"),
    ):
        assert not allowed(kubectl, account, verb, resource), f"may {verb} {resource}"


CHART = str(ROOT / "charts" / "slipway")
CLUSTER_WIDE = "clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding"
OURS = "--selector=app.kubernetes.io/instance=slipway"
VERSION = {
    "apiVersion": "slipway.dev/v1alpha1",
    "kind": "ModelVersion",
    "metadata": {"name": "flights-v1"},
    "spec": {"model": "flights", "version": 1, "stage": "Production"},
}


@dataclass(frozen=True)
class Site:
    """A control plane without Slipway, helm, and the namespace for the release."""

    plane: ControlPlane
    kubectl: Kubectl

    def helm(self, *arguments: str) -> Answer:
        """helm in the release's namespace; it never waits for pods, since there are no nodes."""
        place = ["--kubeconfig", str(self.plane.kubeconfig), "--namespace", self.kubectl.namespace]
        given = ["--set=clusterName=test"] if arguments[0] in ("install", "upgrade") else []
        words = [str(self.plane.programs / "helm"), *arguments, *given, *place]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str) -> str:
        answer = self.helm(*arguments)
        assert answer.code == 0, answer.err
        return answer.out

    def names(self, kinds: str, *words: str) -> set[str]:
        """Objects of the chart, as kind/name."""
        return set(self.kubectl.must("get", kinds, "--output=name", *(words or (OURS,))).split())

    def definitions(self) -> set[str]:
        return {name.partition("/")[2] for name in self.names("crd", "--ignore-not-found")}

    def release(self) -> dict[str, Any]:
        """What helm knows of the release."""
        (found,) = json.loads(self.must("list", "--output", "json"))
        return dict(found)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A new one for each test: a definition that is deleted soon after it was made takes the API server minutes
    ("storage is (re)initializing")."""
    plane = ControlPlane(programs(), tmp_path)
    try:
        plane.start()
        admin = Kubectl(str(plane.programs / "kubectl"), str(plane.kubeconfig), "c")
        admin.must("create", "namespace", "slipway-system")
        yield Site(plane, admin.within("slipway-system"))
    finally:
        plane.stop()


def test_helm_tries_it_on_the_server_and_leaves_nothing(site: Site) -> None:
    said = site.must("install", "slipway", CHART, "--dry-run=server")
    assert "ValidatingAdmissionPolicyBinding" in said
    assert not site.definitions()
    assert not site.names(CLUSTER_WIDE)


def test_it_is_installed_upgraded_and_uninstalled_and_models_and_artifacts_stay(site: Site) -> None:
    site.must("install", "slipway", CHART)
    assert site.definitions() == set(CRDS)
    site.kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    site.kubectl.must("apply", "--filename=-", stdin=VERSION)
    before = site.kubectl.object("mv", "flights-v1")["metadata"]
    password = site.kubectl.object("secret", "slipway-store-push")["data"]

    site.must("upgrade", "slipway", CHART, "--set", "image.tag=other", "--set", "admission.enabled=false")
    (container,) = site.kubectl.object("deployment", "slipway")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "slipway-operator:other"
    assert not site.names("validatingadmissionpolicy,validatingadmissionpolicybinding")
    assert site.kubectl.object("mv", "flights-v1")["metadata"]["resourceVersion"] == before["resourceVersion"]
    assert site.release()["revision"] == "2"
    assert site.kubectl.object("secret", "slipway-store-push")["data"] == password, "an upgrade keeps it"

    site.must("uninstall", "slipway")
    assert site.definitions() == set(CRDS)
    assert site.kubectl.object("mv", "flights-v1")["metadata"]["uid"] == before["uid"]
    assert site.names("pvc", "--ignore-not-found") == {"persistentvolumeclaim/slipway-store"}
    assert not site.names(CLUSTER_WIDE)
    assert not site.names("deployment,service,serviceaccount,configmap,secret,role,rolebinding")

    site.must("install", "slipway", CHART)  # once more, over what was kept
    assert site.kubectl.object("mv", "flights-v1")["metadata"]["uid"] == before["uid"]


def test_it_takes_over_definitions_that_kubectl_applied_when_told_to(site: Site) -> None:
    site.kubectl.must("apply", "--server-side", "--filename", str(ROOT / "crds"))
    site.kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    site.kubectl.must("apply", "--filename=-", stdin=VERSION)
    assert "invalid ownership metadata" in site.helm("install", "slipway", CHART).err
    site.helm("uninstall", "slipway", "--ignore-not-found")

    site.must("install", "slipway", CHART, "--take-ownership")
    found = site.kubectl.object("crd", CRDS[0])["metadata"]["annotations"]
    assert found["meta.helm.sh/release-name"] == "slipway"
    assert found["helm.sh/resource-policy"] == "keep"
    site.must("upgrade", "slipway", CHART)
    assert site.kubectl.object("mv", "flights-v1")


def test_it_leaves_definitions_alone_that_somebody_else_installs(site: Site) -> None:
    site.must("install", "slipway", CHART, "--set", "crds.enabled=false")
    assert not site.definitions()


def test_kubectl_applies_what_helm_renders_and_applies_it_again(site: Site) -> None:
    objects = rendered(site.kubectl.namespace, {})
    for _ in range(2):
        said = site.kubectl.must("apply", "--filename=-", stdin=objects).splitlines()
        assert len(said) == len(objects)
    # kubectl sends the selector of a budget at each apply, whether it differs or not.
    compared = [line for line in said if not line.startswith("poddisruptionbudget")]
    assert not [line for line in compared if not line.endswith(" unchanged")]  # a tool that compares sees no drift
    assert site.definitions() == set(CRDS)
    assert len(site.names("validatingadmissionpolicy,validatingadmissionpolicybinding")) == 14


def engineer(role: str) -> dict[str, Any]:
    """A RoleBinding of that Role to somebody who makes versions."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "engineer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "User", "name": "engineer", "apiGroup": "rbac.authorization.k8s.io"}],
    }


def test_a_confined_release_guards_its_own_namespaces_and_no_other(site: Site) -> None:
    inside, outside = site.kubectl.within("ml"), site.kubectl.within("vision")
    for place in (inside, outside):
        site.kubectl.must("create", "namespace", place.namespace)
    site.must("install", "slipway", CHART, "--set", f"watch.namespaces={{{inside.namespace}}}")
    site.kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    makes = inside.object("role", "slipway-ml-engineer")
    makes["metadata"] = {"name": "makes"}
    inside.must("apply", "--server-side", "--filename=-", stdin=engineer("slipway-ml-engineer"))
    outside.must("apply", "--server-side", "--filename=-", stdin=[makes, engineer("makes")])
    tried = ("apply", "--server-side", "--dry-run=server", "--as=engineer", "--filename=-")
    refused = until("the policy is in force", lambda: inside.ask(*tried, stdin=VERSION).err, 30)
    assert "engineer may not put flights-v1 into Production" in refused
    outside.must(*tried, stdin=VERSION)
