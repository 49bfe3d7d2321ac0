"""An import whose cause lies outside the model: tried for as long as that lasts, said as stalled, and never in a hurry."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from slipway.core import lifecycle
from slipway.core.conditions import refusal
from slipway.core.decision import Decision
from slipway.core.observed import VersionSeen
from slipway.core.pods import Trouble
from slipway.core.reasons import LASTING_REASONS, Reason
from slipway.core.registry import RegistryModel

from tests.core.test_lifecycle import after, conditions, jobs_of
from tests.worlds import NOW, job, model, version, version_seen


class Story:
    """One import, whose Jobs fail as they are told."""

    def __init__(self) -> None:
        self.seen: VersionSeen = version_seen(version(1), model())
        self.decision: Decision = lifecycle.decide(self.seen)
        self.name = jobs_of(self.decision)[0]

    def fails(self, reason: Reason) -> None:
        """The Job that runs ends for this reason, and its end is seen."""
        trouble = Trouble(reason, "no answer", "import", explained=True)
        self.look(job(self.name, "Failed", trouble=trouble))
        self.look(job(self.name, "Failed", trouble=trouble))

    def look(self, *jobs: object) -> None:
        self.seen = after(self.seen, self.decision, jobs={one.name: one for one in jobs})  # type: ignore[attr-defined]
        self.decision = lifecycle.decide(self.seen)

    def waits(self, seconds: float) -> bool:
        """Whether no Job is made after so long; otherwise it runs."""
        self.seen = replace(self.seen, now=self.seen.now + timedelta(seconds=seconds))
        self.look()
        made = jobs_of(self.decision)
        self.name = made[0] if made else self.name
        return not made

    def answers(self, since: datetime) -> None:
        """The registry has answered since then."""
        assert self.seen.family is not None
        known = RegistryModel({}, answers_since=since.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.seen = replace(self.seen, family=replace(self.seen.family, labels=known))


@pytest.mark.parametrize("reason", sorted(LASTING_REASONS))
def test_what_lasts_is_tried_for_as_long_as_it_lasts(reason: Reason) -> None:
    story = Story()
    for attempt in range(1, 12):
        story.fails(reason)
        said = conditions(story.decision)
        assert said["Imported"] == ("False", reason)
        assert "Stalled" in said or attempt < 3, "an alert needs no annotation to go away"
        assert story.waits(1), "asking at once makes it worse"
        assert not story.waits(300), "nobody has to ask for it"
        said = conditions(story.decision)
        assert (said["Imported"][1] == reason and "Stalled" in said) == (attempt >= 3), "an alert does not flicker"
    story.look(job(story.name, "Succeeded", result='{"digest": "sha256:' + "a" * 64 + '"}'))
    assert conditions(story.decision)["Imported"] == ("True", "Imported")
    assert "Stalled" not in conditions(story.decision)


def test_a_registry_that_has_come_back_is_asked_at_once_and_once() -> None:
    story = Story()
    for _ in range(4):
        story.fails(Reason.RegistryUnreachable)
        assert not story.waits(300)
    story.fails(Reason.RegistryUnreachable)
    story.answers(since=NOW)
    assert story.waits(60), "it had come back before this attempt: it is not that"
    story.answers(since=story.seen.now)
    assert not story.waits(1)
    story.fails(Reason.RegistryUnreachable)
    assert story.waits(60)


@pytest.mark.parametrize("reason", [Reason.InternalError, Reason.ReportMissing])
def test_what_may_be_our_own_fault_is_tried_three_times(reason: Reason) -> None:
    story = Story()
    for _ in range(2):
        story.fails(reason)
        assert not story.waits(300)
    story.fails(reason)
    assert story.waits(86_400)


def test_what_keeps_an_import_waiting_refuses_no_version() -> None:
    story = Story()
    for _ in range(3):
        story.fails(Reason.StoreUnreachable)
        assert not story.waits(300)
    story.look()
    assert "Stalled" in conditions(story.decision)
    assert refusal(after(story.seen, story.decision).version) is None
