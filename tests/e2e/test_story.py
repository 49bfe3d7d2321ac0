"""The story: one version serves, a worse one is refused, a better one takes over, all is taken back, MLflow is gone."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from dev.demo.console import Broken
from dev.demo.kube import Object
from dev.demo.load import Wrong
from dev.demo.progress import condition
from dev.demo.traffic import Entrance

from .conftest import World, mlflow_gone, places_of
from .making import METRIC
from .place import AS_OPERATOR, Place, model_version, poll

MODEL = "minutes"


@dataclass(frozen=True)
class Told:
    """The model of this file: version 1 fair, 2 worse, 3 better."""

    world: World
    place: Place
    registered: str

    def answers(self, *versions: int) -> dict[str, list[float]]:
        """The right answers of these versions."""
        roles = {1: "fair", 2: "worse", 3: "better"}
        return {str(one): self.world.made.predictions[roles[one]] for one in versions}

    def answering(self, way: Entrance, version: int) -> bool:
        """Whether the Service gives exactly this version's predictions."""
        return way.version(self.world.made.request, self.answers(version)) == str(version)

    def tag(self, word: str) -> str:
        """A tag of Slipway's in MLflow: of this cluster and this namespace."""
        return f"slipway.dev/demo/{self.place.namespace}/{word}"

    def label(self, version: int) -> tuple[str, str, list[str]]:
        """Stage, state tag and aliases of a version in MLflow."""
        found = self.world.made.client.get_model_version(self.registered, str(version))
        return found.current_stage, found.tags.get(self.tag("state"), "").split(" ")[0], list(found.aliases)


@pytest.fixture(scope="module")
def told(world: World) -> Iterator[Told]:
    with places_of(world.kube) as places:
        place = places("story")
        rollout = {"keepWarm": "3m"}
        serving = {"scaling": {"fixed": {"replicas": 2}}}
        registered = world.model(place, MODEL, "fair", "worse", "better", rollout=rollout, serving=serving)
        yield Told(world, place, registered)


def test_a_first_version_is_proven_released_and_predicts_what_the_model_predicts(told: Told) -> None:
    told.place.apply(model_version(MODEL, 1))
    found = told.place.until_serving(f"{MODEL}-v1")
    assert found["status"]["serving"] is True
    with told.world.entrance(told.place, MODEL) as way:
        poll("an answer", 20, lambda: told.answering(way, 1), told.place.told)
    poll("MLflow's labels", 30, lambda: told.label(1) == ("Production", "Serving", ["champion"]), told.place.told)


def test_the_open_inference_protocol_gives_the_same_predictions_and_pods_answer_by_the_fast_way(told: Told) -> None:
    split = told.world.made.request["dataframe_split"]
    with told.world.entrance(told.place, MODEL) as way:
        model, headers = f"{way.url.removesuffix('/invocations')}/v2/models/{MODEL}", {"Host": way.host}
        wanted = httpx.get(model, headers=headers, trust_env=False).json()["inputs"]
        columns = dict(zip(split["columns"], zip(*split["data"], strict=True), strict=True))
        inputs = [{**one, "shape": [len(split["data"])], "data": columns[one["name"]]} for one in wanted]
        answer = httpx.post(f"{model}/infer", json={"inputs": inputs}, headers=headers, trust_env=False)
    assert answer.json()["outputs"][0]["data"] == told.answers(1)["1"], answer.text
    for pod in told.place.serving_pods(MODEL, 1):
        name, namespace = pod["metadata"]["name"], told.place.namespace
        assert "the fast way is on" in told.place.kube.run("kubectl", "-n", namespace, "logs", name, "-c", "serve")


def test_a_worse_version_is_refused_with_both_numbers_and_a_better_one_takes_over_without_a_failed_request(
    told: Told,
) -> None:
    place, made = told.place, told.world.made
    with told.world.entrance(place, MODEL) as way, told.world.load(way, told.answers(1, 3)) as load:
        place.apply(model_version(MODEL, 2))
        refused = place.until(f"{MODEL}-v2", "Validated", "False", "GateFailed", 90)
        _refused_by_the_numbers(refused, made.errors["worse"], made.errors["fair"])
        poll("it has come to rest", 20, lambda: _stalled(place.version(f"{MODEL}-v2")), place.told)
        assert not place.serving_pods(MODEL, 2)
        assert place.champion(MODEL) == 1
        assert set(load.tally["answers"]) == {"1"}, load.tally

        place.apply(model_version(MODEL, 3))
        place.until_serving(f"{MODEL}-v3")
        poll("version 1 falls silent", 60, lambda: _silent(load.tally, "1", "3"), place.told)
        tally = load.stop()
    assert tally["failed"] == 0, tally
    assert tally["requests"] > 100
    assert set(tally["answers"]) == {"1", "3"}
    assert place.champion(MODEL) == 3
    assert len(place.jobs(MODEL, 2)) == len(place.jobs(MODEL, 3)) == 1


