"""What a sweep of a registry promises: the one in memory and the real MLflow alike."""

from collections.abc import Iterator

import pytest
from slipway.adapters import mlflow_lists
from slipway.adapters.errors import NotFound, Unreachable
from slipway.core.registry import Labels, Write
from slipway.core.snapshot import Labelled, Sweep

from tests.adapters.registry_shelf import LARGE, MLMODEL, MemoryShelf, MLflowShelf, Reader, Shelf
from tests.memory_registry import MemoryRegistry, Model

STATE = "slipway.dev/test/ml/state"
NOTHING_SAID = Labels("None", (), {})


@pytest.fixture
async def reader(shelf: Shelf, name: str) -> Reader:
    """A reader who has seen a model with three versions."""
    model = shelf.log(Model(MLMODEL))
    for _ in range(3):
        shelf.register(name, model)
    reader = Reader(shelf, frozenset({name}))
    assert await reader.tick() == {name}
    assert reader.labels(name) == dict.fromkeys((1, 2, 3), NOTHING_SAID)
    return reader


async def test_where_nothing_happens_nothing_has_changed(reader: Reader) -> None:
    assert await reader.tick() == set()


async def test_a_stage_that_moved_is_seen_with_those_that_it_archived(reader: Reader, name: str) -> None:
    for write in (Write(1, "Production"), Write(2, "Production", archive=(1,))):
        await reader.shelf.registry.write(name, write)
    assert await reader.tick() == {name}
    assert [reader.labels(name)[number].stage for number in (1, 2, 3)] == ["Archived", "Production", "None"]


async def test_when_a_version_entered_its_stage_is_told_and_no_tag_or_alias_changes_it(
    reader: Reader, name: str
) -> None:
    for write in (Write(2, "Production"), Write(1, "Staging"), Write(2, alias="champion", tags={STATE: "Serving"})):
        await reader.shelf.registry.write(name, write)
    await reader.tick()
    first, second, third = (reader.labels(name)[number].moved for number in (1, 2, 3))
    assert third == 0 < second <= first
    alone = await reader.shelf.registry.labels(name, 2)
    assert isinstance(alone, Labels) and alone.moved == second


async def test_an_alias_that_moved_is_seen(reader: Reader, name: str) -> None:
    for version in (1, 3):
        await reader.shelf.registry.write(name, Write(version, alias="champion"))
        assert await reader.tick() == {name}
        assert [number for number, one in reader.labels(name).items() if one.aliases == ("champion",)] == [version]


async def test_a_tag_of_the_newest_version_in_a_stage_is_seen_at_the_next_sweep(reader: Reader, name: str) -> None:
    await reader.shelf.registry.write(name, Write(2, "Production", tags={STATE: "Serving"}))
    await reader.tick()
    await reader.shelf.registry.write(name, Write(2, tags={STATE: "of somebody else", "their/own": "x"}))
    assert await reader.tick() == {name}
    assert reader.labels(name)[2] == Labels("Production", (), {STATE: "of somebody else"})


async def test_a_tag_of_an_older_version_is_seen_when_all_are_read(reader: Reader, name: str) -> None:
    await reader.shelf.registry.write(name, Write(1, tags={STATE: "Replaced"}))
    read = await reader.shelf.registry.versions(reader.wanted)
    reader.snapshot, changed = reader.snapshot.after(read, reader.wanted)
    assert changed == {name} and reader.labels(name)[1].tags == {STATE: "Replaced"}


async def test_a_new_version_is_seen(reader: Reader, name: str) -> None:
    reader.shelf.register(name, reader.shelf.log(Model(MLMODEL)))
    assert await reader.tick() == {name}
    assert reader.labels(name)[4] == NOTHING_SAID


@pytest.mark.parametrize("version", [1, 3])
async def test_a_deleted_version_is_gone_once_two_sweeps_miss_it(reader: Reader, name: str, version: int) -> None:
    reader.shelf.delete(name, version)
    assert await reader.tick() == set() and version in reader.labels(name)
    assert await reader.tick() == {name} and version not in reader.labels(name)
    assert await reader.tick() == set()


async def test_a_deleted_model_is_absent_once_two_sweeps_miss_it(reader: Reader, name: str) -> None:
    reader.shelf.delete_model(name)
    assert await reader.tick() == set() and name not in reader.snapshot.absent
    assert await reader.tick() == {name} and name in reader.snapshot.absent


