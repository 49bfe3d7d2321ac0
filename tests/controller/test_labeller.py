"""Labels are written beside the passes: what became of a write is a value, and the model is woken for it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from slipway.adapters.errors import NotActing, Rejected, Unauthorized, Unreachable
from slipway.controller.labeller import FIGHT_SECONDS, FIGHT_WRITES, FIRST_SECONDS, LONGEST_SECONDS, REFUSED_SECONDS
from slipway.controller.queue import Key, Queue
from slipway.core.reasons import Reason
from slipway.core.registry import Expected, Labels, RegistryModel, Silent, Write
from slipway.core.snapshot import SERVED_KEPT

from tests.controller.registry_world import FLIGHTS, PLACE, STATE, World

SERVES = Write(2, "Production", alias="champion", tags={STATE: "Serving"})
REPLACED = Write(1, tags={STATE: "Replaced"})


@pytest.fixture
async def world() -> World:
    """A registry with two versions of `flights`, swept."""
    world = World()
    world.registry()
    world.model()
    world.register(count=2)
    await world.sweep()
    world.woken.clear()
    return world


def seen(world: World, version: int) -> Labels:
    """What the next pass sees."""
    found = world.sweeper.model(PLACE, "flights")
    assert isinstance(found, RegistryModel)
    return found.labels[version]


def want(world: World, *writes: Write) -> None:
    world.labeller.want(FLIGHTS, PLACE, "flights", writes)


async def test_what_is_wanted_is_written_and_seen_by_the_next_pass(world: World) -> None:
    want(world, SERVES, REPLACED)
    assert await world.labeller.label(FLIGHTS) == 0
    assert seen(world, 2) == Labels("Production", ("champion",), {STATE: "Serving"})
    assert seen(world, 1).tags == {STATE: "Replaced"}
    assert world.woken == [FLIGHTS] and world.labeller.refusal(FLIGHTS, 2) is None


async def test_who_may_not_write_any_more_writes_no_label(world: World) -> None:
    want(world, SERVES)
    world.may_write = 0.0
    with pytest.raises(NotActing):
        await world.labeller.label(FLIGHTS)
    assert seen(world, 2).stage == "None"


async def test_the_newest_set_counts(world: World) -> None:
    want(world, Write(1, alias="champion"))
    want(world, Write(2, alias="champion"))
    await world.labeller.label(FLIGHTS)
    assert (seen(world, 1).aliases, seen(world, 2).aliases) == ((), ("champion",))
    assert await world.labeller.label(FLIGHTS) == 0 and world.woken == [FLIGHTS], "nothing is left"


async def test_nothing_is_written_that_is_not_wanted_any_more(world: World) -> None:
    want(world, SERVES)
    want(world)
    await world.labeller.label(FLIGHTS)
    assert seen(world, 2) == Labels("None", (), {}) and world.woken == []


async def test_what_a_sweep_sees_of_a_write_under_way_is_no_drift_and_the_model_is_woken_when_all_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aliases are read before versions: a sweep may know of the stage and the tags, and not of the alias."""
    write, half = type(world.server).write, []

    async def slow(server: Any, name: str, labels: Write) -> None:
        await write(server, name, replace(labels, alias=None))
        await world.sweep()
        half.append((seen(world, 2), world.labeller.refusal(FLIGHTS, 2)))
        want(world)  # a pass that took it for drift would want nothing
        world.woken.clear()
        await write(server, name, labels)

    monkeypatch.setattr(type(world.server), "write", slow)
    want(world, SERVES)
    await world.labeller.label(FLIGHTS)
    assert half == [(Labels("Production", (), {STATE: "Serving"}), Silent(Reason.LabelsPending, ""))]
    assert (seen(world, 2).aliases, world.labeller.refusal(FLIGHTS, 2)) == (("champion",), None)
    assert world.woken == [FLIGHTS]


