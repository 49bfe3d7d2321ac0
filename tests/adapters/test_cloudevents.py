"""Events on their way to a receiver that is really there: what it gets, what it may answer, and where nothing is sent."""

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slipway.adapters.cloudevents import Away, Sender, Stumbled, keys, signed
from slipway.adapters.errors import Rejected
from slipway.api.addresses import Addresses
from slipway.api.tasks import DataAccess
from slipway.core.news import changes

from tests.certificates import self_signed
from tests.pages import ROOT, blocks
from tests.ports import free_port

HERE = Addresses(DataAccess(allowed_hosts=("127.0.0.1",)))
ONE, OTHER = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))
NOW = 1_772_798_400


@dataclass
class Receiver:
    """A server that answers as it is told, and remembers what it got."""

    answers: list[web.Response | None] = field(default_factory=list)  # the last one stays; None: none at all
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await self.over.wait()
        return web.Response(status=answer.status, headers=answer.headers) if answer else web.Response(status=500)


Listen = Callable[..., Any]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    runners, receivers = [], []

    async def started(*answers: web.Response | None, tls: ssl.SSLContext | None = None) -> Receiver:
        receiver = Receiver(list(answers) or [web.Response(status=204)])
        receivers.append(receiver)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", receiver.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook?team=ml"
        return receiver

    yield started
    for receiver in receivers:
        receiver.over.set()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(f"{ONE}\n")
    return tmp_path


def sender(url: str, folder: Path, addresses: Addresses = HERE, **more: Any) -> Sender:
    return Sender(url, folder, addresses, **{"now": lambda: NOW} | more)


