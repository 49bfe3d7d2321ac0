"""Alerts and dashboard: every metric in them exists, each alert says what to do, and fires when it should."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from slipway.controller.gauges import FAMILIES
from slipway.controller.telemetry import Telemetry
from slipway.resources.serving import PROGRESS_SECONDS
from slipway.runner.serving.metrics import FAMILIES as OF_PODS

from dev.demo.install import cache
from tests.chart.helm import Manifest, of_kind, one, rendered
from tests.pages import ROOT

GOLDEN = ROOT / "tests" / "resources" / "golden"
RUNBOOKS = "https://git.example.com/slipway/docs/runbooks.md"
ENABLED = {
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "rules": {"enabled": True, "labels": {"release": "prom"}, "runbookUrl": RUNBOOKS},
        "dashboard": {"enabled": True},
    }
}
SERIES = 'job="slipway",namespace="platform"'
# What others expose: Prometheus itself, kube-state-metrics, the kubelet, and the Prometheus client of every process.
OTHERS = {
    "up": {"job", "namespace"},
    "kube_deployment_status_replicas_available": {"namespace", "deployment"},
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "process_resident_memory_bytes": set[str](),
    "process_cpu_seconds_total": set[str](),
}
TARGET = {"job", "namespace", "instance", "pod"}  # labels that Prometheus gives to each series of a target
SERIES_IN = re.compile(r"\b(\w+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*[=!]~?\"")


@dataclass(frozen=True)
class Case:
    """What Prometheus sees (one sample a minute), and which alerts fire after an hour."""

    name: str
    because: str
    series: dict[str, str]
    want: tuple[str, ...]


def counted(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {f"{name}{{{SERIES}{',' if labels else ''}{labels}}}": values}


def about(name: str, values: str, labels: str = 'model="flights"', namespace: str = "ml") -> dict[str, str]:
    """A series about an object, as Prometheus stores it."""
    return counted(name, values, f'exported_namespace="{namespace}",{labels}')


def acting(leader: str = "1x120", relisted: str = "60+60x120", instance: str = "a") -> dict[str, str]:
    """A pod of the operator: whether it leads, and when it listed everything; time begins at 0."""
    pod = f'instance="{instance}"'
    return counted("slipway_leader", leader, pod) | counted("slipway_last_relist_timestamp_seconds", relisted, pod)


def store(available: str = "1x120", free: str = "50x120") -> dict[str, str]:
    claim = 'namespace="platform",persistentvolumeclaim="slipway-store"'
    return {
        'kube_deployment_status_replicas_available{namespace="platform",deployment="slipway-store"}': available,
        f"kubelet_volume_stats_available_bytes{{{claim}}}": free,
        f"kubelet_volume_stats_capacity_bytes{{{claim}}}": "100x120",
    }


UP = counted("up", "1x120") | acting() | store()
READY, STARTED = "slipway_model_champion_pods_ready", "slipway_rollout_started_timestamp_seconds"
SWEPT, INTERVAL = "slipway_registry_last_sweep_timestamp_seconds", "slipway_registry_sweep_interval_seconds"
FALSE = "slipway_registry_condition_false"
TO_CHAT = 'target="chat"'
REFUSED = 'result="refused",reason="GateFailed"'
CASES = [
    Case("quiet", "nothing happens", UP, ()),
    Case("gone", "the pod is not even a target", {}, ("SlipwayOperatorDown",)),
    Case("does not answer", "a target that is down", counted("up", "1x30 0x90"), ("SlipwayOperatorDown",)),
    Case("restart", "a pod may be replaced", UP | counted("up", "1x56 0x1 1x60"), ()),
    Case("never ready", "it leads, and cannot list", UP | acting("1x120", "0x120"), ("SlipwayNobodyActs",)),
    Case("nobody leads", "two stand by", UP | acting("0x120") | acting("0x120", "0x120", "b"), ("SlipwayNobodyActs",)),
    Case("a standby", "one of two leads", UP | acting("0x120", "0x120", "b"), ()),
    Case("a change of leaders", "it takes seconds",
         UP | acting("1x55 0x65") | acting("0x57 1x63", "0x57 3480+60x63", "b"), ()),
    Case("a champion without pods", "its Service answers nobody", UP | about(READY, "2x50 0x70"),
         ("SlipwayChampionDown",)),
    Case("a champion moves to another node", "its pods are back in a minute", UP | about(READY, "2x57 0x1 2x60"), ()),
    Case("a rollout that is stuck", "its pods do not become ready", UP | about(STARTED, "_x30 1800x90"),
         ("SlipwayRolloutStuck",)),
    Case("a rollout", "it began ten minutes ago", UP | about(STARTED, "_x50 3000x70"), ()),
    Case("a rollout that has ended", "its series ends", UP | about(STARTED, "60x55 stale"), ()),
    Case("the API server refuses", "a policy refuses every Deployment",
         UP | counted("slipway_refusals_total", "_x10 1 1+0.2x110", 'reason="AdmissionDenied"'),
         ("SlipwayRefusedByCluster",)),
    Case("a refusal", "once, and mended", UP | counted("slipway_refusals_total", "0x50 1x70", 'reason="InvalidSpec"'), ()),
    Case("no relist", "the API server answers no list any more", UP | acting(relisted="60x120"), ("SlipwayRelistOld",)),
    Case("one relist failed", "the next came", UP | acting(relisted="2100x120"), ()),
    Case("a registry that is not read", "since 50 minutes",
         UP | about(SWEPT, "600x120", 'name="mlflow"') | about(INTERVAL, "30x120", 'name="mlflow"'),
         ("SlipwayRegistrySweepOld",)),
    Case("a registry that was never read", "its Secret is missing, so no call is made",
         UP | about(INTERVAL, "30x120", 'name="mlflow"'), ("SlipwayRegistrySweepOld",)),
    Case("a registry that is read rarely", "as its ModelRegistry asks",
         UP | about(SWEPT, "600x120", 'name="mlflow"') | about(INTERVAL, "3600x120", 'name="mlflow"'), ()),
    Case("a registry that is gone", "what it said last stays until the operator ends",
         UP | about(SWEPT, "600x120", 'name="mlflow"'), ()),
    Case("labelled models have no object", "two would have one name",
         UP | about(FALSE, "1x120", 'name="mlflow",condition="Discovered",reason="NamesCollide"'),
         ("SlipwayRegistryIncomplete",)),
    Case("labelled models had no object", "somebody has declared one of the two meanwhile",
         UP | about(FALSE, "1x40 stale", 'name="mlflow",condition="Discovered",reason="NamesCollide"'), ()),
    Case("a credential may read only", "promotions will go wrong",
         UP | about(FALSE, "1x120", 'name="mlflow",condition="Authorized",reason="PermissionsMissing"'),
         ("SlipwayRegistryIncomplete",)),
    Case("a credential is not known", "the calls that fail are told already",
         UP | about(FALSE, "1x120", 'name="mlflow",condition="Authorized",reason="RegistryUnauthorized"'), ()),
    Case("a target of events is away", "they wait for it", UP | counted("slipway_events_waiting", "0x30 3x90", TO_CHAT),
         ("SlipwayEventsUndelivered",)),
    Case("a target of events refuses one", "its secret is another one",
         UP | counted("slipway_events_total", "0x40 1x80", f'{TO_CHAT},result="failed"'), ("SlipwayEventsUndelivered",)),
    Case("a target of events was away for some minutes", "it has them now",
         UP | counted("slipway_events_waiting", "0x40 3x10 0x70", TO_CHAT)
         | counted("slipway_events_total", "0x40 9x80", f'{TO_CHAT},result="retried"'), ()),
    Case("imports wait", "for an hour", UP | counted("slipway_imports_waiting", "7x120"), ("SlipwayImportsWait",)),
    Case("imports waited", "for half an hour", UP | counted("slipway_imports_waiting", "0x10 7x30 0x60"), ()),
    Case("validations wait", "on one pool",
         UP | counted("slipway_validations_waiting", "2x120", 'pool="gpu"')
         | counted("slipway_validations_waiting", "0x120", 'pool="cpu"'), ("SlipwayValidationsWait",)),
    Case("no store", "its node is gone", UP | store(available="1x30 0x90"), ("SlipwayStoreDown",)),
    Case("a full store", "nobody collects garbage", UP | store(free="40-1x30 10x90"), ("SlipwayStoreFilling",)),
    Case("one late change", "a change may be on its way at a relist",
         UP | counted("slipway_watch_missed_total", "_x40 2x60", 'kind="jobs"'), ()),
    Case("broken watch", "every relist finds something",
         UP | counted("slipway_watch_missed_total", "_x9 1x9 3x9 4x9 6x60", 'kind="jobs"'),
         ("SlipwayWatchMissedChanges",)),
    Case("passes that once failed", "the API server was restarted",
         UP | counted("slipway_passes_total", "0x20 50x90", 'reconciler="model",result="failed"'), ()),
    Case("one object fails", "it is tried again every 3 minutes, beside many that are done",
         UP | counted("slipway_passes_total", "0x2 0+0.34x120", 'reconciler="model",result="failed"')
         | counted("slipway_passes_total", "0+600x120", 'reconciler="model",result="done"'),
         ("SlipwayPassesFailing",)),
    Case("registry does not answer", "it is asked again every 2 minutes",
         UP | counted("slipway_registry_calls_total", "0x20 0+0.5x120", 'operation="get",result="unreachable"'),
         ("SlipwayRegistryUnreachable",)),
    Case("registry refuses the credential", "no version comes through",
         UP | counted("slipway_registry_calls_total", "0x20 0+0.5x120", 'operation="get",result="unauthorized"'),
         ("SlipwayRegistryUnreachable",)),
    Case("registry knows no such version", "that is an answer",
         UP | counted("slipway_registry_calls_total", "0x20 0+5x120", 'operation="get",result="not_found"'), ()),
    Case("registry was away for a minute", "it is back",
         UP | counted("slipway_registry_calls_total", "0x20 9x120", 'operation="get",result="unreachable"'), ()),
    Case("work waits", "one in ten waits for minutes",
         UP | counted("slipway_queue_wait_seconds_bucket", "0+9x120", 'le="1.0"')
         | counted("slipway_queue_wait_seconds_bucket", "0+9x120", 'le="60.0"')
         | counted("slipway_queue_wait_seconds_bucket", "0+10x120", 'le="300.0"')
         | counted("slipway_queue_wait_seconds_bucket", "0+10x120", 'le="+Inf"'),
         ("SlipwayWorkWaits",)),
    Case("work is done at once", "that is how it should be",
         UP | counted("slipway_queue_wait_seconds_bucket", "0+10x120", 'le="1.0"')
         | counted("slipway_queue_wait_seconds_bucket", "0+10x120", 'le="+Inf"'), ()),
    Case("first refusal", "its series begins with it", UP | counted("slipway_promotions_total", "_x50 1x60", REFUSED),
         ("SlipwayPromotionRefused",)),
    Case("another refusal", "the same reason again", UP | counted("slipway_promotions_total", "3x50 4x60", REFUSED),
         ("SlipwayPromotionRefused",)),
    Case("refusal of long ago", "it was told then", UP | counted("slipway_promotions_total", "3x120", REFUSED), ()),
]  # fmt: skip


def rules() -> list[Manifest]:
    (group,) = one(rendered(ENABLED), "PrometheusRule", "slipway")["spec"]["groups"]
    found: list[Manifest] = group["rules"]
    return found


def declared() -> dict[str, set[str]]:
    """Every series that the operator can expose, with the labels of its own."""
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    found = {family.name: set(family.labels) for family in FAMILIES.values()}
    for metric in vars(Telemetry()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            for ending in endings[family.type]:
                found[family.name + ending] = {*metric._labelnames, *(["le"] if ending == "_bucket" else [])}
    return found


def dashboard() -> Manifest:
    (text,) = one(rendered(ENABLED), "ConfigMap", "slipway-dashboard")["data"].values()
    found: Manifest = json.loads(text)
    return found


def expressions() -> list[str]:
    """What the dashboard asks Prometheus."""
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert all(panel["description"] and panel["targets"] for panel in panels)
    return [target["expr"] for panel in panels for target in panel["targets"]]


def queries() -> list[str]:
    """The series that the dashboard's variables are taken from."""
    found = [one["definition"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    return [re.fullmatch(r"label_values\((.+), \w+\)", query)[1] for query in found]  # type: ignore[index]


def test_monitoring_is_off_by_default() -> None:
    found = rendered()
    assert not of_kind(found, "ServiceMonitor", "PodMonitor", "PrometheusRule")
    assert "slipway-dashboard" not in {each["metadata"]["name"] for each in of_kind(found, "ConfigMap")}


def test_the_monitor_finds_the_operators_service_and_no_other() -> None:
    found = rendered(ENABLED)
    monitor = one(found, "ServiceMonitor", "slipway")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    chosen = [each for each in of_kind(found, "Service") if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in chosen] == ["slipway"]  # which is the job name in every expression
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in chosen[0]["spec"]["ports"]]
    assert monitor["namespaceSelector"] == {"matchNames": ["platform"]}
    assert one(found, "PrometheusRule", "slipway")["metadata"]["labels"]["release"] == "prom"


@pytest.mark.parametrize(("namespaces", "where"), [([], {"any": True}), (["ml", "ads"], {"matchNames": ["ml", "ads"]})])
def test_the_monitor_of_pods_finds_those_that_serve_and_no_other(namespaces: list[str], where: Manifest) -> None:
    values = {"watch": {"namespaces": namespaces}, "metrics": {"podMonitor": {"enabled": True, "labels": {"a": "b"}}}}
    monitor = one(rendered(values), "PodMonitor", "slipway-serving")
    assert monitor["metadata"]["labels"]["a"] == "b"
    chosen = monitor["spec"]["selector"]
    assert monitor["spec"]["namespaceSelector"] == where
    pods = {name: yaml.safe_load((GOLDEN / f"{name}.yaml").read_text()) for name in ("deployment", "import_job")}
    found = {
        name: chosen["matchLabels"].items() <= labels.items()
        and all(each["key"] in labels for each in chosen["matchExpressions"])
        for name, labels in ((name, pod["spec"]["template"]["metadata"]["labels"]) for name, pod in pods.items())
    }
    assert found == {"deployment": True, "import_job": False}
    (port,) = [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]]
    (container,) = pods["deployment"]["spec"]["template"]["spec"]["containers"]
    assert port in [each["name"] for each in container["ports"]]


