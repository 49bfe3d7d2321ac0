"""Sweeps: a difference wakes the model that it is about, silence takes nothing back, and answers ask nobody."""

import asyncio
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import pytest
from slipway.adapters.cluster import REGISTRY
from slipway.adapters.errors import AdapterError, Unauthorized, Unreachable
from slipway.controller.queue import Key
from slipway.controller.sweeper import until_next
from slipway.controller.swept import GRACE_SECONDS, HINTS
from slipway.core.registry import CLOCKS_APART_MS, Absent, Labels, RegistryModel, RegistryState, Silent, Write
from slipway.core.snapshot import Sweep, Watermark

from tests.controller.registry_world import FLIGHTS, PLACE, REGISTRY_KEY, STATE, World
from tests.memory_registry import MemoryRegistry


@pytest.fixture
def world() -> World:
    """A registry with two versions of `flights`, and a RegisteredModel of that name."""
    world = World()
    world.registry()
    world.model()
    world.register(count=2)
    return world


def labels(world: World, name: str = "flights") -> dict[int, Labels]:
    seen = world.sweeper.model(PLACE, name)
    assert isinstance(seen, RegistryModel)
    return dict(seen.labels)


async def test_before_the_first_sweep_nothing_is_known(world: World) -> None:
    assert world.sweeper.model(PLACE, "flights") is None
    assert world.sweeper.registry(PLACE) is None


async def test_the_first_sweep_tells_its_registry_and_its_models(world: World) -> None:
    assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
    assert set(labels(world)) == {1, 2}
    assert world.sweeper.registry(PLACE) == RegistryState(None, "3.17.2", "2026-03-06T17:00:30Z", 1, 2, 0.0, ())


async def test_where_nothing_happens_nobody_is_woken(world: World) -> None:
    await world.sweep()
    assert await world.sweep() == set()


async def test_a_difference_wakes_the_models_that_it_is_about(world: World) -> None:
    other, elsewhere = world.model("other"), world.model("copy", "team", name="flights")
    world.register("other")
    await world.sweep()
    await world.server.write("flights", Write(2, alias="champion"))
    assert await world.sweep() == {FLIGHTS, elsewhere}
    assert labels(world)[2].aliases == ("champion",)
    await world.server.write("other", Write(1, "Staging"))
    assert await world.sweep() == {other}


@pytest.mark.parametrize("took_seconds", [0.0, 4.0, 29.0, 60.0])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_two_sweeps_begin_no_further_apart_than_the_interval(took_seconds: float, chance: float) -> None:
    apart = took_seconds + until_next(30.0, took_seconds, chance)
    assert max(25.0, took_seconds) <= apart <= max(30.0, took_seconds)


async def test_a_model_that_is_not_registered_is_absent(world: World) -> None:
    key = world.model("later")
    assert key in await world.sweep()
    seen = world.sweeper.model(PLACE, "later")
    assert isinstance(seen, Absent) and '"later" is not registered' in seen.message
    world.register("later")
    assert await world.sweep() == {key} and set(labels(world, "later")) == {1}


async def test_a_model_that_is_new_in_the_cluster_is_swept_soon(world: World) -> None:
    stop = asyncio.Event()
    world.register("new", 3)
    running = asyncio.create_task(world.sweeper.run(stop))
    await world.until_woken(FLIGHTS)
    key = world.model("new")
    assert world.sweeper.model(PLACE, "new") is None
    world.now += 10
    await world.until_woken(key)
    assert set(labels(world, "new")) == {1, 2, 3}
    stop.set()
    await running


async def test_who_shares_a_registered_model_is_told_when_others_come(world: World) -> None:
    await world.sweep()
    other = world.model("airport", "ml", name="flights")
    assert set(world.sweeper.models(PLACE, "flights")) == {FLIGHTS, other}, "without a sweep"
    assert {FLIGHTS, other} <= await world.sweep()
    assert await world.sweep() == set()


