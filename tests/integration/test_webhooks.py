"""MLflow's webhooks reach the operators on a real API server: a moved alias begins an import at once."""

import base64
import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asking import served
from tests.integration.conftest import Kubectl, programs
from tests.integration.control_plane import ControlPlane, Operator, until
from tests.integration.test_operator import config, register
from tests.mlflow_server import MLflowServer, running_mlflow
from tests.ports import free_port

# As docs/webhooks.md asks for; its list of webhooks is read anew for each event instead of once a minute.
SENDS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "SGludHMgYXJlIG5vIHRydXRoLCBzd2VlcHMgYXJlLi4=",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
}
NAMES = ("anna", "bert")
SOON_SECONDS = 20.0  # on a busy machine; the registry's interval is an hour


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    found = ControlPlane(programs(), tmp_path_factory.mktemp("plane"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow"), environment=SENDS) as server:
        register(server, "flights", 2)
        yield server


@dataclass(frozen=True)
class Two:
    """Two operators with a receiver each, and a registry that sends to the one that stands by."""

    kubectl: Kubectl
    operators: dict[str, Operator]
    receivers: dict[str, int]
    acting: str

    @property
    def standby(self) -> str:
        return next(name for name in NAMES if name != self.acting)

    def deliveries(self, name: str, result: str) -> float:
        """How many of an operator's deliveries ended so."""
        line = f'slipway_webhook_deliveries_total{{result="{result}"}} '
        told = self.operators[name].get("metrics")[1]
        return sum(float(one.removeprefix(line)) for one in told.splitlines() if one.startswith(line))

    def notified(self) -> str:
        """The reason of the ModelRegistry's condition; "" if it has none."""
        status = self.kubectl.object("mreg", "mlflow").get("status", {})
        found = [one for one in status.get("conditions", []) if one["type"] == "Notified"]
        return str(found[0]["reason"]) if found else ""

    def imports(self, name: str) -> bool:
        """Whether a version's files are being imported."""
        answer = self.kubectl.ask("get", "mv", name, "--output", "json")
        found = json.loads(answer.out) if answer.code == 0 else {}
        said = found.get("status", {}).get("conditions", [])
        return any((one["type"], one["reason"]) == ("Imported", "ImportRunning") for one in said)


def registry(uri: str, **webhook: Any) -> dict[str, Any]:
    spec = {"backend": {"mlflow": {"uri": uri}}, "sync": {"interval": "1h"}, **webhook}
    meta = {"name": "mlflow"}
    return {"apiVersion": "slipway.dev/v1alpha1", "kind": "ModelRegistry", "metadata": meta, "spec": spec}


@pytest.fixture
def two(plane: ControlPlane, admin: Kubectl, mlflow: MLflowServer, tmp_path: Path) -> Iterator[Two]:
    namespace = served(admin, f"test-{uuid.uuid4().hex[:8]}")
    receivers = {name: free_port() for name in NAMES}
    operators = {}
    for name, port in receivers.items():
        (tmp_path / name).mkdir()
        operators[name] = Operator(
            tmp_path / name, plane.kubeconfig, config(namespace.namespace), SLIPWAY_IDENTITY=name,
            SLIPWAY_WEBHOOK_PORT=str(port), SLIPWAY_ADDRESS="127.0.0.1",
        )  # fmt: skip
    for one in operators.values():
        one.start(sys.executable)
    acting = until("one acts", lambda: next((name for name in NAMES if operators[name].acts), ""))
    found = Two(namespace, operators, receivers, acting)
    secret = {"secret": base64.b64encode(b"a secret of both of them").decode()}
    meta = {"name": "hooks", "labels": {"slipway.dev/registry": ""}}
    webhook = {"secretRef": {"name": "hooks"}, "url": f"http://127.0.0.1:{receivers[found.standby]}"}
    model = {"source": {"registryRef": {"name": "mlflow"}}, "promotion": {"source": "Registry"}}
    namespace.must("apply", "--filename=-", stdin=[
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": secret},
        registry(mlflow.uri, webhook=webhook),
        {"apiVersion": "slipway.dev/v1alpha1", "kind": "RegisteredModel", "metadata": {"name": "flights"}, "spec": model},
    ])  # fmt: skip
    yield found
    for one in operators.values():
        one.stop()
    admin.must("delete", "namespace", namespace.namespace, "--wait=false")


def test_a_moved_alias_begins_an_import_whichever_operator_hears_of_it(two: Two, mlflow: MLflowServer) -> None:
    until("a delivery on trial has arrived", lambda: two.notified() == "WebhookHeard", 120)
    assert two.deliveries(two.standby, "passed-on") >= 1 and two.deliveries(two.acting, "taken") >= 1
    before = two.deliveries(two.acting, "taken")
    forged = [two.deliveries(name, "forged") for name in NAMES]  # one that has not read the Secret yet knows none
    mlflow.post("registered-models/alias", name="flights", alias="champion", version="2")
    until("it was delivered", lambda: two.deliveries(two.acting, "taken") > before, SOON_SECONDS)
    until("the import has begun", lambda: two.imports("flights-v2"), SOON_SECONDS)
    assert [two.deliveries(name, "forged") for name in NAMES] == forged

    (webhook,) = mlflow.get("webhooks")["webhooks"]
    assert webhook["name"].startswith("slipway-test-") and webhook["url"].endswith(f"/{two.kubectl.namespace}/mlflow")
    two.kubectl.must("apply", "--filename=-", stdin=registry(mlflow.uri))
    until("it is removed", lambda: mlflow.get("webhooks").get("webhooks", []) == [] and two.notified() == "", 60)
    for operator in two.operators.values():
        assert "a secret of both of them" not in operator.log.read_text()
