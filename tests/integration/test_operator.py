"""The operator against a real API server and a real MLflow, without nodes: what it asks for, survives and says."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.asking import served
from tests.integration.conftest import ROOT, Kubectl, programs
from tests.integration.control_plane import TOKEN, ControlPlane, Operator, running, until
from tests.mlflow_server import MLflowServer, running_mlflow

PASSWORD = "hush-hush-nobody-may-read-this"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    found = ControlPlane(programs(), tmp_path_factory.mktemp("plane"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        register(server, "flights", 2)
        yield server


def register(server: MLflowServer, name: str, versions: int) -> None:
    """Versions with an MLmodel file and nothing else: nobody loads them here."""
    server.post("registered-models/create", name=name)
    experiment = server.post("experiments/create", name=f"{name}-{uuid.uuid4().hex[:6]}")["experiment_id"]
    for _ in range(versions):
        run_id = server.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        logged = server.post("logged-models", experiment_id=experiment, name="m", source_run_id=run_id)["model"]["info"]
        mlmodel = {"flavors": {"python_function": {}}, "mlflow_version": "3.17.2", "model_size_bytes": 10}
        server.upload(logged["artifact_uri"], "MLmodel", yaml.safe_dump(mlmodel).encode())
        ids = {"run_id": run_id, "model_id": logged["model_id"]}
        server.post("model-versions/create", name=name, source=f"models:/{logged['model_id']}", **ids)


@dataclass(frozen=True)
class World:
    """A namespace, the operator that works in it, and the registry that it talks to."""

    plane: ControlPlane
    kubectl: Kubectl
    operator: Operator
    namespace: str

    def apply(self, number: int, model: str = "flights", stage: str = "Production") -> None:
        """A ModelVersion, as a user would apply it."""
        self.kubectl.must("apply", "--filename=-", stdin=version(number, model, stage))

    def conditions(self, name: str) -> dict[str, tuple[str, str, str]]:
        """Status, reason and message of each condition."""
        answer = self.kubectl.ask("get", "mv", name, "--output", "json")
        found = json.loads(answer.out) if answer.code == 0 else {}
        return {
            one["type"]: (one["status"], one["reason"], one["message"])
            for one in found.get("status", {}).get("conditions", [])
        }

    def says(self, name: str, condition: str, reason: str, seconds: float = 30) -> str:
        """The message of a condition as soon as it has that reason."""

        def check() -> str:
            found = self.conditions(name).get(condition)
            return found[2] if found and found[1] == reason else ""

        return str(until(f"{name} says {condition} {reason}", check, seconds))

    def jobs(self) -> dict[str, str]:
        """Names and uids of the import Jobs of this namespace."""
        selector = f"slipway.dev/owner-namespace={self.namespace}"
        found = json.loads(
            self.kubectl.within("slipway-system").must("get", "jobs", f"--selector={selector}", "-ojson")
        )
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found["items"]}


def version(number: int, model: str = "flights", stage: str = "Production") -> dict[str, Any]:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-v{number}"},
        "spec": {"model": model, "version": number, "stage": stage},
    }


def model(name: str, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "RegisteredModel",
        "metadata": {"name": name},
        "spec": {"source": source},
    }


def registry(uri: str, secret: str = "") -> dict[str, Any]:
    auth = {"auth": {"basic": {"secretRef": {"name": secret}}}} if secret else {}
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow"},
        "spec": {"backend": {"mlflow": {"uri": uri, **auth}}, "sync": {"interval": "5s"}},
    }


def config(namespace: str) -> dict[str, Any]:
    return {
        "clusterName": "test",
        "runnerImage": "runner:test",
        "store": {"url": "http://store:5000"},
        "defaultRegistry": {"name": "mlflow", "namespace": namespace},
        "pools": [{"name": "cpu"}],
        "relistInterval": "10m",
        "imports": {"maxConcurrent": 100},  # no node ends one
    }


@pytest.fixture
def namespace(admin: Kubectl) -> Kubectl:
    return served(admin, f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def world(plane: ControlPlane, namespace: Kubectl, mlflow: MLflowServer, tmp_path: Path) -> Iterator[World]:
    namespace.must("apply", "--filename=-", stdin=registry(mlflow.uri))
    with running(Operator(tmp_path, plane.kubeconfig, config(namespace.namespace)), sys.executable) as operator:
        yield World(plane, namespace, operator, namespace.namespace)


def test_a_version_is_resolved_pinned_and_imported_beside_the_operator(world: World) -> None:
    world.apply(1)
    world.says("flights-v1", "Imported", "ImportRunning")
    found = world.kubectl.object("mv", "flights-v1")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["status"]["resolved"]["source"].startswith("models:/m-")
    assert found["status"]["resolved"]["flavors"] == ["python_function"]
    assert len(world.jobs()) == 1
    model = world.kubectl.object("rmodel", "flights")
    assert model["metadata"]["annotations"]["slipway.dev/implicit"] == "true"
    events = json.loads(world.kubectl.must("get", "events", "--output", "json"))["items"]
    assert {("ModelVersion", "Registered"), ("ModelVersion", "ImportRunning")} <= {
        (one["involvedObject"]["kind"], one["reason"]) for one in events
    }


def test_what_the_registry_does_not_know_is_said(world: World) -> None:
    world.apply(99)
    assert "99" in world.says("flights-v99", "Resolved", "VersionNotFound")
    world.apply(1, model="trains")
    assert "trains" in world.says("trains-v1", "Resolved", "VersionNotFound")
    assert world.jobs() == {}


TRACKING = {"app.kubernetes.io/instance": "models"}


def test_git_and_discovery_on_one_version_are_one_object_and_one_import(world: World, mlflow: MLflowServer) -> None:
    """Applied on the server's side and without force, as by a tool that would rather fail than take anything over."""
    register(mlflow, "Sea Level", 2)
    move = {"name": "Sea Level", "version": "2", "stage": "Production", "archive_existing_versions": False}
    mlflow.post("model-versions/transition-stage", **move)
    kubectl, here = world.kubectl, world.namespace
    discovery = {"namespace": here, "models": ["Sea *"]}
    kubectl.must("patch", "mreg", "mlflow", "--type=merge", f"--patch={json.dumps({'spec': {'discovery': discovery}})}")
    found = world.says("sea-level-v2", "Resolved", "Registered")
    assert "models:/m-" in found
    before = {what: kubectl.object(*what.split("/")) for what in ("mv/sea-level-v2", "rmodel/sea-level")}
    assert before["mv/sea-level-v2"]["spec"]["stage"] == "None"
    assert before["rmodel/sea-level"]["metadata"]["annotations"]["slipway.dev/discovered"] == f"{here}/mlflow"
    asked = model("sea-level", {"name": "Sea Level"}), version(2, "sea-level")
    for one in asked:
        one["metadata"]["labels"] = TRACKING
        kubectl.must("apply", "--server-side", "--field-manager=argocd-controller", "--filename=-", stdin=one)
    world.says("sea-level-v2", "Imported", "ImportRunning")
    for what, was in before.items():
        now = kubectl.object(*what.split("/"))
        assert now["metadata"]["uid"] == was["metadata"]["uid"]
        assert now["metadata"]["labels"] == TRACKING
    assert kubectl.object("rmodel", "sea-level")["spec"]["source"]["registryRef"] == {
        "name": "mlflow",
        "namespace": here,
    }
    mine = kubectl.must("get", "mv,rmodel", "--output=name").split()
    assert mine == ["modelversion.slipway.dev/sea-level-v2", "registeredmodel.slipway.dev/sea-level"]
    assert len(world.jobs()) == 1
    said = until("it says so", lambda: discovered(kubectl), 30)
    assert (said["status"], said["reason"]) == ("True", "ModelsDiscovered")
    assert kubectl.object("mreg", "mlflow")["status"]["discovered"] == 1