async def test_prometheus_is_told_what_a_sweep_saw(world: World) -> None:
    place = dict(zip(("namespace", "name"), PLACE, strict=True))
    told = world.telemetry.registry.get_sample_value
    await world.sweep()
    assert told("slipway_registry_models", place) == 1
    assert told("slipway_registry_versions", place) == 2
    swept = told("slipway_registry_last_sweep_timestamp_seconds", place)
    world.server.trouble = Unreachable("no connection")
    await world.sweep()
    assert told("slipway_registry_last_sweep_timestamp_seconds", place) == swept, "silence is no sweep"


async def test_a_deleted_version_dates_its_model_and_no_version_explains_it(world: World) -> None:
    def dates() -> tuple[int, int, int]:
        seen = world.sweeper.model(PLACE, "flights")
        assert isinstance(seen, RegistryModel)
        return seen.labels[1].moved, seen.updated, seen.unexplained

    await world.server.write("flights", Write(2, "Production"))
    await world.server.write("flights", Write(1, "Archived"))
    await world.sweep()
    moved, updated, unexplained = dates()
    assert moved == updated > unexplained
    world.server.delete("flights", 2)
    await world.sweep()
    moved, updated, unexplained = dates()
    assert moved < updated == unexplained
    world.register()
    await world.sweep()
    assert dates() == (moved, updated + 1, unexplained)


async def test_a_registry_that_was_restored_from_a_backup_is_read_anew(world: World) -> None:
    last_night = deepcopy(vars(world.server))
    world.register()
    world.server._ticks += CLOCKS_APART_MS + 1
    await world.server.write("flights", Write(3, "Production", alias="champion"))
    await world.sweep()
    assert set(labels(world)) == {1, 2, 3}
    vars(world.server).update(last_night)
    assert FLIGHTS in await world.sweep()
    assert set(labels(world)) == {1, 2}, "what came later is not there, from the first sweep on"


class TestSilence:
    async def test_what_is_known_stays_known(self, world: World) -> None:
        await world.sweep()
        world.server.trouble = Unreachable("no connection")
        assert await world.sweep() == {REGISTRY_KEY}, "models are not asked to look at what they know already"
        assert set(labels(world)) == {1, 2}
        state = world.sweeper.registry(PLACE)
        assert state is not None and state.swept_at == "2026-03-06T17:00:30Z"
        assert state.silence == Silent("RegistryUnreachable", "no connection")
        assert await world.sweep() == set()

    async def test_a_registry_that_never_answered_is_silent_to_its_models(self, world: World) -> None:
        world.server.trouble = Unreachable("no connection")
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
        assert world.sweeper.model(PLACE, "flights") == Silent("RegistryUnreachable", "no connection")
        world.server.trouble = Unauthorized("wrong password")
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
        world.server.trouble = None
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
        assert set(labels(world)) == {1, 2}

    async def test_versions_that_wait_for_it_are_woken_when_it_comes_back(self, world: World) -> None:
        waiting, importing = world.version(1), world.version(2, "Resolved")
        world.version(3, "Resolved", "Imported")
        world.register(count=1)
        back: list[tuple[str, str]] = []
        world.sweeper.listen(back.append)
        await world.sweep()
        world.server.trouble = Unreachable("no connection")
        await world.sweep()
        world.server.trouble = None
        assert await world.sweep() == {REGISTRY_KEY, waiting, importing}
        assert back == [PLACE]

    async def test_a_sweep_that_breaks_off_keeps_what_it_brought(self, world: World) -> None:
        await world.sweep()
        await world.server.write("flights", Write(1, alias="champion"))
        world.server.trouble, world.server.good_requests = Unreachable("it went away"), 1
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
        assert labels(world)[1].aliases == ("champion",)
        state = world.sweeper.registry(PLACE)
        assert state is not None and state.silence == Silent("RegistryUnreachable", "it went away")

    async def test_another_server_is_another_registry(self, world: World) -> None:
        await world.sweep()
        world.server._models.clear()
        world.registry("http://other:5000", generation=2)
        assert FLIGHTS in await world.sweep()
        assert isinstance(world.sweeper.model(PLACE, "flights"), Absent)


