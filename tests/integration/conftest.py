"""Reaching a real API server: one that these tests start themselves."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .control_plane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
CRDS = tuple(f"{kind}.slipway.dev" for kind in ("modelregistries", "registeredmodels", "modelversions", "modelledgers"))

QUEUE, BACKUP = (
    "system:serviceaccount:kueue-system:kueue",
    "system:serviceaccounts:velero",
)  # tools that the chart names


@dataclass(frozen=True)
class Answer:
    """What kubectl said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """kubectl against the test's cluster, in one namespace if there is one."""

    program: str
    kubeconfig: str
    context: str
    namespace: str = ""

    def ask(self, *arguments: str, stdin: Any = None) -> Answer:
        """Run it; `stdin` is a manifest, or a list of them."""
        place = ["--namespace", self.namespace] if self.namespace else []
        text = json.dumps(_listed(stdin)) if stdin is not None else ""
        done = subprocess.run(
            [self.program, "--kubeconfig", self.kubeconfig, "--context", self.context, *place, *arguments],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str, stdin: Any = None) -> str:
        """What it printed; the test fails if it refused."""
        answer = self.ask(*arguments, stdin=stdin)
        assert answer.code == 0, answer.err
        return answer.out

    def object(self, *arguments: str) -> Any:
        """One object, as the API server holds it."""
        return json.loads(self.must("get", *arguments, "--output", "json"))

    def within(self, namespace: str) -> "Kubectl":
        """The same, in another namespace."""
        return Kubectl(self.program, self.kubeconfig, self.context, namespace)


def _listed(stdin: Any) -> Any:
    return {"apiVersion": "v1", "kind": "List", "items": stdin} if isinstance(stdin, list) else stdin


def cache() -> Path:
    """Where `dev/cluster` keeps what it builds and runs."""
    if named := os.environ.get("SLIPWAY_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"


def programs() -> Path:
    """Where kube-apiserver and helm are; without them the test is skipped, or fails where they are required."""
    found = cache() / "bin"
    if not (found / "kube-apiserver").exists() or not (found / "helm").exists():
        give_up = pytest.fail if os.environ.get("SLIPWAY_REQUIRE_CLUSTER") else pytest.skip
        give_up("kube-apiserver and helm are not built; run `make cluster`")
    return found


@pytest.fixture(scope="session")
def plane_without_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of these tests' own: on the shared cluster an operator would answer too."""
    found = ControlPlane(programs(), tmp_path_factory.mktemp("plane"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def cluster(plane_without_operator: ControlPlane) -> Kubectl:
    """kubectl, as an administrator of that control plane."""
    plane = plane_without_operator
    return Kubectl(str(plane.programs / "kubectl"), str(plane.kubeconfig), "c")


@pytest.fixture(scope="session")
def crds(cluster: Kubectl) -> Kubectl:
    """The cluster with the CRDs of this checkout."""
    cluster.must("apply", "--filename", str(ROOT / "crds"))
    cluster.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    return cluster


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A control plane where the chart is installed and its policies are in force; nothing waits for its pods."""
    plane = ControlPlane(programs(), tmp_path_factory.mktemp("plane"))
    try:
        plane.start()
        kubectl = Kubectl(str(plane.programs / "kubectl"), str(plane.kubeconfig), "c")
        install(plane, "--set", f"admission.writers={{{QUEUE},{BACKUP}}}")
        kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
        yield kubectl
    finally:
        plane.stop()


def install(plane: ControlPlane, *values: str) -> None:
    """The chart as the release slipway in slipway-system."""
    chart: list[str | Path] = [plane.programs / "helm", "install", "slipway", ROOT / "charts" / "slipway"]
    place = ["--kubeconfig", plane.kubeconfig, "--namespace", "slipway-system", "--create-namespace"]
    chosen = ["--set=clusterName=test", *values]
    subprocess.run([*chart, *place, *chosen], check=True, capture_output=True, text=True, timeout=60)


@pytest.fixture
def kubectl(crds: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, where Pod Security `restricted` is enforced and warned about."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    crds.must(
        "create",
        "--filename=-",
        stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    yield crds.within(name)
    crds.must("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> Kubectl:
    """kubectl on a control plane of the module's own: the CRDs and the operator's namespace are there."""
    kubectl = Kubectl(str(plane.programs / "kubectl"), str(plane.kubeconfig), "c")
    kubectl.must("apply", "--filename", str(ROOT / "crds"))
    kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    kubectl.must("create", "namespace", "slipway-system")
    return kubectl
