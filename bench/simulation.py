"""A whole control plane on free ports of 127.0.0.1, with simulated nodes whose pods are ready at once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.integration.control_plane import TOKEN, ControlPlane, until

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "helm", "kwok")
SYSTEM, REGISTRY = "slipway-system", "mlflow"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:slipway"
NODES = 4
# The defaults (20 and 50 requests a second) would make every measured figure theirs.
UNTHROTTLED = ("--kube-api-qps=1000", "--kube-api-burst=2000", "--leader-elect=false", "--bind-address=127.0.0.1")
CONTROLLERS = "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller"
APART = {"events", "leases"}  # telling people, and saying that one lives
# Of the chart, what the API server holds against the operator: its rights, and the rules for everybody.
RIGHTS = {
    *("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}
AUDIT: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}],
}


def build(*programs: str) -> Path:
    """The programs are there, by default all of them; the folder that they are in."""
    subprocess.run([sys.executable, ROOT / "dev" / "cluster", "build", *(programs or PROGRAMS)], check=True)
    asked = [sys.executable, "-c", "import sys; sys.path.insert(0, 'dev/cluster'); import paths; print(paths.BIN)"]
    return Path(subprocess.run(asked, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip())


class Simulation(ControlPlane):
    """etcd, kube-apiserver, controllers, scheduler and kwok, with the chart's rights and policies."""

    def __init__(self, programs: Path, folder: Path) -> None:
        flags = (
            "--service-cluster-ip-range=10.96.0.0/14",
            # Simulated nodes are ready from the start, and no controller looks after them.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--audit-policy-file=audit-policy.json",
            "--audit-log-path=audit.log",
            "--audit-log-maxsize=4096",
        )
        super().__init__(programs, folder, flags)
        (folder / "audit-policy.json").write_text(json.dumps(AUDIT))
        self.audit = folder / "audit.log"

    def start(self) -> None:
        """Everything runs; nodes are ready."""
        super().start()
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        here = (*UNTHROTTLED, kubeconfig, "--secure-port=0")
        workers = [f"--concurrent-{kind}-syncs=10" for kind in ("deployment", "replicaset", "gc", "namespace")]
        # Each controller as itself: the chart's policies tell them from people.
        as_itself = ("--use-service-account-credentials=true", "--service-account-private-key-file=sa.key")
        self._spawn("kube-controller-manager", *here, f"--controllers={CONTROLLERS}", *workers, *as_itself)
        self._spawn("kube-scheduler", *here)
        stages = f"--config={ROOT / 'bench' / 'stages.yaml'}"
        self._spawn("kwok", kubeconfig, stages, "--manage-all-nodes=true", "--node-lease-duration-seconds=0")
        self.apply(*(_node(number) for number in range(NODES)))
        until("simulated nodes are ready", lambda: self.kubectl("get", "nodes").count(" Ready") == NODES, 15)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl printed, as an administrator."""
        command = [str(self.programs / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        """These objects are as given."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(listed))

    def install(self, **values: str) -> dict[str, Any]:
        """The chart's CRDs, rights and policies are in force; returns the configuration that it gives the operator."""
        self.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename", str(ROOT / "crds"))
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        chosen = [part for key, value in values.items() for part in ("--set", f"{key.replace('_', '.')}={value}")]
        command = [str(self.programs / "helm"), "template", "slipway", str(ROOT / "charts" / "slipway")]
        command += ["--namespace", SYSTEM, "--kube-version", "1.36.0", "--set", "crds.enabled=false", *chosen]
        rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = [one for one in yaml.safe_load_all(rendered) if one]
        self.apply(*(_placed(one) for one in found if one["kind"] in RIGHTS))
        (config,) = (one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "slipway")
        settings: dict[str, Any] = yaml.safe_load(config["data"]["config.yaml"])
        return settings

    def token(self) -> str:
        """A token of the operator's ServiceAccount."""
        return self.kubectl("create", "token", "slipway", "--namespace", SYSTEM, "--duration=6h").strip()

    @property
    def admin(self) -> str:
        """A token of an administrator."""
        return TOKEN


class Requests:
    """What the operator asks of the API server from now on, as its audit log tells."""

    def __init__(self, log: Path) -> None:
        self._log, self._from = log, log.stat().st_size

    def counted(self) -> Counter[str]:
        """Requests by verb and resource; without watches, and without Events and Leases."""
        found: Counter[str] = Counter()
        with self._log.open() as log:
            log.seek(self._from)
            for line in log:
                if not line.endswith("\n"):
                    break
                event = json.loads(line)
                ref = event.get("objectRef", {})
                if event["verb"] == "watch" or ref.get("resource") in APART:
                    continue
                parts = (event["verb"], ref.get("resource"), ref.get("subresource"))
                found["/".join(part for part in parts if part)] += 1
        return found


def _node(number: int) -> dict[str, Any]:
    name = f"simulated-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "kwok"}},
    }


def _placed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Helm leaves the release's namespace out where it is the default."""
    if not manifest["kind"].startswith(("Cluster", "Validating")):
        manifest["metadata"].setdefault("namespace", SYSTEM)
    return manifest