def test_every_series_in_an_alert_or_on_the_dashboard_is_exposed_with_these_labels() -> None:
    known = declared()
    alerts = {rule["alert"]: rule["expr"] for rule in rules()}
    for where, expression in [*alerts.items(), *((text, text) for text in expressions())]:
        named = SERIES_IN.findall(expression)
        assert named, where
        for series, matchers in named:
            assert series in known or series in OTHERS, where
            labels = known.get(series, OTHERS.get(series, set()))
            of_object = {"exported_namespace"} if "namespace" in labels and series in known else set()
            assert set(MATCHER.findall(matchers)) <= labels | of_object | TARGET, where
    for query in queries():
        assert query.partition("{")[0] in known


def test_every_series_is_on_the_dashboard_or_in_an_alert_or_says_why_not() -> None:
    unseen = {
        "slipway_queue_wait_seconds",
        "slipway_pass_seconds",
        "slipway_phase_seconds",
        "slipway_registry_call_seconds",
    }
    shown = {
        series
        for text in [*expressions(), *(rule["expr"] for rule in rules())]
        for series, _ in SERIES_IN.findall(text)
    }
    left = declared().keys() - shown
    assert left == {
        *(name + ending for name in unseen for ending in ("_sum", "_count")),  # parts of a histogram
        "slipway_model_ready",  # for people's own alerts; the dashboard shows the reason instead
    }


