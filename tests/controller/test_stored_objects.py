"""The whole pass over whatever may be stored: by older releases, by hand, by a restore.

Of Slipway's kinds anything under spec and status may be any JSON, since another CRD may have let it in. Of Kubernetes'
kinds each part has its type, and what must be there is there; it may say anything else.
"""

import copy
import json
import os
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from slipway.adapters.cluster import EVENT, WATCHED, Object
from slipway.controller.gauges import Gauges, Known
from slipway.controller.queue import Key
from slipway.controller.registries import Registries
from slipway.controller.sweeper import Sweeper
from slipway.controller.telemetry import Telemetry
from slipway.core.statuses import LIMIT_BYTES

from tests.declared import GATED, model, version
from tests.simulation import Simulation, digest_of

EXAMPLES = 2 * int(os.environ.get("SLIPWAY_EXAMPLES", "25"))
OWN = ("ModelVersion", "RegisteredModel", "ModelLedger", "ModelRegistry")
REFUSED = 3
TEXT = st.text(max_size=20) | st.sampled_from(["", "2", "-1", "None", "Production", "True", "sha256:", "9" * 40])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
ANY = st.recursive(LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXT, of, max_size=3), max_leaves=5)
SAME = {bool: st.booleans(), int: st.integers(-(2**63), 2**63 - 1), str: TEXT}
MINUTES = 120.0
LABELS = st.text("aZ0-_.", max_size=20) | st.sampled_from(["0", "2", "-1", "007", "9" * 40])
TIMES = ["0001-01-01T00:00:00Z", "2026-03-06T17:00:00Z", "9999-12-31T23:59:59Z"]
# What can be changed after an object was made, and parts that the API server insists on.
EVERYWHERE = [
    ("metadata", "labels"), ("metadata", "annotations"), ("metadata", "ownerReferences"), ("status",), ("data",),
    ("spec", "selector"), ("spec", "replicas"),
]  # fmt: skip
REQUIRED = ("type", "status", "kind", "name", "uid", "exitCode", "apiVersion")


def test_a_ledger_that_cannot_be_read_stops_everything_and_says_so_until_it_is_gone() -> None:
    of = _served()
    ledger = of.cluster.objects[("ModelLedger", "ml", "flights")]
    of.cluster.put({**ledger, "spec": {**ledger["spec"], "format": 2}})
    of.cluster.put(version(1, stage="Archived"))
    of.advance(MINUTES)
    ready = of.condition("RegisteredModel", "flights", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "LedgerUnreadable")
    assert ready["message"].startswith("The ModelLedger cannot be read: spec.format: Input should be 1")
    assert of.route() == "2"
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.advance(MINUTES)
    assert (of.champion(), of.route()) == (2, "2")
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "Serving"
    assert of.condition("ModelVersion", "flights-v1", "Ready")["reason"] == "Archived"


