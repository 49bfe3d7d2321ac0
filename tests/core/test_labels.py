"""What the registry is told: once per fact, and never over what somebody else has changed since."""

from dataclasses import replace

import pytest
from slipway.api.modelregistry import RegistryLabels, Stages
from slipway.core import drift, promotion
from slipway.core.drift import synced
from slipway.core.labels import wanted
from slipway.core.ledger import EMPTY
from slipway.core.observed import ModelSeen
from slipway.core.reasons import Reason
from slipway.core.registry import Contest, Labels, RegistryModel, Silent

from tests.worlds import REGISTRY, STAMP, ledger_after, model, model_seen, pods_of, proven, serves, version, with_ledger

NOTHING = Labels("None", (), {})


def labelled(seen: ModelSeen, number: int, labels: Labels) -> ModelSeen:
    """The world in which the registry says this of a version."""
    return replace(seen, labels=RegistryModel({number: labels}))


def told(seen: ModelSeen, number: int) -> tuple[str, str]:
    """Status and reason of a version's Synced condition."""
    found = seen.version(number)
    assert found is not None
    verdict = synced(seen, seen.ledger or EMPTY, found)
    return verdict.status, verdict.reason


def test_labels_are_written_once_the_traffic_was_seen_to_have_moved() -> None:
    before = labelled(model_seen((proven(1),), pods=(pods_of(1),)), 1, NOTHING)
    moving = promotion.decide(before)
    assert moving.labels == ()
    seen = with_ledger(before, ledger_after(moving))
    (write,) = promotion.decide(seen).labels
    assert (write.version, write.stage, write.alias) == (1, "Production", "champion")
    assert set(write.tags) == {"slipway.dev/test/ml/state", "slipway.dev/test/ml/digest"}
    assert set(write.notes) == {f"slipway.dev/test/ml/served {STAMP}"}


def test_the_ledger_remembers_what_the_registry_is_asked_to_say() -> None:
    ledger = ledger_after(promotion.decide(model_seen((proven(1),), pods=(pods_of(1),))))
    assert ledger is not None
    assert [(one.version, one.state, one.stage, len(one.alias)) for one in ledger.told] == [
        (1, "Serving", "Production", 10)
    ]


def written(seen: ModelSeen, number: int) -> tuple[ModelSeen, Labels]:
    """The world once the labels were written, and the labels."""
    write = next(one for one in promotion.decide(seen).labels if one.version == number)
    labels = Labels(write.stage or "None", (write.alias,) if write.alias else (), write.all_tags, lines=(write.line,))
    return labelled(seen, number, labels), labels


def test_labels_that_were_written_are_left_alone_and_drift_is_reported() -> None:
    done, labels = written(labelled(model_seen((version(1),), serves(1), (pods_of(1),)), 1, NOTHING), 1)
    assert (promotion.decide(done).labels, told(done, 1)) == ((), ("True", "LabelsWritten"))
    drifted = labelled(done, 1, replace(labels, stage="Staging", aliases=()))
    assert (promotion.decide(drifted).labels, told(drifted, 1)) == ((), ("False", "RegistryDrifted"))


def test_silence_of_the_registry_takes_no_label_back() -> None:
    seen = model_seen((version(1),), serves(1), (pods_of(1),))
    done, _ = written(labelled(seen, 1, NOTHING), 1)
    message = synced(done, serves(1), version(1)).message
    condition = {"type": "Synced", "status": "True", "reason": "LabelsWritten", "message": message}
    remembered = version(1, status={"conditions": [condition | {"lastTransitionTime": STAMP}]})
    silent = Silent("RegistryUnreachable", "no answer")
    for quiet in (replace(done, labels=silent), replace(done, labels=None), replace(done, registry=silent)):
        assert told(replace(quiet, versions=(remembered,)), 1) == ("True", "LabelsWritten")


def test_labels_that_the_registry_refuses_say_so_and_are_tried_on() -> None:
    seen = labelled(model_seen((version(1),), serves(1), (pods_of(1),)), 1, NOTHING)
    refused = replace(seen, label_refusals={1: Silent("RegistryUnauthorized", "may not move it", False)})
    assert told(refused, 1) == ("False", "RegistryUnauthorized")
    assert [one.version for one in promotion.decide(refused).labels] == [1]


def test_a_stage_that_the_registry_refused_is_no_drift() -> None:
    done, labels = written(labelled(model_seen((version(1),), serves(1), (pods_of(1),)), 1, NOTHING), 1)
    half = labelled(done, 1, replace(labels, stage="None"))
    refused = replace(half, label_refusals={1: Silent("RegistryRejected", "stages are switched off", False)})
    assert told(refused, 1) == ("False", "RegistryRejected")


