"""What the tests of the chart share."""

import pytest

from tests.chart.helm import MODES, Manifest, rendered


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The chart in each of its modes."""
    return rendered(request.param)
