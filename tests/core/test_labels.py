"""What the registry is told: once per fact, and never over what somebody else has changed since."""

from dataclasses import replace

from slipway.core import promotion
from slipway.core.observed import ModelSeen
from slipway.core.registry import Absent, Labels, Silent

from tests.worlds import (
    fleet,
    model,
    model_seen,
    proven,
    serves,
    told,
    version,
)

V1 = fleet(1, model())


def labels_for(seen: ModelSeen, number: int, labels: Labels | Absent | Silent) -> ModelSeen:
    return replace(seen, labels={number: labels})


def test_labels_are_written_once_the_traffic_was_seen_to_have_moved() -> None:
    before = model_seen((proven(1),), fleets=(V1,))
    assert promotion.decide(labels_for(before, 1, Labels("None", (), {}))).labels == ()
    seen = labels_for(model_seen((version(1),), serves(1), (V1,)), 1, Labels("None", (), {}))
    (write,) = promotion.decide(seen).labels
    assert (write.version, write.stage, write.alias, write.archive_others) == (1, "Production", "champion", True)
    assert set(write.tags) == {"slipway.dev/test/ml/state"}


def written(seen: ModelSeen, number: int) -> ModelSeen:
    """The world once the labels were written."""
    write = next(one for one in promotion.decide(seen).labels if one.version == number)
    alias = (write.alias,) if write.alias else ()
    return labels_for(seen, number, Labels(write.stage or "None", alias, write.tags))


def test_labels_that_were_written_are_left_alone_and_drift_is_reported() -> None:
    seen = labels_for(model_seen((version(1),), serves(1), (V1,)), 1, Labels("None", (), {}))
    done = written(seen, 1)
    decision = promotion.decide(done)
    assert (decision.labels, told(decision, 1, "synced")) == ((), ("True", "LabelsWritten"))
    moved = done.labels[1]
    assert isinstance(moved, Labels)
    drifted = promotion.decide(labels_for(done, 1, replace(moved, stage="Staging", aliases=())))
    assert (drifted.labels, told(drifted, 1, "synced")) == ((), ("False", "RegistryDrifted"))


def test_silence_of_the_registry_takes_no_label_back() -> None:
    seen = labels_for(model_seen((version(1),), serves(1), (V1,)), 1, Labels("None", (), {}))
    done = written(seen, 1)
    decision = promotion.decide(done)
    remembered = model(status=decision.status)
    silent = replace(labels_for(done, 1, Silent("RegistryUnreachable", "no answer")), model=remembered)
    assert told(promotion.decide(silent), 1, "synced") == ("True", "LabelsWritten")