def test_another_operator_of_the_same_name_is_named_and_not_written_over() -> None:
    seen = labelled(model_seen((version(1),), serves(1), (pods_of(1),)), 1, NOTHING)
    (write,) = promotion.decide(seen).labels
    contested = replace(seen, contested={1: Contest("the tag state says 'Serving since yesterday'", write.tags)})
    assert (told(contested, 1), promotion.decide(contested).labels) == (("False", "RegistryContested"), ())
    new = replace(contested, contested={1: Contest("", {})})
    assert promotion.decide(new).labels == (write,), "what was never written is written once"


def test_a_version_that_is_not_in_play_has_nothing_to_be_told() -> None:
    many = tuple(version(number, "Archived") for number in range(1, 41))
    seen = model_seen(many, serves(5).model_copy(update={"champion": 5}))
    assert told(seen, 1) == ("True", "NotTold")


def test_the_alias_of_versions_out_of_use_is_on_the_highest_of_them_alone() -> None:
    archived = RegistryLabels(stage="Archived", alias="retired")
    stages = Stages(Archived=archived)
    registry = REGISTRY.model_copy(update={"spec": REGISTRY.spec.model_copy(update={"stages": stages})})
    seen = replace(
        model_seen((version(1, "Archived"), version(2, "Archived"), version(3)), serves(3)), registry=registry
    )
    found = {number: wanted(seen, serves(3), version(number, "Archived")) for number in (1, 2)}
    assert {number: one and one.write.alias for number, one in found.items()} == {1: None, 2: "retired"}


@pytest.mark.parametrize("reason", ["Suspended", "SecretNotFound", "RegistryNotAllowed"])
def test_what_could_not_be_written_is_wanted_on_whatever_was_in_the_way(reason: str) -> None:
    seen = model_seen((proven(1),), serves(1), (pods_of(1),), labels={1: Labels("None", (), {})})
    seen = replace(seen, label_refusals={1: Silent(reason, "not now", False)})
    assert [write.version for write in drift.writes(seen, serves(1))] == [1]


@pytest.mark.parametrize("telling", [True, False])
def test_a_label_that_is_moved_is_drift_though_there_was_no_room_for_what_is_told(telling: bool) -> None:
    version, ledger = proven(1), serves(1)
    seen = model_seen((version,), ledger, (pods_of(1),), of=model({"promotion": {"onDrift": "Report"}}))
    one = wanted(seen, ledger, version)
    assert one is not None
    moved = RegistryModel({1: Labels("Archived", ("champion",), dict(one.write.tags))})
    trouble = Silent("RegistryRejected", "there is no room in the description", False, telling)
    seen = replace(seen, labels=moved, label_refusals={1: trouble})
    drifted = drift.synced(seen, ledger, version).reason is Reason.RegistryDrifted
    assert (drifted, drift.writes(seen, ledger) == ()) == (telling, telling)


def test_what_people_cannot_be_told_is_said_and_tried_on_and_makes_nothing_untrue() -> None:
    version, ledger = proven(1), serves(1)
    seen = model_seen((version,), ledger, (pods_of(1),))
    one = wanted(seen, ledger, version)
    assert one is not None and one.write.line
    there = RegistryModel({1: Labels(one.write.stage or "None", ("champion",), dict(one.write.all_tags))})
    trouble = Silent("RegistryRejected", "there is no room in the description", False, telling=True)
    seen = replace(seen, labels=there, label_refusals={1: trouble})
    verdict = drift.synced(seen, ledger, version)
    assert (
        verdict.holds and verdict.message == f"{one.message} Not told beside it: there is no room in the description."
    )
    assert [write.line for write in drift.writes(seen, ledger)] == [one.write.line]


def test_what_another_model_of_the_namespace_tells_of_is_left_to_it() -> None:
    seen = labelled(model_seen((version(1),), serves(1), (pods_of(1),)), 1, NOTHING)
    other = replace(seen, told_by={1: "ml/airport"})
    assert len(promotion.decide(seen).labels) == 1
    verdict = synced(other, serves(1), version(1))
    assert (promotion.decide(other).labels, verdict.status) == ((), "True")
    assert verdict.message.startswith("Nothing is written: the model ml/airport ")
    assert promotion.decide(replace(seen, told_by={2: "ml/airport"})).labels == promotion.decide(seen).labels
