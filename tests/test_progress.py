"""How long a run of the tests goes on."""

import subprocess
import sys

import pytest

from tests.progress import OTHERS, USUAL, Estimate, told

LONG = "tests/e2e/test_story.py::test_one"
SHORT = "tests/core/test_gates.py::test_two"


def test_what_was_never_run_takes_as_long_as_its_folder_usually_does() -> None:
    assert Estimate([LONG, SHORT], {}).left_seconds == USUAL["tests/e2e"] + OTHERS


def test_two_sides_are_done_when_the_longer_one_is() -> None:
    known = {LONG: 100.0, SHORT: 70.0}
    assert Estimate([LONG, SHORT], known, side_by_side=True).left_seconds == 100.0


def test_what_was_run_before_takes_as_long_as_then() -> None:
    assert Estimate([LONG, SHORT], {LONG: 100.0}).left_seconds == 100.0 + OTHERS


def test_a_machine_that_is_slow_today_stays_so() -> None:
    estimate = Estimate([LONG, SHORT], {LONG: 100.0, SHORT: 50.0})
    estimate.took(LONG, 200.0)
    assert (estimate.left_seconds, estimate.done, estimate.total) == (100.0, 1, 2)


def test_the_first_seconds_say_nothing_about_the_pace() -> None:
    estimate = Estimate([LONG, SHORT], {LONG: 100.0, SHORT: 1.0})
    estimate.took(SHORT, 30.0)
    assert estimate.left_seconds == 100.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(2, "about 10 s"), (84, "about 80 s"), (90, "about 2 min"), (1500, "about 25 min")]
)
def test_durations_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert told(seconds) == words


def test_a_run_that_keeps_no_cache_has_it_too(pytestconfig: pytest.Config) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
