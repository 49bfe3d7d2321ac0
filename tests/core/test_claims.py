"""What labels in a registry ask for: each label of Production that was not seen before is a request."""

from datetime import timedelta
from itertools import zip_longest

import pytest
from slipway.api.modelledger import Following, ModelLedgerSpec, Request, Shown, TakenBack
from slipway.api.modelregistry import RegistryLabels, Stages
from slipway.core.claims import dated, follow, overlooked, stage_of
from slipway.core.ledger import stamp
from slipway.core.registry import Labels, RegistryModel

from tests.worlds import NOW, serves, version

Shows = dict[int, tuple[str, str]]  # stage and aliases, by version
NOBODY = ModelLedgerSpec()
FIRST, NEXT = stamp(NOW), stamp(NOW + timedelta(seconds=30))


OF = "0a"  # the registered model and its labels of Production


def followed(ledger: ModelLedgerSpec, *sweeps: Shows, stages: Stages | None = None) -> ModelLedgerSpec:
    """The ledger after sweeps that showed these labels, 30 seconds apart."""
    for number, shows in enumerate(sweeps):
        now = NOW + timedelta(seconds=30 * number)
        labels = {one: Labels(stage, tuple(aliases.split()), {}) for one, (stage, aliases) in shows.items()}
        ledger = follow(ledger, RegistryModel(labels, stamp(now)), stages or Stages(), OF, now)
    return ledger


def request(ledger: ModelLedgerSpec) -> tuple[int, int | None] | None:
    assert ledger.following is not None
    found = ledger.following.request
    return (found.version, found.against) if found else None


SERVED = {1: ("Production", "champion")}
ARCHIVED = {1: ("Archived", "champion")}


@pytest.mark.parametrize(
    ("sweeps", "want"),
    [
        pytest.param([SERVED], None, id="what is there when it begins asks for nothing"),
        pytest.param([SERVED, SERVED | {2: ("Production", "")}], (2, None), id="a stage"),
        pytest.param([SERVED, {1: ("Production", ""), 2: ("None", "champion")}], (2, None), id="an alias"),
        pytest.param([SERVED, SERVED | {2: ("Staging", "challenger")}], None, id="not staging"),
        pytest.param([SERVED, ARCHIVED | {2: ("Production", "")}], (2, None), id="a stage that archives"),
        pytest.param(
            [SERVED, SERVED | {3: ("Production", "")}, SERVED | {2: ("Production", ""), 3: ("Production", "")}],
            (2, None),
            id="the newest counts",
        ),
        pytest.param([SERVED, SERVED | {2: ("Production", ""), 3: ("Production", "")}], (3, None), id="two at once"),
        pytest.param([SERVED, SERVED | {2: ("Production", "")}, SERVED | {2: ("None", "")}], None, id="withdrawn"),
        pytest.param(
            [SERVED, ARCHIVED | {2: ("Production", "")}, SERVED | {2: ("Production", "")}],
            None,
            id="the champion's label is set again",
        ),
        pytest.param(
            [SERVED, {1: ("Production", ""), 2: ("Production", ""), 3: ("None", "champion")}],
            (3, 2),
            id="stage and alias on two",
        ),
        pytest.param(
            [
                SERVED,
                {1: ("Production", ""), 2: ("Production", ""), 3: ("None", "champion")},
                {1: ("Production", ""), 2: ("Production", ""), 3: ("Production", "champion")},
            ],
            (3, None),
            id="and both on one",
        ),
        pytest.param(
            [
                SERVED,
                {1: ("Production", ""), 2: ("Production", ""), 3: ("None", "champion")},
                {1: ("Production", ""), 2: ("None", ""), 3: ("None", "champion")},
            ],
            (3, None),
            id="or one of them withdrawn",
        ),
        pytest.param([SERVED, SERVED | {2: ("Production", "")}, SERVED], (2, None), id="not listed: it may be back"),
    ],
)
def test_a_label_that_was_not_seen_before_is_a_request(
    sweeps: list[Shows], want: tuple[int, int | None] | None
) -> None:
    assert request(followed(serves(1), *sweeps)) == want


def test_while_nobody_serves_what_is_there_when_it_begins_is_a_request() -> None:
    assert request(followed(NOBODY, {3: ("Production", ""), 7: ("Production", "")})) == (7, None)
    assert request(followed(NOBODY, {3: ("Archived", "champion")})) is None, "left over from when it served"


