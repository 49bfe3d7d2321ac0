"""The work queue: each key once, one pass at a time, failures later and later."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.controller.queue import FIRST_SECONDS, LEAST_SECONDS, LONGEST_SECONDS, SPARE, URGENT_SECONDS, Lane, Queue


class Clock:
    """Time that stands still until it is told to pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(clock, jitter=lambda: 0.5)


async def taken(queue: Queue[str]) -> str | None:
    """What is due now; None if nothing is."""
    try:
        found = await asyncio.wait_for(queue.take(), 0.01)
    except TimeoutError:
        return None
    return found[0] if found else None


async def test_a_key_that_is_woken_often_gets_one_pass(queue: Queue[str]) -> None:
    for _ in range(5):
        queue.wake("a")
    assert await taken(queue) == "a"
    queue.done("a")
    assert await taken(queue) is None


async def test_a_key_that_is_woken_during_its_pass_gets_one_more_after_it(queue: Queue[str]) -> None:
    queue.wake("a")
    assert await taken(queue) == "a"
    queue.wake("a")
    assert await taken(queue) is None, "two passes over one key never run at once"
    queue.done("a")
    assert await taken(queue) == "a"


async def test_the_earlier_of_two_times_counts(queue: Queue[str], clock: Clock) -> None:
    queue.wake("a", 60)
    queue.wake("a", 10)
    queue.wake("a", 30)
    clock.now = 10
    assert await taken(queue) == "a"
    queue.done("a")
    clock.now = 100
    assert await taken(queue) is None


async def test_failures_come_back_later_and_later(queue: Queue[str], clock: Clock) -> None:
    delays = []
    queue.wake("a")
    for _ in range(12):
        assert await taken(queue) == "a"
        delays.append(queue.failed("a"))
        clock.now += delays[-1]
    assert delays[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert delays[-1] == LONGEST_SECONDS


async def test_an_event_brings_a_failed_key_back_soon_but_not_at_once(queue: Queue[str], clock: Clock) -> None:
    queue.wake("a")
    for _ in range(9):
        assert await taken(queue) == "a"
        clock.now += queue.failed("a")
    assert await taken(queue) == "a"
    queue.failed("a")
    queue.wake("a")
    assert await taken(queue) is None
    clock.now += LEAST_SECONDS
    assert await taken(queue) == "a"


async def test_a_due_key_moves_to_the_lane_of_who_cannot_wait(clock: Clock) -> None:
    queue: Queue[str] = Queue(clock, jitter=lambda: 0.0)
    queue.wake("a")
    assert await taken(queue) == "a"
    clock.now += queue.failed("a")
    assert clock.now < URGENT_SECONDS
    queue.wake("b")
    assert queue.depths == {"command": 0, "urgent": 0, "usual": 2}
    queue.wake("b", lane=Lane.URGENT)
    queue.wake("a", lane=Lane.COMMAND)
    assert queue.depths == {"command": 1, "urgent": 1, "usual": 0}
    assert [await taken(queue), await taken(queue)] == ["a", "b"]


async def test_success_forgets_the_failures(queue: Queue[str], clock: Clock) -> None:
    queue.wake("a")
    assert await taken(queue) == "a"
    clock.now += queue.failed("a")
    assert await taken(queue) == "a"
    queue.done("a", after_seconds=0)
    assert await taken(queue) == "a"
    assert queue.failed("a") == FIRST_SECONDS


async def test_a_closed_queue_gives_nothing_out(queue: Queue[str]) -> None:
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.wake("a", 5)
    queue.close()
    assert await waiting is None


steps = st.lists(st.tuples(st.sampled_from("wdf+"), st.sampled_from("ab"), st.integers(0, 5)), max_size=40)


@given(steps)
def test_no_key_is_lost_and_none_runs_twice_at_once(script: list[tuple[str, str, int]]) -> None:
    async def play() -> None:
        clock = Clock()
        queue: Queue[str] = Queue(clock, jitter=lambda: 0.5)
        running: set[str] = set()
        woken: set[str] = set()
        for step, key, seconds in script:
            if step == "w":
                queue.wake(key, seconds)
                woken.add(key)
            elif step in "df" and key in running:
                running.discard(key)
                queue.failed(key) if step == "f" else queue.done(key)
                woken |= {key} if step == "f" else set()
            elif step == "+":
                clock.now += seconds
                while (found := await taken(queue)) is not None:
                    assert found not in running
                    running.add(found)
                    woken.discard(found)
        for key in running:
            queue.done(key)
        clock.now += 1000
        left = set()
        while (found := await taken(queue)) is not None:
            left.add(found)
            queue.done(found)
        assert woken <= left

    asyncio.run(play())


async def test_what_is_urgent_comes_first_also_if_it_waited_in_the_usual_lane(queue: Queue[str]) -> None:
    for name in "abc":
        queue.wake(name)
    queue.wake("c", lane=Lane.URGENT)
    queue.wake("d", lane=Lane.URGENT)
    assert [await taken(queue) for _ in range(4)] == ["c", "d", "a", "b"]


async def test_a_command_does_not_wait_for_a_thousand_edits(queue: Queue[str]) -> None:
    for number in range(1000):
        queue.wake(f"edit {number}", lane=Lane.URGENT)
    queue.wake("edit 7", lane=Lane.COMMAND)
    queue.wake("rollback", lane=Lane.COMMAND)
    assert [await taken(queue) for _ in range(3)] == ["edit 7", "rollback", "edit 0"]


async def test_usual_work_never_takes_every_worker(clock: Clock) -> None:
    queue: Queue[str] = Queue(clock, usual_at_once=2)
    for name in "abc":
        queue.wake(name)
    assert [await taken(queue), await taken(queue), await taken(queue)] == ["a", "b", None]
    queue.wake("rollback", lane=Lane.COMMAND)
    assert await taken(queue) == "rollback"
    queue.done("a")
    assert await taken(queue) == "c"


async def test_a_person_does_not_wait_for_the_pause_after_a_failure(queue: Queue[str], clock: Clock) -> None:
    queue.wake("a")
    assert await taken(queue) == "a"
    queue.failed("a", 100)
    clock.now = URGENT_SECONDS
    queue.wake("a", lane=Lane.URGENT)
    assert await taken(queue) == "a"


async def test_each_lane_has_its_depth(queue: Queue[str]) -> None:
    queue.wake("a")
    queue.wake("b", 60)
    queue.wake("c", lane=Lane.URGENT)
    assert (queue.depths, queue.depth) == ({"command": 0, "urgent": 1, "usual": 1}, 2)


async def test_a_person_who_asks_without_a_pause_does_not_make_a_failing_key_spin(
    queue: Queue[str], clock: Clock
) -> None:
    queue.wake("a")
    passes = 0
    while clock.now < 10:
        queue.wake("a", lane=Lane.URGENT)
        if await taken(queue) == "a":
            passes += 1
            queue.failed("a")
        clock.now += 0.1
    assert 10 <= passes <= 10 / URGENT_SECONDS


async def test_a_conflict_that_does_not_end_is_looked_at_ever_more_rarely(queue: Queue[str], clock: Clock) -> None:
    queue.wake("a")
    for _ in range(12):
        assert await taken(queue) == "a"
        clock.now += (pause := queue.failed("a", first_seconds=0.2))
    assert pause == LONGEST_SECONDS


async def test_what_is_woken_long_before_its_time_leaves_nothing_behind(queue: Queue[str]) -> None:
    for _ in range(10 * SPARE):
        queue.wake("a")
        assert await taken(queue) == "a"
        queue.done("a", after_seconds=3600)
    assert len(queue._heap) <= SPARE + 3
