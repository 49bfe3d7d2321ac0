"""Admission policies: each fails closed, is bound once, and is in force where models are."""

import json

from tests.chart.helm import BINDING, NAMESPACED, POLICY, Manifest, of_kind, one, rendered

POLICIES = {"modelversions", "registeredmodels", "modelregistries", "objects", "exec", "operator"}


def test_policies_fail_closed_and_each_is_bound_once(manifests: list[Manifest]) -> None:
    policies = of_kind(manifests, POLICY)
    assert {each["metadata"]["name"].rpartition("-")[2] for each in policies} >= POLICIES
    bindings = {each["spec"]["policyName"]: each["spec"]["validationActions"] for each in of_kind(manifests, BINDING)}
    assert len(bindings) == len(of_kind(manifests, BINDING)) == len(policies)
    for each in policies:
        name = each["metadata"]["name"]
        warns = name.endswith("-unserved")  # it only says that nobody looks there
        assert (each["spec"]["failurePolicy"], bindings[name]) == (
            ("Ignore", ["Warn"]) if warns else ("Fail", ["Deny"])
        )


def test_policies_are_in_force_where_models_are_and_nowhere_else() -> None:
    assert all("matchResources" not in each["spec"] for each in of_kind(rendered(), BINDING))
    bindings = of_kind(rendered({**NAMESPACED, "registries": {"namespaces": ["mlops"]}}), BINDING)
    served = {"ml", "vision"}
    wanted = {
        "modelversions": served,
        "registeredmodels": served,
        "modelregistries": served | {"platform", "mlops"},
        "objects": served | {"platform"},  # imports run there
        "exec": served | {"platform"},
        "operator": set(),  # its account, wherever it acts
    }
    # Another release elsewhere has policies of its own.
    assert {each["metadata"]["name"] for each in bindings} == {f"slipway-platform-{ending}" for ending in wanted}
    for binding in bindings:
        chosen = binding["spec"].get("matchResources", {}).get("namespaceSelector", {}).get("matchExpressions", [])
        ending = binding["metadata"]["name"].rpartition("-")[2]
        assert {name for each in chosen for name in each["values"]} == wanted[ending]
        assert all((each["key"], each["operator"]) == ("kubernetes.io/metadata.name", "In") for each in chosen)


def test_other_writers_are_known_by_user_and_by_group() -> None:
    assert "velero" not in json.dumps(of_kind(rendered(), POLICY))
    found = rendered({"admission": {"writers": ["system:serviceaccount:velero:velero"]}})
    (condition,) = one(found, POLICY, "slipway-objects")["spec"]["matchConditions"]
    assert "request.userInfo.username in ['system:serviceaccount:velero:velero']" in condition["expression"]
    assert "group in ['system:serviceaccount:velero:velero']" in condition["expression"]


def test_policies_can_be_left_out() -> None:
    assert not of_kind(rendered({"admission": {"enabled": False}}), POLICY, BINDING)


def test_the_policy_knows_the_operator_under_another_name() -> None:
    account = "system:serviceaccount:platform:robot"
    assert account in json.dumps(of_kind(rendered({"serviceAccount": {"name": "robot"}}), POLICY))
