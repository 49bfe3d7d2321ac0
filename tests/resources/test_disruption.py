"""Golden manifests of what keeps pods apart; `make golden` writes them anew."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.resources import disruption, serving

from tests.worlds import model

GOLDEN = Path(__file__).parent / "golden"


def pod_disruption_budget() -> Any:
    return disruption.pod_disruption_budget(model(), 2)


def topology_spread() -> Any:
    return disruption.topology_spread(model(), 2)


@pytest.mark.parametrize("build", [pod_disruption_budget, topology_spread], ids=lambda build: build.__name__)
def test_manifest(build: Callable[[], Any]) -> None:
    path = GOLDEN / f"{build.__name__}.yaml"
    text = yaml.safe_dump(build(), sort_keys=False, width=120)
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text, "the manifest changed: look at the diff, then run `make golden`"


@pytest.mark.parametrize("champion", [None, 1, 2])
def test_the_budget_is_about_just_the_pods_that_the_service_sends_traffic_to(champion: int | None) -> None:
    budget = disruption.pod_disruption_budget(model(), champion)
    chosen = serving.service(model(), champion)["spec"]["selector"]
    assert budget["spec"]["selector"] == {"matchLabels": chosen}


def test_one_replica_does_not_hold_up_a_drain() -> None:
    assert "minAvailable" not in disruption.pod_disruption_budget(model(), 1)["spec"]
