"""The artifact store: it deletes nothing, takes writes by password, and is reached by few."""

import base64
import json
from typing import Any

import yaml
from slipway.api import names
from slipway.core import environments, imports

from tests.chart.helm import NAMESPACED, Manifest, config, of_kind, one, rendered


def test_only_slipways_pods_reach_the_store_and_only_imports_its_writing_side() -> None:
    for values, namespaces in (({}, {}), (NAMESPACED, {"ml", "vision", "platform"})):
        found = rendered(values)
        spec = one(found, "NetworkPolicy", "slipway-store")["spec"]
        store = one(found, "Deployment", "slipway-store")["spec"]
        assert spec["podSelector"] == store["selector"]
        assert spec["policyTypes"] == ["Ingress", "Egress"] and not spec.get("egress")
        reading, pushing = spec["ingress"]
        assert [rule["ports"] for rule in (reading, pushing)] == [
            [{"port": port, "protocol": "TCP"}] for port in ("read", "push")
        ]
        (peer,) = reading["from"]
        assert peer["podSelector"] == {"matchLabels": {names.MANAGED_BY: names.MANAGER}}
        chosen = peer["namespaceSelector"].get("matchExpressions", [{"values": []}])
        assert set(chosen[0]["values"]) == set(namespaces)
        (peer,) = pushing["from"]
        assert set(peer) == {"podSelector"}, "of the release's namespace"
        assert peer["podSelector"]["matchLabels"] == {names.MANAGED_BY: names.MANAGER}
        (chosen,) = peer["podSelector"]["matchExpressions"]
        assert (chosen["key"], chosen["operator"]) == (names.PURPOSE, "In")
        assert set(chosen["values"]) == {imports.PURPOSE, imports.DATA_PURPOSE, environments.PURPOSE}


def test_the_stores_network_policy_can_be_left_out() -> None:
    assert not of_kind(rendered({"store": {"networkPolicy": {"enabled": False}}}), "NetworkPolicy")


def store_config(manifests: list[Manifest]) -> Any:
    return yaml.safe_load(one(manifests, "ConfigMap", "slipway-store")["data"]["config.yaml"])


def test_the_store_deletes_nothing_and_asks_for_a_password(manifests: list[Manifest]) -> None:
    found = store_config(manifests)
    assert found["storage"]["delete"] == {"enabled": False}
    assert list(found["auth"]) == ["htpasswd"]
    pod = one(manifests, "Deployment", "slipway-store")["spec"]["template"]["spec"]
    registry, reader = pod["containers"]
    (users,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "users"]
    assert users == {"secretName": "slipway-store-push", "items": [{"key": "htpasswd", "path": "htpasswd"}]}
    assert reader["volumeMounts"] == [{"name": "data", "mountPath": "/var/lib/registry", "readOnly": True}]
    ports = {port["name"]: port["port"] for port in one(manifests, "Service", "slipway-store")["spec"]["ports"]}
    assert ports == {"read": reader["ports"][0]["containerPort"], "push": registry["ports"][0]["containerPort"]}


def test_the_password_is_in_one_secret_and_nowhere_else(manifests: list[Manifest]) -> None:
    (secret,) = of_kind(manifests, "Secret")
    encoded = secret["data"]["password"]
    password = base64.b64decode(encoded).decode()
    assert len(password) == 40
    line = base64.b64decode(secret["data"]["htpasswd"]).decode()
    assert line.startswith("slipway:$2a$"), "bcrypt, which is all that the registry takes"
    assert [password in str(each) or encoded in str(each) for each in manifests].count(True) == 1
    assert config(manifests)["store"]["pushSecret"] == secret["metadata"]["name"]


def test_a_password_of_ones_own_is_named_and_not_made() -> None:
    found = rendered({"store": {"pushSecret": "mine"}})
    assert not of_kind(found, "Secret")
    assert "slipway-store-push" not in json.dumps(found)
    assert config(found)["store"]["pushSecret"] == "mine"


def test_while_it_is_read_only_the_store_has_a_container_to_collect_from() -> None:
    found = rendered({"store": {"readOnly": True}})
    assert store_config(found)["storage"]["maintenance"] == {"readonly": {"enabled": True}}
    (collect,) = [
        each
        for each in one(found, "Deployment", "slipway-store")["spec"]["template"]["spec"]["containers"]
        if each["name"] == "collect"
    ]
    assert {"name": "data", "mountPath": "/var/lib/registry"} in collect["volumeMounts"]
    assert "collect" not in json.dumps(one(rendered(), "Deployment", "slipway-store"))
