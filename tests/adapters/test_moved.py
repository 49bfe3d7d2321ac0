"""When a version was moved, by what MLflow and the tags of several Slipways say."""

import pytest
from slipway.adapters.mlflow_lists import moved_at

EAST, WEST = "slipway.dev/east/ml/described", "slipway.dev/west/ml/described"


@pytest.mark.parametrize(
    ("tags", "moved", "because"),
    [
        pytest.param({}, 30, "MLflow dates whatever changed it", id="described by nobody"),
        pytest.param({EAST: "10 30"}, 10, "that was Slipway", id="described by one"),
        pytest.param(
            {EAST: "10 20", WEST: "10 30"}, 10, "the later one tells of now", id="by two, one after the other"
        ),
        pytest.param({EAST: "10 30", WEST: "10 20"}, 10, "whichever was written first", id="by two at once"),
        pytest.param({EAST: "10 20"}, 30, "somebody moved it since", id="described, then moved"),
        pytest.param({EAST: "10 20", WEST: "10 Production"}, 10, "it broke off there", id="while one describes it"),
        pytest.param({EAST: "10 20", WEST: "10 Staging"}, 30, "it left that stage", id="broken off, then moved"),
        pytest.param({"slipway.dev/described": "10 30"}, 30, "a tag of no cluster", id="by nobody known"),
    ],
)
def test_what_a_slipway_described_was_not_moved(tags: dict[str, str], moved: int, because: str) -> None:
    told = [{"key": key, "value": value} for key, value in tags.items()]
    facts = {"creation_timestamp": 1, "last_updated_timestamp": 30, "current_stage": "Production", "tags": told}
    assert moved_at(facts) == moved, because
