"""From where evaluation data may be read: what a policy's author could not reach, the fetch does not reach for them."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from slipway.api.tasks import DATA_CREDENTIALS, DataAccess, DataSource
from slipway.runner import s3, web
from slipway.runner.network import Network, session
from slipway.runner.outcome import Refused

from tests.certificates import self_signed
from tests.ports import free_port
from tests.runner.pods import HERE, Answer, Pod, answering

API_SERVER = "10.96.0.1"


@dataclass
class Names:
    """A name server: each question takes the next of a name's answers, and the last one stays."""

    answers: dict[str, list[str]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        found = self.answers.get(name.rstrip("."))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return tuple((found.pop(0) if len(found) > 1 else found[0]).split())


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    host: str
    says: str = ""  # "" where it is allowed
    resolves: str = ""
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


CASES = [
    Case("public", "the usual case", "data.example.com", resolves="93.184.216.34 2606:2800:220::1"),
    Case("company", "private ranges are where companies keep data", "data.example.com", resolves="10.20.30.40"),
    Case("metadata", "it hands out the node's credentials", "169.254.169.254", "a link-local address"),
    Case("metadata by name", "", "metadata.google.internal", "169.254.169.254, a link-local", "169.254.169.254"),
    Case("metadata by IPv6", "", "[fd00:ec2::254]", "a cloud's metadata service"),
    Case("another cloud's metadata", "", "100.100.100.200", "a cloud's metadata service"),
    Case("link-local IPv6", "", "fe80::1%eth0", "a link-local address"),
    Case("this pod", "", "127.0.0.1", "a loopback address"),
    Case("this pod by IPv6", "", "[::1]", "a loopback address"),
    Case("this pod by no address", "0.0.0.0 is this host", "0.0.0.0", "an unspecified address"),
    Case("this pod by name", "a name may mean anything", "me.example.com", "a loopback", "127.0.0.1"),
    Case("localhost", "", "x.localhost", "a name of the pod itself"),
    Case("everybody", "", "224.0.0.1", "a multicast or reserved address"),
    Case("IPv4 in IPv6", "one notation of many", "[::ffff:169.254.169.254]", "a link-local address"),
    Case("IPv4 behind NAT64", "", "[64:ff9b::a9fe:a9fe]", "a link-local address"),
    Case("IPv4 behind 6to4", "", "[2002:a9fe:a9fe::1]", "a link-local address"),
    Case("a number as a host", "some resolvers take it for 169.254.169.254", "2852039166", "no dot"),
    Case("a hexadecimal one", "", "0xa9.0xfe43518", "a link-local", "169.254.169.254"),
    Case("one bad address of two", "which is connected to is chance", "two.example.com", "a link-local",
         "93.184.216.34 169.254.169.254"),
    Case("a Service", "the cluster's network takes this pod for a friend", "files", "no dot"),
    Case("a Service in full", "", "files.team.svc.cluster.local", "a name of the cluster"),
    Case("a Service with a dot", "", "files.team.svc.", "a name of the cluster"),
    Case("a Service of a cluster with another domain", "", "files.team.svc.k8s.example", "a name of the cluster"),
    Case("the API server", "", "kubernetes.default", "a name of the cluster"),
    Case("the API server by address", "", API_SERVER, "the cluster's API server"),
    Case("the API server by another name", "", "x.example.com", "the cluster's API server", API_SERVER),
    Case("a pod by its address", "the platform named the range", "10.244.3.4", "in the denied range 10.244.0.0/16",
         denied=("10.244.0.0/16",)),
    Case("an allowed Service", "the platform team says so", "files", resolves="10.96.7.7", allowed=("files",),
         denied=("10.96.0.0/12",)),
    Case("an allowed Service in capitals", "names know no case", "Files.Team.svc", resolves="10.96.7.7",
         allowed=("files.team.SVC",)),
    Case("below an allowed name", "", "a.b.example.com", resolves="10.96.7.7", allowed=("*.example.com",),
         denied=("10.96.0.0/12",)),
    Case("not below it", "", "badexample.com", "in the denied range", "10.96.7.7", ("*.example.com",),
         ("10.96.0.0/12",)),
    Case("an allowed address", "nobody answers for an address", "127.0.0.1", allowed=("127.0.0.1",)),
    Case("an allowed name that leads elsewhere", "its owner could point it at the metadata service", "files",
         "a link-local address", "169.254.169.254", ("files",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hosts(case: Case) -> None:
    names = Names({case.host.lower(): [case.resolves]} if case.resolves else {})
    access = DataAccess.model_validate({"allowedHosts": case.allowed, "deniedCidrs": case.denied})
    network = Network(access, names, frozenset([API_SERVER]))
    if not case.says:
        assert network.addresses(case.host) == tuple(case.resolves.split() or [case.host])
        return
    with pytest.raises(Refused) as refused:
        network.addresses(case.host)
    assert refused.value.reason == "DataAddressDenied"
    assert case.says in str(refused.value)
    assert case.resolves or not names.asked, "who may not ask does not learn whether the name exists"


def test_a_name_that_is_not_allowed_is_not_tried_as_one_of_the_cluster() -> None:
    """With a dot at the end, the resolver leaves the pod's search path alone: `vault.team` is no Service then."""
    names = Names({"vault.team": ["93.184.216.34"]})
    Network(DataAccess(), names).addresses("vault.team")
    Network(DataAccess(allowed_hosts=("vault.team",)), names).addresses("vault.team")
    assert names.asked == ["vault.team.", "vault.team"]


def test_a_name_that_changes_is_connected_to_where_it_was_checked() -> None:
    shown: list[str] = []

    def page(path: str, headers: dict[str, str]) -> Answer:
        shown.append(headers["host"])
        return 200, {}, b"x"

    with answering(page) as url:
        port = url.rsplit(":", 1)[1]
        names = Names({"data.example.com": ["93.184.216.34", "127.0.0.1"]})
        network = Network(DataAccess(), names)
        assert network.addresses("data.example.com") == ("93.184.216.34",)
        with pytest.raises(Refused, match="loopback"):
            session(network).get(f"http://data.example.com:{port}/", timeout=5)
    assert (shown, names.asked) == ([], ["data.example.com."] * 2), "asked once for each connection"


def test_the_server_is_shown_the_name_and_its_certificate_is_for_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed("data.example.com")
    (tmp_path / "server.pem").write_text(certificate.private + certificate.public)
    (tmp_path / "ca.crt").write_text(certificate.public)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.crt"))

    def page(path: str, headers: dict[str, str]) -> Answer:
        return 200, {}, headers["host"].encode()

    with answering(page, tmp_path / "server.pem") as url:
        port = url.rsplit(":", 1)[1]
        # This machine's own addresses stand for public ones; nobody listens at the first.
        network = Network(DataAccess(), lambda name: ("127.0.0.9", "127.0.0.1"), never={})
        answer = session(network).get(f"https://data.example.com:{port}/", timeout=5)
        assert answer.text == f"data.example.com:{port}"
        with pytest.raises(requests.exceptions.SSLError):
            session(network).get(f"https://other.example.com:{port}/", timeout=5)


@contextlib.contextmanager
def redirecting(*locations: str) -> Iterator[str]:
    """A server that sends /0.csv to the first place, /1.csv to the second, …; the last page is the data."""

    def page(path: str, headers: dict[str, str]) -> Answer:
        number = int(path.strip("/").partition(".")[0])
        return (302, {"Location": locations[number]}, b"") if number < len(locations) else (200, {}, b"the data")

    with answering(page) as url:
        yield url


def read(url: str) -> bytes:
    found: list[bytes] = []
    web.read(url, Network(HERE), found.extend)
    return b"".join(found)


def test_a_few_redirects_are_followed() -> None:
    with redirecting("/1.csv", "2.csv", "/3.csv") as url:
        assert read(f"{url}/0.csv") == b"the data"


@pytest.mark.parametrize(
    ("location", "reason", "says"),
    [
        ("http://169.254.169.254/latest/meta-data", "DataAddressDenied", "169.254.169.254"),
        ("http://127.0.0.2/d.csv", "DataAddressDenied", "a loopback address"),
        ("//127.0.0.2/d.csv", "DataAddressDenied", "a loopback address"),
        ("http://kubernetes.default.svc/d.csv", "DataAddressDenied", "a name of the cluster"),
        ("http://127.0.0.1@127.0.0.2/d.csv", "DataAddressDenied", "127.0.0.2"),
        ("file:///etc/passwd", "DataUnreadable", "redirects away"),
        ("gopher://127.0.0.1/", "DataUnreadable", "redirects away"),
    ],
)
def test_every_redirect_is_checked_like_the_first_address(location: str, reason: str, says: str) -> None:
    with redirecting(location) as url, pytest.raises(Refused) as refused:
        read(f"{url}/0.csv")
    assert refused.value.reason == reason
    assert says in str(refused.value)


def test_redirects_without_end_end() -> None:
    with redirecting(*["/0.csv"] * 2) as url, pytest.raises(Refused, match="redirects more than 3 times") as refused:
        read(f"{url}/0.csv")
    assert refused.value.reason == "DataUnreadable"


def test_a_redirect_never_leaves_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed("127.0.0.1")
    (tmp_path / "server.pem").write_text(certificate.private + certificate.public)
    (tmp_path / "ca.crt").write_text(certificate.public)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.crt"))
    with redirecting() as plain:
        with (
            answering(lambda *_: (302, {"Location": f"{plain}/0.csv"}, b""), tmp_path / "server.pem") as url,
            pytest.raises(Refused, match="redirects away from https"),
        ):
            read(f"{url}/0.csv")
        with answering(lambda *_: (302, {"Location": f"{plain}/0.csv"}, b"")) as url:
            assert read(f"{url}/0.csv") == b"the data"


def test_no_proxy_of_the_surroundings_carries_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names itself, after the check."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with redirecting() as url:
        assert read(f"{url}/0.csv") == b"the data"


@pytest.mark.parametrize("endpoint", ["http://169.254.169.254", "http://127.0.0.2:9000", "http://objects.team.svc"])
@pytest.mark.parametrize("keys", [True, False], ids=["signed", "public"])
def test_the_endpoint_of_an_s3_store_is_checked_like_any_other_address(pod: Pod, endpoint: str, keys: bool) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if keys else ():
        (pod.at(DATA_CREDENTIALS) / name).write_text("x")
    source = DataSource(uri="s3://bucket/d.csv", endpoint=endpoint, targets=("y",))
    with pytest.raises(Refused) as refused:
        s3.read(source, Network(HERE), pod.inside, lambda chunks: None)
    assert refused.value.reason == "DataAddressDenied"
    assert endpoint.removeprefix("http://").partition(":")[0] in str(refused.value)


def test_an_s3_store_sends_nobody_elsewhere(pod: Pod) -> None:
    with (
        answering(lambda *_: (307, {"Location": "http://169.254.169.254/bucket/d.csv"}, b"")) as url,
        pytest.raises(Refused) as refused,
    ):
        source = DataSource(uri="s3://bucket/d.csv", endpoint=url, targets=("y",))
        s3.read(source, Network(HERE), pod.inside, lambda chunks: None)
    assert refused.value.reason == "DataUnreadable"