class TestUse:
    """Whether a registry may be used is seen in every pass: who was told that it may not looks again."""

    async def test_an_edit_of_it_wakes_all_that_name_it(self, world: World) -> None:
        waiting = world.version(1)
        elsewhere = world.model("copy", "team", name="flights")
        await world.sweep()
        world.registry(generation=2, allowedNamespaces={"selector": {"matchLabels": {"a": "b"}}})
        assert await world.sweep() == {FLIGHTS, elsewhere, waiting}
        assert await world.sweep() == set()

    async def test_a_credential_that_is_there_again_wakes_all_that_name_it(self, world: World) -> None:
        world.registry(mlflow={"auth": {"basic": {"secretRef": {"name": "credential"}}}})
        world.api.secret(username="slipway", password="one")
        await world.sweep()
        world.api.objects.clear()
        assert await world.sweep() == {REGISTRY_KEY}
        state = world.sweeper.registry(PLACE)
        assert state is not None and state.silence is not None and state.silence.reason == "SecretNotFound"
        world.api.secret(username="slipway", password="one")
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}

    async def test_another_credential_wakes_the_imports_that_need_it(self, world: World) -> None:
        world.registry(mlflow={"auth": {"basic": {"secretRef": {"name": "credential"}}}})
        world.api.secret(username="slipway", password="one")
        importing = world.version(1, "Resolved")
        world.version(2, "Resolved", "Imported")
        await world.sweep()
        assert await world.sweep() == set()
        world.api.secret(username="slipway", password="two")
        assert await world.sweep() == {importing}


class TestCost:
    async def test_a_quiet_sweep_reads_the_pages_of_one_search_and_one_page_of_versions(self, world: World) -> None:
        await world.sweep()
        world.server.requests = 0
        await world.sweep()
        assert world.server.requests == 2

    async def test_every_version_is_read_rarely_and_finds_tags_of_older_ones(self, world: World) -> None:
        world.register(count=3)
        await world.sweep()
        await world.server.write("flights", Write(1, tags={STATE: "Replaced"}))
        assert await world.sweep() == set()
        assert await world.sweep(600) == {REGISTRY_KEY, FLIGHTS}
        assert labels(world)[1].tags == {STATE: "Replaced"}

    async def test_more_changes_than_are_listed_are_found_a_minute_later(self, world: World) -> None:
        world.model("other")
        world.register("other", 2)
        await world.sweep()
        world.register("other", 3)
        await world.server.write("flights", Write(1, "Archived"))
        for _ in range(3):
            world.register("other")
        await world.sweep(40)
        await world.sweep(40)
        assert labels(world)[1].stage == "Archived"


class TestTooLarge:
    """A model of which the registry says more than can be read is not known, and is said to be so."""

    @pytest.fixture
    async def world(self, world: World) -> World:
        """Two models are known; then one becomes too large."""
        self.other = world.model("other")
        world.register("other")
        await world.sweep()
        world.server.too_large = frozenset({"flights"})
        assert await world.sweep() == {REGISTRY_KEY, FLIGHTS}
        return world

    async def test_it_is_not_known_and_not_gone(self, world: World) -> None:
        for _ in range(3):
            seen = world.sweeper.model(PLACE, "flights")
            assert isinstance(seen, Silent) and seen.reason == "ModelTooLarge"
            assert await world.sweep() == set()

    async def test_the_registry_is_told_its_name_and_answers(self, world: World) -> None:
        state = world.sweeper.registry(PLACE)
        assert state is not None and (state.left_out, state.silence, state.models) == (("flights",), None, 2)

    async def test_the_sweeps_of_all_others_go_on(self, world: World) -> None:
        await world.server.write("other", Write(1, alias="champion"))
        assert await world.sweep() == {self.other}
        assert labels(world, "other")[1].aliases == ("champion",)

    async def test_it_is_asked_for_again_when_everything_is(self, world: World) -> None:
        world.server.too_large = frozenset()
        assert await world.sweep() == set(), "soon, it is not: each try is many megabytes"
        assert await world.sweep(600) == {REGISTRY_KEY, FLIGHTS}
        assert set(labels(world)) == {1, 2}


