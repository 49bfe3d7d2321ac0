"""Network policies of model code: what it reaches, and what it never does."""

import json
from ipaddress import ip_address, ip_network
from typing import Any

import yaml
from slipway.api import names
from slipway.api.addresses import NEVER
from slipway.resources import naming

from tests import worlds
from tests.chart.helm import EGRESS, NAMESPACED, ROOT, Manifest, of_kind, one, rendered
from tests.pages import blocks

RULES = [{"to": [{"ipBlock": {"cidr": "10.1.0.0/24"}}], "ports": [{"port": 443}]}]
INTERNET = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0", "except": ["2001:db8::/32"]}}]}]
DNS_AND_STORE = [
    {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    },
    {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "platform"}},
                "podSelector": {
                    "matchLabels": {
                        "app.kubernetes.io/name": "slipway",
                        "app.kubernetes.io/instance": "slipway",
                        "app.kubernetes.io/component": "store",
                    }
                },
            }
        ],
        "ports": [{"port": 5000, "protocol": "TCP"}],
    },
]


def confining(values: dict[str, Any]) -> dict[str, Manifest]:
    """The policies for model code, by their place."""
    found = of_kind(rendered(values), "NetworkPolicy")
    return {
        "/".join((each["metadata"]["namespace"], each["metadata"]["name"])): each
        for each in found
        if each["spec"]["policyTypes"] == ["Egress"]
    }


def test_model_code_reaches_dns_the_store_and_what_is_allowed() -> None:
    found = confining({"egress": EGRESS | {"allow": RULES}})
    assert set(found) == {"ml/slipway-validate", "ml/slipway-serve"}
    for each in found.values():
        assert each["spec"]["egress"] == [*DNS_AND_STORE, *RULES]
    store = one(rendered({}), "Deployment", "slipway-store")["spec"]
    peer = DNS_AND_STORE[1]["to"][0]["podSelector"]
    assert peer == store["selector"]
    reader = next(one for one in store["template"]["spec"]["containers"] if one["name"] == "reader")
    (port,) = reader["ports"]
    assert port["containerPort"] == 5000


def test_the_policies_choose_the_pods_that_slipway_makes() -> None:
    found = confining({"egress": EGRESS})
    model = worlds.model()
    of_version = naming.selector(model.metadata.name, 1)
    (key,) = found["ml/slipway-serve"]["spec"]["podSelector"]["matchExpressions"]
    assert key == {"key": names.TRACK, "operator": "Exists"} and names.TRACK in of_version
    chosen = found["ml/slipway-validate"]["spec"]["podSelector"]["matchLabels"]
    assert chosen == {names.PURPOSE: "validate"}


def test_models_that_serve_do_not_reach_the_evaluation_data() -> None:
    found = confining({"egress": EGRESS | {"allowValidation": RULES}})
    assert found["ml/slipway-validate"]["spec"]["egress"] == [*DNS_AND_STORE, *RULES]
    assert found["ml/slipway-serve"]["spec"]["egress"] == DNS_AND_STORE


def test_the_whole_internet_has_no_metadata_service_and_no_denied_range_in_it() -> None:
    denied = {"deniedCidrs": ["10.96.0.0/12", "fd00:1::/48"]}
    found = confining({"egress": EGRESS | {"allow": INTERNET}, "data": denied})
    four, six = (peer["ipBlock"] for peer in found["ml/slipway-serve"]["spec"]["egress"][-1]["to"])
    left_out = {ip_network(cidr) for block in (four, six) for cidr in block["except"]}
    assert all(
        any(metadata in cidr for cidr in left_out)
        for metadata in map(ip_address, ("169.254.169.254", "100.100.100.200", "fd00:ec2::254"))
    )
    assert {ip_network("10.96.0.0/12"), ip_network("fd00:1::/48"), ip_network("2001:db8::/32")} <= left_out
    metadata = {cidr for cidr, kind in NEVER.items() if kind.startswith(("a cloud", "a link-local"))}
    assert metadata <= left_out, "what the fetch never reads, the policy never opens"


def test_the_policies_are_where_the_models_are() -> None:
    served = confining({**NAMESPACED, "egress": {"enabled": True}})
    assert {place.partition("/")[0] for place in served} == {"ml", "vision"}
    assert not confining({})


def test_the_page_has_the_manifest_for_namespaces_that_come_later() -> None:
    shown = [
        yaml.safe_load(text)
        for block in blocks(ROOT / "docs" / "operating.md")
        if "kind: NetworkPolicy" in block.text
        for text in block.text.split("---\n")
    ]
    made = confining({"egress": EGRESS | {"namespaces": [shown[0]["metadata"]["namespace"]]}})
    assert {"/".join((each["metadata"]["namespace"], each["metadata"]["name"])) for each in shown} == set(made)
    for each in shown:
        assert each["apiVersion"] == "networking.k8s.io/v1"
        same = made["/".join((each["metadata"]["namespace"], each["metadata"]["name"]))]
        there = json.loads(json.dumps(same["spec"]).replace('"platform"', '"slipway-system"'))
        assert each["spec"] == there
