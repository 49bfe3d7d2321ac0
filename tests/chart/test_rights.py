"""Who may do what: the operator no more than it needs, people by role."""

import json

import pytest

from tests.chart.helm import NAMESPACED, POLICY, READ, Manifest, config, granted, of_kind, one, policy, rendered


def test_no_wildcard_anywhere_in_rbac(manifests: list[Manifest]) -> None:
    roles = of_kind(manifests, "Role", "ClusterRole")
    assert roles
    for role in roles:
        assert "*" not in json.dumps(role["rules"]), role["metadata"]["name"]


def test_secrets_are_read_by_name_and_only_where_registries_are(manifests: list[Manifest]) -> None:
    for role in of_kind(manifests, "Role", "ClusterRole"):
        for rule in role["rules"]:
            if "secrets" in rule["resources"]:
                assert role["kind"] == "Role"
                assert role["metadata"]["namespace"] == "platform"
                assert not {"list", "watch", "update"} & set(rule["verbs"])


def test_registry_namespaces_are_as_asked() -> None:
    found = rendered({"registries": {"namespaces": ["ml", "mlops"]}})
    readers = [
        r["metadata"]["namespace"] for r in of_kind(found, "Role") if r["metadata"]["name"] == "slipway-registries"
    ]
    assert readers == ["ml", "mlops"]
    assert ("get", "secrets") not in granted(found, "slipway", "slipway-own")


def test_namespaced_mode_makes_nothing_cluster_wide() -> None:
    found = rendered({**NAMESPACED, "crds": {"enabled": False}, "admission": {"enabled": False}})
    assert not of_kind(found, "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition")
    assert all(each["metadata"].get("namespace") for each in found)
    served = [role["metadata"]["namespace"] for role in of_kind(found, "Role") if role["metadata"]["name"] == "slipway"]
    assert served == ["ml", "vision"]


def test_both_modes_grant_the_same_where_models_are() -> None:
    more = granted(rendered(), "slipway") - granted(rendered(NAMESPACED), "slipway")
    assert more == {("list", "namespaces"), ("watch", "namespaces")}  # which of them opted in
    assert granted(rendered(NAMESPACED), "slipway") <= granted(rendered(), "slipway")


def test_what_the_operator_may_write_is_confined_by_a_policy(manifests: list[Manifest]) -> None:
    rules = one(of_kind(manifests, POLICY), POLICY, policy(manifests, "operator"))["spec"]["matchConstraints"]
    confined = {resource for rule in rules["resourceRules"] for resource in rule["resources"]}
    kinds = {"modelversions", "registeredmodels", "modelregistries", "modelledgers"}
    for verb, resource in granted(manifests, "slipway", "slipway-own"):
        free = resource in {"events", "leases"} or resource.partition("/")[0] in kinds  # the kinds: by a pattern
        assert verb in READ or free or resource in confined, f"{verb} {resource}"
    assert "*/*" in confined


def test_leases_are_written_beside_the_operator_only(manifests: list[Manifest]) -> None:
    held = {(verb, "leases") for verb in ("get", "create", "update", "patch")}
    assert held <= granted(manifests, "slipway-own")
    assert not {resource for _, resource in granted(manifests, "slipway")} & {"leases", "secrets"}


def test_models_that_nobody_declared_can_be_forbidden(manifests: list[Manifest]) -> None:
    assert ("create", "registeredmodels") in granted(manifests, "slipway")
    assert config(manifests)["implicitModels"] is True
    found = rendered({"implicitModels": False, "discoveredModels": False})
    assert ("create", "registeredmodels") not in granted(found, "slipway")
    assert config(found)["implicitModels"] is False


@pytest.mark.parametrize(("value", "mark"), [("implicitModels", "implicit"), ("discoveredModels", "discovered")])
def test_each_kind_of_models_that_nobody_declared_can_be_forbidden(
    manifests: list[Manifest], value: str, mark: str
) -> None:
    found = rendered({value: False})
    assert ("create", "registeredmodels") in granted(found, "slipway")
    assert f"slipway.dev/{mark}" in json.dumps(of_kind(manifests, POLICY))
    assert f"slipway.dev/{mark}" not in json.dumps(of_kind(found, POLICY))


def test_imports_run_beside_the_operator_in_both_modes(manifests: list[Manifest]) -> None:
    wanted = {("create", "jobs"), ("watch", "pods"), ("get", "pods/log"), ("create", "secrets"), ("watch", "services")}
    assert wanted <= granted(manifests, "slipway", "slipway-own")


def test_engineers_may_not_promote(manifests: list[Manifest]) -> None:
    engineer = granted(manifests, "slipway-ml-engineer")
    assert ("create", "modelversions") in engineer
    assert ("promote", "modelversions") not in engineer
    assert {verb for verb, resource in engineer if resource != "modelversions"} == READ


def test_promoters_write_models_and_hold_the_verb_that_guards_them(manifests: list[Manifest]) -> None:
    models = {(verb, "registeredmodels") for verb in ("create", "update", "patch", "delete")}
    assert granted(manifests, "slipway-promoter") == {("promote", "modelversions"), *models}


def test_the_platform_writes_registries_and_holds_the_verb_that_guards_them(manifests: list[Manifest]) -> None:
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "configure")
    assert granted(manifests, "slipway-platform") == {(verb, "modelregistries") for verb in verbs}


def test_the_verb_of_emergencies_is_in_a_role_of_its_own(manifests: list[Manifest]) -> None:
    assert ("break-glass", "modelledgers") in granted(manifests, "slipway-break-glass")
    holders = {
        r["metadata"]["name"] for r in of_kind(manifests, "Role", "ClusterRole") if "break-glass" in str(r["rules"])
    }
    assert holders == {"slipway-break-glass"}


def test_roles_for_registries_are_where_registries_are() -> None:
    found = rendered({**NAMESPACED, "registries": {"namespaces": ["mlops"]}})
    roles = [one for one in of_kind(found, "Role") if one["metadata"]["name"] == "slipway-platform"]
    assert {role["metadata"]["namespace"] for role in roles} == {"ml", "vision", "mlops", "platform"}


def test_the_operator_lacks_the_verbs_that_people_need(manifests: list[Manifest]) -> None:
    held = {verb for verb, _ in granted(manifests, "slipway", "slipway-own", "slipway-registries")}
    assert not held & {"promote", "configure", "break-glass"}


def test_every_binding_names_a_role_and_the_operators_account(manifests: list[Manifest]) -> None:
    roles = {(r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"]) for r in manifests}
    for binding in of_kind(manifests, "RoleBinding", "ClusterRoleBinding"):
        reference = binding["roleRef"]
        assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in roles
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "slipway", "namespace": "platform"}]