async def test_a_model_that_was_deleted_and_made_anew_is_another_one(reader: Reader, name: str) -> None:
    await reader.shelf.registry.write(name, Write(2, "Production", alias="champion"))
    await reader.tick()
    before = reader.snapshot.models[name].created
    reader.shelf.delete_model(name)
    reader.shelf.register(name, reader.shelf.log(Model(MLMODEL)))
    assert await reader.tick() == {name}
    assert reader.labels(name) == {1: NOTHING_SAID} and reader.snapshot.models[name].created > before


async def test_a_model_that_is_not_there_is_absent_and_seen_when_it_comes(shelf: Shelf, name: str) -> None:
    reader = Reader(shelf, frozenset({name}))
    assert await reader.tick() == {name} and reader.snapshot.absent == {name}
    shelf.register(name, shelf.log(Model(MLMODEL)))
    assert await reader.tick() == {name} and reader.snapshot.absent == set()
    assert reader.labels(name) == {1: NOTHING_SAID}


async def test_only_what_is_wanted_is_kept(reader: Reader, name: str) -> None:
    other = f"{name} of others"
    reader.shelf.register(other, reader.shelf.log(Model(MLMODEL)))
    assert await reader.tick() == set() and set(reader.snapshot.models) == {name}
    reader.wanted = frozenset({other})
    assert await reader.tick() == {other} and set(reader.snapshot.models) == {other}


async def test_all_models_that_have_labels_are_named_whether_they_are_wanted_or_not(shelf: Shelf, name: str) -> None:
    model = shelf.log(Model(MLMODEL))
    both, alias, old, bare = (f"{name} {word}" for word in ("both", "ałias", "old", "bare"))
    for one in (both, both, alias, old, bare):
        shelf.register(one, model)
    await shelf.registry.write(both, Write(1, "Staging"))
    await shelf.registry.write(both, Write(2, "Production", alias="champion"))
    await shelf.registry.write(alias, Write(1, alias="challenger"))
    await shelf.registry.write(old, Write(1, "Archived"))
    swept = await shelf.registry.sweep(None, frozenset())
    assert {one for one in swept.labelled if one.name.startswith(f"{name} ")} == {
        Labelled(both, frozenset({"Staging", "Production"}), frozenset({"champion"})),
        Labelled(alias, frozenset(), frozenset({"challenger"})),
        Labelled(old, frozenset({"Archived"}), frozenset()),
    }
    await shelf.registry.write(alias, Write(1, without="challenger"))
    swept = await shelf.registry.sweep(swept.watermark, frozenset())
    assert alias not in {one.name for one in swept.labelled}


async def test_more_changes_than_a_page_holds_are_all_seen(reader: Reader, name: str) -> None:
    model = reader.shelf.log(Model(MLMODEL))
    for _ in range(3):  # a page in memory holds two
        reader.shelf.register(name, model)
    assert await reader.tick() == {name} and len(reader.labels(name)) == 6


@pytest.mark.parametrize("odd", ["back\\slash\\", 'both "quotes" o\'clock', "a, b) OR (c", "semi;colon -- x", "100%_"])
async def test_any_legal_name_can_be_read(shelf: Shelf, name: str, odd: str) -> None:
    name = f"{name} {odd}"
    shelf.register(name, shelf.log(Model(MLMODEL)))
    assert (await shelf.registry.versions(frozenset({name}))).whole == {name}
    reader = Reader(shelf, frozenset({name}))
    assert await reader.tick() == {name} and reader.labels(name) == {1: NOTHING_SAID}


async def test_one_model_by_itself_is_told_as_in_the_list(reader: Reader, name: str) -> None:
    await reader.shelf.registry.write(name, Write(2, "Production", alias="champion", tags={STATE: "Serving"}))
    one = await reader.shelf.registry.model(name)
    swept = await reader.shelf.registry.sweep(None, reader.wanted)
    assert one.models == swept.models and set(map(str, one.versions)) <= set(map(str, swept.versions))
    assert {row.version for row in one.versions} == {2, 3}, "the highest of each stage"
    assert not one.listed and not one.whole, "what it does not tell is not gone"


async def test_a_model_that_is_not_there_is_not_found(shelf: Shelf, name: str) -> None:
    with pytest.raises(NotFound):
        await shelf.registry.model(name)


