"""Registries in which not every label stands for something: by stages alone, by aliases alone, without Archived."""

from typing import Any

import pytest

from tests.controller.labels_world import MOMENT_SECONDS, by_registry, moved, released
from tests.simulation import Simulation

BY_STAGE: dict[str, Any] = {"Staging": {"stage": "Staging"}, "Production": {"stage": "Production"}}
BY_ALIAS: dict[str, Any] = {"Staging": {"alias": "challenger"}, "Production": {"alias": "champion"}, "Archived": {}}
MAPPINGS = {
    "stages alone": BY_STAGE,
    "stages alone, no Archived": {**BY_STAGE, "Archived": {}},
    "no Archived": {"Archived": {}},
    "no stage is Archived": {"Archived": {"stage": "None"}},
    "an alias is Archived": {"Archived": {"alias": "retired"}},
    "aliases alone": BY_ALIAS,
    "aliases alone, one for Archived": {**BY_ALIAS, "Archived": {"alias": "retired"}},
}
EACH = pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS.keys())


def mapped(mapping: dict[str, Any], bad: set[int] | None = None) -> Simulation:
    of = by_registry(bad=bad)
    of.registry.maps(**mapping)
    return of


def asks(of: Simulation, version: int) -> None:
    """Somebody moves the labels of Production that there are to a version, as MLflow's client does."""
    labels = of.registry.resource.spec.stages.production
    moved(of, version, labels.stage or "", labels.alias or "", archive_others=bool(labels.stage))


def says(of: Simulation) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Stage and alias of Production, by version that has either."""
    labels = of.registry.resource.spec.stages.production
    found = {}
    for number, one in of.registry.labels.items():
        stage = one.stage if one.stage == "Production" else ""
        alias = tuple(alias for alias in one.aliases if alias == (labels.alias or "champion"))
        if stage or alias:
            found[number] = (stage, alias)
    return found


def only(of: Simulation, version: int) -> dict[int, tuple[str, tuple[str, ...]]]:
    """What the registry says when it says of one version that it is in Production."""
    labels = of.registry.resource.spec.stages.production
    return {version: (labels.stage or "", (labels.alias,) if labels.alias else ())}


@EACH
def test_labels_promote_and_go_back(mapping: dict[str, Any]) -> None:
    of = mapped(mapping)
    for version in (1, 2, 1, 3):
        asks(of, version)
        of.advance(700)
        assert (of.route(), says(of)) == (str(version), only(of, version))
        assert of.condition("ModelVersion", f"flights-v{version}", "Synced")["status"] == "True"


@EACH
def test_a_refusal_goes_back(mapping: dict[str, Any]) -> None:
    of = mapped(mapping, bad={2})
    for version in (1, 2):
        asks(of, version)
    of.advance(700)
    assert (of.route(), says(of)) == ("1", only(of, 1))


@EACH
def test_what_a_rollback_left_asks_for_nothing(mapping: dict[str, Any]) -> None:
    of = mapped(mapping)
    for version in (1, 2):
        asks(of, version)
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=leaks"})
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    of.advance(700)
    assert (of.route(), says(of), released(of, 2)) == ("1", only(of, 1), "RolledBack")


@EACH
def test_a_stage_that_nobody_mapped_retires_nobody(mapping: dict[str, Any]) -> None:
    of = mapped(mapping)
    asks(of, 1)
    moved(of, 1, "Archived")
    of.advance(700)
    assert of.route() == ("none" if "Archived" not in mapping else "1")


@EACH
def test_stages_that_nobody_mapped_are_never_written(mapping: dict[str, Any]) -> None:
    of = mapped(mapping, bad={3})
    for version in (1, 2, 3):
        moved(of, version, alias="champion")
        of.advance(700)
    stages = {one.stage for one in of.registry.labels.values()}
    known = of.registry.resource.spec.stages
    assert stages <= {known.production.stage or "None", known.archived.stage or "None", "None"}


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "while a request waits"])
def test_another_stage_for_archived_retires_no_champion_that_lay_in_it_and_loses_no_request(waits: bool) -> None:
    labels = {"Staging": {"alias": "challenger"}, "Production": {"alias": "champion"}}
    of = mapped(labels)
    moved(of, 1, "Staging", alias="champion")
    of.registry.may_promote(approvals=1)
    if waits:
        moved(of, 2, alias="champion")
    of.registry.maps(**labels, Archived={"stage": "Staging"})
    for _ in range(2):
        of.swept()
        of.settle()
        of.advance(MOMENT_SECONDS)
    of.advance(700)
    assert of.route() == "1"
    if waits:
        assert released(of, 2) == "ApprovalMissing"
        return
    moved(of, 1, "None")
    moved(of, 1, "Staging")
    of.advance(60)
    assert of.route() == "none", "moved there by somebody, it is retired"