@pytest.mark.parametrize(
    ("sweeps", "want"),
    [
        pytest.param([SERVED, ARCHIVED], "Seen", id="by one sweep"),
        pytest.param([SERVED, ARCHIVED, ARCHIVED], "Asked", id="by two"),
        pytest.param([SERVED, ARCHIVED, ARCHIVED | {2: ("Production", "")}], "Aside", id="then another is asked for"),
        pytest.param([SERVED, ARCHIVED | {2: ("Production", "")}, ARCHIVED, ARCHIVED], "Aside", id="for good"),
        pytest.param([SERVED, ARCHIVED | {2: ("Production", "")}, SERVED, ARCHIVED, ARCHIVED], "Asked", id="anew"),
        pytest.param([ARCHIVED, SERVED], "", id="not any more"),
    ],
)
def test_the_champion_is_retired_by_archiving_it_alone(sweeps: list[Shows], want: str) -> None:
    ledger = followed(serves(1), *sweeps)
    assert ledger.following is not None and ledger.following.archived == want
    labels = {number: Labels(stage, tuple(aliases.split()), {}) for number, (stage, aliases) in sweeps[-1].items()}
    assert stage_of(version(1), ledger, labels, Stages()) == ("Archived" if want == "Asked" else "Production")


def test_a_champion_that_was_archived_long_before_labels_decide_is_not_retired() -> None:
    ledger = followed(serves(1), ARCHIVED, ARCHIVED, ARCHIVED)
    assert ledger.following is not None and ledger.following.archived == "Aside"


def test_either_side_of_the_mapping_can_be_off() -> None:
    by_alias = Stages(Production=RegistryLabels(alias="live"), Staging=RegistryLabels(), Archived=RegistryLabels())
    shows = {1: ("Production", "champion"), 2: ("None", "live")}
    assert request(followed(NOBODY, shows, stages=by_alias)) == (2, None)
    no_stage = Stages(Production=RegistryLabels(alias="live"), Archived=RegistryLabels(stage="None"))
    assert stage_of(version(3), NOBODY, {3: Labels("None", (), {})}, no_stage) == "None"


Moved = dict[int, tuple[str, int]]  # stage, and when it was set, by version


Dates = tuple[int, int]  # when the registered model last changed, and when last by what no version shows; 0: unknown


def swept(ledger: ModelLedgerSpec, *sweeps: Moved, dates: tuple[Dates, ...] = ()) -> Following:
    """What is followed after sweeps that showed when each version entered its stage."""
    for number, (shows, (updated, unexplained)) in enumerate(zip_longest(sweeps, dates, fillvalue=(0, 0))):
        now = NOW + timedelta(seconds=30 * number)
        labels = {one: Labels(stage, (), {}, moved) for one, (stage, moved) in shows.items()}  # type: ignore[union-attr]
        found = RegistryModel(labels, stamp(now), updated=updated, unexplained=unexplained)
        ledger = dated(follow(ledger, found, Stages(), OF, now), ledger, found)
    assert ledger.following is not None
    return ledger.following


def test_a_registry_that_changed_where_nobody_asks_for_anything_is_nothing_to_write_down() -> None:
    shows: Moved = {1: ("Production", 10)}
    first = swept(serves(1), shows, dates=((10, 0),))
    later = swept(serves(1).model_copy(update={"following": first}), shows, dates=((99, 0),))
    assert later == first and later.updated == 10


BEFORE: Moved = {1: ("Production", 10), 2: ("None", 0), 3: ("None", 0), 7: ("Production", 5)}


@pytest.mark.parametrize(
    ("then", "asked", "archived"),
    [
        pytest.param({2: ("Production", 30), 3: ("Production", 20)}, 2, "", id="of two, the one that was moved last"),
        pytest.param({2: ("Production", 30), 3: ("Production", 30)}, 3, "", id="at one moment: the highest"),
        pytest.param({2: ("Production", 30), 3: ("Production", 0)}, 3, "", id="one is unknown: the highest"),
        pytest.param({1: ("Archived", 20)}, None, "Seen", id="the champion alone"),
        pytest.param({1: ("Archived", 20), 2: ("None", 30)}, None, "Aside", id="one was there and went back"),
        pytest.param({1: ("Archived", 20), 2: ("None", 15)}, None, "Seen", id="one was there before it"),
        pytest.param({1: ("Archived", 20), 7: ("Production", 20)}, 7, "Aside", id="one that lay there pushed it out"),
        pytest.param({1: ("Archived", 20), 7: ("Production", 15)}, None, "Seen", id="one that lay there was described"),
    ],
)
def test_of_what_is_moved_between_two_sweeps_the_registry_tells_the_order(
    then: Moved, asked: int | None, archived: str
) -> None:
    found = swept(serves(1), BEFORE, BEFORE | then)
    assert (found.request and found.request.version, found.archived) == (asked, archived)


ALONE: Moved = BEFORE | {1: ("Archived", 20)}


@pytest.mark.parametrize(
    ("first", "second", "archived"),
    [
        pytest.param((20, 0), (20, 0), "Asked", id="nothing happened after it"),
        pytest.param((20, 0), (25, 0), "Asked", id="a version was registered after the first sweep"),
        pytest.param((10, 0), (20, 0), "Asked", id="the model was read before its versions"),
        pytest.param((25, 25), (25, 25), "Aside", id="a version was deleted after it"),
        pytest.param((25, 0), (25, 0), "Aside", id="one was deleted, it may be, and another registered"),
        pytest.param((10, 0), (25, 25), "Aside", id="one was deleted, as the second sweep shows"),
        pytest.param((15, 15), (15, 15), "Aside", id="one was deleted, and then the champion was described"),
        pytest.param((20, 5), (20, 5), "Asked", id="one was deleted before it"),
        pytest.param((0, 0), (0, 0), "Asked", id="the registry does not date itself"),
    ],
)
def test_the_champion_is_retired_only_if_archiving_it_was_the_last_thing_that_happened(
    first: Dates, second: Dates, archived: str
) -> None:
    assert swept(serves(1), BEFORE, ALONE, ALONE, dates=((10, 0), first, second)).archived == archived


