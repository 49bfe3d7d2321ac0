"""The stage of the story: which cluster, Slipway by its Helm chart, MLflow, and three registered versions."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import manifests
from .console import Broken, Console, expect
from .kube import Kube, tied
from .manifests import MLFLOW, SYSTEM

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINING_SECONDS, HELM_SECONDS = 300, 120


@dataclass(frozen=True)
class Images:
    """The images of the cluster; `make demo` has built and loaded them."""

    operator: str = field(default_factory=lambda: os.environ.get("OPERATOR_IMAGE", "localhost/slipway-operator:dev"))
    runner: str = field(default_factory=lambda: os.environ.get("RUNNER_IMAGE", "localhost/slipway-runner:dev"))
    store: str = field(default_factory=lambda: os.environ.get("STORE_IMAGE", "localhost/registry:3"))


@dataclass(frozen=True)
class Story:
    """What was trained: the versions, a request, and what each version itself says to it."""

    model_name: str
    good: int
    bad: int
    better: int
    errors: dict[int, float]  # root mean squared error of each on the hold-out data
    data: dict[str, str]  # data_uri, data_digest, target
    request: dict[str, Any]
    predictions: dict[str, list[float]]  # by version

    def answers(self, *versions: int) -> dict[str, list[float]]:
        """The right answers, of these versions only."""
        return {str(version): self.predictions[str(version)] for version in versions}

    def sample(self, rows: int, *versions: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
        """A smaller request, the first rows only, and the right answers to it."""
        split = self.request["dataframe_split"]
        answers = {version: answer[:rows] for version, answer in self.answers(*versions).items()}
        return {"dataframe_split": {**split, "data": split["data"][:rows]}}, answers


def cache() -> Path:
    """Where the local cluster keeps its files, and the demo its own."""
    named = os.environ.get("SLIPWAY_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"


def cluster() -> Kube:
    """The cluster that `make` has ensured; never the one that happens to be the default of this machine."""
    environment = dict(os.environ)
    environment["PATH"] = f"{cache() / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    choice = cache() / "cluster.json"
    chosen = json.loads(choice.read_text()) if choice.exists() else {}
    kubeconfig = Path(chosen.get("kubeconfig") or cache() / "admin.kubeconfig")
    expect(kubeconfig.exists(), f"there is no cluster ({kubeconfig} is missing): run `make demo`, which starts one")
    environment["KUBECONFIG"] = str(_only(kubeconfig, str(chosen.get("context", "")), environment))
    return Kube(environment)


def _only(kubeconfig: Path, context: str, environment: dict[str, str]) -> Path:
    """A file that holds the chosen context and no other, so that no command can reach another cluster."""
    chosen = ["--context", context] if context else []
    view = ["config", "view", "--kubeconfig", str(kubeconfig), "--raw", "--minify", "--flatten", *chosen]
    text = Kube(environment).run("kubectl", *view)
    only = cache() / "demo" / "kubeconfig"
    only.parent.mkdir(parents=True, exist_ok=True)
    only.touch(mode=0o600)
    only.write_text(text)
    return only


def install_slipway(kube: Kube, console: Console, images: Images, more: dict[str, Any] | None = None) -> None:
    """Install or upgrade the chart, and wait until it is ready; `more` are values that come before the demo's own."""
    nodes = json.loads(kube.run("kubectl", "get", "nodes", "-o", "json"))["items"]
    version = json.loads(kube.run("kubectl", "version", "-o", "json"))["serverVersion"]["gitVersion"]
    names = ", ".join(node["metadata"]["name"] for node in nodes)
    console.say(f"cluster: Kubernetes {version}, nodes {names} (KUBECONFIG={kube.environment['KUBECONFIG']})")
    values = cache() / "demo" / "values.yaml"
    values.parent.mkdir(parents=True, exist_ok=True)
    values.write_text(yaml.safe_dump(_values(images, nodes) | (more or {}), sort_keys=False))
    if certificates := host_certificates():
        kube.apply(manifests.namespace(SYSTEM), manifests.authorities(SYSTEM, certificates))
    console.say(f"waiting for `helm upgrade --install slipway` with {values} (at most {HELM_SECONDS} s)")
    _helm(kube, console, values)
    pods = kube.list("pods", SYSTEM, "app.kubernetes.io/component=operator")
    console.say(f"operator: {', '.join(pod['metadata']['name'] for pod in pods)}")


def _helm(kube: Kube, console: Console, values: Path) -> None:
    """`helm upgrade --install --wait`, after one that is still at work: perhaps of a demo that was killed."""
    chart = str(REPOSITORY / "charts" / "slipway")
    command = ["upgrade", "--install", "slipway", chart, "--namespace", SYSTEM, "--create-namespace"]
    command += ["--take-ownership"]  # of resource types that kubectl applied
    command += ["--values", str(values), "--wait", "--timeout", f"{HELM_SECONDS}s"]
    # In the background of a shell, helm ends its work even where the demo is killed, and leaves no half release.
    bounded = HELM_SECONDS + 20
    helm = ("sh", "-c", '"$@" & wait $!', "sh", *kube.command(["helm", *command]))
    ends = time.monotonic() + bounded
    waiting = False
    while True:
        try:
            kube.run(*helm, timeout=bounded)
            return
        except Broken as broken:
            if "another operation" not in str(broken):
                raise Broken(f"{broken}; the operator's last words: {_last_words(kube)}") from broken
            if time.monotonic() > ends:
                told = f"end it, or remove what it left: kubectl delete secret -n {SYSTEM} -l owner=helm"
                raise Broken(f"for {bounded} s another helm is at work on the release slipway; {told}") from broken
        if not waiting:
            console.say(f"another helm is at work on the release: waiting for it (at most {bounded} s)")
            waiting = True
        time.sleep(3)