class TestByName:
    """No list of all models can be read, only the models of the cluster, by name: nobody else is harmed by that."""

    class ByName(MemoryRegistry):
        """It lists nothing that nobody asked for."""

        asked: ClassVar[list[Watermark | None]] = []

        async def sweep(
            self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
        ) -> Sweep:
            self.asked.append(since)
            answer = await super().sweep(since, wanted, without)
            marks = answer.watermark.marks if answer.watermark else frozenset()
            return replace(answer, labelled=(), counted=0, by_name=True, watermark=Watermark(marks, by_name=True))

    @pytest.fixture
    async def world(self, world: World) -> World:
        """Two models, of which the cluster knows one, and then a third that is too large for any list."""
        world.register("other")
        await world.sweep()
        world.server.__class__ = self.ByName
        await world.sweep()
        self.ByName.asked.clear()
        return world

    async def test_the_registry_is_told_and_answers_and_what_was_counted_stays(self, world: World) -> None:
        state = world.sweeper.registry(PLACE)
        assert state is not None and (state.by_name, state.silence, state.models) == (True, None, 2)

    async def test_labels_that_move_are_seen(self, world: World) -> None:
        await world.server.write("flights", Write(1, alias="champion"))
        assert await world.sweep() == {FLIGHTS}
        assert labels(world)[1].aliases == ("champion",)

    async def test_a_list_is_tried_again_when_everything_is_read(self, world: World) -> None:
        await world.sweep()
        await world.sweep(600)
        remembered, again = self.ByName.asked
        assert remembered is not None and remembered.by_name, "not at each sweep: each try is many megabytes"
        assert again is None


