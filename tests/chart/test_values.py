"""Values: what becomes of them, and which are refused, in plain words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway import settings
from slipway.adapters.own_token import TOKEN

from tests.chart.helm import CHART, EGRESS, NAMESPACED, config, of_kind, one, rendered, template
from tests.pages import Block, every_block


@dataclass(frozen=True)
class Refused:
    """Values that the chart does not take, and what it says."""

    name: str
    because: str
    values: dict[str, Any] = field(hash=False)
    want: str


ENVIRONMENTS = {
    "indexes": [],
    "secret": "",
    "proxy": "",
    "pythonMinor": "Exact",
    "unstated": "Refuse",
    "maxSize": "8Gi",
    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
}


def test_settings() -> None:
    assert config(rendered()) == {
        "clusterName": "test",
        "runnerImage": "slipway-runner:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [],
        "store": {
            "url": "http://slipway-store.platform.svc:5000",
            "pushUrl": "http://slipway-store.platform.svc:5001",
            "pushSecret": "slipway-store-push",
        },
        "validations": {"maxConcurrent": 16},
        "imports": {
            "maxConcurrent": 4,
            "maxModelSize": "20Gi",
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        },
        "environments": ENVIRONMENTS,
        "scratchSize": "1Gi",
        "defaultPool": "cpu",
        "pools": [
            {
                "name": "cpu",
                "nodeSelector": {},
                "tolerations": [],
                "runtimeClassName": "",
                "hostUsers": True,
                "resources": {},
                "servingResources": {},
            }
        ],
        "concurrency": 8,
        "relistInterval": "10m",
        "implicitModels": True,
    }
    assert config(rendered({"freeze": "Black Friday"}))["freeze"] == "Black Friday"
    assert config(rendered({"runner": {"imagePullSecrets": [{"name": "pull"}]}}))["imagePullSecrets"] == ["pull"]
    chosen = {"name": "mlflow", "namespace": "platform"}
    assert config(rendered({"defaultRegistry": chosen}))["defaultRegistry"] == chosen
    index = {"name": "team", "url": "https://packages.example.com/simple"}
    environments = config(rendered({"environments": {"indexes": [index], "secret": "index"}}))["environments"]
    assert environments == ENVIRONMENTS | {"indexes": [index], "secret": "index"}
    image = config(rendered({"environments": {"unstated": "Image"}}))["environments"]
    assert image == ENVIRONMENTS | {"unstated": "Image"}
    pythons = config(rendered({"environments": {"indexes": [index]}, "runtimes": {"3.13": "runner-3.13:1"}}))
    assert pythons["runtimes"] == {"3.13": "runner-3.13:1"}
    trusted = {"registries": {"namespaces": ["platform", "ml"]}}
    assert config(rendered(trusted))["registryNamespaces"] == ["platform", "ml"]


GPU = {
    "name": "gpu",
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "runtimeClassName": "gvisor",
    "hostUsers": False,
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "servingResources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "1"}},
}


def test_the_operator_reads_what_the_chart_writes(tmp_path: Path) -> None:
    data = {"allowedHosts": ["minio.storage.svc", "*.example.com", "fd00::7"], "deniedCidrs": ["10.96.0.0/12"]}
    values = {**NAMESPACED, "pools": [GPU], "defaultPool": "gpu", "defaultRegistry": {"name": "r", "namespace": "ml"}}
    values |= {"data": data, "clusterName": "prod", "runtimes": {"3.13": "runner-3.13:1"}}
    values["environments"] = {"indexes": [{"name": "a", "url": "https://x/simple"}], "pythonMinor": "Nearest"}
    found = rendered(values)
    file = tmp_path / "config.yaml"
    file.write_text(one(found, "ConfigMap", "slipway")["data"]["config.yaml"])
    pod = one(found, "Deployment", "slipway")["spec"]["template"]["spec"]
    said = {each["name"]: each.get("value", "platform") for each in pod["containers"][0]["env"]}
    read = settings.load({**said, "SLIPWAY_CONFIG": str(file)})
    assert read.namespace == "platform"
    assert read.watch_namespaces == ("ml", "vision")
    assert read.default_registry is not None and read.default_registry.namespace == "ml"
    pool = read.pool(None)
    assert pool is not None and pool.wire() == GPU
    assert (read.cluster_name, read.data.wire()) == ("prod", data)
    assert (read.image("3.13"), read.environments.python_minor) == ("runner-3.13:1", "Nearest")


def test_other_settings_restart_the_operator_and_not_the_store() -> None:
    def checksums(values: dict[str, Any]) -> Iterator[str]:
        for name in ("slipway", "slipway-store"):
            found = one(rendered(values), "Deployment", name)["spec"]["template"]["metadata"]["annotations"]
            yield found["checksum/config"]

    before, after = list(checksums({})), list(checksums({"concurrency": 4}))
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_another_store_replaces_the_charts() -> None:
    found = rendered({"store": {"enabled": False, "externalUrl": "https://harbor.example.com/"}})
    assert not [each for each in found if each["metadata"]["name"] == "slipway-store"]
    url = "https://harbor.example.com"
    assert config(found)["store"] == {"url": url, "pushUrl": url}
    assert not of_kind(found, "Secret", "NetworkPolicy")
    inside = {"externalPushUrl": "https://push.example.com/", "pushSecret": "robot"}
    found = rendered({"store": {"enabled": False, "externalUrl": url, **inside}})
    assert config(found)["store"] == {"url": url, "pushUrl": "https://push.example.com", "pushSecret": "robot"}


CHAT = {"name": "chat", "url": "https://hooks.example.com/slipway", "secretName": "slipway-events-chat"}
TYPES = ["dev.slipway.modelversion.refused", "dev.slipway.modelversion.released"]


def test_targets_of_events_are_settings_and_their_secrets_are_files(tmp_path: Path) -> None:
    events = {"targets": [CHAT | {"types": TYPES}], "allowedHosts": ["*.monitoring.svc"]}
    found = rendered({"events": events, "data": {"deniedCidrs": ["10.96.0.0/12"]}})
    told = {key: value for key, value in CHAT.items() if key != "secretName"} | {"types": TYPES}
    assert config(found)["events"] == {"allowedHosts": ["*.monitoring.svc"], "targets": [told]}
    file = tmp_path / "config.yaml"
    file.write_text(one(found, "ConfigMap", "slipway")["data"]["config.yaml"])
    read = settings.load({"SLIPWAY_CONFIG": str(file)})
    assert read.events.wire()["targets"] == [told]
    pod = one(found, "Deployment", "slipway")["spec"]["template"]["spec"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "events-chat"]
    assert mount == {"name": "events-chat", "mountPath": str(read.event_secrets / "chat"), "readOnly": True}
    (volume,) = [each for each in pod["volumes"] if each["name"] == "events-chat"]
    wanted = {"secretName": "slipway-events-chat", "items": [{"key": "secret", "path": "secret"}], "optional": True}
    assert volume["secret"] == wanted, "a missing Secret keeps nobody from starting"


def test_the_token_for_registries_is_mounted_where_an_audience_is_named() -> None:
    pod = one(rendered(), "Deployment", "slipway")["spec"]["template"]["spec"]
    assert "registry-token" not in {volume["name"] for volume in pod["volumes"]}
    found = rendered({"registries": {"tokenAudience": "https://mlflow.example.com"}})
    pod = one(found, "Deployment", "slipway")["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if each["name"] == "registry-token")
    token = {"audience": "https://mlflow.example.com", "expirationSeconds": 3600, "path": TOKEN.name}
    assert volume["projected"] == {"sources": [{"serviceAccountToken": token}]}
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "registry-token")
    assert (mount["mountPath"], mount["readOnly"]) == (str(TOKEN.parent), True)


AUDIENCES = ("https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local/", "kubernetes.default")

REFUSED = [
    *(Refused(f"a token for {audience}", "whoever gets it could act as the operator",
              {"registries": {"tokenAudience": audience}}, "which the API server takes for itself")
      for audience in AUDIENCES),
    Refused("no name of the cluster", "two clusters would overwrite each other's tags", {"clusterName": ""},
            "clusterName is not set: give this cluster a name of its own, such as `--set clusterName=prod`"),
    Refused("a name that is no part of a tag", "tags are keys", {"clusterName": "our cluster"}, "/clusterName'"),
    Refused("a URL as a host", "hosts are names", {"data": {"allowedHosts": ["http://a"]}}, "/data/allowedHosts/0'"),
    Refused("everything allowed", "then there is no rule", {"data": {"allowedHosts": ["*"]}}, "/data/allowedHosts/0'"),
    Refused("an address as a range", "how long is it?", {"data": {"deniedCidrs": ["10.0.0.1"]}},
            "/data/deniedCidrs/0'"),
    Refused("egress nowhere", "policies are of namespaces", {"egress": {"enabled": True}},
            "egress.enabled needs to know where models are"),
    Refused("egress to no store", "no pod would start",
            {"egress": EGRESS, "store": {"enabled": False, "externalUrl": "https://harbor.example.com"}},
            "egress.enabled keeps pods from the store at store.externalUrl: allow its address in egress.allow"),
    Refused("egress to everybody by mistake", "a rule without `to` means everywhere",
            {"egress": EGRESS | {"allow": [{"ports": [{"port": 443}]}]}}, "/egress/allow/0': missing property 'to'"),
    Refused("runtime class in capitals", "no such name", {"pools": [{"name": "cpu", "runtimeClassName": "Kata"}]},
            "/pools/0/runtimeClassName'"),
    Refused("misspelt value", "a typo is not silently dropped", {"concurency": 4}, "'concurency' not allowed"),
    Refused("namespaces as text", "a list is meant", {"watch": {"namespaces": "ml"}}, "/watch/namespaces': got string"),
    Refused("the control plane's namespace", "nobody asks for a model there", {"watch": {"namespaces": ["kube-system"]}},
            "Slipway stays out of kube-*: neither the release nor watch.namespaces may name kube-system"),
    Refused("a writer with a quote", "it would end the expression", {"admission": {"writers": ["a'b"]}},
            "/admission/writers/0'"),
    Refused("no concurrency", "nothing would be done", {"concurrency": 0}, "/concurrency': minimum: got 0, want 1"),
    Refused("replicas without end", "one acts", {"replicas": 50}, "/replicas': maximum: got 50, want 5"),
    Refused("interval in words", "h, m and s", {"relistInterval": "often"}, "/relistInterval': 'often' does not match"),
    Refused("pool without a name", "it is asked for by name", {"pools": [{}]}, "/pools/0': missing property 'name'"),
    Refused("pool in capitals", "models could not ask for it", {"pools": [{"name": "GPU"}]}, "/pools/0/name'"),
    Refused("half a registry", "where is it?", {"defaultRegistry": {"name": "mlflow"}}, "'namespace'"),
    Refused("credential in a URL", "it would be readable by all", {"store": {"externalUrl": "https://a:b@c"}},
            "/store/externalUrl'"),
    Refused("a password in an index", "it is in the log of whoever fails",
            {"environments": {"indexes": [{"name": "a", "url": "https://u:p@x/simple"}]}}, "/environments/indexes/0/url'"),
    Refused("a Python without its minor version", "which is meant?", {"runtimes": {"3": "runner:3"}}, "'3' not allowed"),
    Refused("other Pythons without an index", "nobody would look what they have", {"runtimes": {"3.13": "runner-3.13:1"}},
            "runtimes needs environments.indexes"),
    Refused("size without a unit", "20 bytes?", {"imports": {"maxModelSize": "20"}}, "/imports/maxModelSize'"),
    Refused("unknown default pool", "no pod could be placed", {"defaultPool": "gpu"},
            'defaultPool is "gpu", which is none of the pools: cpu'),
    Refused("one pool twice", "which is meant?", {"pools": [{"name": "cpu"}, {"name": "cpu"}]},
            "two pools have the same name: cpu, cpu"),
    Refused("alerts about nothing", "what would be scraped?",
            {"metrics": {"service": {"enabled": False}, "rules": {"enabled": True}}},
            "metrics.serviceMonitor and metrics.rules scrape the Service: set metrics.service.enabled to true"),
    Refused("interval of no unit", "Prometheus wants one", {"metrics": {"serviceMonitor": {"interval": "30"}}},
            "/metrics/serviceMonitor/interval'"),
    Refused("interval of no unit for pods", "Prometheus wants one", {"metrics": {"podMonitor": {"interval": "30"}}},
            "/metrics/podMonitor/interval'"),
    Refused("a receiver nobody finds", "what would MLflow ask?",
            {"webhooks": {"enabled": True, "ingress": {"enabled": True}}}, "webhooks.ingress needs a host"),
    Refused("a route of no Gateway", "who would forward?",
            {"webhooks": {"enabled": True, "httpRoute": {"enabled": True}}},
            "webhooks.httpRoute needs to know its Gateway"),
    Refused("a route that tells no URL", "what would MLflow ask?",
            {"webhooks": {"enabled": True, "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
            "set webhooks.url"),
    Refused("two servers at one port", "only one can listen", {"webhooks": {"port": 8080}}, "/webhooks/port'"),
    Refused("a URL with a password", "whoever reads it would have it",
            {"webhooks": {"url": "https://a:b@hooks.example.com"}}, "/webhooks/url'"),
    Refused("one target of events twice", "which is meant?", {"events": {"targets": [CHAT, CHAT]}},
            "two of events.targets have the same name: chat"),
    Refused("an unsigned target of events", "anybody could send such", {"events": {"targets": [CHAT | {"secretName": ""}]}},
            "/events/targets/0/secretName'"),
    Refused("a credential in the URL of a target", "it would be readable by all",
            {"events": {"targets": [CHAT | {"url": "https://a:b@c/"}]}}, "/events/targets/0/url'"),
    Refused("a type of event that there is not", "nothing would ever come",
            {"events": {"targets": [CHAT | {"types": ["dev.slipway.model.refused"]}]}}, "/events/targets/0/types/0'"),
    Refused("no store", "imports need one", {"store": {"enabled": False}},
            "there is no artifact store: set store.enabled to true, or store.externalUrl"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
def test_values_are_refused_in_plain_words(case: Refused) -> None:
    done = template(case.values)
    assert done.returncode != 0, f"accepted, although {case.because}"
    assert case.want in done.stderr


@pytest.mark.parametrize(
    "block", [one for one in every_block() if one.mark == "chart"], ids=lambda block: block.where.replace(" ", "-")
)
def test_values_in_pages_are_taken(block: Block) -> None:
    assert rendered(yaml.safe_load(block.text))


def test_every_value_is_in_the_schema_and_described() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    assert not values.keys() - schema["properties"].keys()
    described = sum("#" in line for line in lines)
    assert described > len(values)
