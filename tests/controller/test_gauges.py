"""What Prometheus reads of models and versions, from the objects that the operator knows."""

from typing import Any

import pytest
from prometheus_client import generate_latest
from slipway.adapters.cluster import DEPLOYMENT, LEDGER, MODEL, REGISTRY, VERSION, Kind
from slipway.controller.cache import Cache
from slipway.controller.gauges import FAMILIES, Gauges, Known
from slipway.controller.telemetry import Telemetry

PLACE = 'model="flights",namespace="ml"'
BACKEND = {"mlflow": {"uri": "http://mlflow:5000"}}
BEGAN = "2026-03-06T17:00:00Z"


class World:
    """A cache, and what is read from it."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.jobs: dict[str, tuple[int, int]] = {}
        self.queued: dict[str, int] = {}
        self.leads = True
        self.telemetry = Telemetry()
        self.telemetry.registry.register(
            Gauges(Known(self.cache, lambda: self.jobs, lambda: self.queued, lambda: self.leads))
        )
        self._versions = 0

    def has(self, kind: Kind, name: str, **more: Any) -> None:
        self._versions += 1
        meta = {"name": name, "namespace": "ml", "uid": f"uid of {name}", "resourceVersion": str(self._versions)}
        self.cache.put(kind, {"kind": kind.kind, "metadata": meta, **more})

    def model(self, ready: str = "True", reason: str = "Serving", *, stalled: bool = False, **status: Any) -> None:
        self.has(MODEL, "flights", spec={}, status={"conditions": conditions(ready, reason, stalled), **status})

    def ledger(self, of: str = "uid of flights", **spec: Any) -> None:
        self.has(LEDGER, "flights", spec={"modelUid": of, **spec})

    def pods(self, version: int, ready: int, wanted: int) -> None:
        self.has(DEPLOYMENT, f"flights-v{version}", spec={"replicas": wanted}, status={"readyReplicas": ready})

    def read(self) -> dict[str, float]:
        """What a scrape says of models, versions, Jobs and registries, without the prefix of each name."""
        lines = generate_latest(self.telemetry.registry).decode().splitlines()
        found = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        names = {family.name for family in FAMILIES.values()}
        return {
            series.removeprefix("slipway_"): float(value)
            for series, _, value in found
            if series.partition("{")[0] in names
        }


def conditions(ready: str, reason: str, stalled: bool = False) -> list[dict[str, str]]:
    said = {"status": ready, "reason": reason, "lastTransitionTime": BEGAN}
    return [{"type": "Ready", **said}] + ([{"type": "Stalled", **said, "status": "True"}] if stalled else [])


@pytest.fixture
def world() -> World:
    return World()


def test_a_model_that_serves(world: World) -> None:
    world.model()
    world.ledger(champion=3)
    world.pods(3, ready=2, wanted=2)
    assert world.read() == {
        f"model_ready{{{PLACE}}}": 1,
        f"model_champion_version{{{PLACE}}}": 3,
        f"model_champion_pods_ready{{{PLACE}}}": 2,
        f"model_champion_pods_wanted{{{PLACE}}}": 2,
        'models{ready="True",reason="Serving",stalled="false"}': 1,
    }


def test_a_champion_whose_deployment_is_gone_has_no_ready_pods(world: World) -> None:
    world.model()
    world.ledger(champion=3)
    assert world.read()[f"model_champion_pods_ready{{{PLACE}}}"] == 0


def test_pods_are_counted_as_they_are_now_whatever_the_status_says(world: World) -> None:
    world.model(champion={"version": 3, "ready": "2/2"})
    world.ledger(champion=3)
    world.pods(3, ready=0, wanted=2)
    assert world.read()[f"model_champion_pods_ready{{{PLACE}}}"] == 0


def test_the_ledger_of_another_model_of_this_name_is_not_believed(world: World) -> None:
    world.model("False", "LedgerUnproven")
    world.ledger(of="before the restore", champion=3, hold={"by": "anna"})
    said = world.read()
    assert said[f"model_ready{{{PLACE}}}"] == 0
    assert not [series for series in said if "champion" in series or "held" in series]


def test_why_a_model_is_not_ready(world: World) -> None:
    world.model("False", "ProgressDeadlineExceeded", stalled=True, candidate={"version": 4, "since": BEGAN})
    world.ledger(champion=3)
    said = world.read()
    assert said[f'model_not_ready_reason{{{PLACE},reason="ProgressDeadlineExceeded"}}'] == 1
    assert said['models{ready="False",reason="ProgressDeadlineExceeded",stalled="true"}'] == 1


@pytest.mark.parametrize(
    ("status", "shift"),
    [
        pytest.param({"candidate": {"version": 4, "since": BEGAN}}, None, id="since its pods were asked for"),
        pytest.param({}, {"to": {"version": 4}, "since": BEGAN}, id="since the traffic is on its way"),
        pytest.param({"candidate": {"version": 4}}, None, id="since the model is not ready: its pods were refused"),
    ],
)
def test_when_a_rollout_began(world: World, status: dict[str, Any], shift: dict[str, Any] | None) -> None:
    world.model("False", "RolloutProgressing", **status)
    world.ledger(champion=3, **({"shift": shift} if shift else {}))
    assert world.read()[f"rollout_started_timestamp_seconds{{{PLACE}}}"] == 1772816400


def test_a_model_that_is_held(world: World) -> None:
    world.model("False", "Held", stalled=True)
    world.ledger(champion=2, hold={"at": BEGAN, "by": "anna"})
    assert world.read()[f"model_held{{{PLACE}}}"] == 1


def test_versions_are_counted_by_reason(world: World) -> None:
    for number, (ready, reason, stalled) in enumerate(
        [
            ("True", "Serving", False),
            ("False", "GateFailed", True),
            ("False", "GateFailed", True),
            ("False", "Queued", False),
        ]
    ):
        world.has(VERSION, f"flights-v{number}", status={"conditions": conditions(ready, reason, stalled)})
    world.has(VERSION, "flights-v9")
    assert world.read() == {
        'versions{ready="True",reason="Serving",stalled="false"}': 1,
        'versions{ready="False",reason="GateFailed",stalled="true"}': 2,
        'versions{ready="False",reason="Queued",stalled="false"}': 1,
        'versions{ready="Unknown",reason="none",stalled="false"}': 1,
    }


def test_words_that_are_in_no_catalogue_make_no_series_of_their_own(world: World) -> None:
    for number in range(20):
        world.has(VERSION, f"flights-v{number}", status={"conditions": conditions("False", f"Forged{number}")})
    assert world.read() == {'versions{ready="False",reason="InternalError",stalled="false"}': 20}


def test_jobs_by_queue(world: World) -> None:
    world.jobs = {"import": (4, 17), "validate cpu": (2, 0), "validate gpu": (1, 3)}
    assert world.read() == {
        "imports_running": 4,
        "imports_waiting": 17,
        'validations_running{pool="cpu"}': 2,
        'validations_waiting{pool="cpu"}': 0,
        'validations_running{pool="gpu"}': 1,
        'validations_waiting{pool="gpu"}': 3,
    }


def test_what_waits_for_a_pass(world: World) -> None:
    world.queued = {"urgent": 1, "usual": 40}
    assert world.read() == {'queue_depth{lane="urgent"}': 1, 'queue_depth{lane="usual"}': 40}


def test_how_often_registries_are_read(world: World) -> None:
    world.has(REGISTRY, "mlflow", spec={"backend": BACKEND, "sync": {"interval": "2m"}})
    world.has(REGISTRY, "usual", spec={"backend": BACKEND})
    world.has(REGISTRY, "unreadable", spec={"sync": 5})
    assert world.read() == {
        'registry_sweep_interval_seconds{name="mlflow",namespace="ml"}': 120,
        'registry_sweep_interval_seconds{name="usual",namespace="ml"}': 30,
    }


def test_what_of_a_registry_does_not_hold_and_why(world: World) -> None:
    said = [
        {"type": "Ready", "status": "True", "reason": "RegistryReachable"},
        {"type": "Discovered", "status": "False", "reason": "NamesCollide"},
        {"type": "Notified", "status": "False", "reason": "a word of another operator"},
        {"type": "Authorized", "status": "Unknown", "reason": "PermissionsNotTold"},
    ]
    world.has(REGISTRY, "mlflow", spec={"backend": BACKEND}, status={"conditions": said})
    of = 'registry_condition_false{condition="%s",name="mlflow",namespace="ml",reason="%s"}'
    assert {series: value for series, value in world.read().items() if "condition" in series} == {
        of % ("Discovered", "NamesCollide"): 1,
        of % ("Notified", "InternalError"): 1,
    }


def test_a_standby_says_nothing_of_objects_and_of_work(world: World) -> None:
    world.model()
    world.queued = {"usual": 40}
    world.leads = False
    assert world.read() == {}


def test_objects_that_say_little_are_no_trouble(world: World) -> None:
    world.has(MODEL, "flights")
    world.has(LEDGER, "flights")
    world.has(DEPLOYMENT, "flights-v1")
    world.has(REGISTRY, "mlflow")
    world.has(VERSION, "flights-v1", status={"conditions": None})
    assert world.read()[f'model_not_ready_reason{{{PLACE},reason="none"}}'] == 1


def test_a_scrape_and_its_metrics_have_the_labels_that_the_reference_page_says(world: World) -> None:
    world.model("False", "Held", candidate={"version": 4, "since": BEGAN})
    world.ledger(champion=2, hold={"by": "anna"})
    world.has(VERSION, "flights-v1")
    world.has(
        REGISTRY, "mlflow", spec={"backend": BACKEND}, status={"conditions": conditions("False", "TokenUnusable")}
    )
    world.jobs = {"import": (0, 0), "validate cpu": (0, 0)}
    gauges = Gauges(Known(world.cache, lambda: world.jobs, lambda: {"usual": 3}))
    found = {metric.name: metric for metric in gauges.collect()}
    assert found.keys() == {metric.name for metric in gauges.describe()} == {one.name for one in FAMILIES.values()}
    for family in FAMILIES.values():
        assert {tuple(sample.labels) for sample in found[family.name].samples} == {family.labels}
