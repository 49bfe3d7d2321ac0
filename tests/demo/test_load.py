"""The load client: what it takes for a right answer, and what it counts."""

import asyncio
from typing import NamedTuple

import pytest
from aiohttp import web

from dev.demo.load import Plan, Tally, Wrong, offer, version_of

ANSWERS = {"1": [1.5, 2.0], "3": [1.25, 2.0]}


class Case(NamedTuple):
    name: str
    because: str
    status: int
    body: bytes
    named: str | None
    want: str | None  # None: wrong


CASES = [
    Case("named", "the header and the numbers agree", 200, b'{"predictions": [1.5, 2.0]}', "1", "1"),
    Case("unnamed", "the numbers alone tell the version", 200, b'{"predictions": [1.25, 2.0]}', None, "3"),
    Case(
        "impostor", "the header names another version than the numbers", 200, b'{"predictions": [1.5, 2.0]}', "3", None
    ),
    Case("stranger", "a version that must not serve", 200, b'{"predictions": [1.5, 2.0]}', "2", None),
    Case("last digit", "nearly equal is not equal", 200, b'{"predictions": [1.5000001, 2.0]}', "1", None),
    Case("error", "only 200 is an answer", 503, b'{"predictions": [1.5, 2.0]}', "1", None),
    Case("not JSON", "a proxy's page is no answer", 200, b"<html>", None, None),
    Case("no predictions", "another document is no answer", 200, b"[]", None, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_version_of(case: Case) -> None:
    if case.want is None:
        with pytest.raises(Wrong):
            version_of(ANSWERS, case.status, case.body, case.named)
    else:
        assert version_of(ANSWERS, case.status, case.body, case.named) == case.want, case.because


async def _offered(handler: object, requests: int) -> Tally:
    """Offer a little load to a server with this handler."""
    application = web.Application()
    application.router.add_post("/invocations", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tally = Tally()
    plan = Plan(
        f"http://127.0.0.1:{port}/invocations",
        request={},
        answers=ANSWERS,
        connections=4,
        requests_per_second=400,
        most_requests=requests,
        seconds=20,
    )
    await offer(plan, asyncio.Event(), tally)
    await runner.cleanup()
    return tally


def test_every_answer_is_counted_and_some_connections_are_kept() -> None:
    peers: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport
        peers.append(request.transport.get_extra_info("peername"))
        return web.json_response({"predictions": [1.5, 2.0]}, headers={"slipway-version": "1"})

    tally = asyncio.run(_offered(handler, 40))
    assert tally.failed == 0
    assert tally.answers == {"1": tally.requests} and tally.requests >= 40
    # Two connections are kept: all their requests are one peer; two are opened anew for each.
    assert 2 < len(set(peers)) < tally.requests
    report = tally.report()
    assert "durations" not in report and report["seconds"]["p50"] > 0


def test_a_dropped_connection_is_a_failure_and_never_repeated() -> None:
    seen = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen % 2:
            assert request.transport
            request.transport.close()
        return web.json_response({"predictions": [1.25, 2.0]})

    tally = asyncio.run(_offered(handler, 20))
    assert seen == tally.requests
    assert tally.failed == (seen + 1) // 2
    assert tally.answers == {"3": seen // 2}
    assert "connection" in tally.failures[0]


def test_it_ends_when_it_is_stopped() -> None:
    async def stopped() -> Tally:
        stop, tally = asyncio.Event(), Tally()
        stop.set()
        await offer(Plan("http://127.0.0.1:9/", {}, ANSWERS), stop, tally)
        return tally

    assert asyncio.run(stopped()).requests == 0
