"""What the connection to the API server does on its own account; what it shares with the fake is in the contract."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio import client
from slipway.adapters.cluster import SECRET, Cluster
from slipway.adapters.errors import NotActing, Unreachable

SECRET_MANIFEST = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "ml"}}


class Server:
    """An API server that answers reads, and leaves writes without an answer."""

    url = ""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.said: object = None

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"metadata": {"name": "login"}} if self.said is None else self.said)
        self.writes.append(request.method)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.mark.parametrize("left", [0.0, -1.0, float("-inf")])
async def test_who_may_not_write_sends_no_write_and_reads_on(server: Server, left: float) -> None:
    cluster = Cluster(client.ApiClient(client.Configuration(host=server.url)), lambda: left)
    with pytest.raises(NotActing):
        await cluster.apply(SECRET_MANIFEST)
    with pytest.raises(NotActing):
        await cluster.create(SECRET_MANIFEST)
    with pytest.raises(NotActing):
        await cluster.update(SECRET_MANIFEST)
    with pytest.raises(NotActing):
        await cluster.delete(SECRET, "ml", "login", "its-uid")
    assert server.writes == []
    assert (await cluster.get(SECRET, "ml", "login"))["metadata"]["name"] == "login"
    await cluster.close()


@pytest.mark.parametrize("verb", ["apply", "create", "update", "delete"])
async def test_who_stood_still_after_deciding_to_write_sends_nothing(server: Server, verb: str) -> None:
    answers = iter([10.0])  # and none left when the first byte is due
    cluster = Cluster(client.ApiClient(client.Configuration(host=server.url)), lambda: next(answers, 0.0))
    asked = (SECRET, "ml", "login", "its-uid") if verb == "delete" else (SECRET_MANIFEST,)
    with pytest.raises(Unreachable):
        await getattr(cluster, verb)(*asked)
    assert server.writes == []
    await cluster.close()


async def test_a_write_lasts_no_longer_than_this_process_may_write(server: Server) -> None:
    cluster = Cluster(client.ApiClient(client.Configuration(host=server.url)), lambda: 0.2)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        await cluster.apply(SECRET_MANIFEST)
    assert time.monotonic() - began < 5
    assert server.writes == ["PATCH"]
    await cluster.close()


async def test_null_is_no_object_and_nothing_at_all_is_no_list(server: Server) -> None:
    """The API server encodes an empty list of metadata so; an answer that breaks off must not look like it."""
    cluster = Cluster(client.ApiClient(client.Configuration(host=server.url)))
    server.said = {"metadata": {"resourceVersion": "5"}, "items": None}
    assert [page async for page in cluster.heads(SECRET)] == [page async for page in cluster.pages(SECRET)] == [[]]
    server.said = {"metadata": {"resourceVersion": "5"}}
    for read in (cluster.heads, cluster.pages):
        with pytest.raises(Unreachable, match="cannot be read"):
            assert not [page async for page in read(SECRET)]
    await cluster.close()
