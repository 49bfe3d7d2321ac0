"""The receiver of webhooks: not there unless asked for, and open to those who are named."""

from typing import Any

import pytest

from tests.chart.helm import NAMESPACED, Manifest, of_kind, one, rendered

ON: dict[str, Any] = {"enabled": True}
MLFLOW = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlflow"}}}]
OPERATOR = {
    "app.kubernetes.io/name": "slipway",
    "app.kubernetes.io/instance": "slipway",
    "app.kubernetes.io/component": "operator",
}


def webhooks(**values: Any) -> list[Manifest]:
    return rendered({"webhooks": ON | values})


def container(manifests: list[Manifest]) -> Manifest:
    found: Manifest = one(manifests, "Deployment", "slipway")["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(manifests: list[Manifest]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(manifests)["env"]}


def test_by_default_nobody_listens(manifests: list[Manifest]) -> None:
    assert {port["name"] for port in container(manifests)["ports"]} == {"http"}
    assert not {name for name in environment(manifests) if "WEBHOOK" in name}
    assert not [each for each in manifests if each["metadata"]["name"] == "slipway-webhooks"]


@pytest.mark.parametrize("mode", [{}, NAMESPACED])
def test_all_replicas_receive_at_a_port_of_its_own(mode: dict[str, Any]) -> None:
    found = rendered({**mode, "webhooks": ON})
    service = one(found, "Service", "slipway-webhooks")["spec"]
    pod = one(found, "Deployment", "slipway")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"] == OPERATOR and service["selector"].items() <= pod.items()
    assert service["ports"] == [{"name": "webhooks", "port": 8081, "targetPort": "webhooks"}]
    assert {"name": "webhooks", "containerPort": 8081} in container(found)["ports"]
    told = environment(found)
    assert told["SLIPWAY_WEBHOOK_PORT"] == "8081"
    assert told["SLIPWAY_WEBHOOK_URL"] == "http://slipway-webhooks.platform.svc:8081"
    assert told["SLIPWAY_ADDRESS"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_it_takes_no_right_more() -> None:
    kinds = ("Role", "ClusterRole")
    assert of_kind(webhooks(), *kinds) == of_kind(rendered(), *kinds)


INGRESS = {"enabled": True, "host": "hooks.example.com"}


@pytest.mark.parametrize(
    ("because", "values", "want"),
    [
        ("as it is told", {"url": "https://hooks.example.com/slipway/"}, "https://hooks.example.com/slipway"),
        ("by the Ingress", {"ingress": INGRESS}, "http://hooks.example.com"),
        ("with its certificate", {"ingress": INGRESS | {"tlsSecret": "hooks"}}, "https://hooks.example.com"),
        ("by the Service", {"port": 9000}, "http://slipway-webhooks.platform.svc:9000"),
    ],
)
def test_where_registries_reach_it(because: str, values: dict[str, Any], want: str) -> None:
    assert environment(webhooks(**values))["SLIPWAY_WEBHOOK_URL"] == want, because


def test_the_policy_opens_its_port_to_those_who_are_named_and_to_the_other_replicas() -> None:
    policy = one(webhooks(networkPolicy={"from": MLFLOW}), "NetworkPolicy", "slipway-webhooks")["spec"]
    assert policy["podSelector"] == {"matchLabels": OPERATOR} and policy["policyTypes"] == ["Ingress"]
    metrics, hooks = policy["ingress"]
    assert metrics == {"ports": [{"port": "http", "protocol": "TCP"}]}
    assert hooks["ports"] == [{"port": "webhooks", "protocol": "TCP"}]
    assert hooks["from"] == [*MLFLOW, {"podSelector": {"matchLabels": OPERATOR}}]


def test_the_policy_opens_its_port_to_everybody_unless_somebody_is_named() -> None:
    _, hooks = one(webhooks(), "NetworkPolicy", "slipway-webhooks")["spec"]["ingress"]
    assert hooks == {"ports": [{"port": "webhooks", "protocol": "TCP"}]}
    assert "slipway-webhooks" not in str(of_kind(webhooks(networkPolicy={"enabled": False}), "NetworkPolicy"))


def test_an_ingress_leads_to_the_service() -> None:
    found = webhooks(ingress=INGRESS | {"className": "nginx", "tlsSecret": "hooks"})
    spec = one(found, "Ingress", "slipway-webhooks")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["hooks.example.com"], "secretName": "hooks"}]
    (rule,) = spec["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert (rule["host"], backend) == ("hooks.example.com", {"name": "slipway-webhooks", "port": {"name": "webhooks"}})


def test_a_route_leads_to_the_service() -> None:
    route = {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["hooks.example.com"]}
    spec = one(webhooks(httpRoute=route, url="https://hooks.example.com"), "HTTPRoute", "slipway-webhooks")["spec"]
    assert (spec["parentRefs"], spec["hostnames"]) == ([{"name": "public"}], ["hooks.example.com"])
    assert spec["rules"] == [{"backendRefs": [{"name": "slipway-webhooks", "port": 8081}]}]
