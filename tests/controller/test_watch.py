"""What wakes which key and how urgently, what a relist finds, and when the watch is not to be believed."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from slipway.adapters.cluster import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    LEDGER,
    MODEL,
    NAMESPACE,
    POD,
    RECORD,
    REGISTRY,
    SERVICE,
    VERSION,
    WATCHED,
    Kind,
    Listed,
)
from slipway.adapters.errors import AdapterError, Expired, NotFound, Unauthorized, Unreachable
from slipway.controller.cache import Cache
from slipway.controller.kinds import table
from slipway.controller.queue import Key, Lane
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import FAILED_RELISTS, Wakes, Watch
from slipway.resources import naming

Object = dict[str, Any]
USUAL, URGENT, COMMAND = Lane.USUAL, Lane.URGENT, Lane.COMMAND
T = "2026-03-06T17:00:00Z"


class Cluster:
    """An API server that lists what it is told to hold, two objects a page, unless it fails for that kind."""

    def __init__(self) -> None:
        self.holds: dict[Kind, list[Object]] = {}
        self.fails: dict[Kind, list[AdapterError]] = {}  # one for each time that a second page, or any, is asked for

    async def pages(self, kind: Kind, namespace: str = "", fields: str = "") -> AsyncIterator[list[Listed]]:
        held = [one for one in self.holds.get(kind, []) if namespace in ("", one["metadata"].get("namespace", ""))]
        failures = self.fails.get(kind, [])
        if failures and not isinstance(failures[0], Expired):
            raise failures.pop(0)
        for at in range(0, max(1, len(held)), 2):
            if at and failures:
                raise failures.pop(0)
            yield [Listed(one, lambda one=one: one) for one in held[at : at + 2]]


class Woken(dict[str, Lane]):
    """Keys by `reconciler name`, and the lane by which they come."""

    def __call__(self, key: Key, *, lane: Lane = USUAL) -> None:
        self[f"{key.reconciler} {key.name}"] = max(lane, self.get(f"{key.reconciler} {key.name}", USUAL))


def thing(kind: Kind, name: str, version: int = 1, **more: Any) -> Object:
    """An object of the namespace `ml`; `labels` and `annotations` go into its metadata."""
    meta = {"name": name, "namespace": "ml", "uid": f"{name}-uid", "resourceVersion": str(version)}
    meta |= {key: more.pop(key) for key in ("labels", "annotations", "namespace") if key in more}
    if kind is VERSION:
        more["spec"] = {"model": "flights", "version": int(name.rpartition("-v")[2])} | more.get("spec", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": {}, **more}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def watch(cluster: Cluster, cache: Cache, woken: Woken) -> Watch:
    wakes = Wakes(woken, lambda model: ("ml", model["spec"].get("registry", "mlflow")))
    return Watch(cluster, cache, wakes, Telemetry(), patience_seconds=0)  # type: ignore[arg-type]


def condition(kind: str, status: str, reason: str, message: str = "", at: str = T) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


OF_V1 = {"slipway.dev/model": "flights", "slipway.dev/version": "1"}
SERVES = OF_V1 | {"slipway.dev/track": "production"}
EVERYBODY = {"model flights": USUAL, "version flights-v1": USUAL, "version flights-v2": USUAL}


@pytest.fixture
def family(watch: Watch, woken: Woken) -> None:
    """A model and its two versions, known and seen to."""
    for one in (thing(MODEL, "flights"), thing(VERSION, "flights-v1"), thing(VERSION, "flights-v2")):
        watch.saw(MODEL if one["kind"] == MODEL.kind else VERSION, None, one)
    woken.clear()


def test_every_kind_has_a_row() -> None:
    assert tuple(row.kind for row in table()) == WATCHED


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("kind", "name", "labels", "want"),
    [
        (VERSION, "flights-v3", {}, {"version flights-v3", "model flights"}),
        (VERSION, "flights-v3", {"slipway.dev/version": "mine"}, {"version flights-v3", "model flights"}),
        (LEDGER, "flights", {}, {"model flights"}),
        (JOB, "flights-v1-import", OF_V1, {"version flights-v1"}),
        (POD, "flights-v1-import-x", OF_V1, {"version flights-v1"}),
        (POD, "flights-v1-x", SERVES, {"model flights", "version flights-v1"}),
        (DEPLOYMENT, "flights-v1", OF_V1, {"model flights", "version flights-v1"}),
        (SERVICE, "flights", {"slipway.dev/model": "flights"}, {"model flights"}),
        (RECORD, "flights-v1-abc", OF_V1, {"model flights"}),
        (BUDGET, "flights", {"slipway.dev/model": "flights"}, {"model flights"}),
        (POD, "stranger", {}, set()),
    ],
)
def test_an_object_that_came_wakes_whom_it_concerns(
    watch: Watch, woken: Woken, kind: Kind, name: str, labels: dict[str, str], want: set[str]
) -> None:
    watch.saw(kind, "ADDED", thing(kind, name, 2, labels=labels))
    assert woken.keys() == want
    assert not any(woken.values()), "what is new, as everything is at a start, waits for its turn"


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("kind", [row.kind for row in table()])
def test_the_same_in_another_resource_version_wakes_nobody(watch: Watch, woken: Woken, kind: Kind) -> None:
    name = "flights-v1" if kind is VERSION else "flights"
    watch.saw(kind, None, thing(kind, name, 5, labels=SERVES))
    woken.clear()
    noise = thing(kind, name, 6, labels=SERVES)
    noise["metadata"] |= {"managedFields": ["much"], "annotations": {"kubectl.kubernetes.io/last-applied": "{}"}}
    watch.saw(kind, "MODIFIED", noise)
    assert woken == {}


@pytest.mark.usefixtures("family")
class TestModels:
    def test_an_edit_wakes_it_urgently_and_its_versions_in_their_turn(self, watch: Watch, woken: Woken) -> None:
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 2, spec={"suspend": True}))
        assert woken == EVERYBODY | {"model flights": URGENT}

    @pytest.mark.parametrize("command", ["rollback", "resume", "refresh"])
    def test_a_command_comes_before_everything_else(self, watch: Watch, woken: Woken, command: str) -> None:
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 2, annotations={f"slipway.dev/{command}": "now"}))
        assert woken["model flights"] is COMMAND

    def test_a_status_wakes_nobody_unless_it_was_lost(self, watch: Watch, woken: Woken) -> None:
        told = {"url": "here", "conditions": [condition("Ready", "True", "Serving")]}
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 2, status=told))
        woken.clear()
        other = {"url": "there", "conditions": [condition("Ready", "False", "Suspended")]}
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, status=other))
        assert woken == {}
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 4))
        assert woken == {"model flights": USUAL}


@pytest.mark.usefixtures("family")
class TestVersions:
    def test_another_stage_is_urgent(self, watch: Watch, woken: Woken) -> None:
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 2, spec={"stage": "Production"}))
        assert woken == {"version flights-v1": URGENT, "model flights": URGENT}

    def test_a_retry_is_a_command(self, watch: Watch, woken: Woken) -> None:
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 2, annotations={"slipway.dev/retry": "1"}))
        assert woken == {"version flights-v1": COMMAND, "model flights": COMMAND}

    @pytest.mark.parametrize(
        "after",
        [
            {"digest": "sha256:2"},
            {"serving": True},
            {"conditions": [condition("Validated", "True", "GatesPassed")]},
            {"conditions": [condition("Validated", "False", "OutOfMemory")]},
            {"validation": {"revision": "r", "outcome": "Passed"}},
            {},
        ],
    )
    def test_a_fact_in_its_status_wakes_it_and_its_model(self, watch: Watch, woken: Woken, after: Object) -> None:
        before = {"digest": "sha256:1", "conditions": [condition("Validated", "False", "GateFailed")]}
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 2, status=before))
        woken.clear()
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 3, status=before | after if after else {}))
        assert woken == {"version flights-v1": USUAL, "model flights": USUAL}

    def test_what_a_pass_has_written_wakes_others_and_not_itself(
        self, watch: Watch, cache: Cache, woken: Woken
    ) -> None:
        told = thing(VERSION, "flights-v1", 2, status={"digest": "sha256:1"})
        cache.put(VERSION, told, by=Key("version", "ml", "flights-v1"))
        assert woken == {"model flights": USUAL}
        woken.clear()
        watch.saw(VERSION, "MODIFIED", told)
        assert woken == {}, "its echo is no news"

    def test_other_words_and_times_wake_nobody(self, watch: Watch, woken: Woken) -> None:
        def said(words: str, at: str) -> Object:
            return {
                "conditions": [condition("Imported", "Unknown", "ImportRunning", words, at)],
                "imported": {"outcome": "Running", "message": words, "startedAt": at},
            }

        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 2, status=said("10 of 20 MB", T)))
        woken.clear()
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 3, status=said("20 of 20 MB", "later")))
        assert woken == {}


@pytest.mark.usefixtures("family")
class TestServing:
    def deployment(self, version: int, ready: int, generation: int = 1) -> Object:
        status = {"observedGeneration": generation, "replicas": 2, "readyReplicas": ready}
        status |= {"conditions": [condition("Progressing", "True", "NewReplicaSetAvailable", f"at {version}")]}
        return thing(DEPLOYMENT, "flights-v1", version, labels=OF_V1, spec={"replicas": 2}, status=status)

    def test_pods_that_become_ready_are_urgent(self, watch: Watch, woken: Woken) -> None:
        watch.saw(DEPLOYMENT, None, self.deployment(2, ready=1))
        woken.clear()
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(3, ready=1))
        assert woken == {}, "the words of a Deployment on its way are not read"
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(4, ready=2))
        assert woken == {"model flights": URGENT, "version flights-v1": USUAL}

    def test_whatever_a_rollback_waits_for_comes_before_everything_else_until_it_is_done(
        self, watch: Watch, woken: Woken
    ) -> None:
        asked = "to=1, reason=v2 is slow"
        watch.saw(LEDGER, None, thing(LEDGER, "flights", 2, spec={"champion": 2}))
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, annotations={"slipway.dev/rollback": asked}))
        watch.saw(DEPLOYMENT, None, self.deployment(4, ready=1))
        woken.clear()
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(5, ready=2))
        assert woken["model flights"] is COMMAND
        woken.clear()
        done = {"champion": 1, "handled": {"rollback": naming.short_hash(asked)}}
        watch.saw(LEDGER, "MODIFIED", thing(LEDGER, "flights", 6, spec=done))
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(7, ready=1))
        assert woken["model flights"] is URGENT

    @pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, LEDGER])
    def test_the_loss_of_what_carries_the_traffic_is_urgent(self, watch: Watch, woken: Woken, kind: Kind) -> None:
        there = thing(kind, "flights", 2, labels={"slipway.dev/model": "flights"})
        watch.saw(kind, None, there)
        woken.clear()
        watch.saw(kind, "DELETED", there)
        assert woken == {"model flights": URGENT}

    def test_a_service_that_selects_another_version_is_urgent(self, watch: Watch, woken: Woken) -> None:
        labels = {"slipway.dev/model": "flights"}
        watch.saw(SERVICE, None, thing(SERVICE, "flights", 2, labels=labels, spec={"selector": OF_V1}))
        watch.saw(SERVICE, "MODIFIED", thing(SERVICE, "flights", 3, labels=labels, spec={"selector": {}}))
        assert woken == {"model flights": URGENT}

    @pytest.mark.parametrize(
        "edit", [{"ports": [{"port": 80}]}, {"type": "NodePort"}, {"externalIPs": ["203.0.113.7"]}]
    )
    def test_whatever_else_is_changed_of_a_service_wakes_its_model(
        self, watch: Watch, woken: Woken, edit: Object
    ) -> None:
        labels, spec = {"slipway.dev/model": "flights"}, {"selector": OF_V1, "ports": [{"port": 8080}]}
        watch.saw(SERVICE, None, thing(SERVICE, "flights", 2, labels=labels, spec=spec))
        woken.clear()
        watch.saw(SERVICE, "MODIFIED", thing(SERVICE, "flights", 3, labels=labels, spec=spec | edit))
        assert woken == {"model flights": USUAL}

    def test_a_ledger_that_moved_wakes_its_model_urgently(self, watch: Watch, woken: Woken) -> None:
        watch.saw(LEDGER, None, thing(LEDGER, "flights", 2, spec={"champion": 1}))
        watch.saw(LEDGER, "MODIFIED", thing(LEDGER, "flights", 3, spec={"champion": 2}))
        assert woken == {"model flights": URGENT}

    def test_an_import_beside_the_operator_wakes_the_version_in_the_users_namespace(
        self, watch: Watch, cache: Cache
    ) -> None:
        heard: list[Key] = []
        other = Watch(None, cache, Wakes(lambda key, **_: heard.append(key), lambda _: None), Telemetry())  # type: ignore[arg-type]
        labels = OF_V1 | {"slipway.dev/owner-namespace": "ml"}
        other.saw(JOB, None, thing(JOB, "flights-v1-import", 2, labels=labels, namespace="slipway-system"))
        assert heard == [Key("version", "ml", "flights-v1")]


@pytest.mark.usefixtures("family")
class TestRegistriesAndNamespaces:
    def test_an_edited_registry_wakes_who_uses_it(self, watch: Watch, woken: Woken) -> None:
        watch.saw(REGISTRY, None, thing(REGISTRY, "mlflow", 2))
        assert woken == {"registry mlflow": USUAL, **EVERYBODY}
        woken.clear()
        watch.saw(REGISTRY, "MODIFIED", thing(REGISTRY, "mlflow", 3, spec={"uri": "elsewhere"}))
        assert woken == {"registry mlflow": USUAL, **EVERYBODY}

    def test_another_registry_does_not(self, watch: Watch, woken: Woken) -> None:
        watch.saw(REGISTRY, None, thing(REGISTRY, "another", 2))
        assert woken == {"registry another": USUAL}

    def test_what_its_status_says_wakes_nobody(self, watch: Watch, woken: Woken) -> None:
        watch.saw(REGISTRY, None, thing(REGISTRY, "mlflow", 2))
        woken.clear()
        watch.saw(REGISTRY, "MODIFIED", thing(REGISTRY, "mlflow", 3, status={"version": "3.1"}))
        assert woken == {}

    def test_the_labels_of_a_namespace_wake_its_models(self, watch: Watch, woken: Woken) -> None:
        def namespace(name: str, version: int, **labels: str) -> Object:
            meta = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
            return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "status": {"phase": "Active"}}

        watch.saw(NAMESPACE, None, namespace("ml", 2))
        woken.clear()
        watch.saw(NAMESPACE, "MODIFIED", namespace("ml", 3))
        watch.saw(NAMESPACE, "ADDED", namespace("other", 3, team="b"))
        assert woken == {}
        watch.saw(NAMESPACE, "MODIFIED", namespace("ml", 4, team="a"))
        assert woken == EVERYBODY


class TestRelists:
    async def test_it_finds_a_deletion_that_no_watch_told(self, watch: Watch, cluster: Cluster, woken: Woken) -> None:
        cluster.holds[VERSION] = [thing(VERSION, "flights-v1")]
        await watch.relist((), "slipway-system")
        cluster.holds[VERSION] = []
        woken.clear()
        await watch.relist((), "slipway-system")
        assert "model flights" in woken

    async def test_a_watch_that_misses_changes_at_every_relist_is_dead(self, watch: Watch, cluster: Cluster) -> None:
        cluster.holds[VERSION] = [thing(VERSION, "flights-v1")]
        await watch.relist((), "slipway-system")
        for number in (2, 3):
            assert watch.wrong == ""
            cluster.holds[VERSION] = [thing(VERSION, "flights-v1", number)]
            await watch.relist((), "slipway-system")
        assert watch.wrong == "the watch of modelversions is dead"

    async def test_a_watch_that_tells_in_time_is_alive(self, watch: Watch, cluster: Cluster) -> None:
        await watch.relist((), "slipway-system")
        for number in range(2, 6):
            newer = thing(VERSION, "flights-v1", number)
            cluster.holds[VERSION] = [newer]
            watch.saw(VERSION, "MODIFIED", newer)
            await watch.relist((), "slipway-system")
        assert watch.wrong == ""

    async def test_a_kind_that_fails_does_not_hold_up_the_others(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        cluster.fails[REGISTRY] = [Unreachable("etcd is slow")]
        cluster.holds[SERVICE] = [thing(SERVICE, "flights")]
        with pytest.raises(Unreachable):
            await watch.relist((), "slipway-system")
        assert cache.get(SERVICE, "ml", "flights") is not None
        assert watch.listed_at is None, "the list was not complete"

    async def test_a_list_whose_pages_were_forgotten_begins_anew(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        cluster.fails[VERSION] = [Expired("The provided continue parameter is too old")]
        cluster.holds[VERSION] = [thing(VERSION, f"flights-v{number}") for number in range(1, 6)]
        await watch.relist((), "slipway-system")
        assert len(cache.names("ml", "flights", VERSION)) == 5

    async def test_relists_that_fail_in_a_row_are_said(self, watch: Watch, cluster: Cluster) -> None:
        await watch.relist((), "slipway-system")
        for _ in range(FAILED_RELISTS):
            assert watch.failing == ""
            cluster.fails[POD] = [Unreachable("etcd is slow")]
            with pytest.raises(Unreachable):
                await watch.relist((), "slipway-system")
        assert watch.failing == f"the last {FAILED_RELISTS} relists failed: etcd is slow"
        assert watch.wrong == "", "another start would not help"
        await watch.relist((), "slipway-system")
        assert watch.failing == ""

    @pytest.mark.parametrize("error", [NotFound("no such kind"), Unauthorized("may not list")])
    async def test_an_optional_kind_may_be_missing_and_is_not_watched(
        self, watch: Watch, cluster: Cluster, cache: Cache, error: AdapterError
    ) -> None:
        cluster.fails[BUDGET] = [error]
        await watch.relist((), "slipway-system")
        assert watch.listed_at is not None
        assert {row.kind for row in watch.begin()} == {*WATCHED} - {BUDGET}
        for number in (1, 2, 3):  # it came since: relists tell of it, and nobody was to have told before
            cluster.holds[BUDGET] = [thing(BUDGET, "flights", number)]
            await watch.relist((), "slipway-system")
            assert cache.get(BUDGET, "ml", "flights") is not None
            assert watch.wrong == ""

    async def test_a_kind_that_is_needed_may_not(self, watch: Watch, cluster: Cluster) -> None:
        cluster.fails[LEDGER] = [NotFound("no such kind")]
        with pytest.raises(NotFound):
            await watch.relist((), "slipway-system")

    async def test_an_operator_of_some_namespaces_looks_into_those_and_beside_itself_for_its_own(
        self, watch: Watch, cluster: Cluster, cache: Cache
    ) -> None:
        for kind in (MODEL, REGISTRY):
            cluster.holds[kind] = [
                thing(kind, "flights", namespace=where) | {} for where in ("ml", "other", "slipway-system")
            ]
        cluster.holds[NAMESPACE] = [{"metadata": {"name": "ml", "uid": "ml", "resourceVersion": "1"}}]
        await watch.relist(("ml",), "slipway-system")
        assert sorted(cache.uids(MODEL)) == [("ml", "flights")]
        assert sorted(cache.uids(REGISTRY)) == [("ml", "flights"), ("slipway-system", "flights")]
        assert not cache.uids(NAMESPACE), "without rights over all namespaces none is watched"

    async def test_prometheus_is_told_when_everything_was_listed_and_how_often_it_could_not_be(
        self, cluster: Cluster
    ) -> None:
        telemetry = Telemetry()
        watch = Watch(cluster, Cache(), Wakes(Woken(), lambda _: None), telemetry, patience_seconds=0)  # type: ignore[arg-type]
        told = telemetry.registry.get_sample_value
        cluster.fails[POD] = [Unreachable("no answer")]
        with pytest.raises(Unreachable):
            await watch.relist((), "slipway-system")
        assert told("slipway_last_relist_timestamp_seconds") == 0
        assert told("slipway_relist_failures_total") == 1
        await watch.relist((), "slipway-system")
        assert told("slipway_last_relist_timestamp_seconds") == pytest.approx(time.time(), abs=60)
        assert told("slipway_relist_failures_total") == 1


def test_what_is_known_is_not_handed_over_again(watch: Watch) -> None:
    watch.saw(VERSION, None, thing(VERSION, "flights-v1", 5))
    assert not watch.lacks(VERSION, None, thing(VERSION, "flights-v1", 5))
    assert watch.lacks(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 6))
    assert watch.lacks(VERSION, "DELETED", thing(VERSION, "flights-v1", 5))
