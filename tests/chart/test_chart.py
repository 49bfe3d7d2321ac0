"""The chart as Helm renders it: least privilege, restricted pods, and values that are refused in plain words."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway import settings
from slipway.api import names
from slipway.resources import naming
from slipway.runner.network import NEVER

from tests import worlds
from tests.pages import blocks

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "slipway"
CACHE = Path(
    os.environ.get("SLIPWAY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway"
)
NAMESPACED = {"watch": {"namespaces": ["ml", "vision"]}}
MODES: dict[str, dict[str, Any]] = {"cluster-wide": {}, "namespaced": NAMESPACED}
READ = {"get", "list", "watch"}

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """Values that the chart does not take, and what it says."""

    name: str
    because: str
    values: dict[str, Any] = field(hash=False)
    want: str


def helm(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Helm on the chart, as for the oldest Kubernetes that is supported."""
    local = CACHE / "bin" / "helm"
    program = str(local) if local.exists() else shutil.which("helm")
    if not program:
        pytest.skip("helm is neither in the cache nor in PATH; run `dev/cluster up`")
    words = [program, *arguments, "--kube-version", "1.31.0", "--values", "-"]
    given = {"clusterName": "test"} | (values or {})
    return subprocess.run(words, check=False, input=json.dumps(given), capture_output=True, text=True, timeout=60)


def template(values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    return helm("template", "slipway", str(CHART), "--namespace", "platform", values=values)


def rendered(values: dict[str, Any] | None = None) -> list[Manifest]:
    """The manifests that these values make."""
    done = template(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The chart in each of its modes."""
    return rendered(request.param)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def config(manifests: list[Manifest]) -> Any:
    return yaml.safe_load(one(manifests, "ConfigMap", "slipway")["data"]["config.yaml"])


def granted(manifests: list[Manifest], *names: str) -> set[tuple[str, str]]:
    """(verb, resource) that roles of these names grant."""
    return {
        (verb, resource)
        for role in of_kind(manifests, "Role", "ClusterRole")
        if role["metadata"]["name"] in names
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("values", MODES.values(), ids=MODES.keys())
def test_lint(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


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
    found = rendered({"implicitModels": False})
    assert ("create", "registeredmodels") not in granted(found, "slipway")
    assert config(found)["implicitModels"] is False
    assert "slipway.dev/implicit" in json.dumps(of_kind(manifests, POLICY))
    assert "slipway.dev/implicit" not in json.dumps(of_kind(found, POLICY))


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


POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
POLICIES = {"modelversions", "registeredmodels", "modelregistries", "objects", "exec", "operator"}


def policy(manifests: list[Manifest], ending: str) -> str:
    """The full name of the policy that ends so."""
    (found,) = [
        p["metadata"]["name"] for p in of_kind(manifests, POLICY) if p["metadata"]["name"].endswith(f"-{ending}")
    ]
    return str(found)


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
        imports = {names.MANAGED_BY: names.MANAGER, names.PURPOSE: "import"}
        assert pushing["from"] == [{"podSelector": {"matchLabels": imports}}], "of the release's namespace"


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


def test_every_binding_names_a_role_and_the_operators_account(manifests: list[Manifest]) -> None:
    roles = {(r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"]) for r in manifests}
    for binding in of_kind(manifests, "RoleBinding", "ClusterRoleBinding"):
        reference = binding["roleRef"]
        assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in roles
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "slipway", "namespace": "platform"}]


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
    values |= {"data": data, "clusterName": "prod"}
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


def test_uninstalling_keeps_models_and_artifacts(manifests: list[Manifest]) -> None:
    kept = of_kind(manifests, "CustomResourceDefinition", "PersistentVolumeClaim")
    assert len(kept) == 5
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in kept)


EGRESS = {"enabled": True, "namespaces": ["ml"]}
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


REFUSED = [
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
    Refused("no store", "imports need one", {"store": {"enabled": False}},
            "there is no artifact store: set store.enabled to true, or store.externalUrl"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
def test_values_are_refused_in_plain_words(case: Refused) -> None:
    done = template(case.values)
    assert done.returncode != 0, f"accepted, although {case.because}"
    assert case.want in done.stderr


def test_every_value_is_in_the_schema_and_described() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    assert not values.keys() - schema["properties"].keys()
    described = sum("#" in line for line in lines)
    assert described > len(values)
