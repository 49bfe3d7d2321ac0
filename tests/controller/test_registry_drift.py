"""What the registry says otherwise than what is so: moved by hand, lost for a while, or silent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from slipway.adapters.cluster import EVENT
from slipway.controller.queue import Key
from slipway.core.registry import Silent

from tests.controller.labels_world import MOMENT_SECONDS, by_registry, declared, moved
from tests.declared import GATED, model, version
from tests.simulation import Simulation


def test_a_champion_without_its_label_serves_on_and_only_archiving_it_retires_it() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.labels[1] = type(of.registry.labels[1])("None", (), of.registry.labels[1].tags)
    of.swept()
    of.advance(MOMENT_SECONDS)
    assert (of.route(), of.condition("ModelVersion", "flights-v1", "Synced")["reason"]) == ("1", "Unclaimed")
    moved(of, 1, "Archived")
    assert of.route() == "1", "it may be the first half of moving the label on"
    of.advance(60)
    assert of.route() == "none"
    moved(of, 1, "Production")
    assert of.route() == "1"


def test_somebody_who_writes_our_tags_keeps_no_refused_version_in_production() -> None:
    of = by_registry(bad={2})
    moved(of, 1, "Production")
    of.registry.labels[1] = replace(of.registry.labels[1], tags={"slipway.dev/test/ml/state": "of another"})
    of.swept()
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.condition("ModelVersion", "flights-v1", "Synced")["reason"] == "RegistryContested"
    moved(of, 2, "Production", alias="champion", archive_others=True)
    of.advance(700)
    champion = of.registry.labels[1]
    assert (champion.stage, champion.aliases, of.registry.labels[2].stage) == ("Production", ("champion",), "Archived")
    assert champion.tags == {"slipway.dev/test/ml/state": "of another"}


@pytest.mark.parametrize("there", ["Cluster", "Registry"])
def test_another_source_moves_nothing(there: str) -> None:
    of = by_registry()
    for number in (4, 3):
        moved(of, number, "Production")
    of.registry.put(9, "Production")
    of.edit("RegisteredModel", "flights", promotion={"source": "Cluster"})
    of.settle()
    of.advance(700)
    of.edit("RegisteredModel", "flights", promotion={"source": there})
    of.settle()
    of.advance(700)
    assert (of.route(), declared(of)) == ("3", ["flights-v3", "flights-v4"])


def test_when_labels_begin_to_count_is_told() -> None:
    of = Simulation()
    of.cluster.put(model())
    of.cluster.put(version(1))
    of.settle()
    of.advance(MOMENT_SECONDS)

    def since() -> str | None:
        status = of.cluster.objects[("RegisteredModel", "ml", "flights")]["status"]
        return status.get("followingSince")

    of.registry.silent = True
    of.swept()
    of.edit("RegisteredModel", "flights", promotion={"source": "Registry"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert since() is None, "labels were not read yet"
    of.registry.silent = False
    moved(of, 7, "Production")
    assert (of.route(), since()) == ("1", of.ledger().following.since)  # type: ignore[union-attr]
    told = [one["message"] for one in of.cluster.of(EVENT) if one["reason"] == "FollowsRegistry"]
    assert len(told) == 1 and told[0].endswith("What is in Production there already asks for nothing.")
    before = since()
    moved(of, 8, "Production")
    assert (of.route(), since()) == ("8", before)
    of.edit("RegisteredModel", "flights", promotion={"source": "Cluster"})
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert since() is None


def test_a_label_that_was_taken_away_is_set_again_where_the_policy_says_so() -> None:
    of = by_registry(onDrift="Correct")
    moved(of, 1, "Production")
    moved(of, 1, "None")
    assert (of.route(), of.registry.labels[1].stage) == ("1", "Production")


def _a_silent_registry(of: Simulation) -> None:
    of.registry.silent = True
    of.swept()
    of.settle()


def _another_start(of: Simulation) -> None:
    _a_silent_registry(of)
    of.start()


@pytest.mark.parametrize("happens", [_a_silent_registry, _another_start])
def test_silence_takes_back_nothing_that_was_asked_for(happens: Callable[[Simulation], None]) -> None:
    of = by_registry()
    moved(of, 2, "Production")
    moved(of, 1, "Production")
    of.down.add(3)
    moved(of, 3, "Production")
    pods = [key for key in of.cluster.objects if key[0] == "Deployment"]
    happens(of)
    of.advance(700)
    assert (of.route(), [key for key in of.cluster.objects if key[0] == "Deployment"]) == ("1", pods)
    assert of.condition("ModelVersion", "flights-v3", "Imported")["status"] == "True"


def test_a_label_that_drifts_is_set_back_where_the_cluster_decides_and_the_policy_says_so() -> None:
    of = Simulation()
    of.cluster.put(model(promotion={"onDrift": "Correct"}))
    of.cluster.put(version(1))
    of.settle()
    moved(of, 2, "Production", archive_others=True)
    assert (of.route(), of.registry.labels[1].stage, declared(of)) == ("1", "Production", ["flights-v1"])


def test_correcting_drift_does_not_keep_a_person_from_retiring_the_champion() -> None:
    of = by_registry(onDrift="Correct")
    moved(of, 1, "Production")
    moved(of, 1, "Archived")
    of.advance(60)
    assert (of.route(), of.registry.labels[1].stage) == ("none", "Archived")


@pytest.mark.parametrize("edit", [{"source": {"name": "Flight air time"}}])
def test_another_registered_model_or_mapping_asks_for_nothing_by_what_it_shows_at_first(edit: dict[str, Any]) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.labels[7] = type(of.registry.labels[1])("Production", (), {})
    of.edit("RegisteredModel", "flights", **edit)
    of.swept()
    of.settle()
    of.advance(700)
    assert (of.route(), of.registry.labels[7].stage) == ("1", "Production"), "it is nobody's business here"
    moved(of, 8, "Production")
    assert of.route() == "8"


def test_a_registered_model_that_was_deleted_and_made_anew_asks_for_nothing_by_what_it_shows_at_first() -> None:
    of = by_registry()
    for number in (1, 2):
        moved(of, number, "Production")
    of.registry.labels = {1: replace(of.registry.labels[1], stage="Production", aliases=("champion",), tags={})}
    of.registry.created += 1
    of.swept()
    of.settle()
    of.advance(700)
    assert of.route() == "2", "it lay there when its labels were first seen"
    moved(of, 3, "Production")
    assert of.route() == "3"


def test_what_the_registry_loses_for_a_while_asks_for_nothing_when_it_is_back() -> None:
    of = by_registry(bad={3}, onRefusal="Keep")
    for number in (1, 3, 2):
        moved(of, number, "Production")
    of.registry.put(3, "Production")
    there, of.registry.labels = of.registry.labels, {}
    of.swept()
    of.settle()
    of.advance(700)
    assert of.route() == "2"
    of.registry.labels = there
    of.swept()
    of.settle()
    of.advance(700)
    assert of.route() == "2"


def by_cluster(**promotion: Any) -> Simulation:
    """A model that follows its ModelVersions; version 2 is about to serve, and the registry has others."""
    of = Simulation()
    of.cluster.put(model(promotion=promotion))
    for number, stage in ((7, "Production"), (8, "Production"), (9, "Staging")):
        of.registry.put(number, stage)
    elsewhere = {"slipway.dev/west/ml/state": "Serving since 2026-03-01T08:00:00Z"}
    of.registry.labels[8] = replace(of.registry.labels[8], tags=elsewhere)
    of.swept()
    of.cluster.put(version(2))
    of.cluster.put(version(3, "Staging"))
    of.settle()
    of.advance(MOMENT_SECONDS)
    return of


def test_a_promotion_in_the_cluster_archives_nothing_of_another_cluster_and_nothing_in_staging() -> None:
    of = by_cluster()
    assert of.route() == "2"
    stages = {number: one.stage for number, one in of.registry.labels.items()}
    assert stages == {2: "Production", 3: "Staging", 7: "Archived", 8: "Production", 9: "Staging"}
    assert of.condition("ModelVersion", "flights-v2", "Synced")["status"] == "True"


@pytest.mark.parametrize("policy", ["Report", "Correct"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"stage": "Production"}, "version 5 is in stage Production, too"),
        ({"alias": "champion"}, "the alias champion is on version 5"),
        (
            {"stage": "Production", "archive_others": True},
            "its stage is Archived, was set to Production and version 5 is in stage Production, too",
        ),
    ],
    ids=["stage", "alias", "stage that archives"],
)
def test_a_label_that_is_moved_by_hand_where_the_cluster_decides_is_drift_and_both_sides_are_named(
    policy: str, how: dict[str, Any], says: str
) -> None:
    of = by_cluster(onDrift=policy)
    moved(of, 5, **how)
    assert (of.route(), declared(of)) == ("2", ["flights-v2", "flights-v3"])
    synced = of.condition("ModelVersion", "flights-v2", "Synced")
    if policy == "Report":
        assert (synced["status"], synced["reason"]) == ("False", "RegistryDrifted")
        assert synced["message"].startswith(f"Version 2 serves. In the registry, {says}. ")
    else:
        assert synced["status"] == "True"
        found = of.registry.labels
        assert (found[2].stage, found[2].aliases, found[5].stage) == (
            "Production",
            ("champion",),
            "None" if "alias" in how else "Archived",
        )


def test_a_request_outlives_a_list_that_does_not_show_its_version() -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.down.add(2)
    moved(of, 2, "Production")
    there = of.registry.labels.pop(2)
    of.swept()
    of.settle()
    of.down.clear()
    of.settle()
    of.registry.labels[2] = there
    of.swept()
    of.advance(700)
    assert of.route() == "2"


@pytest.mark.parametrize("source", ["Cluster", "Registry"])
def test_a_version_that_was_deleted_in_the_registry_serves_on_and_says_so(source: str) -> None:
    of = by_registry(source=source)
    of.cluster.put(version(1))
    moved(of, 1, "Production")
    assert of.route() == "1"
    of.registry.labels.clear()
    of.registry.gone.add(1)
    of.swept()
    of.settle()
    of.advance(700)
    ready = of.condition("ModelVersion", "flights-v1", "Ready")
    assert (of.route(), ready["status"], ready["reason"]) == ("1", "False", "VersionGone")


def test_another_model_that_may_not_use_the_registry_takes_no_label_from_the_one_that_may() -> None:
    of = by_registry(bad={2})
    moved(of, 1, "Production")
    source = {"name": "flights", "registryRef": {"name": "mlflow", "namespace": "ml"}}
    other = model(source=source, promotion={"source": "Registry"})
    other["metadata"] |= {"name": "another", "namespace": "elsewhere"}
    of.cluster.put(other)
    of.registry.named = (Key("model", "elsewhere", "another"), Key("model", "ml", "flights"))
    of.registry.shut_out = {"elsewhere"}
    of.settle()
    moved(of, 2, "Production", alias="champion", archive_others=True)
    of.advance(60)
    labels = of.registry.labels
    assert (labels[1].stage, labels[1].aliases, labels[2].stage) == ("Production", ("champion",), "Archived")


@pytest.mark.parametrize("reason", ["TokenUnusable", "InvalidSpec"])
def test_a_registry_that_cannot_be_used_for_a_while_refuses_no_version_that_was_asked_for(reason: str) -> None:
    of = by_registry()
    moved(of, 1, "Production")
    of.registry.put(2, "Production")
    of.swept()
    of.settle(nodes=False)
    of.registry.unusable = Silent(reason, "it cannot be used", False)
    of.wake_family()
    of.settle(nodes=False)
    of.advance(31)
    assert of.condition("ModelVersion", "flights-v2", "Ready")["reason"] == reason and of.route() == "1"
    of.registry.unusable = None
    of.wake_family()
    of.settle()
    of.advance(60)
    assert (of.route(), of.registry.labels[2].stage) == ("2", "Production")


@pytest.mark.parametrize(
    ("source", "named", "created", "tells"),
    [
        pytest.param("Cluster", "airport", "2026-03-06T15:00:00Z", "airport", id="the older one"),
        pytest.param("Cluster", "zurich", "2026-03-06T15:00:00Z", "zurich", id="whatever it is called"),
        pytest.param("Cluster", "airport", "2026-03-07T00:00:00Z", "flights", id="not one made later"),
        pytest.param("Registry", "zurich", "2026-03-06T16:30:00Z", "zurich", id="one that follows labels"),
    ],
)
def test_of_two_models_of_a_namespace_one_tells_of_the_registered_model(
    source: str, named: str, created: str, tells: str
) -> None:
    of = by_registry(source="Cluster")
    other = model(validation=GATED, promotion={"source": source}, source={"name": "flights"})
    meta = {**other["metadata"], "name": named, "creationTimestamp": created}
    of.cluster.put({**other, "metadata": meta})
    if source == "Cluster":
        one = version(1)
        made = {**one["metadata"], "name": f"{named}-v1"}
        of.cluster.put({**one, "metadata": made, "spec": {**one["spec"], "model": named}})
    of.registry.named = (Key("model", "ml", "flights"), Key("model", "ml", named))
    of.cluster.put(version(1))
    moved(of, 1, "Production")
    of.wake(of.registry.named[1])
    of.settle()
    of.advance(700)
    silent = ({"flights", named} - {tells}).pop()
    said = of.condition("ModelVersion", f"{silent}-v1", "Synced")
    assert (said["status"], f"the model ml/{tells} " in said["message"]) == ("True", True), said
    if source == "Cluster":
        told = of.condition("ModelVersion", f"{tells}-v1", "Synced")
        assert (told["status"], "The registry says: Serving" in told["message"]) == ("True", True), told
    of.edit("RegisteredModel", tells, promotion={"source": "Cluster"}, source={"name": "trains"})
    of.registry.named = (Key("model", "ml", silent),)
    of.settle()
    of.advance(700)
    said = of.condition("ModelVersion", f"{silent}-v1", "Synced")
    assert "The registry says: Serving" in said["message"], "once nobody else does"


def _shared(older: str = "airport") -> Simulation:
    """Two models of a namespace that name one registered model: `flights`, and one that is older."""
    of = by_registry(source="Cluster")
    other = model(validation=GATED, source={"name": "flights"})
    meta = {**other["metadata"], "name": older, "creationTimestamp": "2026-03-06T15:00:00Z"}
    of.cluster.put({**other, "metadata": meta})
    of.registry.named = (Key("model", "ml", "flights"), Key("model", "ml", older))
    return of


def _declares(of: Simulation, name: str, number: int, stage: str) -> None:
    one = version(number, stage)
    meta = {**one["metadata"], "name": f"{name}-v{number}"}
    of.cluster.put({**one, "metadata": meta, "spec": {**one["spec"], "model": name}})
    of.settle()
    of.advance(MOMENT_SECONDS)


@pytest.mark.parametrize("older_has", [None, (1, "Production"), (2, "None")], ids=["nothing", "another", "it, unused"])
def test_of_a_version_that_the_first_of_two_models_does_not_use_the_other_one_tells(
    older_has: tuple[int, str] | None,
) -> None:
    of = _shared()
    if older_has is not None:
        _declares(of, "airport", *older_has)
    _declares(of, "flights", 2, "Production")
    of.advance(700)
    found = of.registry.labels[2]
    assert found.tags["slipway.dev/test/ml/state"].startswith("Serving") and found.lines
    assert (found.stage, found.aliases) == ("None", ()), "those are of the first"
    said = of.condition("ModelVersion", "flights-v2", "Synced")
    assert (said["status"], "are those of the model ml/airport" in said["message"]) == ("True", True), said


def test_who_tells_of_a_version_changes_with_what_the_first_of_two_models_has_of_it() -> None:
    of = _shared()
    _declares(of, "flights", 2, "Production")
    of.swept()
    _declares(of, "airport", 2, "Archived")
    assert of.registry.labels[2].tags["slipway.dev/test/ml/state"] == "Archived"
    of.wake_family()
    of.settle()
    of.advance(700)
    said = of.condition("ModelVersion", "flights-v2", "Synced")
    assert "the model ml/airport tells of this version" in said["message"], said
    of.cluster.lose("ModelVersion", "ml", "airport-v2")
    of.settle()
    of.advance(MOMENT_SECONDS)
    assert of.registry.labels[2].tags["slipway.dev/test/ml/state"].startswith("Serving")