class TestHint:
    """A webhook names a model: that one is read, and whom it concerns is woken; the rest is for the sweeps."""

    @pytest.fixture
    async def world(self, world: World) -> World:
        """Two models are known."""
        self.other = world.model("other")
        world.register("other")
        await world.sweep()
        world.server.requests = 0
        return world

    async def look(self, world: World, *names: str) -> set[Key]:
        """Whom the hints wake, without a sweep."""
        world.woken.clear()
        for name in names:
            world.sweeper.heed(PLACE, name)
        await world.sweeper.look(PLACE)
        return set(world.woken)

    def is_due(self, world: World) -> bool:
        """Whether a sweep is."""
        return world.sweeper._swept[PLACE].hurry.is_set()

    async def test_one_request_wakes_the_models_that_it_is_about(self, world: World) -> None:
        elsewhere = world.model("copy", "team", name="flights")
        await world.sweep()
        await world.server.write("flights", Write(1, alias="champion"))
        await world.server.write("other", Write(1, alias="champion"))
        world.server.requests = 0
        assert await self.look(world, "flights") == {FLIGHTS, elsewhere}
        assert labels(world)[1].aliases == ("champion",)
        assert labels(world, "other")[1].aliases == (), "nobody has named it"
        assert (world.server.requests, self.is_due(world)) == (1, False)

    async def test_a_new_version_and_its_alias_are_seen(self, world: World) -> None:
        world.register()
        await world.server.write("flights", Write(3, alias="champion"))
        assert await self.look(world, "flights") == {FLIGHTS}
        assert labels(world)[3].aliases == ("champion",) and not self.is_due(world)

    async def test_a_hint_about_nothing_new_wakes_nobody(self, world: World) -> None:
        assert await self.look(world, "flights") == set() and not self.is_due(world)

    async def test_however_often_a_model_is_named_it_is_read_once(self, world: World) -> None:
        await self.look(world, *["flights"] * 100)
        assert world.server.requests == 1

    async def test_the_next_sweep_finds_nothing_new(self, world: World) -> None:
        await world.server.write("flights", Write(1, alias="champion"))
        await self.look(world, "flights")
        assert await world.sweep() == set()

    async def test_what_was_read_is_as_new_as_the_reading(self, world: World) -> None:
        def read_at(name: str) -> str:
            seen = world.sweeper.model(PLACE, name)
            assert isinstance(seen, RegistryModel)
            return seen.read_at

        world.now += 7
        await self.look(world, "flights")
        assert (read_at("flights"), read_at("other")) == ("2026-03-06T17:00:37Z", "2026-03-06T17:00:30Z")

    @pytest.mark.parametrize("name", ["", "of nobody", "later"])
    async def test_a_model_that_is_not_known_is_for_a_sweep(self, world: World, name: str) -> None:
        world.model("later")
        await self.look(world, name)
        assert (world.server.requests, self.is_due(world)) == (0, True)

    async def test_many_at_once_are_for_a_sweep(self, world: World) -> None:
        names = [f"m{number}" for number in range(HINTS + 1)]
        for name in names:
            world.model(name)
            world.register(name)
        await world.sweep()
        world.server.requests = 0
        await self.look(world, *names[1:])
        assert (world.server.requests, self.is_due(world)) == (HINTS, False)
        await self.look(world, *names)
        assert (world.server.requests, self.is_due(world)) == (HINTS, True)

    async def test_what_is_gone_is_believed_to_sweeps_alone(self, world: World) -> None:
        world.server.delete("flights", 2)
        assert await self.look(world, "flights") == set() and set(labels(world)) == {1, 2}
        assert self.is_due(world)
        world.server.delete_model("other")
        assert await self.look(world, "other") == set() and set(labels(world, "other")) == {1}

    async def test_an_alias_of_a_version_that_nobody_has_listed_is_for_a_sweep(self, world: World) -> None:
        world.register(count=2)
        await world.server.write("flights", Write(3, alias="champion"))  # its row has the fourth only
        await self.look(world, "flights")
        assert self.is_due(world)
        await world.sweep()
        assert labels(world)[3].aliases == ("champion",)

    @pytest.mark.parametrize("trouble", [Unreachable("no answer"), Unauthorized("may not read it")])
    async def test_no_answer_takes_nothing_back_and_is_for_a_sweep_to_tell(
        self, world: World, trouble: AdapterError
    ) -> None:
        world.server.trouble = trouble
        assert await self.look(world, "flights") == set() and set(labels(world)) == {1, 2}
        state = world.sweeper.registry(PLACE)
        assert state is not None and (state.silence, self.is_due(world)) == (None, True)

    async def test_while_the_registry_is_silent_or_edited_only_sweeps_ask(self, world: World) -> None:
        world.registry(generation=2)
        await self.look(world, "flights")
        assert (world.server.requests, self.is_due(world)) == (0, True)
        world.server.trouble = Unreachable("no answer")
        await world.sweep()
        await self.look(world, "flights")
        assert (world.server.requests, self.is_due(world)) == (0, True)

    async def test_a_sweep_that_began_before_does_not_know_better(self) -> None:
        class Slow(MemoryRegistry):
            """An alias is moved, and hinted at, while the answer to a sweep is on the way."""

            async def sweep(
                self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
            ) -> Sweep:
                answer = await super().sweep(since, wanted, without)
                await self.write("flights", Write(1, alias="champion"))
                world.sweeper.heed(PLACE, "flights")
                await world.sweeper.look(PLACE)
                return answer

        world = World()
        world.registry()
        world.model()
        world.register(count=2)
        await world.server.write("flights", Write(2, alias="champion"))
        await world.sweep()
        world.server.__class__ = Slow
        assert await world.sweep() == {FLIGHTS}
        assert [labels(world)[number].aliases for number in (1, 2)] == [("champion",), ()]

    async def test_what_was_written_while_it_was_read_stays(self, world: World) -> None:
        class Slow(MemoryRegistry):
            """Somebody writes and confirms while its answer is on the way."""

            async def model(self, name: str) -> Sweep:
                answer = await super().model(name)
                world.sweeper.confirm(PLACE, "flights", 2, Labels("Production", (), {STATE: "Serving"}))
                return answer

        world.server.__class__ = Slow
        await self.look(world, "flights")
        assert labels(world)[2] == Labels("Production", (), {STATE: "Serving"})

    async def test_it_does_not_wait_for_the_sweep_that_runs(self, world: World) -> None:
        begun, go_on, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

        class Slow(MemoryRegistry):
            """Its list of models hangs."""

            async def sweep(
                self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
            ) -> Sweep:
                begun.set()
                await go_on.wait()
                return await super().sweep(since, wanted, without)

        world.server.__class__ = Slow
        running = asyncio.create_task(world.sweeper.run(stop))
        await asyncio.wait_for(begun.wait(), 10)
        world.woken.clear()
        await world.server.write("flights", Write(1, alias="champion"))
        world.sweeper.heed(PLACE, "flights")
        await world.until_woken(FLIGHTS)
        assert labels(world)[1].aliases == ("champion",)
        stop.set()
        go_on.set()
        await running