def _refused_by_the_numbers(version: Object, candidate: float, champion: float) -> None:
    gate = version["status"]["validation"]["gates"][0]
    assert gate["result"] == "Failed"
    assert gate["candidate"] == pytest.approx(candidate, rel=1e-6)
    assert gate["champion"] == pytest.approx(champion, rel=1e-6)
    message = condition(version, "Ready")["message"]
    assert "error" in message, message
    assert METRIC in message, message
    assert f"{candidate:.6g}" in message, message
    assert f"{champion:.6g}" in message, message


def _stalled(version: Object) -> bool:
    return condition(version, "Stalled").get("status") == "True"


def _silent(tally: dict[str, Any], old: str, new: str) -> bool:
    return tally["last_at"].get(new, 0.0) - tally["last_at"].get(old, 0.0) > 3


def test_the_registry_says_what_is_true(told: Told) -> None:
    poll(
        "MLflow's labels",
        30,
        lambda: (
            told.label(3) == ("Production", "Serving", ["champion"])
            and told.label(1) == ("Archived", "Replaced", [])
            and told.label(2) == ("None", "Refused", [])
        ),
        lambda: f"{[told.label(one) for one in (1, 2, 3)]}\n{told.place.told()}",
    )
    tags = told.world.made.client.get_model_version(told.registered, "3").tags
    status = told.place.version(f"{MODEL}-v3")["status"]
    assert tags[told.tag("digest")] == status["digest"]
    assert status["changes"]["against"] == 1 and tags[told.tag("changes")] == status["changes"]["summary"]
    assert [key for key in tags if key.startswith(told.tag("served "))]


def test_mlflow_alone_tells_what_changed_and_why_a_version_was_refused(told: Told) -> None:
    client, errors = told.world.made.client, told.world.made.errors
    found = {one: client.get_model_version(told.registered, str(one)) for one in (2, 3)}
    assert "serving since" in found[3].description
    assert f"{errors['worse']:.6g}" in found[2].description and f"{errors['fair']:.6g}" in found[2].description
    (page,) = [
        one.path
        for one in client.list_artifacts(found[2].run_id, f"slipway/demo/{told.place.namespace}")
        if one.path.endswith(".html") and f"{MODEL}-v2-" in one.path
    ]
    assert page in found[2].description, "a link leads to it"


def test_a_rollback_returns_to_the_warm_predecessor_and_is_not_replayed_when_every_status_is_lost(told: Told) -> None:
    place = told.place
    jobs = {version: place.jobs(MODEL, version) for version in (1, 2, 3)}
    warm = {pod["metadata"]["uid"] for pod in place.serving_pods(MODEL, 1)}
    assert len(warm) == 2, "the predecessor is kept warm"
    place.annotate("rmodel", MODEL, refresh="the-pods-have-the-image-of-now")  # and no rollback is lost by it
    with told.world.entrance(place, MODEL) as way, told.world.load(way, told.answers(1, 3)) as load:
        began = time.monotonic()
        place.annotate("rmodel", MODEL, rollback="it-is-too-slow")
        poll("version 1 has the traffic", 20, lambda: place.champion(MODEL) == 1, place.told)
        took = time.monotonic() - began
        poll("only version 1 answers", 60, lambda: _silent(load.tally, "3", "1"), place.told)
        assert load.stop()["failed"] == 0, load.tally
        print(f"rolled back within {took:.1f} s")
        assert {pod["metadata"]["uid"] for pod in place.serving_pods(MODEL, 1)} == warm, "its warm pods, no new ones"
        place.until(f"{MODEL}-v3", "Released", "False", "RolledBack", 20)
        poll(
            "the labels follow",
            30,
            lambda: (
                told.label(1) == ("Production", "Serving", ["champion"])
                and told.label(3)[:2] == ("Archived", "RolledBack")
            ),
            lambda: f"{[told.label(one) for one in (1, 2, 3)]}\n{place.told()}",
        )
        for kind, name in (("mv", f"{MODEL}-v1"), ("mv", f"{MODEL}-v3"), ("rmodel", MODEL)):
            place.kubectl(
                "patch",
                kind,
                name,
                "--subresource=status",
                "--type=json",
                '-p=[{"op": "remove", "path": "/status"}]',
                *AS_OPERATOR,
            )
        place.until(f"{MODEL}-v3", "Released", "False", "RolledBack", 60)
        place.until_serving(f"{MODEL}-v1", 60)
        assert told.answering(way, 1)
    assert place.champion(MODEL) == 1
    ledger = place.ledger(MODEL)
    assert (ledger["champion"], ledger["hold"]["by"]) == (1, "unknown")
    assert [one["version"] for one in ledger["rolledBack"]] == [3]
    assert jobs[1] == place.jobs(MODEL, 1), "nothing that was released is judged again"


