"""The alerts: every metric in them exists, each says what to do, and they fire when they should."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.controller.telemetry import Telemetry

from dev.demo.install import cache
from tests.chart.test_chart import Manifest, of_kind, one, rendered

ENABLED = {"metrics": {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True, "labels": {"release": "prom"}}}}
SERIES = 'job="slipway",namespace="platform"'


@dataclass(frozen=True)
class Case:
    """What Prometheus sees (one sample a minute), and which alerts fire after an hour."""

    name: str
    because: str
    series: dict[str, str]
    want: tuple[str, ...]


def counted(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {f"{name}{{{SERIES}{',' if labels else ''}{labels}}}": values}


UP = counted("up", "1x120")
REFUSED = 'result="refused",reason="GateFailed"'
CASES = [
    Case("quiet", "nothing happens", UP, ()),
    Case("gone", "the pod is not even a target", {}, ("SlipwayOperatorDown",)),
    Case("does not answer", "a target that is down", counted("up", "1x30 0x90"), ("SlipwayOperatorDown",)),
    Case("restart", "a pod may be replaced", counted("up", "1x56 0x1 1x60"), ()),
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


def metrics() -> set[str]:
    """Every series that the operator can expose, by name."""
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {metric.name + ending for metric in Telemetry().registry.collect() for ending in endings[metric.type]}


def test_monitoring_is_off_by_default() -> None:
    assert not of_kind(rendered(), "ServiceMonitor", "PrometheusRule")


def test_the_monitor_finds_the_operators_service_and_no_other() -> None:
    found = rendered(ENABLED)
    monitor = one(found, "ServiceMonitor", "slipway")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    chosen = [each for each in of_kind(found, "Service") if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in chosen] == ["slipway"]  # which is the job name in every expression
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in chosen[0]["spec"]["ports"]]
    assert monitor["namespaceSelector"] == {"matchNames": ["platform"]}
    assert one(found, "PrometheusRule", "slipway")["metadata"]["labels"]["release"] == "prom"


def test_every_metric_in_an_alert_is_one_of_the_operators() -> None:
    known = metrics()
    for rule in rules():
        named = set(re.findall(r"\b(slipway_\w+)\{", rule["expr"]))
        assert named <= known, rule["alert"]
        assert named or rule["alert"] == "SlipwayOperatorDown"
        said = set(re.findall(r"\bslipway_\w+", json.dumps(rule["annotations"])))
        assert all(any(name.startswith(word) for name in known) for word in said), rule["alert"]


def test_every_label_in_an_alert_is_one_of_its_metric() -> None:
    telemetry = Telemetry()
    labels = {
        "slipway_watch_missed_total": telemetry.missed,
        "slipway_passes_total": telemetry.passes,
        "slipway_registry_calls_total": telemetry.calls,
        "slipway_promotions_total": telemetry.promotions,
        "slipway_queue_wait_seconds_bucket": telemetry.waited,
    }
    for rule in rules():
        for name, matchers in re.findall(r"\b(slipway_\w+)\{([^}]*)\}", rule["expr"]):
            used = set(re.findall(r"(\w+)\s*[=!]~?\"", matchers)) - {"job", "namespace"}
            assert used <= set(labels[name]._labelnames), rule["alert"]


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) == 6
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert all(rule["annotations"].get(word) for word in ("summary", "description", "runbook")), rule["alert"]
        assert "{{" not in rule["expr"]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool", path=f"{cache() / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        pytest.skip("promtool is not there: run `python3 dev/cluster tools`")
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
