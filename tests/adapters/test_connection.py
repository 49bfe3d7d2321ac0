"""The ways to an MLflow server: a proxy with TLS in front of it that asks who comes, another proxy on the way."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from slipway.adapters.errors import Unauthorized, Unreachable
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.ports import Connection

from tests.adapters.conftest import PATIENT
from tests.certificates import Certificate, self_signed
from tests.mlflow_server import MLflowServer
from tests.ports import free_port
from tests.proxies import Door, in_front_of, on_the_way

OURS = self_signed("slipway")
THEIRS = self_signed("somebody else")
SERVER = self_signed("127.0.0.1")


@pytest.fixture(scope="module")
def guarded_by_certificate(mlflow_server: MLflowServer) -> Iterator[Door]:
    """It lets in whom shows our certificate."""
    with in_front_of(mlflow_server.uri, SERVER, wants=OURS) as door:
        yield door


@pytest.fixture
def way() -> Iterator[Door]:
    with on_the_way() as door:
        yield door


@asynccontextmanager
async def reached(connection: Connection) -> AsyncIterator[MLflowRegistry]:
    registry = MLflowRegistry(connection, patience=PATIENT)
    yield registry
    await registry.close()


def by_certificate(door: Door, ours: Certificate | None) -> Connection:
    connection = Connection(door.uri, ca_certificates=SERVER.public)
    return replace(connection, certificate=ours.public, key=ours.private) if ours else connection


class TestCertificate:
    async def test_ours_opens(self, guarded_by_certificate: Door) -> None:
        async with reached(by_certificate(guarded_by_certificate, OURS)) as registry:
            assert await registry.server_version() == "3.17.2"

    @pytest.mark.parametrize("shown", [None, THEIRS], ids=["none", "another"])
    async def test_without_it_the_door_stays_shut(self, guarded_by_certificate: Door, shown: Certificate) -> None:
        async with reached(by_certificate(guarded_by_certificate, shown)) as registry:
            with pytest.raises(Unauthorized, match="client certificate"):
                await registry.server_version()

    @pytest.mark.parametrize(("public", "private"), [(OURS.public, THEIRS.private), ("no PEM", "no PEM")])
    async def test_one_that_is_no_pair_says_so(self, guarded_by_certificate: Door, public: str, private: str) -> None:
        connection = replace(by_certificate(guarded_by_certificate, OURS), certificate=public, key=private)
        async with reached(connection) as registry:
            with pytest.raises(Unauthorized, match=r"tls.crt and tls.key must be PEM") as caught:
                await registry.server_version()
            assert private not in str(caught.value) or private == "no PEM"


class TestProxy:
    async def test_every_request_goes_through_it(self, mlflow_server: MLflowServer, way: Door) -> None:
        async with reached(Connection(mlflow_server.uri, proxy=way.uri)) as registry:
            assert await registry.server_version() == "3.17.2"
        assert [one.partition("?")[0] for one in way.requests] == [
            f"GET {mlflow_server.uri}/api/2.0/mlflow/registered-models/search", f"GET {mlflow_server.uri}/version",
        ]  # fmt: skip

    async def test_tls_goes_through_it_unseen(self, guarded_by_certificate: Door, way: Door) -> None:
        connection = replace(by_certificate(guarded_by_certificate, OURS), proxy=way.uri)
        async with reached(connection) as registry:
            assert await registry.server_version() == "3.17.2"
        assert set(way.requests) == {f"CONNECT {guarded_by_certificate.uri.removeprefix('https://')}"}

    async def test_one_that_is_not_there_is_named(self, mlflow_server: MLflowServer) -> None:
        proxy = f"http://127.0.0.1:{free_port()}"
        async with reached(Connection(mlflow_server.uri, proxy=proxy)) as registry:
            with pytest.raises(Unreachable, match=f"no connection to the proxy {proxy} on the way to"):
                await registry.server_version()


class TestToken:
    async def test_the_one_that_holds_now_opens(self, mlflow_server: MLflowServer) -> None:
        with in_front_of(mlflow_server.uri, SERVER) as door:
            door.takes("second")
            old = Connection(door.uri, token="first", ca_certificates=SERVER.public)
            async with reached(old) as registry:
                with pytest.raises(Unauthorized, match="wrong or has expired"):
                    await registry.server_version()
            async with reached(replace(old, token="second\n")) as registry:
                assert await registry.server_version() == "3.17.2"
