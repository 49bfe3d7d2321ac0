"""A server that dies in the rehearsal: nobody waits for a pod that would start it again and again."""

from typing import Any

from slipway.api import tasks

from tests.controller.test_environments import job, steps
from tests.declared import model, version
from tests.simulation import Simulation


def world() -> Simulation:
    found = Simulation()
    found.start()
    found.cluster.put(model())
    return found


def test_a_version_whose_server_dies_is_refused_soon_with_the_end_of_its_log() -> None:
    of = world()
    of.dies.add(1)
    of.cluster.put(version(1))
    of.settle()
    assert job(of, 1, "validate"), "a judge that was being answered ends by itself, and its Job is looked at"
    of.advance(35)
    found = of.condition("ModelVersion", "flights-v1", "Validated")
    assert (found["status"], found["reason"]) == ("False", "ModelCrashed")
    assert "Step 'serve-candidate' ended with code 139" in found["message"]
    assert "Segmentation fault" in found["message"]
    assert not job(of, 1, "validate"), "its pod would go on for as long as the judge waits"
    assert of.route() != "1"


def test_what_is_rehearsed_is_what_is_served() -> None:
    """But for the names of its volumes, and how it is looked after."""
    of = world()
    of.cluster.put(version(1))
    of.settle()
    of.advance(10)
    rehearsed = steps(job(of, 1, "validate"))[tasks.SERVER]
    template = of.cluster.objects[("Deployment", "ml", "flights-v1")]["spec"]["template"]
    served = template["spec"]["containers"][0]
    probes = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "restartPolicy", "name")

    def said(container: Any) -> dict[str, Any]:
        drains = [one for one in container["env"] if one["name"] != "SLIPWAY_DRAIN_SECONDS"]
        paths = {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}
        kept = {key: value for key, value in container.items() if key not in probes}
        return kept | {"env": drains, "volumeMounts": paths}

    assert said(rehearsed) == said(served)


def test_the_rehearsed_server_sees_no_data_and_no_prediction() -> None:
    of = world()
    of.cluster.put(version(1))
    of.settle()
    of.advance(10)
    rehearsed = steps(job(of, 1, "validate"))[tasks.SERVER]
    assert {one["mountPath"] for one in rehearsed["volumeMounts"]} == {tasks.CANDIDATE, "/tmp"}
    assert tasks.VARIABLE not in {one["name"] for one in rehearsed["env"]}
