"""A model that follows MLflow: nobody but its client is used, and every answer is read there, too."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dev.demo.progress import condition

from .conftest import World, places_of
from .place import Place, poll

MODEL = "moved"


@dataclass(frozen=True)
class Told:
    """The model of this file: version 1 fair, 2 worse, 3 better."""

    world: World
    place: Place
    registered: str

    def stage(self, version: int, archive_others: bool) -> None:
        """A version is put into Production, as in MLflow's UI."""
        self.world.made.client.transition_model_version_stage(
            self.registered, str(version), "Production", archive_existing_versions=archive_others
        )

    def alias(self, version: int) -> None:
        """The alias is moved to a version."""
        self.world.made.client.set_registered_model_alias(self.registered, "champion", str(version))

    def label(self, version: int) -> tuple[str, str, list[str]]:
        """Stage, state tag and aliases of a version in MLflow."""
        found = self.world.made.client.get_model_version(self.registered, str(version))
        state = found.tags.get(f"slipway.dev/demo/{self.place.namespace}/state", "")
        return found.current_stage, state.split(" ")[0], list(found.aliases)

    def says(self, seconds: float, **labels: tuple[str, str, list[str]]) -> None:
        """MLflow says this of the versions v1, v2, v3, in time."""
        poll(
            f"MLflow says {labels}",
            seconds,
            lambda: all(self.label(int(name[1:])) == want for name, want in labels.items()),
            lambda: f"{[self.label(one) for one in (1, 2, 3)]}\n{self.place.told()}",
        )

    def jobs(self) -> list[str]:
        """Validation Jobs of all versions."""
        return sorted(name for number in (1, 2, 3) for name in self.place.jobs(MODEL, number))


@pytest.fixture(scope="module")
def told(world: World) -> Iterator[Told]:
    with places_of(world.kube) as places:
        place = places("moved")
        registered = world.model(place, MODEL, "fair", "worse", "better", promotion={"source": "Registry"})
        yield Told(world, place, registered)


def test_a_stage_that_is_set_in_mlflow_becomes_a_deployment(told: Told) -> None:
    told.stage(1, archive_others=False)
    poll("a ModelVersion is made", 60, lambda: told.place.version(f"{MODEL}-v1"), told.place.told)
    found = told.place.until_serving(f"{MODEL}-v1", 180)
    assert found["status"]["stage"] == "Production"
    assert found["spec"].get("stage", "None") == "None", "no label is copied into the spec"
    told.says(30, v1=("Production", "Serving", ["champion"]))
    names = json.loads(told.place.kubectl("get", "mv", "-o", "json"))["items"]
    assert [one["metadata"]["name"] for one in names] == [f"{MODEL}-v1"], "none is made that nothing asks for"


def test_a_worse_version_is_refused_and_its_stage_goes_back_with_the_reason(told: Told) -> None:
    told.stage(2, archive_others=True)
    poll("a ModelVersion is made", 60, lambda: told.place.version(f"{MODEL}-v2"), told.place.told)
    told.place.until(f"{MODEL}-v2", "Validated", "False", "GateFailed", 180)
    told.says(60, v1=("Production", "Serving", ["champion"]), v2=("Archived", "Refused", []))
    assert told.place.champion(MODEL) == 1


def test_it_is_refused_again_without_a_job(told: Told) -> None:
    jobs = told.jobs()
    told.stage(2, archive_others=True)
    told.says(60, v1=("Production", "Serving", ["champion"]), v2=("Archived", "Refused", []))
    assert (told.place.champion(MODEL), told.jobs()) == (1, jobs)
    ready = condition(told.place.version(f"{MODEL}-v2"), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "GateFailed")


def test_an_alias_that_is_moved_promotes_too(told: Told) -> None:
    told.alias(3)
    poll("a ModelVersion is made", 60, lambda: told.place.version(f"{MODEL}-v3"), told.place.told)
    told.place.until_serving(f"{MODEL}-v3", 180)
    told.says(60, v3=("Production", "Serving", ["champion"]))
    poll("version 1 is archived", 60, lambda: told.label(1)[0] == "Archived" and not told.label(1)[2], told.place.told)


def test_a_stage_that_is_set_back_is_a_rollback_at_once(told: Told) -> None:
    jobs = told.jobs()
    told.stage(1, archive_others=True)
    poll("version 1 has the traffic", 45, lambda: told.place.champion(MODEL) == 1, told.place.told)
    told.says(60, v1=("Production", "Serving", ["champion"]))
    assert told.jobs() == jobs, "its proof is kept"