def discovered(kubectl: Kubectl) -> dict[str, str]:
    """What the ModelRegistry says of discovery."""
    found = kubectl.object("mreg", "mlflow").get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == "Discovered"), {})


def test_a_job_that_somebody_deleted_is_made_again(world: World) -> None:
    world.apply(1)
    (before,) = until("the Job is there", world.jobs).items()
    world.kubectl.within("slipway-system").must("delete", "job", before[0], "--wait=false")
    (after,) = until("another one is there", lambda: {} if before[1] in world.jobs().values() else world.jobs()).items()
    assert after[0] == before[0], "one Job per revision, whatever happens to it"


def test_a_status_that_was_lost_is_rebuilt_without_another_job(world: World) -> None:
    world.apply(1)
    world.says("flights-v1", "Imported", "ImportRunning")
    before = world.jobs()
    world.kubectl.must("patch", "mv", "flights-v1", "--subresource=status", "--type=merge", '--patch={"status":null}')
    world.says("flights-v1", "Imported", "ImportRunning")
    assert world.jobs() == before


def test_the_operator_goes_on_after_the_api_server_was_killed(world: World) -> None:
    world.apply(1)
    world.says("flights-v1", "Imported", "ImportRunning")
    world.plane.kill()
    world.plane.start()
    until("kubectl answers", lambda: world.kubectl.ask("get", "mv").code == 0)
    until("the operator acts again", lambda: acts_again(world.operator), 60)
    world.apply(2)
    world.says("flights-v2", "Imported", "ImportRunning", seconds=60)
    assert len(world.jobs()) == 2


