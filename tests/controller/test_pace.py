"""How often a status is told: news at once, progress ever more rarely."""

from collections.abc import Mapping
from typing import Any

import pytest
from slipway.controller.pace import FIRST_SECONDS, LONGEST_SECONDS, Pace
from slipway.controller.queue import Key

KEY = Key("version", "ml", "flights-v1")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def status(message: str = "", reason: str = "ValidationRunning", ready: str = "0/2") -> Mapping[str, Any]:
    conditions = [{"type": "Validated", "status": "False", "reason": reason, "message": message}]
    return {"conditions": conditions, "champion": {"version": 1, "ready": ready}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """A pace that has just told a first status."""
    found = Pace(clock)
    found.written(KEY, {}, status())
    return found


def importing(reason: str = "ImportRunning") -> Mapping[str, Any]:
    return {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "False", "reason": reason}]}


def test_an_import_that_a_label_asks_for_is_told_at_once(clock: Clock) -> None:
    pace, untold = Pace(clock), {"observedGeneration": -1}
    assert pace.wait(KEY, untold, importing()) == 5.0, "a small one passes in a moment"
    assert pace.wait(KEY, untold, importing("Resolving"), awaited=True) == 5.0
    assert pace.wait(KEY, untold, importing(), awaited=True) == 0.0
    pace.written(KEY, untold, importing())
    assert pace.wait(KEY, importing(), {**importing(), "message": "half of it"}, awaited=True) == FIRST_SECONDS


def test_another_reason_is_told_at_once(pace: Pace) -> None:
    assert pace.wait(KEY, status(), status(reason="GatesPassed")) == 0.0


@pytest.mark.parametrize("further", [status("Step 'judge' is running."), status(ready="1/2")])
def test_how_far_it_is_waits_its_turn(pace: Pace, clock: Clock, further: Mapping[str, Any]) -> None:
    assert pace.wait(KEY, status(), further) == FIRST_SECONDS
    clock.now = FIRST_SECONDS - 1
    assert pace.wait(KEY, status(), further) == 1.0
    clock.now = FIRST_SECONDS
    assert pace.wait(KEY, status(), further) == 0.0


def test_progress_is_told_ever_more_rarely_until_there_is_news(pace: Pace, clock: Clock) -> None:
    pauses = []
    for step in range(6):
        before, after = status(f"step {step}"), status(f"step {step + 1}")
        pauses.append(pace.wait(KEY, before, after))
        clock.now += pauses[-1]
        pace.written(KEY, before, after)
    assert pauses == [30.0, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    pace.written(KEY, status(), status(reason="GatesPassed"))
    assert pace.wait(KEY, status("a"), status("b")) == FIRST_SECONDS


def test_an_operator_that_has_just_started_tells_what_it_sees() -> None:
    assert Pace(Clock()).wait(KEY, status(), status("further")) == 0.0


def test_an_object_that_is_gone_is_forgotten(pace: Pace) -> None:
    pace.forget(KEY)
    assert pace.wait(KEY, status(), status("further")) == 0.0


MODEL = Key("model", "ml", "flights")


def model(reason: str, candidate: int | None = None, generation: int = 1) -> Mapping[str, Any]:
    conditions = [{"type": "Ready", "status": "False", "reason": reason, "message": ""}]
    return {"conditions": conditions, "candidate": candidate, "observedGeneration": generation}


class TestARollout:
    """It is over in a moment, as a rule: then only its end is told."""

    def test_is_told_if_it_lasts(self, pace: Pace, clock: Clock) -> None:
        assert pace.wait(MODEL, model("Serving"), model("RolloutProgressing", 2)) == 10.0
        assert pace.passing(MODEL)
        clock.now = 10.0
        assert not pace.passing(MODEL), "whether or not it could be told"
        assert pace.wait(MODEL, model("Serving"), model("RolloutProgressing", 2)) == 0.0

    def test_that_has_ended_is_told_at_once(self, pace: Pace, clock: Clock) -> None:
        pace.wait(MODEL, model("Serving"), model("RolloutProgressing", 2))
        clock.now = 3.0
        pace.written(MODEL, model("Serving"), model("Serving"))
        assert not pace.passing(MODEL)

    def test_that_a_model_began_with_has_its_steps_told_if_they_last(self, pace: Pace) -> None:
        assert pace.wait(MODEL, model("RolloutProgressing"), model("RolloutProgressing", 2)) == 10.0

    def test_that_an_edit_began_is_told_at_once(self, pace: Pace) -> None:
        assert pace.wait(MODEL, model("Serving"), model("RolloutProgressing", 2, generation=2)) == 0.0


def version(reason: str, generation: int = 1, ready: str = "") -> Mapping[str, Any]:
    both = {"Imported": reason, "Ready": ready or reason}
    conditions = [{"type": of, "status": "False", "reason": why, "message": ""} for of, why in both.items()]
    return {"conditions": conditions, "observedGeneration": generation}


class TestASmallImport:
    """It takes a few seconds: the first that is told of a version is then what it found."""

    @pytest.mark.parametrize("before", [{}, {"observedGeneration": -1}])
    def test_is_told_if_it_lasts(self, clock: Clock, before: Mapping[str, Any]) -> None:
        pace = Pace(clock)
        assert pace.wait(KEY, before, version("ImportRunning")) == 5.0
        clock.now = 5.0
        assert pace.wait(KEY, before, version("ImportRunning")) == 0.0

    def test_that_fails_is_told_at_once(self, pace: Pace) -> None:
        pace.wait(KEY, {}, version("ImportRunning"))
        assert pace.wait(KEY, {}, version("ArtifactMissing")) == 0.0

    def test_that_something_else_keeps_from_going_on_does_not_hide_it(self, pace: Pace) -> None:
        assert pace.wait(KEY, {}, version("ImportRunning", ready="ModelMissing")) == 0.0