class TestTooLarge:
    """One model of which more is said than can be read costs nobody else a sweep."""

    @pytest.fixture
    def names(self, shelf: Shelf, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """Five models; the bound is so low that a few of them fill a page."""
        monkeypatch.setattr(mlflow_lists, "PAGE_LIMIT_BYTES", LARGE)
        model = shelf.log(Model(MLMODEL))
        names = [f"{name} {letter}" for letter in "abcde"]
        for one in names:
            shelf.register(one, model)
        yield names
        for one in names:
            shelf.shrink(one)

    async def test_it_is_left_out_and_all_others_are_read(self, shelf: Shelf, names: list[str]) -> None:
        reader = Reader(shelf, frozenset(names))
        await reader.tick()
        shelf.swell(names[2])
        others = [one for one in names if one != names[2]]
        for one in names:
            await shelf.registry.write(one, Write(1, alias="champion"))
        swept = await shelf.registry.sweep(reader.watermark, reader.wanted)
        assert _own(swept, names) == {names[2]} and swept.complete and swept.listed
        assert {one.name for one in swept.models} == set(others)
        for _ in range(3):
            assert await reader.tick() <= set(others)
        assert [reader.labels(one)[1].aliases for one in others] == [("champion",)] * 4
        assert names[2] not in reader.snapshot.absent and set(reader.labels(names[2])) == {1}, "it is not gone"

    async def test_one_that_is_known_as_such_is_not_asked_for_again(self, shelf: Shelf, names: list[str]) -> None:
        shelf.swell(names[0])
        swept = await shelf.registry.sweep(None, frozenset(names))
        assert _own(swept, names) == {names[0]}
        shelf.shrink(names[0])
        again = await shelf.registry.sweep(swept.watermark, frozenset(names), swept.left_out)
        assert (_own(again, names), len(again.models), again.counted) == ({names[0]}, 4, swept.counted)
        again = await shelf.registry.sweep(swept.watermark, frozenset(names))
        assert (_own(again, names), len(again.models), again.counted) == (frozenset(), 5, swept.counted)


def _own(swept: Sweep, names: list[str]) -> frozenset[str]:
    """Which of these models were left out: the server holds large models of other tests, too."""
    return swept.left_out & frozenset(names)


async def test_a_version_that_is_too_large_costs_its_own_model_only(
    mlflow: MLflowShelf, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_lists, "PAGE_LIMIT_BYTES", LARGE)
    names, model = [f"{name} {letter}" for letter in "abc"], mlflow.log(Model(MLMODEL))
    for one in (*names, *names):
        mlflow.register(one, model)
    mlflow.server.post("model-versions/set-tag", name=names[1], version="1", key="notes", value="x" * LARGE)
    read = await mlflow.registry.versions(frozenset(names))
    assert (read.left_out, read.whole) == ({names[1]}, {names[0], names[2]})
    assert [(one.name, one.version) for one in read.versions] == [(one, n) for one in names[::2] for n in (1, 2)]


class TestBrokenOff:
    """What only a registry in memory can be told to do."""

    @pytest.fixture
    async def many(self) -> Reader:
        """A reader who knows five models on three pages."""
        registry = MemoryRegistry()
        names = [f"m{number}" for number in range(5)]
        for one in names:
            registry.register(one, Model(MLMODEL))
        reader = Reader(MemoryShelf(registry), frozenset(names))
        await reader.tick()
        return reader

    def registry(self, reader: Reader) -> MemoryRegistry:
        assert isinstance(reader.shelf, MemoryShelf)
        return reader.shelf.registry

    @pytest.mark.parametrize("good", [1, 2])
    async def test_a_sweep_that_breaks_off_adds_and_never_removes(self, many: Reader, good: int) -> None:
        registry = self.registry(many)
        await registry.write("m0", Write(1, alias="champion"))
        registry.delete_model("m4")
        registry.trouble, registry.good_requests = Unreachable("no answer"), good
        for _ in range(3):
            registry.good_requests = good
            swept = await registry.sweep(many.watermark, many.wanted)
            assert swept.broken_off is not None and not swept.complete
            many.snapshot, _ = many.snapshot.after(swept, many.wanted)
        assert many.labels("m0")[1].aliases == ("champion",)
        assert ("m4" in many.snapshot.absent) is (good == 2), "all models were listed before it broke off"

    async def test_a_sweep_that_cannot_begin_brings_nothing(self, many: Reader) -> None:
        self.registry(many).trouble = Unreachable("no answer")
        with pytest.raises(Unreachable):
            await many.tick()

    async def test_one_empty_answer_removes_nothing(self, many: Reader) -> None:
        registry = self.registry(many)
        models, registry._models = registry._models, {}
        assert await many.tick() == set() and len(many.snapshot.models) == 5
        registry._models = models
        assert await many.tick() == set()

    async def test_more_changes_than_two_pages_hold_are_a_gap(self, many: Reader) -> None:
        registry = self.registry(many)
        for _ in range(6):
            registry.register("m0", Model(MLMODEL))
        assert (await registry.sweep(many.watermark, many.wanted)).gap
