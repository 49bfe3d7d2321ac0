"""How an import reaches the registry: credentials that end while it runs, certificates, and a proxy on the way."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests
from slipway.api.tasks import CREDENTIALS, RegistryAccess
from slipway.runner.registry_session import RegistrySession

from tests.certificates import self_signed
from tests.mlflow_server import MLflowServer
from tests.ports import free_port
from tests.proxies import Door, in_front_of, on_the_way
from tests.runner.pods import Pod, StoreOnDisk
from tests.runner.test_import_program import Logged, logged, task_of

__all__ = ["logged"]

OURS = self_signed("slipway")
SERVER = self_signed("127.0.0.1")


def mount(pod: Pod, **files: str) -> None:
    """The kubelet brings the Secret."""
    for name, content in files.items():
        (pod.at(CREDENTIALS) / name.replace("_", ".")).write_text(content)


@pytest.fixture
def door(mlflow_server: MLflowServer, pod: Pod) -> Iterator[Door]:
    """A proxy with TLS, which asks for our certificate and a token; both are mounted."""
    with in_front_of(mlflow_server.uri, SERVER, wants=OURS) as found:
        found.takes("first")
        mount(pod, ca_crt=SERVER.public, tls_crt=OURS.public, tls_key=OURS.private, token="first\n")
        yield found


def test_an_import_shows_its_certificate_and_its_token_and_goes_by_the_proxy(
    pod: Pod, door: Door, logged: Logged, store: StoreOnDisk
) -> None:
    with on_the_way() as way:
        task = task_of(logged, store, registry_uri=door.uri, registry_access=RegistryAccess(proxy=way.uri))
        ended = pod.run("import_", task)
    assert ended.code == 0, ended.stderr
    assert set(way.requests) == {f"CONNECT {door.uri.removeprefix('https://')}"}, "the store is not on the way"
    assert len(door.tokens) > 3


def test_a_token_that_is_renewed_while_the_import_runs_is_taken_up(pod: Pod, door: Door, logged: Logged) -> None:
    session = RegistrySession(RegistryAccess(), pod.inside)
    url = f"{door.uri}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert session.request("GET", url).status_code == 200
    door.takes("second")
    soon = threading.Timer(0.3, mount, [pod], {"token": "second"})
    soon.start()
    assert session.request("GET", url).status_code == 200, "the kubelet takes a while to bring it"
    mount(pod, token="third")
    door.takes("third")
    assert session.request("GET", url).status_code == 200, "and sometimes it is there before it is needed"
    assert [*dict.fromkeys(door.tokens)] == ["first", "second", "third"]


def test_a_token_that_ended_and_is_not_renewed_is_refused_after_a_while(pod: Pod, door: Door) -> None:
    session = RegistrySession(RegistryAccess(), replace(pod.inside, renewal_seconds=0.1))
    assert session.request("GET", f"{door.uri}/version").status_code == 200
    door.takes("second")
    assert session.request("GET", f"{door.uri}/version").status_code == 401


def test_one_that_was_never_good_is_not_waited_for(pod: Pod, door: Door, logged: Logged, store: StoreOnDisk) -> None:
    mount(pod, token="wr0ng-t0ken")
    ended = pod.run("import_", task_of(logged, store, registry_uri=door.uri))
    assert ended.reason == "RegistryUnauthorized"
    assert "wr0ng-t0ken" not in ended.message + ended.stderr


def test_a_bundle_of_its_own_is_trusted_beside_what_the_pod_trusts_anyway(
    pod: Pod, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = pod.at(CREDENTIALS) / "everybody.pem"
    everybody.write_text(SERVER.public)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(everybody))
    mount(pod, ca_crt=self_signed("127.0.0.1").public)
    session = RegistrySession(RegistryAccess(), pod.inside)
    assert session.request("GET", f"{door.uri}/version").status_code == 200


def test_a_bundle_that_is_replaced_while_the_import_runs_is_taken_up(pod: Pod, door: Door) -> None:
    mount(pod, ca_crt=self_signed("127.0.0.1").public)
    session = RegistrySession(RegistryAccess(), pod.inside)
    with pytest.raises(requests.exceptions.SSLError):
        session.request("GET", f"{door.uri}/version")
    mount(pod, ca_crt=SERVER.public)
    assert session.request("GET", f"{door.uri}/version").status_code == 200


@pytest.mark.parametrize("lost", ["tls.crt", "ca.crt"])
def test_without_a_certificate_nothing_is_imported(
    pod: Pod, door: Door, logged: Logged, store: StoreOnDisk, lost: str
) -> None:
    (pod.at(CREDENTIALS) / lost).unlink()
    assert pod.run("import_", task_of(logged, store, registry_uri=door.uri)).reason == "RegistryUnreachable"


def test_a_proxy_that_is_not_there_is_no_missing_model(pod: Pod, logged: Logged, store: StoreOnDisk) -> None:
    access = RegistryAccess(proxy=f"http://127.0.0.1:{free_port()}", connect_seconds=1)
    ended = pod.run("import_", task_of(logged, store, registry_access=access))
    assert (ended.code, ended.reason) == (1, "RegistryUnreachable")