async def test_workers_write_what_is_wanted(world: World) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(world.labeller.run(stop))
    want(world, SERVES)
    await world.until_woken(FLIGHTS)
    assert seen(world, 2).aliases == ("champion",)
    stop.set()
    await running


class TestRefused:
    async def test_a_stage_that_is_refused_holds_nothing_else_up(self, world: World) -> None:
        world.server.refused["Production"] = Rejected("there are no stages here")
        want(world, SERVES, REPLACED)
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        assert seen(world, 2) == Labels("None", ("champion",), {STATE: "Serving"})
        assert seen(world, 1).tags == {STATE: "Replaced"}
        assert world.labeller.refusal(FLIGHTS, 2) == Silent("RegistryRejected", "there are no stages here", False)
        assert world.labeller.refusal(FLIGHTS, 1) is None
        assert world.woken == [FLIGHTS]

    async def test_the_same_refusal_wakes_nobody_again(self, world: World) -> None:
        world.server.refused["Production"] = Rejected("there are no stages here")
        want(world, SERVES)
        for _ in range(3):
            await world.labeller.label(FLIGHTS)
        assert world.woken == [FLIGHTS]

    async def test_a_credential_that_may_only_read_is_told(self, world: World) -> None:
        world.server.refused.update(dict.fromkeys(("Production", "champion", STATE), Unauthorized("may only read")))
        want(world, SERVES)
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        assert world.labeller.refusal(FLIGHTS, 2) == Silent("RegistryUnauthorized", "may only read", False)

    async def test_another_wish_forgets_the_refusal_and_is_tried(self, world: World) -> None:
        world.server.refused["champion"] = Rejected("reserved")
        want(world, Write(2, alias="champion"), REPLACED)
        await world.labeller.label(FLIGHTS)
        want(world, Write(2, alias="best"), REPLACED)
        assert world.labeller.refusal(FLIGHTS, 2) is None
        assert await world.labeller.label(FLIGHTS) == 0
        assert seen(world, 2).aliases == ("best",)

    async def test_what_was_refused_and_is_wanted_again_waits_for_its_time(self, world: World) -> None:
        """A pass that stops asking because of the refusal, and asks again because of nothing, makes no loop."""
        world.server.refused["Production"] = Rejected("there are no stages here")
        want(world, SERVES)
        assert await world.labeller._queue.take() is not None
        world.labeller._queue.done(FLIGHTS, await world.labeller.label(FLIGHTS))
        want(world)
        assert world.labeller.refusal(FLIGHTS, 2) is not None
        waited = Queue[Key](lambda: world.now)
        world.labeller._queue = waited
        want(world, SERVES)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waited.take(), 0.05)
        world.now += REFUSED_SECONDS
        waited.wake(Key("model", "ml", "another"), 1)  # whoever waits looks at the clock again
        taken = await asyncio.wait_for(waited.take(), 1)
        assert taken is not None and taken[0] == FLIGHTS

    async def test_a_version_that_is_gone_is_told(self, world: World) -> None:
        world.server.delete("flights", 2)
        want(world, SERVES)
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert refusal is not None and refusal.reason == "VersionNotFound"

    async def test_a_registry_that_forgets_what_it_takes_is_not_written_for_ever(self, world: World) -> None:
        async def forget(_name: str, _write: Write) -> None:
            """It says yes, and that is all."""

        world.server.write = forget  # type: ignore[method-assign]
        want(world, SERVES)
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert refusal is not None and "does not show them" in refusal.message


