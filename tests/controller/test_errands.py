"""Calls that a pass asks for and does not wait for: once each, their answers kept, failures tried again."""

import asyncio

from slipway.adapters.errors import Unreachable
from slipway.controller.errands import Errands
from slipway.controller.queue import Queue


class Desk:
    """Somebody who answers: with the number of times that he was asked, or not at all."""

    def __init__(self, silent: int = 0) -> None:
        self.asked: dict[str, int] = {}
        self.came: list[str] = []
        self.silent = silent
        self.now = 0.0
        self.errands: Errands[str, str] = Errands(
            Queue(lambda: self.now, lambda: 0.5), self._call, self._heard, lambda error: f"no: {error}"
        )

    async def _call(self, errand: str) -> str:
        self.asked[errand] = self.asked.get(errand, 0) + 1
        if self.asked[errand] <= self.silent:
            raise Unreachable("nobody is there")
        return f"{errand} {self.asked[errand]}"

    def _heard(self, errand: str) -> None:
        self.came.append(errand)

    async def until_heard(self, times: int) -> None:
        """Work until somebody was told so many times."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.errands.run(2, stop))
        async with asyncio.timeout(10):
            while len(self.came) < times:
                self.now += 10
                await asyncio.sleep(0)
                self.errands.hurry(lambda _: bool(self.silent))
        stop.set()
        await running


async def test_an_answer_comes_later_and_stays() -> None:
    desk = Desk()
    assert desk.errands.ask("a") is None
    await desk.until_heard(1)
    assert (desk.errands.ask("a"), desk.came, desk.asked) == ("a 1", ["a"], {"a": 1})


async def test_what_fails_says_why_and_is_tried_until_it_succeeds() -> None:
    desk = Desk(silent=1)
    desk.errands.ask("a")
    await desk.until_heard(1)
    assert desk.errands.ask("a") == "no: nobody is there"
    again = Desk(silent=1)
    again.errands.ask("a")
    await again.until_heard(2)
    assert again.errands.ask("a") in {"a 2", "a 3"}


async def test_what_nobody_needs_is_not_asked() -> None:
    desk = Desk()
    desk.errands.ask("a")
    desk.errands.ask("b")
    desk.errands.forget("a")
    await desk.until_heard(1)
    assert (desk.came, "a" in desk.asked) == (["b"], False)
