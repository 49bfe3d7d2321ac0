"""Lines of events: in order, again and again while nobody takes them, bounded, and nobody waits for them."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import generate_latest
from slipway.adapters.cloudevents import Away, Stumbled
from slipway.adapters.cluster import MODEL, VERSION
from slipway.adapters.errors import Rejected
from slipway.controller import announce
from slipway.controller.announce import Announcer, Line, Patience
from slipway.controller.cache import Cache
from slipway.controller.telemetry import Telemetry
from slipway.core.news import News
from slipway.resources.platform import EventTarget

from tests.declared import GATED, model, version
from tests.simulation import Simulation

CHAT = EventTarget(name="chat", url="https://hooks.example.com/")
QUICK = Patience(first_seconds=0.001, longest_seconds=0.004, life_seconds=30.0)


class Target:
    """Somebody who takes events, or does not."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.tries = 0
        self.troubles: list[Exception] = []  # one each, for the first tries
        self.hangs = False
        self.came = asyncio.Event()

    async def __call__(self, event_id: str, _body: bytes) -> None:
        self.tries += 1
        self.came.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.got.append(event_id)


def news(number: int, kind: str = "dev.slipway.condition.changed") -> News:
    return News(f"event-{number}", kind, "/apis/…/flights-v4", b"{}")


def counted(telemetry: Telemetry) -> dict[str, float]:
    """How many events became what; nothing of what did not happen."""
    lines = [
        one
        for one in generate_latest(telemetry.registry).decode().splitlines()
        if one.startswith("slipway_events_total")
    ]
    values = {one.partition('result="')[2].partition('"')[0]: float(one.rsplit(" ", 1)[1]) for one in lines}
    return {result: value for result, value in values.items() if value}


def waiting(telemetry: Telemetry) -> float:
    return telemetry.events_waiting.labels("chat")._value.get()


@contextlib.asynccontextmanager
async def working(line: Line) -> AsyncIterator[None]:
    task = asyncio.create_task(line.work())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  of a line's own time
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("troubles", "because"),
    [
        ([], "it takes them"),
        ([Away("no answer")] * 5, "it was away for a while"),
        ([Stumbled("500")] * 7, "it stumbled over the first"),
    ],
    ids=["well", "away", "stumbling"],
)
async def test_events_come_in_their_order(troubles: list[Exception], because: str) -> None:
    target, telemetry = Target(), Telemetry()
    target.troubles = list(troubles)
    line = Line(CHAT, target, telemetry, QUICK)
    for number in range(5):
        line.offer(news(number))
    async with working(line):
        await until(lambda: len(target.got) == 5)
        await until(lambda: waiting(telemetry) == 0)
    assert target.got == [f"event-{number}" for number in range(5)], because
    retried = {"retried": float(len(troubles))} if troubles else {}
    assert counted(telemetry) == {"sent": 5.0} | retried


@pytest.mark.parametrize(
    ("troubles", "tries"),
    [([Rejected("answers 400")], 2), ([Stumbled("answers 500")] * 8, 9)],
    ids=["refused", "a defect of the receiver"],
)
async def test_one_event_that_is_not_taken_keeps_none_of_the_others(troubles: list[Exception], tries: int) -> None:
    target, telemetry = Target(), Telemetry()
    target.troubles = list(troubles)
    line = Line(CHAT, target, telemetry, QUICK)
    line.offer(news(1))
    line.offer(news(2))
    async with working(line):
        await until(lambda: target.got == ["event-2"])
    assert target.tries == tries
    assert counted(telemetry)["failed"] == 1.0


async def test_an_event_that_nobody_takes_grows_too_old() -> None:
    now = 0.0
    target, telemetry = Target(), Telemetry()
    target.troubles = [Away("no answer")] * 2
    line = Line(CHAT, target, telemetry, Patience(0.001, 0.004, 3600.0), clock=lambda: now)
    line.offer(news(1))
    now = 3600.0
    line.offer(news(2))
    async with working(line):
        await until(lambda: target.got == ["event-2"])
    assert counted(telemetry) == {"sent": 1.0, "retried": 1.0, "failed": 1.0}