def acts_again(operator: Operator) -> bool:
    """Without the API server it loses its Lease after ten seconds and ends; the kubelet would start it again."""
    if not operator.alive:
        operator.start(sys.executable)
    return operator.acts


def test_it_ends_when_it_is_asked_to(world: World) -> None:
    until("it acts", lambda: world.operator.acts)
    assert world.operator.stop() == 0
    assert "stopping" in world.operator.log.read_text()


def test_its_metrics_tell_what_it_did(world: World) -> None:
    world.apply(1)
    world.says("flights-v1", "Imported", "ImportRunning")
    _, text = world.operator.get("metrics")
    for name in (
        "slipway_queue_depth",
        'slipway_passes_total{reconciler="version",result="done"}',
        'slipway_actions_total{verb="status"}',
        "slipway_registry_calls_total{",
        "slipway_registry_call_seconds_bucket{",
        "slipway_registry_last_sweep_timestamp_seconds{",
        'slipway_model_ready{model="flights"',
        "slipway_versions{ready=",
        "slipway_imports_running ",  # other namespaces of this control plane have Jobs, too
        "slipway_last_relist_timestamp_seconds 1.",
        "slipway_leader 1.0",
        "slipway_frozen 0.0",
    ):
        assert name in text
    assert 'result="failed"' not in text


@pytest.mark.parametrize(
    ("labels", "data", "want"),
    [
        ({}, {"username": "u", "password": PASSWORD}, "lacks the label slipway.dev/registry"),
        ({"slipway.dev/registry": "true"}, {"username": "u"}, "lacks the key password"),
        (None, {}, "not found"),
    ],
)
def test_a_credential_that_cannot_be_used_is_said_and_shown_nowhere(
    plane: ControlPlane,
    namespace: Kubectl,
    mlflow: MLflowServer,
    tmp_path: Path,
    labels: dict[str, str] | None,
    data: dict[str, str],
    want: str,
) -> None:
    if labels is not None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "login", "labels": labels},
            "stringData": data,
        }
        namespace.must("apply", "--filename=-", stdin=secret)
    namespace.must("apply", "--filename=-", stdin=registry(mlflow.uri, "login"))
    with running(Operator(tmp_path, plane.kubeconfig, config(namespace.namespace)), sys.executable) as operator:
        here = World(plane, namespace, operator, namespace.namespace)
        here.apply(1)
        assert want in here.says("flights-v1", "Resolved", "SecretNotFound")
        everything = operator.log.read_text() + namespace.must("get", "mv,rmodel,mreg,events", "--output", "yaml")
        assert PASSWORD not in everything