class TestConfirmed:
    async def test_what_was_written_is_seen_at_once(self, world: World) -> None:
        await world.sweep()
        world.sweeper.confirm(PLACE, "flights", 1, Labels("Production", ("champion",), {STATE: "Serving", "x": "y"}))
        assert labels(world)[1] == Labels("Production", ("champion",), {STATE: "Serving"})
        world.sweeper.confirm(PLACE, "flights", 2, Labels("Staging", ("champion",), {}))
        assert (labels(world)[1].aliases, labels(world)[2].aliases) == ((), ("champion",))

    async def test_a_sweep_that_began_before_does_not_know_better(self) -> None:
        class Slow(MemoryRegistry):
            """Somebody writes and confirms while its answer is on the way."""

            async def sweep(
                self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
            ) -> Sweep:
                answer = await super().sweep(since, wanted, without)
                world.sweeper.confirm(PLACE, "flights", 2, Labels("Production", (), {STATE: "Serving"}))
                return answer

        world = World(server=Slow())
        world.registry()
        world.model()
        world.register(count=2)
        for _ in range(2):
            await world.sweep()
        assert labels(world)[2] == Labels("Production", (), {STATE: "Serving"})


async def test_the_task_of_a_registry_ends_with_it(world: World) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(world.sweeper.run(stop))
    await world.until_woken(FLIGHTS)
    task = world.sweeper._tasks[PLACE]
    world.cache.remove(REGISTRY, *PLACE)
    assert world.sweeper.registry(("ml", "another")) is None, "whoever asks makes it look"
    world.woken.clear()
    await asyncio.wait({task}, timeout=10)
    await world.until_woken(FLIGHTS)
    stop.set()
    await running
    assert world.sweeper.registry(PLACE) is None and world.server.closed


class TestGone:
    @pytest.fixture
    async def world(self, world: World) -> World:
        """Both versions have ModelVersions that were resolved; the second was deleted, and no list shows it any more."""
        for number in (1, 2):
            world.version(number, "Resolved")
        await world.sweep()
        world.server.delete("flights", 2)
        while 2 in labels(world):
            await world.sweep()
        return world

    def gone(self, world: World) -> frozenset[int]:
        seen = world.sweeper.model(PLACE, "flights")
        assert isinstance(seen, RegistryModel)
        return seen.gone

    async def test_the_registry_has_to_say_so_of_the_version_itself_twice_and_a_while_apart(self, world: World) -> None:
        await world.sweep()
        assert self.gone(world) == frozenset(), "one answer is not believed"
        assert FLIGHTS in await world.sweep(GRACE_SECONDS)
        assert self.gone(world) == {2}

    async def test_one_that_no_list_shows_and_that_is_there_is_not_gone(self, world: World) -> None:
        await world.sweep()
        world.server.restore("flights", 2)
        assert FLIGHTS in await world.sweep(GRACE_SECONDS)
        assert (self.gone(world), set(labels(world))) == (frozenset(), {1, 2})

    async def test_no_answer_is_not_an_answer(self, world: World) -> None:
        await world.sweep()
        world.server.trouble = Unreachable("no connection")
        await world.sweep(GRACE_SECONDS)
        assert self.gone(world) == frozenset()

    async def test_a_version_that_may_not_be_asked_for_is_not_gone_and_silences_nobody(self, world: World) -> None:
        async def refuse(_name: str, _version: int) -> Labels:
            raise Unauthorized("may not read it")

        world.server.labels = refuse  # type: ignore[method-assign]
        for _ in range(3):
            await world.sweep(GRACE_SECONDS)
        state = world.sweeper.registry(PLACE)
        assert (self.gone(world), state and state.silence) == (frozenset(), None)

    async def test_once_it_is_gone_nobody_asks_at_every_tick(self, world: World) -> None:
        for _ in range(3):
            await world.sweep(GRACE_SECONDS)
        before = world.server.requests
        await world.sweep()
        assert self.gone(world) == {2} and world.server.requests - before <= 3