async def test_a_target_that_hangs_keeps_nobody_and_the_oldest_go() -> None:
    target, telemetry = Target(), Telemetry()
    target.hangs = True
    line = Line(CHAT, target, telemetry, QUICK)
    line.offer(news(0))
    async with working(line):
        await target.came.wait()
        for number in range(1, announce.WAITING + 11):  # no await: nothing here waits for the target
            line.offer(news(number))
        assert waiting(telemetry) == announce.WAITING
        assert counted(telemetry) == {"dropped": 10.0}
    target.hangs = False
    async with working(line):
        await until(lambda: len(target.got) == announce.WAITING)
    assert target.got[0] == "event-11"


async def test_a_target_gets_the_types_that_it_asks_for() -> None:
    target, telemetry = Target(), Telemetry()
    refusals = CHAT.model_copy(update={"types": ("dev.slipway.modelversion.refused",)})
    line = Line(refusals, target, telemetry, QUICK)
    line.offer(news(1))
    line.offer(news(2, "dev.slipway.modelversion.refused"))
    async with working(line):
        await until(lambda: target.got == ["event-2"])


async def test_the_last_trouble_of_a_target_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    target = Target()
    target.troubles = [Away("hooks.example.com answers 503")] * 3
    line = Line(CHAT, target, Telemetry(), QUICK)
    line.offer(news(1))
    async with working(line):
        await until(lambda: target.got)
    assert caplog.messages == ["events for chat: hooks.example.com answers 503", "events reach chat"]


def test_every_result_has_a_series_before_it_happens() -> None:
    """`increase` sees the first one, too."""
    telemetry = Telemetry()
    Line(CHAT, Target(), telemetry)
    exposed = generate_latest(telemetry.registry).decode()
    for result in ("sent", "retried", "failed", "dropped"):
        assert f'slipway_events_total{{result="{result}",target="chat"}} 0.0' in exposed


async def test_an_operator_that_begins_tells_again_what_flipped_lately() -> None:
    def found(name: str, kind: str, minutes: int) -> dict[str, Any]:
        at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60 * minutes, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": at}
        meta = {"name": name, "namespace": "ml", "uid": name, "resourceVersion": "5", "generation": 1}
        spec = {"model": "flights", "version": 1} if kind == "ModelVersion" else {}
        about = {"apiVersion": "slipway.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
        return about | {"status": {"conditions": [condition]}}

    cache, got = Cache(), []
    cache.put(VERSION, found("flights-v1", "ModelVersion", 1))
    cache.put(VERSION, found("flights-v2", "ModelVersion", 60))
    cache.put(MODEL, found("flights", "RegisteredModel", 2))

    async def send(_id: str, body: bytes) -> None:
        got.append(json.loads(body)["data"]["object"]["name"])

    stop = asyncio.Event()
    running = asyncio.create_task(Announcer("prod", cache, [Line(CHAT, send, Telemetry(), QUICK)]).run(stop))
    await until(lambda: len(got) == 2)
    stop.set()
    await running
    assert got == ["flights", "flights-v1"]


def test_a_promotion_and_a_refusal_with_its_two_numbers_are_told() -> None:
    of = Simulation()
    of.bad = {2}
    of.cluster.put(model(validation=GATED))
    for number in (1, 2):
        of.cluster.put(version(number))
        of.settle()
    told = [(one["type"].rpartition(".")[2], one["data"]["object"]["name"]) for one in of.news]
    assert [one for one in told if one[0] != "changed"] == [("released", "flights-v1"), ("refused", "flights-v2")]
    (refusal,) = [one["data"] for one in of.news if one["type"] == "dev.slipway.modelversion.refused"]
    assert (refusal["model"], refusal["version"], refusal["condition"]["reason"]) == ("flights", 2, "GateFailed")
    failed = [(one["candidate"], one["champion"]) for one in refusal["gates"] if one["result"] == "Failed"]
    assert failed == [(99.0, 9.0)]
    assert len({one["id"] for one in of.news}) == len(of.news), "no two changes are one event"
