"""A model that follows MLflow: nobody but its client is used, and every answer is read there, too."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.demo.progress import condition

from . import rest
from .conftest import World, places_of
from .listening import REFUSED, Delivery, deliveries, secret
from .making import METRIC
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


def test_the_link_in_its_description_leads_to_the_two_numbers(told: Told, tmp_path: Path) -> None:
    client, errors = told.world.made.client, told.world.made.errors
    found = client.get_model_version(told.registered, "2")
    link = re.search(r"\[Report\]\(#/experiments/(\d+)/runs/(\w+)/artifacts/(\S+\.html)\)", found.description)
    assert link is not None, found.description
    run = client.get_run(found.run_id).info
    assert (link[1], link[2]) == (run.experiment_id, run.run_id), "a page of MLflow's own"
    page = Path(client.download_artifacts(link[2], link[3], str(tmp_path))).read_text()
    assert f"{errors['worse']:.6g}" in page and f"{errors['fair']:.6g}" in page


def test_the_refusal_is_told_to_a_listener_with_the_two_numbers(told: Told) -> None:
    subject = f"/namespaces/{told.place.namespace}/modelversions/{MODEL}-v2"
    kube, made = told.world.kube, told.world.made

    def heard() -> list[Delivery]:
        return [one for one in deliveries(kube) if one.event["subject"].endswith(subject)]

    poll("the listener is told", 60, heard, told.place.told)
    delivery, *others = [one for one in heard() if one.event["data"]["condition"]["type"] == "Validated"]
    assert {one.id for one in others} <= {delivery.id}, "an operator that begins to act may tell it again"
    assert delivery.is_signed_with(secret(kube))
    assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 300
    event, data = delivery.event, delivery.event["data"]
    assert (event["type"], event["source"], event["id"]) == (REFUSED, "/clusters/demo", delivery.id)
    assert (data["model"], data["version"], data["condition"]["reason"]) == (MODEL, 2, "GateFailed")
    (gate,) = data["gates"]
    assert (gate["name"], gate["result"], gate["metric"]) == ("error", "Failed", METRIC)
    assert gate["candidate"] == pytest.approx(made.errors["worse"], rel=1e-6)
    assert gate["champion"] == pytest.approx(made.errors["fair"], rel=1e-6)
    for words in (
        f"{METRIC} is {gate['candidate']:.6g}, must be at most 8",
        f"the champion's is {gate['champion']:.6g}: must be lower by at least 1.000%",
    ):
        assert words in gate["message"] and words in data["condition"]["message"], "for people, in words"


def test_what_a_listener_did_not_take_comes_again(told: Told) -> None:
    tries = poll("the third try", 30, lambda: found[:3] if len(found := deliveries(told.world.kube)) >= 3 else None)
    first, second, third = tries
    assert [one.status for one in (first, second, third)] == [503, 503, 204]
    assert first.id == second.id == third.id and first.body == second.body == third.body


def test_a_listener_that_is_away_costs_nothing_that_serves(told: Told) -> None:
    series = rest.told(told.world.kube)
    assert series["slipway_events_waiting", "target=away"] > 0
    assert series["slipway_events_total", "result=sent", "target=away"] == 0
    assert series["slipway_events_total", "result=sent", "target=listener"] > 0, "one waits for no other"
    assert told.place.champion(MODEL) == 1
    (pod,) = told.place.serving_pods(MODEL, 1)
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]


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