def test_texts_of_alerts_name_metrics_that_exist() -> None:
    known = declared()
    for rule in rules():
        texts = {key: text for key, text in rule["annotations"].items() if key != "runbook_url"}
        said = set(re.findall(r"\bslipway_\w+", json.dumps(texts)))
        assert all(any(name.startswith(word) for name in known) for word in said), rule["alert"]


def test_every_metric_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in declared()} | {one.name for one in OF_PODS}
    assert [name for name in families if f"| `{name}` |" not in page] == []


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    assert {rule["alert"] for rule in found} == {name for case in CASES for name in case.want}, "each has a case"
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert all(rule["annotations"].get(word) for word in ("summary", "description", "runbook")), rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
        assert "{{" not in rule["expr"]


def test_an_alert_links_nowhere_unless_the_chart_is_told_where() -> None:
    rule = one(rendered({"metrics": {"rules": {"enabled": True}}}), "PrometheusRule", "slipway")
    assert "runbook_url" not in json.dumps(rule)


def test_another_store_is_watched_by_others() -> None:
    values = {**ENABLED, "store": {"enabled": False, "externalUrl": "https://harbor.example.com"}}
    assert "SlipwayStore" not in json.dumps(one(rendered(values), "PrometheusRule", "slipway"))


def test_a_rollout_is_called_stuck_after_its_own_deadline() -> None:
    (rule,) = (one for one in rules() if one["alert"] == "SlipwayRolloutStuck")
    (seconds,) = re.findall(r"> (\d+)", rule["expr"])
    assert int(seconds) >= 1.5 * PROGRESS_SECONDS


