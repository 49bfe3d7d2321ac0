"""Which keys a change wakes, and how urgently."""

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
)
from slipway.controller.cache import Cache
from slipway.controller.kinds import table
from slipway.controller.queue import Key
from slipway.controller.telemetry import Telemetry
from slipway.controller.watch import Wakes, Watch
from slipway.resources import naming

from tests.controller.watch_world import COMMAND, URGENT, USUAL, Object, T, Woken, thing


def condition(kind: str, status: str, reason: str, message: str = "", at: str = T) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


OF_V1 = {"slipway.dev/model": "flights", "slipway.dev/version": "1"}
SERVES = OF_V1 | {"slipway.dev/track": "production"}
EVERYBODY = {"model flights": USUAL, "version flights-v1": USUAL, "version flights-v2": USUAL}


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

    def test_one_that_begins_to_follow_labels_wakes_those_of_the_same_registered_model(
        self, watch: Watch, woken: Woken
    ) -> None:
        for name, source in (("airport", {"name": "flights"}), ("trains", {})):
            watch.saw(MODEL, "ADDED", thing(MODEL, name, 2, spec={"source": source}))
        woken.clear()
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, spec={"promotion": {"source": "Registry"}}))
        assert woken == EVERYBODY | {"model flights": URGENT, "model airport": USUAL}

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

    def test_drift_that_comes_or_goes_wakes_the_registry_that_counts_it(self, watch: Watch, woken: Woken) -> None:
        drifted = {"conditions": [condition("Synced", "False", "RegistryDrifted")]}
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 2, status=drifted))
        assert woken.keys() == {"version flights-v1", "model flights", "registry mlflow"}
        woken.clear()
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 3, status=drifted | {"digest": "sha256:1"}))
        assert "registry mlflow" not in woken
        watch.saw(VERSION, "MODIFIED", thing(VERSION, "flights-v1", 4, status={}))
        assert "registry mlflow" in woken

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
        watch.saw(LEDGER, None, thing(LEDGER, "flights", 2, spec={"champion": 2, "since": T}))
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, annotations={"slipway.dev/rollback": asked}))
        watch.saw(DEPLOYMENT, None, self.deployment(4, ready=1))
        woken.clear()
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(5, ready=2))
        assert woken["model flights"] is COMMAND
        woken.clear()
        done = {"champion": 1, "since": T, "handled": {"rollback": naming.short_hash(asked)}}
        watch.saw(LEDGER, "MODIFIED", thing(LEDGER, "flights", 6, spec=done))
        watch.saw(DEPLOYMENT, "MODIFIED", self.deployment(7, ready=1))
        assert woken["model flights"] is URGENT

    def test_a_rollback_of_what_never_served_puts_nothing_before_others(self, watch: Watch, woken: Woken) -> None:
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, annotations={"slipway.dev/rollback": "to=7"}))
        woken.clear()
        watch.saw(DEPLOYMENT, None, self.deployment(4, ready=1))
        assert woken["model flights"] is USUAL

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

    def test_a_registry_that_makes_models_is_woken_by_those_it_is_about_and_those_in_its_namespace(
        self, watch: Watch, woken: Woken
    ) -> None:
        backend = {"mlflow": {"uri": "http://mlflow:5000"}}
        discovery = {"namespace": "found", "models": ["*"]}
        watch.saw(REGISTRY, None, thing(REGISTRY, "mlflow", 2, spec={"backend": backend, "discovery": discovery}))
        watch.saw(REGISTRY, None, thing(REGISTRY, "silent", 2, spec={"backend": backend}))
        woken.clear()
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 3, spec={"registry": "another"}))
        assert "registry mlflow" in woken, "it is about it no longer"
        woken.clear()
        watch.saw(MODEL, "MODIFIED", thing(MODEL, "flights", 4, spec={"registry": "silent"}))
        assert "registry mlflow" not in woken and "registry silent" not in woken
        watch.saw(MODEL, "ADDED", thing(MODEL, "x", 5, spec={"registry": "another"}, namespace="found"))
        assert "registry mlflow" in woken, "it has a name there"

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