HOUR = 3_600_000
SINCE: Moved = {1: ("Archived", 30 * HOUR), 2: ("Archived", 30 * HOUR), 3: ("Production", 30 * HOUR)}
LAST_NIGHT: Moved = {1: ("Archived", 10 * HOUR), 2: ("Production", 10 * HOUR)}


@pytest.mark.parametrize(
    ("then", "updated", "asked"),
    [
        pytest.param(LAST_NIGHT, 10 * HOUR, None, id="restored from a backup"),
        pytest.param(LAST_NIGHT, 40 * HOUR, None, id="and then a version was registered"),
        pytest.param(LAST_NIGHT | {4: ("Production", 40 * HOUR)}, 40 * HOUR, 4, id="and then one was asked for"),
        pytest.param(SINCE | {2: ("Production", 40 * HOUR)}, 40 * HOUR, 2, id="not restored: somebody goes back"),
        pytest.param(SINCE | {2: ("Production", 30 * HOUR - 9_000)}, 30 * HOUR - 9_000, 2, id="another server's clock"),
    ],
)
def test_a_label_out_of_a_backup_asks_for_nothing(then: Moved, updated: int, asked: int | None) -> None:
    dates = ((30 * HOUR, 0), (updated, 0), (updated, 0))
    found = swept(serves(3), SINCE, then, then, dates=dates)
    assert (found.request and found.request.version) == asked


def test_a_registry_that_was_restored_after_its_champion_was_retired_asks_for_nothing() -> None:
    retired = serves(3).model_copy(update={"following": swept(serves(3), SINCE, dates=((30 * HOUR, 0),))})
    retired = retired.model_copy(update={"champion": None, "predecessor": 3})
    assert swept(retired, LAST_NIGHT, LAST_NIGHT, dates=((10 * HOUR, 0), (10 * HOUR, 0))).request is None


def test_while_nobody_serves_the_version_that_was_moved_last_is_the_request() -> None:
    found = swept(NOBODY, {3: ("Production", 9), 7: ("Production", 5)})
    assert found.request is not None and found.request.version == 3


@pytest.mark.parametrize(
    ("following", "want"),
    [
        (Following(request=Request(version=2, at=FIRST)), "Production"),
        (Following(taken_back=(TakenBack(version=2),)), "Production"),
        (Following(shown=(Shown(version=2, by="Stage"),)), "Staging"),
    ],
)
def test_while_nobody_knows_the_labels_what_was_asked_for_stands(following: Following, want: str) -> None:
    before = version(2).model_copy(update={"status": version(2).status.model_copy(update={"stage": "Staging"})})
    ledger = serves(1).model_copy(update={"following": following})
    assert stage_of(before, ledger, None, Stages()) == want


def test_of_many_versions_with_a_label_the_highest_are_remembered_and_none_becomes_a_request_by_being_forgotten() -> (
    None
):
    many = dict.fromkeys(range(1, 40), ("Production", ""))
    ledger = followed(serves(1), many, many)
    assert request(ledger) is None
    assert request(followed(ledger, many | {41: ("Production", "")})) == (41, None)
    assert request(followed(ledger, many | {2: ("Production", "champion")})) == (2, None), "an alias is on one version"
    with_alias = followed(ledger, many | {2: ("Production", "champion")}, many | {2: ("Production", "champion")})
    assert request(followed(with_alias, many | {2: ("Production", "champion"), 42: ("Production", "")})) == (42, None)
    moved_on = many | {4: ("Production", "champion")}
    assert request(followed(with_alias, moved_on)) == (4, None)
    settled = with_alias.model_copy(update={"following": with_alias.following.model_copy(update={"request": None})})  # type: ignore[union-attr]
    assert request(followed(settled, many | {2: ("Production", "champion")})) is None, "it was seen"


@pytest.mark.parametrize(
    ("below", "highest", "want"),
    [
        pytest.param("Production", 39, 17, id="what lies below those that are remembered asks for nothing"),
        pytest.param("Archived", 39, None, id="nothing lies there"),
        pytest.param("Production", 24, None, id="all are remembered"),
    ],
)
def test_where_a_stage_asks_for_nothing_is_known(below: str, highest: int, want: int | None) -> None:
    many = {number: (below if number < 17 else "Production", "") for number in range(2, highest + 1)} | SERVED
    labels = {number: Labels(stage, tuple(aliases.split()), {}) for number, (stage, aliases) in many.items()}
    assert overlooked(followed(serves(1), many), labels, Stages()) == want
