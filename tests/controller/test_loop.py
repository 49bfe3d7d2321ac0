"""The workers: pass after pass, and everybody else has a turn in between."""

import asyncio
import time

from slipway.controller.loop import Loop
from slipway.controller.queue import Key, Queue
from slipway.controller.telemetry import Telemetry

PASSES = 100


async def test_thousands_of_passes_that_find_nothing_leave_room_for_the_lease() -> None:
    queue: Queue[Key] = Queue(time.monotonic)
    stop, turns, done = asyncio.Event(), 0, 0

    async def nothing_to_do(_: Key) -> None:
        nonlocal done
        done += 1
        if done == PASSES:
            stop.set()

    async def lease() -> None:
        nonlocal turns
        while done < PASSES:
            turns += 1
            await asyncio.sleep(0)

    for number in range(PASSES):
        queue.wake(Key("model", "ml", f"model-{number}"))
    await asyncio.gather(Loop(queue, nothing_to_do, Telemetry()).run(1, stop), lease())
    assert turns >= PASSES / 2
