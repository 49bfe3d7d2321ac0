"""What the receiver of webhooks takes, and from whom: real requests over sockets, with a clock that is moved."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from slipway.controller.receiver import BODY_BYTES, CONNECTIONS, FORWARDED, Rate
from slipway.core.deliveries import SIGNATURE, TIMESTAMP, WINDOW_SECONDS

from tests.controller.receiver_world import BODY, NOW, NUMBER, PLACE, Listening, Request
from tests.ports import free_port


@dataclass(frozen=True)
class Case:
    """A request, and how it ends."""

    because: str
    request: Request
    status: int
    result: str


CASES = [
    Case("signed with the secret, now", Request(), 204, "taken"),
    Case("nothing in it has to be read", Request(body=b"not JSON"), 204, "taken"),
    Case("as large as a delivery may be", Request(body=b"x" * BODY_BYTES), 204, "taken"),
    Case("signed with another secret", Request(secret="a secret of somebody else"), 401, "forged"),
    Case("a signature of nothing", Request(signature="v1," + "A" * 43 + "="), 401, "forged"),
    Case("no such registry, told as a forged one is", Request(path="/ml/other"), 401, "forged"),
    Case("a registry elsewhere", Request(path="/team/mlflow"), 401, "forged"),
    Case("signed with the secret of nobody", Request(path="/ml/other", secret=""), 401, "forged"),
    Case("made too long ago", Request(timestamp=NOW - WINDOW_SECONDS - 1), 401, "late"),
    Case("made in the future", Request(timestamp=NOW + WINDOW_SECONDS + 1), 401, "late"),
    Case("larger than that", Request(body=b"x" * (BODY_BYTES + 1)), 413, "too-large"),
    Case("compressed: what was signed are the bytes that came", Request(more={"Content-Encoding": "gzip"}), 204, "taken"),
    Case("without a signature", Request(more={SIGNATURE: ""}), 400, "malformed"),
    Case("with a time that is none", Request(more={TIMESTAMP: "today"}), 400, "malformed"),
    Case("not a POST", Request(method="GET"), 404, "malformed"),
    Case("a path that names no registry", Request(path="/"), 404, "malformed"),
    Case("below a path of a proxy", Request(path="/slipway/hooks/ml/mlflow"), 204, "taken"),
    Case("a path that goes up", Request(path="/ml/%2e%2e/mlflow"), 404, "malformed"),
]  # fmt: skip


@pytest.fixture
async def one() -> AsyncIterator[Listening]:
    found = Listening()
    runner = await found.receiver().serve(found.port)
    yield found
    await runner.cleanup()


@pytest.fixture
async def two() -> AsyncIterator[tuple[Listening, Listening]]:
    """One that stands by, and the one that acts."""
    acting = Listening()
    standby = Listening(acts=False, leader=f"127.0.0.1:{acting.port}")
    runners = [await each.receiver().serve(each.port) for each in (standby, acting)]
    yield standby, acting
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.because)
async def test_what_is_taken_and_what_is_not(one: Listening, case: Case) -> None:
    assert await one.send(case.request) == case.status, case.because
    assert one.count(case.result) == 1
    assert one.hurried == ([PLACE] if case.status == 204 else [])


@pytest.mark.parametrize(
    ("because", "body", "name"),
    [
        ("an alias", BODY, "flights"),
        ("a model", b'{"entity": "registered_model", "data": {"name": "Fl\u00fcge"}}', "Fl\u00fcge"),
        ("the one on trial", b'{"data": {}}', ""),
        ("no JSON", b"flights", ""),
        ("no object", b'["data"]', ""),
        ("no name", b'{"data": {"name": ["flights"]}}', ""),
        ("no end", b"[" * 60_000, ""),
    ],
)
async def test_which_model_a_delivery_names(one: Listening, because: str, body: bytes, name: str) -> None:
    assert await one.send(Request(body=body)) == 204, because
    assert one.named == [name]


async def test_what_came_before_is_answered_and_does_nothing(one: Listening) -> None:
    assert [await one.send(Request()) for _ in range(3)] == [204, 204, 204]
    assert one.hurried == [PLACE] and one.count("repeated") == 2
    assert await one.send(Request(number=NUMBER.replace("0b", "0c"))) == 204
    assert one.hurried == [PLACE, PLACE]


async def test_what_came_before_is_remembered_for_as_long_as_it_could_come_again(one: Listening) -> None:
    ahead = Request(timestamp=NOW + WINDOW_SECONDS)  # by the registry's clock: it stays genuine the longest
    assert await one.send(ahead) == 204
    one.now += 2 * WINDOW_SECONDS
    assert await one.send(ahead) == 204 and one.hurried == [PLACE]
    one.now += 1
    assert await one.send(ahead) == 401 and one.hurried == [PLACE]


async def test_a_large_body_is_refused_before_it_was_sent(one: Listening) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    writer.write(b"POST /ml/mlflow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_body_whose_length_nobody_said_is_bounded(one: Listening) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    writer.write(b"POST /ml/mlflow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n" + b"1\r\nx\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("because", "sent"),
    [
        ("a line without an end", b"POST /" + b"a" * 100_000),
        ("a header without an end", b"POST /ml/mlflow HTTP/1.1\r\nHost: " + b"a" * 100_000),
        ("headers without an end", b"POST /ml/mlflow HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n"),
        ("no HTTP", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" * 3 + b"\r\n\r\n"),
        ("broken off in the middle", b"POST /ml/mlflow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"),
    ],
)
async def test_what_is_no_request_ends_and_is_not_logged(
    one: Listening, because: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    writer.write(sent)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    assert not answer or b" 400 " in answer.splitlines()[0], because
    writer.close()
    assert await one.send(Request()) == 204
    assert not caplog.records


async def test_so_many_connections_and_no_more(one: Listening) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(CONNECTIONS)]
    assert await one.send(Request()) == 0
    for _, writer in silent:
        writer.close()
        await writer.wait_closed()
    while await one.send(Request()) != 204:  # the server hears of each end in its own time
        pass
    assert one.hurried == [PLACE]


async def test_one_source_does_not_take_all(one: Listening) -> None:
    answers = [await one.send(Request(signature="v1," + "A" * 43 + "=")) for _ in range(65)]
    assert answers[:60] == [401] * 60 and answers[-1] == 429
    one.now += 1
    assert await one.send(Request()) == 204


def test_the_rate_of_each_source_is_its_own() -> None:
    rate = Rate(1.0, 2.0)
    assert [rate.allows("a", 0.0) for _ in range(3)] == [True, True, False]
    assert rate.allows("b", 0.0)
    assert [rate.allows("a", 1.0), rate.allows("a", 1.0)] == [True, False]
    assert all(rate.allows(str(number), 1.0) for number in range(5000)) and len(rate._left) == 1024


class TestStandby:
    async def test_it_passes_on_what_is_genuine(self, two: tuple[Listening, Listening]) -> None:
        standby, acting = two
        assert await standby.send(Request()) == 204
        assert (standby.hurried, acting.hurried) == ([], [PLACE])
        assert acting.named == ["flights"], "which model it is about, too"
        assert standby.count("passed-on") == 1 and acting.count("taken") == 1
        assert await standby.send(Request()) == 204 and acting.hurried == [PLACE]

    async def test_it_passes_nothing_else_on(self, two: tuple[Listening, Listening]) -> None:
        standby, acting = two
        assert await standby.send(Request(secret="a secret of somebody else")) == 401
        assert acting.count("forged") == 0

    async def test_the_one_that_acts_believes_no_other(self, two: tuple[Listening, Listening]) -> None:
        _, acting = two
        assert await acting.send(Request(secret="a secret of somebody else", more={FORWARDED: "true"})) == 401

    @pytest.mark.parametrize(
        ("because", "leader"),
        [
            ("nobody acts, or it does not say where", ""),
            ("it is not there", "127.0.0.1:{free_port}"),
            ("that is no address", "///"),
        ],
    )
    async def test_what_cannot_be_passed_on_may_come_again(
        self, two: tuple[Listening, Listening], because: str, leader: str
    ) -> None:
        standby, acting = two
        there, standby.leader = standby.leader, leader.format(free_port=free_port())
        assert await standby.send(Request()) == 503, because
        standby.leader = there
        assert await standby.send(Request()) == 204 and acting.hurried == [PLACE]

    async def test_two_that_stand_by_do_not_pass_it_to_and_fro(self, two: tuple[Listening, Listening]) -> None:
        standby, other = two
        other.acts, other.leader = False, f"127.0.0.1:{standby.port}"
        assert await standby.send(Request()) == 503
        assert standby.count("nobody-acts") == other.count("nobody-acts") == 1
