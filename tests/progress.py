"""`make test` tells how far it is and how long it goes on: by what each test took in the last run on this machine."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from tests.sides import side

PAUSE_SECONDS = 30.0  # between two lines
KEY = "slipway/durations"
TRUSTED_SECONDS = 60.0  # of tests that are done, before this run's own pace counts
# Seconds of a test that was never run here, by folder; measured on two cores.
USUAL = {"tests/e2e": 9.0, "tests/integration": 0.9, "tests/chart": 0.7, "tests/adapters": 0.5, "tests/runner": 0.5}
OTHERS = 0.05


class Estimate:
    """What is left of a run, from what its tests should take and what those that are done took."""

    def __init__(self, tests: Iterable[str], known: Mapping[str, float], *, side_by_side: bool = False) -> None:
        self._left = {test: known.get(test, _usual(test)) for test in tests}
        self._side_by_side = side_by_side
        self._expected = self._took = 0.0
        self.total, self.done = len(self._left), 0

    def took(self, test: str, seconds: float) -> None:
        """A test is done."""
        self._expected += self._left.pop(test, 0.0)
        self._took += seconds
        self.done += 1

    @property
    def left_seconds(self) -> float:
        """Until the last test is done; a machine that is slow today stays so."""
        pace = self._took / self._expected if self._expected > TRUSTED_SECONDS else 1.0
        sides: Counter[str] = Counter()
        for test, seconds in self._left.items():
            sides[side(test) if self._side_by_side else ""] += seconds
        return max(sides.values(), default=0.0) * pace


def _usual(test: str) -> float:
    return next((seconds for folder, seconds in USUAL.items() if test.startswith(f"{folder}/")), OTHERS)


class Progress:
    """Tells every half minute, and remembers what each test took."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cache: pytest.Cache | None = getattr(config, "cache", None)  # switched off by -p no:cacheprovider
        self._known: dict[str, float] = self._cache.get(KEY, {}) if self._cache else {}
        self._estimate = Estimate((), {})
        self._seconds: dict[str, float] = {}
        self._told_at = time.monotonic()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What there is to do is known."""
        self._estimate = Estimate((item.nodeid for item in session.items), self._known)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """What there is to do is known, to the process that gives it out."""
        self._estimate = Estimate(ids, self._known, side_by_side=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test is over: its setup, itself, or its teardown."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.when == "teardown":
            self._estimate.took(report.nodeid, self._seconds[report.nodeid])

    def pytest_runtest_logfinish(self) -> None:
        """A line now and then."""
        reporter, now = self._config.pluginmanager.get_plugin("terminalreporter"), time.monotonic()
        if reporter is None or now - self._told_at < PAUSE_SECONDS:
            return
        self._told_at, of = now, self._estimate
        reporter.ensure_newline()
        reporter.write_line(f"{of.done} of {of.total} tests, {told(of.left_seconds)} left", cyan=True)

    def pytest_sessionfinish(self) -> None:
        """The next run knows what these took."""
        if self._cache:
            self._cache.set(KEY, self._known | self._seconds)


def told(seconds: float) -> str:
    """A duration as people say it."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(10, round(seconds, -1)):.0f} s"


def pytest_configure(config: pytest.Config) -> None:
    """Every run has it, in the process that people see; a short one never tells."""
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(Progress(config))
