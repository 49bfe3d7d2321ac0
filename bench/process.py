"""The operator as a process: what it takes of the machine, and what its own metrics tell."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.integration.control_plane import Operator

START_SECONDS = 120
QUIET = 0.1  # of a core: it has nothing to do but to look around
SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? ([0-9.e+-]+)$", re.MULTILINE)
PROFILED = Path(__file__).parent / "profiled.py"


class Running:
    """An operator that runs."""

    def __init__(self, operator: Operator) -> None:
        self._operator, self._process = operator, psutil.Process(operator.pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has taken since it began, of all its threads."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory_mib(self) -> float:
        """Resident memory now."""
        return float(self._process.memory_info().rss) / 2**20

    def metric(self, name: str, having: str = "") -> float:
        """Sum of the samples of a metric whose labels hold that text."""
        _, text = self._operator.get("metrics")
        found = SAMPLE.findall(text)
        return sum(float(value) for key, labels, value in found if key == name and having in labels)

    @property
    def decisions(self) -> float:
        """Passes that it has done."""
        return self.metric("slipway_passes_total", 'result="done"')

    @property
    def registry_calls(self) -> float:
        """Calls of the registry that it has made."""
        return self.metric("slipway_registry_calls_total")

    def quiet(self, share: float, seconds: float = 3.0, patience_seconds: float = 120.0) -> bool:
        """Wait until it takes less of a core than that share for some seconds; whether it came to that in time."""
        deadline = time.monotonic() + patience_seconds
        while True:
            before, began = self.cpu_seconds, time.monotonic()
            time.sleep(seconds)
            used = (self.cpu_seconds - before) / (time.monotonic() - began)
            if used < share or time.monotonic() > deadline:
                return used < share


@contextmanager
def started(operator: Operator, profile: Path | None = None) -> Iterator[tuple[Running, float]]:
    """The operator, and the seconds from its start to its first decision; with a profile, written when it ends."""
    began = time.monotonic()
    program = ("-P", str(PROFILED), str(profile)) if profile else ()
    operator.start(sys.executable, *program, seconds=START_SECONDS)
    try:
        running = Running(operator)
        while not running.decisions:
            if time.monotonic() - began > START_SECONDS:
                raise SystemExit(f"no decision within {START_SECONDS} s; the operator's log: {operator.log}")
            time.sleep(0.05)
        yield running, time.monotonic() - began
    finally:
        operator.stop()