def _last_words(kube: Kube) -> str:
    """The end of the operator's log, or of the one before it crashed."""
    pods = ["-l", "app.kubernetes.io/component=operator", "--prefix"]
    for before in (["--previous"], []):
        try:
            said = kube.run("kubectl", "logs", "-n", SYSTEM, *pods, "--tail=2", *before)
        except Broken:
            continue
        return said.strip()[-600:]
    return "none"


def _values(images: Images, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Values of the chart: the images at hand, and the pools that the nodes' labels make."""

    def image(reference: str) -> dict[str, str]:
        repository, tag = reference.rsplit(":", 1)
        return {"repository": repository, "tag": tag}

    labelled = {node["metadata"].get("labels", {}).get("pool") for node in nodes}
    cpu = {"name": "cpu", "nodeSelector": {"pool": "cpu"} if "cpu" in labelled else {}}
    gpu = {
        "name": "gpu",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    # An image that was built anew under the same tag is another operator, and another reader of the store.
    built = {"slipway.dev/demo-image": _built(images.operator)}
    return {
        "clusterName": manifests.CLUSTER,
        "image": image(images.operator),
        "podAnnotations": built,
        "runner": {"image": image(images.runner)},
        "store": {"image": image(images.store), "persistence": {"size": "5Gi"}, "podAnnotations": dict(built)},
        "pools": [cpu, gpu] if "gpu" in labelled else [cpu],
        "defaultRegistry": {"name": "mlflow", "namespace": MLFLOW},
        "caBundle": {"configMapKeyRef": manifests.AUTHORITIES},
        "webhooks": {"enabled": True, "networkPolicy": {"from": [manifests.within(MLFLOW)]}},
    }


def host_certificates() -> str:
    """Whom this machine trusts, for pods that leave it by the same network; empty where it does not say."""
    named = [os.environ.get(key, "") for key in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")]
    files = [Path(name) for name in (*named, "/etc/ssl/certs/ca-certificates.crt") if name]
    return next((file.read_text() for file in files if file.is_file()), "")


def _built(image: str) -> str:
    """The digest of an image that the local cluster was given; empty where somebody else provides it."""
    known = cache() / "images" / "images.json"
    return str(json.loads(known.read_text()).get(image, "")) if known.exists() else ""


def deploy_mlflow(kube: Kube, console: Console, images: Images) -> None:
    """Run MLflow in the cluster; what it knows already stays."""
    kube.apply(*manifests.mlflow(images.runner))
    console.say("waiting for MLflow's server (at most 120 s)")
    kube.rollout(MLFLOW, "mlflow", 120)


def train_versions(kube: Kube, console: Console) -> Story:
    """Train, tune and register on this machine, through a forwarded port; what is registered already is reused."""
    result = cache() / "demo" / "trained.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    console.say(f"waiting for the training (at most {TRAINING_SECONDS} s)")
    environment = {**kube.environment, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    with kube.forwarded(MLFLOW, "mlflow", manifests.MLFLOW_PORT) as url:
        command = [sys.executable, "-m", "dev.demo.train", "--tracking-uri", url, "--result", str(result)]
        _follow(command, environment, console)
    return _story(json.loads(result.read_text()))


def _follow(command: list[str], environment: dict[str, str], console: Console) -> None:
    """Run the training, passing on what it says; Broken with its last words where it fails."""
    said: list[str] = []
    pipe, merged = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(tied(command), env=environment, stdin=pipe, stdout=pipe, stderr=merged, text=True) as process:
        assert process.stdin
        assert process.stdout
        late = threading.Timer(TRAINING_SECONDS, process.stdin.close)  # even while it says nothing
        late.start()
        try:
            for line in process.stdout:
                said.append(line.rstrip())
                console.say(said[-1][:200])
            process.wait()
        finally:
            late.cancel()
            process.stdin.close()  # where this program is interrupted
    if process.returncode:
        raise Broken(f"the training ended with code {process.returncode}: {' | '.join(said[-3:])}")


def _story(made: dict[str, Any]) -> Story:
    """What the training wrote, by the parts that the versions play."""
    trained = made["trained"]
    number = {one["role"]: one["version"] for one in trained["versions"]}
    return Story(
        model_name=trained["model_name"],
        good=number["good"],
        bad=number["bad"],
        better=number["better"],
        errors={one["version"]: one["root_mean_squared_error"] for one in trained["versions"]},
        data={key: trained[key] for key in ("data_uri", "data_digest", "target")},
        request=made["request"],
        predictions=made["predictions"],
    )