class TestSilent:
    async def test_it_is_tried_later_and_later(self, world: World) -> None:
        world.server.trouble = Unreachable("no connection")
        want(world, SERVES, REPLACED)
        pauses = [await world.labeller.label(FLIGHTS) for _ in range(9)]
        assert pauses[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
        assert pauses[-1] == LONGEST_SECONDS
        assert world.woken == [FLIGHTS]
        for version in (1, 2):
            assert world.labeller.refusal(FLIGHTS, version) == Silent("RegistryUnreachable", "no connection")

    async def test_one_call_that_finds_nobody_is_enough(self, world: World) -> None:
        world.server.trouble, world.server.good_requests = Unreachable("it went away"), 2
        want(world, SERVES, REPLACED)
        await world.labeller.label(FLIGHTS)
        assert world.labeller.refusal(FLIGHTS, 2) is None and seen(world, 2).stage == "Production"
        assert world.labeller.refusal(FLIGHTS, 1) == Silent("RegistryUnreachable", "it went away")

    async def test_it_is_tried_at_once_when_the_sweeps_find_it_again(self, world: World) -> None:
        world.server.trouble = Unreachable("no connection")
        want(world, SERVES)
        assert await asyncio.wait_for(world.labeller._queue.take(), 1)
        world.labeller._queue.done(FLIGHTS, await world.labeller.label(FLIGHTS))
        await world.sweep()
        world.server.trouble = None
        await world.sweep()
        assert await asyncio.wait_for(world.labeller._queue.take(), 1)
        assert await world.labeller.label(FLIGHTS) == 0

    async def test_a_registry_that_may_not_be_used_is_told(self, world: World) -> None:
        world.labeller.want(FLIGHTS, ("ml", "gone"), "flights", (SERVES,))
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert refusal is not None and refusal.reason == "RegistryNotFound"


class TestContested:
    async def test_two_operators_of_one_name_do_not_write_for_ever(self, world: World) -> None:
        want(world, SERVES)
        await world.labeller.label(FLIGHTS)
        assert world.labeller.contested(FLIGHTS, 2) is None
        await world.server.write("flights", Write(2, tags={STATE: "RolledBack"}))
        assert await world.sweep() == {FLIGHTS}
        said = world.labeller.contested(FLIGHTS, 2)
        assert said is not None and '"RolledBack"' in said.said and "clusterName" in said.said
        want(world, SERVES)
        assert await world.labeller.label(FLIGHTS) == REFUSED_SECONDS
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert refusal is not None and refusal.reason == "RegistryContested"
        assert seen(world, 2).tags == {STATE: "RolledBack"}, "it is not written again"
        await world.server.write("flights", Write(2, "Staging"))
        await world.sweep()
        want(world)
        want(world, SERVES)
        await world.labeller.label(FLIGHTS)
        assert seen(world, 2) == Labels("Production", ("champion",), {STATE: "RolledBack"}), "its labels are"

    async def test_a_new_fact_is_written_all_the_same(self, world: World) -> None:
        want(world, SERVES)
        await world.labeller.label(FLIGHTS)
        await world.server.write("flights", Write(2, tags={STATE: "of another"}))
        await world.sweep()
        want(world, Write(2, "Archived", tags={STATE: "Archived"}))
        assert await world.labeller.label(FLIGHTS) == 0
        assert world.labeller.contested(FLIGHTS, 2) is None and seen(world, 2).stage == "Archived"

    async def test_a_person_who_moves_a_stage_contests_nothing(self, world: World) -> None:
        want(world, SERVES)
        await world.labeller.label(FLIGHTS)
        await world.server.write("flights", Write(2, "Staging"))
        await world.sweep()
        assert world.labeller.contested(FLIGHTS, 2) is None

    async def test_a_model_that_is_gone_is_forgotten(self, world: World) -> None:
        want(world, SERVES)
        await world.labeller.label(FLIGHTS)
        world.labeller.forget(FLIGHTS)
        await world.server.write("flights", Write(2, tags={STATE: "of another"}))
        await world.sweep()
        assert world.labeller.contested(FLIGHTS, 2) is None

    async def test_labels_that_somebody_moves_away_each_time_are_not_set_for_ever(self, world: World) -> None:
        serves, moves = SERVES, 0
        for _ in range(2 * FIGHT_WRITES):
            want(world, serves)
            await world.labeller.label(FLIGHTS)
            if seen(world, 2).stage == "Production":
                moves += 1
                await world.server.write("flights", Write(2, "Staging"))
                await world.sweep()
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert moves == FIGHT_WRITES and refusal is not None and refusal.reason == "RegistryContested"
        assert "stage Production and alias champion of version 2" in refusal.message
        want(world, replace(SERVES, tags={STATE: "Serving since"}))
        await world.labeller.label(FLIGHTS)
        assert seen(world, 2) == Labels("Staging", ("champion",), {STATE: "Serving since"}), "its tags are written"
        world.now += FIGHT_SECONDS
        want(world)
        want(world, serves)
        assert await world.labeller.label(FLIGHTS) == 0, "it may have been somebody who tried something"


class TestMoved:
    async def test_what_somebody_moved_before_the_write_is_seen_and_not_overwritten(self, world: World) -> None:
        await world.server.write("flights", Write(2, "Staging"))
        want(world, replace(SERVES, expected=Expected("None", (), None)))
        assert await world.labeller.label(FLIGHTS) == FIRST_SECONDS
        assert seen(world, 2) == Labels("Staging", (), {}) and world.woken == [FLIGHTS]
        refusal = world.labeller.refusal(FLIGHTS, 2)
        assert refusal is not None and refusal.reason == "LabelsPending" and refusal.retry
        want(world, replace(SERVES, expected=Expected("Staging", (), None)))
        assert await world.labeller.label(FLIGHTS) == 0
        assert seen(world, 2).stage == "Production"


async def test_a_description_that_may_not_be_written_is_said_and_holds_no_label_up(world: World) -> None:
    write = replace(SERVES, line="**Slipway test/ml:** serving")
    world.server.refused["description"] = Unauthorized("does not allow this credential to describe version 2")
    want(world, write)
    await world.labeller.label(FLIGHTS)
    assert (seen(world, 2).stage, seen(world, 2).lines) == ("Production", ())
    said = world.labeller.refusal(FLIGHTS, 2)
    assert said is not None and (said.reason, "describe" in said.message) == ("RegistryUnauthorized", True)
    del world.server.refused["description"]
    await world.labeller.label(FLIGHTS)
    assert (seen(world, 2).lines, world.labeller.refusal(FLIGHTS, 2)) == ((write.line,), None)


SERVED_TAG = "slipway.dev/test/ml/served 2026-03-06T16:00:00Z"


@pytest.mark.parametrize(("prefix", "why"), [("slipway.dev/x/y", None), ("slipway.dev/test/ml", "more tags")])
async def test_tags_that_anybody_writes_keep_nobody_writing(world: World, prefix: str, why: str | None) -> None:
    others = {f"{prefix}/served 9999-01-01T00:00:{second:02d}Z": "x" for second in range(SERVED_KEPT)}
    await world.server.write("flights", Write(2, tags=others))
    await world.sweep()
    want(world, replace(SERVES, notes={SERVED_TAG: "still"}))
    pause = await world.labeller.label(FLIGHTS)
    refusal = world.labeller.refusal(FLIGHTS, 2)
    if why is None:
        assert (pause, refusal, seen(world, 2).tags[SERVED_TAG]) == (0, None, "still")
    else:
        assert refusal is not None and why in refusal.message and refusal.telling and pause == REFUSED_SECONDS


async def test_a_refusal_says_whether_stage_alias_and_tags_are_as_asked(world: World) -> None:
    world.server.refused["description"] = Rejected("there is no room in the description of version 2")
    want(world, replace(SERVES, line="**Slipway test/ml:** serving"))
    await world.labeller.label(FLIGHTS)
    telling = world.labeller.refusal(FLIGHTS, 2)
    world.server.refused["Production"] = Rejected("there is no such stage")
    want(world, replace(SERVES, alias="other"), replace(REPLACED, stage="Production"))
    await world.labeller.label(FLIGHTS)
    refused = world.labeller.refusal(FLIGHTS, 1)
    assert telling is not None and telling.telling
    assert refused is not None and not refused.telling