class TestRights:
    def rights(self, world: World) -> dict[str, str] | None:
        state = world.sweeper.registry(PLACE)
        return dict(state.rights.levels) if state and state.rights else None

    async def test_what_the_credential_may_do_is_asked_rarely_and_oftener_while_something_is_missing(
        self, world: World
    ) -> None:
        world.server.granted = {"flights": "EDIT"}
        await world.sweep()
        assert self.rights(world) == {"flights": "EDIT"}
        world.server.granted = {"flights": "READ"}
        await world.sweep(60)
        assert self.rights(world) == {"flights": "EDIT"}, "what was held is believed for ten minutes"
        assert REGISTRY_KEY in await world.sweep(600)
        assert self.rights(world) == {"flights": "READ"}
        world.server.granted = {"flights": "EDIT"}
        assert await world.sweep(60) == {REGISTRY_KEY}, "who grants it, sees it within a minute"
        assert self.rights(world) == {"flights": "EDIT"}

    async def test_they_are_asked_at_once_for_another_model(self, world: World) -> None:
        world.server.granted = {}
        await world.sweep()
        world.model("later")
        await world.sweep()
        assert self.rights(world) == {"flights": "MANAGE", "later": "MANAGE"}

    async def test_where_nobody_tells_nothing_is_known_and_nothing_is_wrong(self, world: World) -> None:
        await world.sweep()
        state = world.sweeper.registry(PLACE)
        assert state is not None and (state.rights, state.silence) == (None, None)


class TestSuspended:
    async def test_a_registry_that_is_suspended_is_asked_for_nothing_and_forgets_nothing(self, world: World) -> None:
        waiting = world.version(1)
        await world.sweep()
        world.server.requests, world.api.asked = 0, []
        world.registry(generation=2, suspend=True)
        assert {REGISTRY_KEY, FLIGHTS, waiting} <= await world.sweep()
        for _ in range(3):
            await world.sweep(600)
        assert (world.server.requests, world.api.asked) == (0, [])
        assert set(labels(world)) == {1, 2}
        found = await world.registries.at(PLACE)
        assert isinstance(found, Silent) and (found.reason, found.retry) == ("Suspended", False)

    async def test_labels_that_were_to_be_written_wait(self, world: World) -> None:
        await world.sweep()
        world.registry(generation=2, suspend=True)
        await world.sweep()
        world.server.requests = 0
        world.labeller.want(FLIGHTS, PLACE, "flights", (Write(1, "Production"),))
        await world.labeller.label(FLIGHTS)
        refusal = world.labeller.refusal(FLIGHTS, 1)
        assert world.server.requests == 0 and refusal is not None and refusal.reason == "Suspended"

    async def test_all_that_name_it_are_woken_when_it_goes_on(self, world: World) -> None:
        waiting = world.version(1)
        world.registry(suspend=True)
        back: list[tuple[str, str]] = []
        world.sweeper.listen(back.append)
        await world.sweep()
        world.registry(generation=2)
        assert world.sweeper.registry(PLACE) is not None
        assert {REGISTRY_KEY, FLIGHTS, waiting} <= await world.sweep()
        assert back == [PLACE]
