"""What labels in a registry ask for, and what the operator wrote there itself."""

import pytest
from slipway.api.modelledger import Told
from slipway.api.modelregistry import RegistryLabels, Stages
from slipway.core.claims import Claims, as_before, of_labels
from slipway.core.registry import Labels
from slipway.resources.naming import short_hash

from tests.worlds import version

Shown = dict[int, tuple[str, str]]  # stage and aliases, by version
CHAMPION = short_hash("champion")
SERVES_1 = Told(version=1, state="Serving", stage="Production", alias=CHAMPION)


def claimed(shown: Shown, *told: Told, stages: Stages | None = None) -> Claims:
    labels = {number: Labels(stage, tuple(aliases.split()), {}) for number, (stage, aliases) in shown.items()}
    return of_labels(labels, told, stages or Stages())


def said(claims: Claims) -> dict[int, tuple[str, str]]:
    return {number: (one.stage, one.how) for number, one in claims.by_version.items()}


@pytest.mark.parametrize(
    ("shown", "told", "want"),
    [
        ({1: ("None", "")}, [], {}),
        ({1: ("Production", "")}, [], {1: ("Production", "Moved")}),
        ({1: ("None", "champion")}, [], {1: ("Production", "Moved")}),
        ({1: ("None", "best")}, [], {}),
        ({1: ("Staging", "champion")}, [], {1: ("Production", "Moved")}),
        ({1: ("Archived", "challenger")}, [], {1: ("Staging", "Moved")}),
        ({1: ("Production", "champion")}, [SERVES_1], {1: ("Production", "Written")}),
        ({1: ("Archived", "champion")}, [SERVES_1], {1: ("Archived", "Moved")}),
        ({1: ("None", "")}, [SERVES_1], {}),
        (
            {1: ("Production", "champion"), 2: ("Production", "")},
            [SERVES_1],
            {1: ("Production", "Written"), 2: ("Production", "Moved")},
        ),
        # what was written is not shown yet
        (
            {1: ("Production", "champion")},
            [Told(version=1, state="Archived", stage="Archived", was_stage="Production", was_alias=CHAMPION)],
            {1: ("Archived", "Written")},
        ),
        # refused and rolled back: it still asks, and may not
        (
            {1: ("Archived", "")},
            [Told(version=1, state="Refused", stage="Archived")],
            {1: ("Production", "TakenBack")},
        ),
        (
            {1: ("Production", "")},
            [Told(version=1, state="RolledBack", stage="Archived", was_stage="Production")],
            {1: ("Production", "TakenBack")},
        ),
        (
            {1: ("Production", "")},
            [Told(version=1, state="Refused", stage="Archived")],
            {1: ("Production", "Moved")},
        ),
    ],
)
def test_a_label_is_a_request_unless_the_operator_wrote_it(
    shown: Shown, told: list[Told], want: dict[int, tuple[str, str]]
) -> None:
    assert said(claimed(shown, *told)) == want


@pytest.mark.parametrize(
    ("shown", "told", "conflict"),
    [
        ({2: ("Production", ""), 3: ("None", "champion")}, [], True),
        ({2: ("Production", "champion"), 3: ("None", "")}, [], False),
        ({2: ("Production", "champion"), 3: ("Production", "")}, [], False),
        ({1: ("Production", "champion"), 3: ("Production", "")}, [SERVES_1], False),
        ({1: ("Production", ""), 3: ("None", "champion")}, [SERVES_1], False),
        ({1: ("Archived", ""), 2: ("Production", ""), 3: ("None", "champion")}, [SERVES_1], True),
    ],
)
def test_new_requests_by_stage_and_by_alias_must_not_contradict_each_other(
    shown: Shown, told: list[Told], conflict: bool
) -> None:
    assert bool(claimed(shown, *told).conflict) is conflict


def test_either_side_of_the_mapping_can_be_off() -> None:
    by_alias = Stages(Production=RegistryLabels(alias="live"), Staging=RegistryLabels(), Archived=RegistryLabels())
    found = claimed({1: ("Production", "champion"), 2: ("None", "live")}, stages=by_alias)
    assert said(found) == {2: ("Production", "Moved")}


def test_while_nobody_knows_the_labels_what_was_asked_for_stands() -> None:
    serves, comes = (
        version(number).model_copy(update={"status": version(number).status.model_copy(update={"stage": "Production"})})
        for number in (1, 2)
    )
    assert said(as_before((serves, comes, version(3)), [SERVES_1])) == {
        1: ("Production", "Written"),
        2: ("Production", "Moved"),
    }