def test_asked_for_anew_the_version_comes_back_and_its_predecessor_goes_when_its_warm_time_is_over(told: Told) -> None:
    place = told.place
    place.kubectl("patch", "rmodel", MODEL, "--type=merge", '-p={"spec": {"rollout": {"keepWarm": "5s"}}}')
    place.annotate("mv", f"{MODEL}-v3", retry="try-it-again")
    place.until(f"{MODEL}-v3", "Released", "False", "Held", 120)  # judged anew before: its status was lost
    place.annotate("rmodel", MODEL, resume="by=admin, reason=it was the network")
    place.until_serving(f"{MODEL}-v3")
    with told.world.entrance(place, MODEL) as way:
        poll("version 3 answers", 20, lambda: told.answering(way, 3), place.told)
    poll("version 1 is retired", 30, lambda: not place.serving_pods(MODEL, 1), place.told)
    assert not place.get("deployment", f"{MODEL}-v1")
    assert len(place.serving_pods(MODEL, 3)) == 2


def test_whoever_may_edit_forges_no_history_no_report_and_no_ledger(told: Told) -> None:
    place = told.place
    place.kubectl("create", "rolebinding", "edits", "--clusterrole=edit", "--user=eve")
    service = place.get("service", MODEL)
    labels = {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/model": MODEL, "slipway.dev/version": "99"}
    selector = {**service["spec"]["selector"], "slipway.dev/version": "99"}
    forged = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "forged",
            "labels": labels,
            "annotations": {"slipway.dev/released": '{"99": "sha256:ee"}'},
        },
        "spec": {"selector": selector, "ports": [{"port": 80}]},
    }
    judge = {"restartPolicy": "Never", "containers": [{"name": "judge", "image": told.world.images.runner}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "forged", "labels": labels | {"slipway.dev/purpose": "validate"}},
        "spec": {"template": {"spec": judge}},
    }
    for manifest in (forged, job):
        with pytest.raises(Broken, match=r"slipway|may not"):
            create = ("kubectl", "-n", place.namespace, "create", "--as=eve", "-f", "-")
            place.kube.run(*create, given=json.dumps(manifest))
    with pytest.raises(Broken, match=r"slipway|may not"):
        moved = json.dumps({"spec": {"selector": selector}})
        place.kubectl("patch", "--as=eve", "service", MODEL, "--type=merge", "-p", moved)
    with pytest.raises(Broken, match=r"forbidden|may not"):
        place.kubectl("delete", "--as=eve", "modelledger", MODEL)
    assert place.get("service", MODEL)["spec"]["selector"] == service["spec"]["selector"]
    assert not place.every("deployments", model=MODEL, version="99")


def test_without_mlflow_and_with_every_pod_deleted_the_same_predictions_come_back(told: Told) -> None:
    place = told.place
    champion = place.champion(MODEL)
    assert champion is not None
    with told.world.entrance(place, MODEL) as way, mlflow_gone(place.kube):
        before = {pod["metadata"]["uid"] for pod in place.serving_pods(MODEL, champion)}
        place.kubectl(
            "delete", "pods", "-l", f"slipway.dev/model={MODEL},slipway.dev/track", "--wait=false", "--grace-period=1"
        )

        def anew() -> bool:
            pods = {pod["metadata"]["uid"] for pod in place.serving_pods(MODEL, champion)}
            return bool(pods) and not pods & before and _answers(told, way, champion)

        poll("the same predictions from new pods", 90, anew, place.told)
        assert place.champion(MODEL) == champion, "silence changes nothing"


def _answers(told: Told, way: Entrance, version: int) -> bool:
    """A wrong answer is a failure, none yet is not."""
    try:
        return told.answering(way, version)
    except Wrong as wrong:
        pytest.fail(str(wrong))