@pytest.mark.parametrize(("interval", "seconds"), [("10m", 1800), ("1h", 10800), ("1h1m1s", 10983), ("45s", 135)])
def test_three_missed_relists_are_too_many(interval: str, seconds: int) -> None:
    found = one(rendered({**ENABLED, "relistInterval": interval}), "PrometheusRule", "slipway")
    assert f"> {seconds}" in json.dumps(found)


def test_the_dashboard_is_found_by_the_label_that_grafana_looks_for() -> None:
    assert one(rendered(ENABLED), "ConfigMap", "slipway-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    values = {"metrics": {"dashboard": {"enabled": True, "labels": {"team": "ml"}}}}
    assert one(rendered(values), "ConfigMap", "slipway-dashboard")["metadata"]["labels"]["team"] == "ml"


def test_panels_have_their_own_place() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool", path=f"{cache() / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        give_up = pytest.fail if os.environ.get("SLIPWAY_REQUIRE_CLUSTER") else pytest.skip
        give_up("promtool is not there: run `python3 dev/cluster tools`")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rules, as Prometheus reads them."""
    found = tmp_path_factory.mktemp("alerts")
    (found / "rules.yaml").write_text(json.dumps({"groups": [{"name": "slipway", "rules": rules()}]}))
    return found


def judged(promtool: str, folder: Path, *words: str) -> None:
    done = subprocess.run([promtool, *words], check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: str, folder: Path) -> None:
    judged(promtool, folder, "check", "rules", "rules.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_alerts_fire_when_they_should(promtool: str, folder: Path, case: Case) -> None:
    firing = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": "60m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in case.want],
    }
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [firing]}
    (folder / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
    judged(promtool, folder, "test", "rules", "test.yaml")


def test_prometheus_understands_every_expression_of_the_dashboard(promtool: str, folder: Path) -> None:
    every = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate([*expressions(), *queries()])]
    (folder / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": every}]}))
    judged(promtool, folder, "check", "rules", "panels.yaml")


def test_an_alert_about_an_object_has_the_namespace_of_the_object(promtool: str, folder: Path) -> None:
    """So that Alertmanager routes it to those whose model it is."""
    labels = 'alertname="SlipwayChampionDown",alertstate="firing",model="flights",namespace="ml",severity="critical"'
    firing = {"expr": "ALERTS", "eval_time": "60m", "exp_samples": [{"labels": f"ALERTS{{{labels}}}", "value": 1}]}
    series = [{"series": name, "values": values} for name, values in (UP | about(READY, "0x120")).items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [firing]}
    (folder / "labels.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
    judged(promtool, folder, "test", "rules", "labels.yaml")
