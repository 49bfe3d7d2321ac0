"""The chart's pods: restricted, and always one of them there."""

from typing import Any

import pytest

from tests.chart.helm import CHART, MODES, NAMESPACED, Manifest, helm, of_kind, one, rendered


@pytest.mark.parametrize("values", MODES.values(), ids=MODES.keys())
def test_lint(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    deployments = of_kind(manifests, "Deployment")
    assert {each["metadata"]["name"] for each in deployments} == {"slipway", "slipway-store"}
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]
            assert container["livenessProbe"] and container["readinessProbe"]


def test_one_store_and_two_operators_of_which_one_is_always_there(manifests: list[Manifest]) -> None:
    store = one(manifests, "Deployment", "slipway-store")["spec"]
    assert (store["replicas"], store["strategy"]) == (1, {"type": "Recreate"}), "one volume, one writer"
    operator = one(manifests, "Deployment", "slipway")["spec"]
    assert operator["replicas"] == 2
    assert operator["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    labels = operator["template"]["metadata"]["labels"]
    (spread,) = operator["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    budget = one(manifests, "PodDisruptionBudget", "slipway")["spec"]
    assert budget["maxUnavailable"] == 1
    for chosen in (spread["labelSelector"], budget["selector"]):
        assert chosen["matchLabels"] == operator["selector"]["matchLabels"]
        assert chosen["matchLabels"].items() <= labels.items()


def test_one_operator_has_no_budget_that_would_hold_up_a_drain() -> None:
    assert not of_kind(rendered({"replicas": 1}), "PodDisruptionBudget")
    assert not of_kind(rendered({"podDisruptionBudget": {"enabled": False}}), "PodDisruptionBudget")


def test_a_spread_of_ones_own_replaces_the_charts() -> None:
    own = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    pod = one(rendered({"topologySpreadConstraints": [own]}), "Deployment", "slipway")["spec"]["template"]["spec"]
    assert pod["topologySpreadConstraints"] == [own]


def test_the_operator_may_hold_the_lease_that_it_is_told_of(manifests: list[Manifest]) -> None:
    pod = one(manifests, "Deployment", "slipway")["spec"]["template"]["spec"]
    said = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert said["SLIPWAY_LEASE"] == "slipway"
    assert said["SLIPWAY_IDENTITY"] == "$(POD_NAME)_$(POD_UID)"
    role = one(manifests, "Role", "slipway-own")
    (rule,) = [each for each in role["rules"] if each["resources"] == ["leases"]]
    assert {"get", "create", "update"} <= set(rule["verbs"])
    assert role["metadata"]["namespace"] == "platform"


def test_the_operators_pod() -> None:
    pod = one(rendered(NAMESPACED), "Deployment", "slipway")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    said = {each["name"]: each.get("value") for each in container["env"]}
    assert said == {
        "SLIPWAY_NAMESPACE": None,  # the downward API's
        "POD_NAME": None,
        "POD_UID": None,
        "SLIPWAY_LEASE": "slipway",
        "SLIPWAY_IDENTITY": "$(POD_NAME)_$(POD_UID)",
        "SLIPWAY_WATCH_NAMESPACES": "ml,vision",
        "SLIPWAY_CONFIG": "/etc/slipway/config.yaml",
        "SLIPWAY_LOG_FORMAT": "json",
        "SLIPWAY_LOG_LEVEL": "INFO",
    }
    assert container["command"] == ["python", "-m", "slipway"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert pod["terminationGracePeriodSeconds"] == 60


def test_uninstalling_keeps_models_and_artifacts(manifests: list[Manifest]) -> None:
    kept = of_kind(manifests, "CustomResourceDefinition", "PersistentVolumeClaim")
    assert len(kept) == 5
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in kept)