def test_while_a_ledger_cannot_be_read_no_rollback_is_promised_and_each_edit_is_answered() -> None:
    of = _served()
    ledger = of.cluster.objects[("ModelLedger", "ml", "flights")]
    of.cluster.put({**ledger, "spec": {**ledger["spec"], "handled": ["rollback"]}})
    of.edit("RegisteredModel", "flights", suspend=True, annotations={"rollback": "to=1"})
    of.advance(MINUTES)
    found = of.cluster.objects[("RegisteredModel", "ml", "flights")]
    assert of.condition("RegisteredModel", "flights", "RollbackReady")["reason"] == "LedgerUnreadable"
    assert "rollback" not in found["status"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    told = [one["reason"] for one in of.cluster.of(EVENT)]
    assert told.count("LedgerUnreadable") == 1


def test_a_version_that_comes_while_its_model_cannot_be_read_says_so_and_moves_nothing() -> None:
    of = _served()
    of.edit("RegisteredModel", "flights", serving="fast, please")
    of.cluster.put(version(4))
    of.advance(MINUTES)
    ready = of.condition("ModelVersion", "flights-v4", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert ready["message"].startswith("The RegisteredModel cannot be read: spec.serving: ")
    assert of.condition("ModelVersion", "flights-v2", "Ready")["reason"] == "Serving"
    assert of.condition("RegisteredModel", "flights", "Ready")["reason"] == "InvalidSpec"
    of.edit("RegisteredModel", "flights", serving={})
    of.advance(MINUTES)
    assert of.route() == "4"


def test_a_rollback_happens_while_the_model_cannot_be_read() -> None:
    of = _served()
    of.edit("RegisteredModel", "flights", serving="fast, please")
    of.settle()
    assert of.condition("RegisteredModel", "flights", "RollbackReady")["status"] == "True"
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1, reason=broke it"})
    of.settle()
    assert of.route() == "1"


def test_a_ledger_that_is_recalled_replays_no_command_and_keeps_the_hold() -> None:
    of = _served()
    for command in ("resume", "rollback"):
        of.edit("RegisteredModel", "flights", annotations={command: f"by=eve, reason={command} again"})
        of.settle()
    assert of.route() == "1"
    of.cluster.put(version(4))
    of.settle()
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.advance(MINUTES)
    ledger = of.ledger()
    assert ledger is not None
    assert (of.route(), ledger.champion, ledger.hold is not None) == ("1", 1, True)
    assert of.condition("ModelVersion", "flights-v4", "Released")["reason"] == "Held"


def test_a_ledger_that_is_recalled_retires_nobody_who_served_against_its_stage() -> None:
    of = _served()
    of.edit("ModelVersion", "flights-v1", stage="Archived")
    of.edit("RegisteredModel", "flights", annotations={"rollback": "to=1"})
    of.settle()
    assert of.route() == "1"
    of.advance(MINUTES)
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.advance(MINUTES)
    assert of.route() == "1"


def test_a_version_whose_release_a_recalled_ledger_does_not_know_says_no_longer_that_its_files_are_there() -> None:
    of = _served()
    of.cluster.put(version(4))
    of.settle()
    of.edit("RegisteredModel", "flights", annotations={"rollback": "by=eve"}, rollout={"keepWarm": "1m"})
    of.settle()
    of.edit("ModelVersion", "flights-v4", digest=digest_of(4))
    of.edit("RegisteredModel", "flights", annotations={"resume": "now"})
    of.settle()
    of.advance(4000)
    assert "was released before" in of.condition("ModelVersion", "flights-v4", "Imported")["message"]
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.advance(MINUTES)
    ledger = of.ledger()
    assert ledger is not None and ledger.release(4) is None
    assert "was released before" not in of.condition("ModelVersion", "flights-v4", "Imported")["message"]


def test_a_version_whose_release_a_recalled_ledger_does_not_know_says_the_same_of_its_own_import() -> None:
    of = _served()
    of.cluster.put(version(4))
    of.settle()
    for _ in range(3):
        of.edit("RegisteredModel", "flights", annotations={"rollback": f"by=eve, {of.route()}"})
        of.advance(MINUTES)
    before = of.condition("ModelVersion", "flights-v4", "Imported")
    of.cluster.lose("ModelLedger", "ml", "flights")
    of.settle()
    ledger = of.ledger()
    assert ledger is not None and ledger.release(4) is None and ledger.champion is not None
    written = len(of.cluster.writes)
    of.wake_family()
    of.settle()
    assert of.cluster.writes[written:] == [], "another look wants nothing more"
    assert of.condition("ModelVersion", "flights-v4", "Imported") == before


def test_a_version_that_cannot_be_read_any_more_gives_its_place_to_the_next() -> None:
    of = _served()
    one = of.platform.imports.model_copy(update={"max_concurrent": 1})
    of.platform = of.platform.model_copy(update={"imports": one})
    of.start()
    for number in (4, 5):
        of.cluster.put(version(number))
        of.settle(nodes=False)
    assert of.condition("ModelVersion", "flights-v5", "Ready")["reason"] == "Queued"
    of.edit("ModelVersion", "flights-v4", stage="Sideways")
    of.settle()
    assert of.condition("ModelVersion", "flights-v5", "Imported")["status"] == "True"


def test_one_object_that_breaks_what_takes_it_in_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    of = _served()
    put = of.cache.put

    def breaks(kind: Any, found: Any, *more: Any) -> bool:
        if found["metadata"]["name"] == "flights-v4":
            raise TypeError("a shape that nobody thought of")
        return put(kind, found, *more)

    monkeypatch.setattr(of.cache, "put", breaks)
    of.cluster.put(version(4))
    of.cluster.put(version(5))
    of.settle()
    assert of.route() == "5"


def test_a_status_that_cannot_be_read_is_a_lost_one() -> None:
    of = _served()
    found = of.cluster.objects[("ModelVersion", "ml", "flights-v2")]
    of.cluster.put({**found, "status": {**found["status"], "validation": "Passed", "conditions": {"Ready": "True"}}})
    of.advance(MINUTES)
    assert (of.route(), of.condition("ModelVersion", "flights-v2", "Ready")["reason"]) == ("2", "Serving")


def test_files_whose_digest_got_lost_are_known_by_the_record_of_their_import() -> None:
    of = _served()
    found = of.cluster.objects[("ModelVersion", "ml", f"flights-v{REFUSED}")]
    before = len(of.cluster.writes)
    of.cluster.put({**found, "status": {key: one for key, one in found["status"].items() if key != "digest"}})
    of.advance(MINUTES)
    again = of.cluster.objects[("ModelVersion", "ml", f"flights-v{REFUSED}")]
    assert again["status"]["digest"] == found["status"]["digest"]
    assert not [one for one in of.cluster.writes[before:] if one[1] == "Job"]


@pytest.mark.parametrize("number", ["soon", "", "-1", "9" * 40])
def test_a_job_whose_label_names_no_version_holds_up_nobody(number: str) -> None:
    of = _served()
    job = next(found for (kind, *_), found in of.cluster.objects.items() if kind == "Job")
    labels = {**job["metadata"]["labels"], "slipway.dev/version": number}
    meta = {"name": "by-hand", "namespace": "ml", "labels": labels}
    of.cluster.put({**job, "metadata": meta, "status": {}})
    of.cluster.put(version(4))
    of.settle()
    assert of.route() == "4"


def test_a_version_whose_model_is_no_name_holds_up_nobody() -> None:
    of = _served()
    of.cluster.put({**version(9), "spec": {"model": ["flights"], "version": {}}})
    of.cluster.put(version(4))
    of.settle()
    assert of.route() == "4"


@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a failure says enough as it is
)
def test_no_stored_object_breaks_a_pass_or_gives_traffic_to_the_unproven(data: st.DataObject) -> None:
    of = _served()
    before = copy.deepcopy(of.cluster.objects)
    chosen = data.draw(st.lists(st.sampled_from(_places(of)), min_size=1, max_size=3, unique=True), "objects")
    for place in chosen:
        of.cluster.put(_changed(data, of.cluster.objects[place]))
    of.wake_family()
    of.settle(nodes=False)
    of.run(of.reconciler(Key("registry", "ml", "mlflow")))
    assert of.route() != str(REFUSED)
    assert len(list(Gauges(Known(of.cache, dict, dict)).collect())) > 10
    assert _swept(of) is not None
    for found in of.cluster.objects.values():
        assert len(json.dumps(found.get("status", {})).encode()) <= LIMIT_BYTES or found["kind"] not in OWN
    for place in chosen:
        of.cluster.put(before[place])
    of.wake_family()
    of.settle()
    assert of.route() in ("1", "2")


@cache
def _once() -> Simulation:
    of = Simulation()
    of.bad = {REFUSED}
    source = {"name": "flights", "registryRef": {"namespace": "ml", "name": "mlflow"}}
    of.cluster.put(model(validation=GATED, source=source))
    of.edit("RegisteredModel", "flights", annotations={"rollback": "friday"})
    for number in (1, 2, REFUSED):
        of.cluster.put(version(number))
        of.settle()
    return of


def _served() -> Simulation:
    """Version 2 serves, 1 did before, 3 missed its gate; the operator starts."""
    once, of = _once(), Simulation()
    of.cluster.become(once.cluster)
    of.registry.labels, of.bad = dict(once.registry.labels), {REFUSED}
    of.start()
    return of


def _swept(of: Simulation) -> object:
    """Which models a sweep of the registry would look for."""
    nobody: Any = None
    registries = Registries(of.cluster, of.cache, of.platform, nobody)  # type: ignore[arg-type]
    return Sweeper(of.cache, registries, nobody, Telemetry())._wanted(("ml", "mlflow"))


def _places(of: Simulation) -> list[tuple[str, str, str]]:
    watched = {kind.kind for kind in WATCHED}
    return sorted(place for place in of.cluster.objects if place[0] in watched)


def _changed(data: st.DataObject, found: Object) -> Object:
    """The object with up to three of its parts changed."""
    found = copy.deepcopy(found)
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        paths = _paths(found)
        if not paths:
            break
        path = data.draw(st.sampled_from(paths), "path")
        at: Any = found
        for step in path[:-1]:
            at = at[step]
        last, was = path[-1], at[path[-1]]
        free = path[0] in ("spec", "status", "data") and found["kind"] in (*OWN, "ControllerRevision")
        if (free or last not in REQUIRED) and data.draw(st.integers(0, 3), "whether it goes") == 0:
            del at[last]
        elif free and len(path) > 1:
            at[last] = data.draw(ANY)
        elif path[:2] == ("metadata", "labels") and isinstance(was, str):
            at[last] = data.draw(LABELS)
        elif isinstance(last, str) and last.endswith(("At", "Time", "Timestamp")):
            at[last] = data.draw(st.sampled_from(TIMES))
        elif type(was) in SAME:
            at[last] = data.draw(SAME[type(was)])
        else:
            at[last] = type(was)()
    return found


def _paths(found: Object) -> list[tuple[Any, ...]]:
    """Every part of an object that somebody may have written so."""
    parts = [*EVERYWHERE, ("spec",)] if found["kind"] in OWN else EVERYWHERE
    paths: list[tuple[Any, ...]] = []

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            here = (*path, key)
            under = any(here[: len(part)] == part for part in parts)
            if under:
                paths.append(here)
            if isinstance(one, dict | list) and (under or any(here == part[: len(here)] for part in parts)):
                walk(one, here)

    walk(found, ())
    return paths