async def test_an_event_arrives_signed(listen: Listen, folder: Path) -> None:
    receiver = await listen()
    await sender(receiver.url, folder).send("event-1", b'{"id":"event-1"}')
    ((headers, body),) = receiver.got
    assert body == b'{"id":"event-1"}'
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == "event-1" and headers["webhook-timestamp"] == str(NOW)
    assert headers["webhook-signature"] == signed(keys(ONE), "event-1", NOW, body)["webhook-signature"]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference libraries."""
    found = signed(
        keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_rotated_secret_signs_the_next_event(listen: Listen, folder: Path) -> None:
    receiver = await listen()
    one = sender(receiver.url, folder)
    for text in (ONE, f"{OTHER}\n{ONE}\n", OTHER):
        (folder / "secret").write_text(text)
        await one.send("event-1", b"{}")
    by_one, by_other = (signed(keys(key), "event-1", NOW, b"{}")["webhook-signature"] for key in (ONE, OTHER))
    said = [headers["webhook-signature"] for headers, _ in receiver.got]
    assert said == [by_one, f"{by_other} {by_one}", by_other]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("", "it is empty"),
        ("our password", "word 1 is not `whsec_` and base64"),
        ("whsec_c2hvcnQ=", "word 1 has 5 bytes"),
        (f"{ONE}\nwhsec_ü", "ascii"),
    ],
)
async def test_nothing_is_sent_unsigned(listen: Listen, folder: Path, text: str | None, says: str) -> None:
    receiver = await listen()
    (folder / "secret").unlink()
    if text is not None:
        (folder / "secret").write_text(text)
    with pytest.raises(Away, match=says) as away:
        await sender(receiver.url, folder).send("event-1", b"{}")
    assert receiver.got == []
    assert ONE not in str(away.value) and "our password" not in str(away.value)


@dataclass(frozen=True)
class Answer:
    name: str
    because: str
    status: int
    want: type[Exception]
    says: str
    headers: dict[str, str] = field(default_factory=dict, hash=False)


ANSWERS = [
    Answer("wrong secret", "it stays wrong for this event", 401, Rejected, "127.0.0.1 answers 401"),
    Answer("not understood", "a retry would be, neither", 400, Rejected, "answers 400"),
    Answer("gone", "as Standard Webhooks has it", 410, Rejected, "answers 410"),
    Answer("a redirect", "it could lead anywhere, with the event", 307, Rejected, "give the final URL",
           {"Location": "http://169.254.169.254/"}),
    Answer("too fast", "later, as it asks", 429, Away, "answers 429", {"Retry-After": "7"}),
    Answer("a proxy without a server behind it", "", 503, Away, "answers 503"),
    Answer("a defect of its own", "perhaps this event's alone", 500, Stumbled, "answers 500"),
]  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
async def test_what_an_answer_means(listen: Listen, folder: Path, case: Answer) -> None:
    receiver = await listen(web.Response(status=case.status, headers=case.headers))
    with pytest.raises(case.want, match=case.says) as said:
        await sender(receiver.url, folder).send("event-1", b"{}")
    assert len(receiver.got) == 1
    assert "team=ml" not in str(said.value), "a URL may hold what is nobody's business"
    if isinstance(said.value, Away):
        assert said.value.after_seconds == float(case.headers.get("Retry-After", 0))


async def test_one_that_hangs_is_left(listen: Listen, folder: Path) -> None:
    receiver = await listen(None)
    with pytest.raises(Away, match="did not answer within"):
        await sender(receiver.url, folder, seconds=0.2).send("event-1", b"{}")


async def test_nobody_listens(folder: Path) -> None:
    with pytest.raises(Away, match="cannot be reached"):
        await sender(f"http://127.0.0.1:{free_port()}/", folder).send("event-1", b"{}")


async def test_a_certificate_is_checked(listen: Listen, folder: Path) -> None:
    certificate = self_signed("127.0.0.1")
    (folder / "server.pem").write_text(certificate.private + certificate.public)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "server.pem")
    receiver = await listen(tls=tls)
    with pytest.raises(Away, match="its certificate is not trusted"):
        await sender(receiver.url, folder).send("event-1", b"{}")
    trusting = ssl.create_default_context(cadata=certificate.public)
    await sender(receiver.url, folder, tls=trusting).send("event-1", b"{}")
    assert len(receiver.got) == 1


@dataclass(frozen=True)
class Place:
    name: str
    because: str
    url: str
    says: str
    resolves: str = ""
    allowed: tuple[str, ...] = ()


PLACES = [
    Place("metadata", "it hands out credentials", "https://169.254.169.254/", "a link-local address"),
    Place("metadata by name", "a name may mean anything", "https://hooks.example.com/", "a link-local",
          "169.254.169.254"),
    Place("this pod", "its own port has no password", "https://127.0.0.1:8080/", "a loopback address"),
    Place("a Service", "the operator's network is not the target's", "https://files.team.svc/", "name of the cluster"),
    Place("the API server", "", "https://10.96.0.1/", "the cluster's API server"),
    Place("a denied range", "pods are there", "https://hooks.example.com/", "in the denied range 10.244.0.0/16",
          "10.244.3.4"),
    Place("an allowed name that leads to the metadata", "who answers for it is somebody else",
          "https://hooks.example.com/", "a link-local", "169.254.169.254", ("hooks.example.com",)),
    Place("metadata in IPv6", "it is the same address", "https://[::ffff:169.254.169.254]/", "a link-local address"),
    Place("a name in the cluster", "who answers for it is the team's", "https://hooks.ml.svc.cluster.local/",
          "name of the cluster"),
    Place("plain http", "anybody on the way could read it", "http://hooks.example.com/", "https only", "93.184.216.34"),
]  # fmt: skip


@pytest.mark.parametrize("case", PLACES, ids=lambda case: case.name)
async def test_where_nothing_is_sent(folder: Path, case: Place) -> None:
    access = DataAccess.model_validate({"allowedHosts": case.allowed, "deniedCidrs": ["10.244.0.0/16"]})
    addresses = Addresses(access, frozenset(["10.96.0.1"]))
    with pytest.raises(Rejected, match=case.says) as said:
        await sender(case.url, folder, addresses, resolve=lambda _: (case.resolves,)).send("event-1", b"{}")
    assert "events.allowedHosts" in str(said.value)


@pytest.mark.parametrize("host", ["0177.0.0.1", "2130706433.1", "127.1"])
async def test_a_number_is_no_way_round_the_check(listen: Listen, folder: Path, host: str) -> None:
    """Some programs read it as an address of their own machine: it is a name, and whatever answers for that is asked."""
    receiver = await listen()
    port = receiver.url.split(":")[2].partition("/")[0]
    access = Addresses(DataAccess(allowed_hosts=(host,)))
    with pytest.raises(Away, match="cannot be reached"):
        await sender(f"http://{host}:{port}/", folder, access, resolve=lambda _: ("93.184.216.34",)).send("1", b"{}")
    assert receiver.got == []


async def test_the_connection_goes_to_the_address_that_was_checked(listen: Listen, folder: Path) -> None:
    """A name that means something else a moment later gains nothing; the server is shown the name."""
    receiver = await listen()
    port = receiver.url.split(":")[2].partition("/")[0]
    answers = [("127.0.0.1",), ("169.254.169.254",)]
    access = DataAccess(allowed_hosts=("hooks.team.svc",))
    there = Addresses(access, never={})
    one = sender(f"http://hooks.team.svc:{port}/", folder, there, resolve=lambda _: answers.pop(0))
    await one.send("event-1", b"{}")
    ((headers, _),) = receiver.got
    assert headers["Host"] == f"hooks.team.svc:{port}" and len(answers) == 1, "asked once"


async def test_no_proxy_carries_events(listen: Listen, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    receiver = await listen()
    await sender(receiver.url, folder).send("event-1", b"{}")
    assert len(receiver.got) == 1


async def test_the_receiver_in_the_documentation_takes_what_is_genuine(folder: Path) -> None:
    (program,) = [block.text for block in blocks(ROOT / "docs" / "events.md") if block.language == "python"]
    (example,) = [json.loads(block.text) for block in blocks(ROOT / "docs" / "events.md") if block.language == "json"]
    body = example["data"]
    found = {
        "apiVersion": body["object"]["apiVersion"], "kind": body["object"]["kind"],
        "metadata": body["object"] | {"resourceVersion": "1"}, "spec": {"model": "flights", "version": 4},
        "status": {"conditions": [body["condition"]], "validation": {"gates": body["gates"]}},
    }  # fmt: skip
    (news,) = changes("prod", {}, found, "")
    assert json.loads(news.body) == example | {"id": news.id}, "the page shows what is sent"
    port = free_port()
    with subprocess.Popen(  # noqa: ASYNC220  it is a program of its own
        [sys.executable, "-c", program],
        env=os.environ | {"SECRET": ONE, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        try:
            one = sender(f"http://127.0.0.1:{port}/", folder, now=lambda: int(time.time()))
            await _until_it_listens(port)
            for _ in range(2):
                await one.send(news.id, news.body)
            late = sender(f"http://127.0.0.1:{port}/", folder, now=lambda: int(time.time()) - 301)
            with pytest.raises(Rejected, match="answers 401"):
                await late.send("event-2", news.body)
            (folder / "secret").write_text(OTHER)
            with pytest.raises(Rejected, match="answers 401"):
                await one.send("event-3", news.body)
        finally:
            running.terminate()
        assert running.stdout is not None
        assert running.stdout.read().splitlines() == ["flights-v4 …"], "once, however often it comes"


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
