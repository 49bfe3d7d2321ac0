"""`make test` runs two processes: the tests on nodes, which wait most of the time, beside all others.

Each side keeps to one process: its tests share worlds, and there is one cluster.
"""

import os
import random

import pytest
from xdist.scheduler import LoadScopeScheduling

ON_NODES = "tests/e2e/"


def side(test: str) -> str:
    """The side that a test belongs to, by its id."""
    return "on nodes" if test.startswith(ON_NODES) else "beside"


class BySide(LoadScopeScheduling):
    """A process works on one side until all of that is done."""

    def _split_scope(self, nodeid: str) -> str:
        return side(nodeid)


def drawn(variable: str) -> int:
    """A seed: what this variable says; else one by chance, the same in every process of a run."""
    return int(os.environ.get(variable) or random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).randrange(10_000))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> BySide:
    """Of several processes."""
    return BySide(config, log)
