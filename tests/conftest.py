"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business; a slow one is no failure.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs on nodes waits for them most of the time: `make test` gives it one process, and another to all else."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("nodes" if "e2e" in item.path.parts else "others"))


pytest_plugins = ["tests.progress"]