def test_a_credential_goes_to_the_import_and_nowhere_else(
    plane: ControlPlane, namespace: Kubectl, mlflow: MLflowServer, tmp_path: Path
) -> None:
    labels = {"slipway.dev/registry": "true"}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login", "labels": labels},
        "stringData": {"username": "slipway", "password": PASSWORD},
    }
    namespace.must("apply", "--filename=-", stdin=[secret, registry(mlflow.uri, "login")])
    with running(Operator(tmp_path, plane.kubeconfig, config(namespace.namespace)), sys.executable) as operator:
        here = World(plane, namespace, operator, namespace.namespace)
        here.apply(1)
        here.says("flights-v1", "Imported", "ImportRunning")
        (name,) = here.jobs()
        beside = namespace.within("slipway-system")
        copy = until("the copy is there", lambda: beside.ask("get", "secret", name, "--output", "json").out)
        assert json.loads(copy)["metadata"]["ownerReferences"][0]["kind"] == "Job"
        shown = operator.log.read_text() + namespace.must("get", "mv,rmodel,mreg,events,pods,jobs", "--output", "yaml")
        assert PASSWORD not in shown + beside.must("get", "jobs,pods,events", "--output", "yaml")


def test_a_registry_that_comes_late_is_found(plane: ControlPlane, namespace: Kubectl, tmp_path: Path) -> None:
    namespace.must("apply", "--filename=-", stdin=registry("http://127.0.0.1:9"))
    with running(Operator(tmp_path, plane.kubeconfig, config(namespace.namespace)), sys.executable) as operator:
        here = World(plane, namespace, operator, namespace.namespace)
        here.apply(1)
        here.says("flights-v1", "Resolved", "RegistryUnreachable")
        assert here.conditions("flights-v1")["Resolved"][0] == "Unknown", "silence is not absence"


def test_it_works_in_listed_namespaces_without_any_right_beyond_them(
    plane: ControlPlane, namespace: Kubectl, mlflow: MLflowServer, tmp_path: Path
) -> None:
    chart = [str(plane.programs / "helm"), "template", "slipway", str(ROOT / "charts" / "slipway"), "--namespace"]
    chosen = ["slipway-system", "--set", f"watch.namespaces={{{namespace.namespace}}}", "--set", "crds.enabled=false"]
    chosen.append("--set=clusterName=test")
    allow = ["--set", f"registries.namespaces={{{namespace.namespace}}}", "--kube-version", "1.36.0"]
    rendered = subprocess.run([*chart, *chosen, *allow], check=True, capture_output=True, text=True).stdout
    wanted = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    rights = [one for one in yaml.safe_load_all(rendered) if one and one["kind"] in wanted]
    assert not [one for one in rights if one["kind"].startswith("Cluster")]
    system = namespace.within("")
    system.must("apply", "--filename=-", stdin=[_placed(one) for one in rights])
    account = next(one for one in rights if one["kind"] == "ServiceAccount" and "store" not in one["metadata"]["name"])
    token = system.must("create", "token", account["metadata"]["name"], "--namespace", "slipway-system").strip()
    assert token != TOKEN
    limited = tmp_path / "limited"
    limited.write_text(plane.config(token))
    namespace.must("apply", "--filename=-", stdin=registry(mlflow.uri))
    chosen_namespaces = {"SLIPWAY_WATCH_NAMESPACES": namespace.namespace}
    operator = Operator(tmp_path, limited, config(namespace.namespace), **chosen_namespaces)
    with running(operator, sys.executable):
        here = World(plane, namespace, operator, namespace.namespace)
        here.apply(1)
        here.says("flights-v1", "Imported", "ImportRunning")
        assert len(here.jobs()) == 1
        assert "forbidden" not in operator.log.read_text().lower()


def _placed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Helm leaves the release's namespace out where it is the default."""
    manifest["metadata"].setdefault("namespace", "slipway-system")
    return manifest
