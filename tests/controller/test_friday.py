"""The whole operator, through whatever people, nodes, the API server and the registry do to it, in any order."""

import json
import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from slipway.adapters.cluster import VERSION, Object
from slipway.adapters.errors import AdapterError, Rejected, Unauthorized
from slipway.api.modelledger import LIMIT_BYTES, ModelLedgerSpec
from slipway.core import claims
from slipway.core.ledger import route
from slipway.core.registry import CLOCKS_APART_MS
from slipway.core.statuses import LIMIT_BYTES as STATUS_BYTES
from slipway.resources.platform import EnvironmentSettings, IndexSettings

from tests.declared import GATED, deployed, model, version
from tests.simulation import NO_LABELS, Backup, Simulation, digest_of, routed
from tests.worlds import digest

EXAMPLES = int(os.environ.get("SLIPWAY_EXAMPLES", "25"))  # more find more: `make test-long` runs two thousand
SWEEPS_SECONDS = 70.0  # two of them, and more
MOMENT_SECONDS = 11.0  # what may pass in a moment is told, if it lasts so long
BEGUN_SECONDS = 5.0  # for what the sweep at the end of that began: bringing packages looks again after a second, twice
INDEXED = EnvironmentSettings(indexes=(IndexSettings(name="team", url="https://packages.example.com/simple"),))
NUMBERS = st.integers(1, 5)
STAGES = st.sampled_from(["None", "Staging", "Production", "Production", "Production", "Archived"])
REFUSED = ["Deployment", "ControllerRevision", "Job", "Secret", "PodDisruptionBudget", "Service", "ModelLedger"]
LABELS = st.sampled_from(["None", "Staging", "Production", "Production", "Archived"])
MOSTLY = st.sampled_from([True, True, False])  # whether a sweep sees it before the operator acts
IN_THE_WAY = ("AdoptionPending", "DigestMismatch", "InvalidSpec")
SERVING = [
    {},
    {"resources": {"requests": {"cpu": "2"}}},
    {"pool": {"name": "cpu"}},
    {"scaling": {"fixed": {"replicas": 2}}},
]


class Friday(RuleBasedStateMachine):
    """One model, and everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.of = Simulation()
        self.count = 0
        self.refusing: set[str] = set()
        self.moved = False  # somebody has moved a label
        self.asked: int | None = None  # the version that somebody put into Production last, in the registry
        self.stages: dict[str, str] = {}  # that somebody gave to a ModelVersion
        self.backup, self.backed_up = Backup({}, 0), 0
        self.champions = ["none", "none"]  # that of the ledger before, and that of the ledger
        self.of.cluster.refuses.append(self._refuses)
        self.of.cluster.hears.append(self._a_route_is_that_of_the_ledger_or_of_the_one_before)

    def _a_route_is_that_of_the_ledger_or_of_the_one_before(self, _kind: Any, event: str, found: Object) -> None:
        if event == "DELETED":
            return
        if (
            found["kind"] == "ModelLedger"
            and (now := route(ModelLedgerSpec.model_validate(found["spec"]))) != self.champions[1]
        ):
            self.champions = [self.champions[1], now]
        if found["kind"] == "Service":
            assert routed(found) in self.champions

    def _refuses(self, verb: str, manifest: Any) -> AdapterError | None:
        kind = manifest["kind"]
        if kind not in self.refusing or verb == "delete":
            return None
        if kind == "Job":
            return Unauthorized("exceeded quota: count/jobs.batch=0")
        return Rejected("admission webhook denied the request: not on a Friday")

    def _new(self) -> str:
        self.count += 1
        return f"{self.count}"

    @initialize(
        gates=st.sampled_from([None, {}, {"validation": GATED}]),
        bad=st.sets(NUMBERS, max_size=2),
        adopted=st.sampled_from([None, None, {}, {"version": 2}]),
        discovers=st.sampled_from([False, False, True]),
        order=st.integers(0, 999),
        packages=st.sampled_from([(), (), (1, 3), (2, 4)]),
        promotion=st.fixed_dictionaries(
            {
                "source": st.sampled_from(["Cluster", "Registry"]),
                "onRefusal": st.sampled_from(["Revert", "Keep"]),
                "onDrift": st.sampled_from(["Report", "Report", "Correct"]),
            }
        ),
    )
    def begin(
        self,
        gates: dict[str, Any] | None,
        bad: set[int],
        adopted: dict[str, int] | None,
        discovers: bool,
        order: int,
        packages: tuple[int, ...],
        promotion: dict[str, Any],
    ) -> None:
        self.of.random.seed(order)
        if packages:  # of which the image has others; the last of them is of another Python
            self.of.packages = {number: digest(f"{number}") for number in packages}
            self.of.pythons = {packages[-1]: "3.13"}
            two = {"environments": INDEXED, "runtimes": {"3.13": "runner-3.13:1"}}
            self.of.platform = self.of.platform.model_copy(update=two)
            self.of.start()
        if discovers:
            self.of.registry.discovers()
        self.of.bad = bad if gates else set()
        self.spec = {**(gates or {}), "promotion": promotion}
        if adopted is not None:
            self.of.cluster.put(deployed())
            self.spec["adopt"] = {"deployment": "old-flights", "port": 5001, **adopted}
        if gates is not None:  # otherwise versions are applied without one
            self._apply_the_model()

    def _apply_the_model(self) -> None:
        self.asked = None  # what is there when labels begin to decide asks for nothing
        self.of.cluster.put(model(**self.spec))
        self.of.settle()

    @rule()
    def the_model_is_deleted_and_applied_again(self) -> None:
        self.of.advance(MOMENT_SECONDS)
        self.of.cluster.lose("RegisteredModel", "ml", "flights")
        self.of.settle()
        self._apply_the_model()

    @rule(number=NUMBERS, stage=STAGES)
    def somebody_sets_a_stage(self, number: int, stage: str) -> None:
        name = f"flights-v{number}"
        self.stages[name] = stage
        if ("ModelVersion", "ml", name) in self.of.cluster.objects:
            self.of.edit("ModelVersion", name, stage=stage)
        else:
            self.of.cluster.put(version(number, stage))
        self.of.settle()

    @rule(number=NUMBERS)
    def a_version_is_deleted(self, number: int) -> None:
        before = self.of.route()
        self.of.cluster.lose("ModelVersion", "ml", f"flights-v{number}")
        self.of.settle()
        if before == str(number):
            assert self.of.route() in (before, *self._others(number)), "deleting is not retiring"

    def _others(self, number: int) -> set[str]:
        return {str(one) for one in range(1, 6)} - {str(number)}

    @rule(number=NUMBERS, right=st.booleans())
    def a_version_is_pinned(self, number: int, right: bool) -> None:
        self.of.edit("ModelVersion", f"flights-v{number}", digest=digest_of(number) if right else digest_of(6))
        self.of.settle()

    @rule(number=NUMBERS)
    def a_retry(self, number: int) -> None:
        self.of.edit("ModelVersion", f"flights-v{number}", annotations={"retry": self._new()})
        self.of.settle()

    @rule(serving=st.sampled_from(SERVING), limit=st.integers(1, 3), suspend=st.sampled_from([False, False, True]))
    def the_model_is_edited(self, serving: dict[str, Any], limit: int, suspend: bool) -> None:
        self.of.edit("RegisteredModel", "flights", serving=serving, rollout={"historyLimit": limit}, suspend=suspend)
        self.of.settle()

    @rule()
    def a_refresh(self) -> None:
        self.of.edit("RegisteredModel", "flights", annotations={"refresh": self._new()})
        self.of.settle()

    @rule(to=st.none() | NUMBERS)
    def a_rollback(self, to: int | None) -> None:
        before = self.of.ledger()
        value = f"to={to}, by=eve, reason={self._new()}" if to else self._new()
        self.of.edit("RegisteredModel", "flights", annotations={"rollback": value})
        self.of.settle()
        ledger = self.of.ledger()
        if before is None or before.since is None or ledger is None or self.refusing & {"ModelLedger", "Deployment"}:
            return
        wanted = to or before.predecessor
        if wanted is None or wanted == before.champion or before.release(wanted) is None or wanted in self.of.down:
            return
        assert ledger.champion == wanted, "a rollback that is possible happens"
        assert "Service" in self.refusing or self.of.route() == str(wanted)

    @precondition(lambda self: "adopt" in self.spec)
    @rule()
    def a_rollback_to_what_was_adopted(self) -> None:
        before = self.of.ledger()
        self.of.edit("RegisteredModel", "flights", annotations={"rollback": f"to=adopted, reason={self._new()}"})
        self.of.settle()
        ledger, there = self.of.ledger(), self.of.cluster.objects.get(("Deployment", "ml", "old-flights"), {})
        if before is None or ledger is None or before.adopted is None or "ModelLedger" in self.refusing:
            return
        if there.get("status", {}).get("readyReplicas"):
            assert ledger.serving_adopted is not None, "a rollback that is possible happens"

    @precondition(lambda self: "adopt" in self.spec)
    @rule(ready=st.sampled_from([None, 0, 2]))
    def the_owner_of_what_was_adopted_does_as_they_please(self, ready: int | None) -> None:
        if ready is None:
            self.of.cluster.lose("Deployment", "ml", "old-flights")
        else:
            self.of.cluster.put(deployed(ready=ready))
        self.of.advance(61)
        self.of.wake_family()  # no watch tells of it: once a version serves, a look is rare
        self.of.settle()

    @rule(adopt=st.sampled_from([None, {"deployment": "old-flights", "port": 80}]))
    def somebody_names_what_is_to_be_adopted(self, adopt: dict[str, Any] | None) -> None:
        before = self.of.champion()
        self.of.edit("RegisteredModel", "flights", adopt=adopt)
        self.of.settle()
        assert before is None or self.of.champion() is not None, "who serves, serves on"

    @invariant()
    def no_label_becomes_a_stage(self) -> None:
        for found in self.of.cluster.of(VERSION):
            assert found["spec"].get("stage", "None") in ("None", self.stages.get(found["metadata"]["name"]))

    @invariant()
    def what_was_adopted_is_never_written(self) -> None:
        assert not [write for write in self.of.cluster.writes if write[2] == "old-flights"]

    @rule()
    def somebody_resumes(self) -> None:
        self.of.edit("RegisteredModel", "flights", annotations={"resume": self._new()})
        self.of.settle()

    @rule(number=NUMBERS, up=st.booleans())
    def room_comes_and_goes(self, number: int, up: bool) -> None:
        (self.of.down.discard if up else self.of.down.add)(number)
        self.of.settle()

    @rule(kinds=st.sets(st.sampled_from(REFUSED), max_size=2))
    def the_api_server_refuses(self, kinds: set[str]) -> None:
        self.refusing.clear()
        self.refusing.update(kinds)
        self.of.advance(700)

    @rule()
    def the_service_is_deleted(self) -> None:
        before = self.of.champion()
        self.of.cluster.lose("Service", "ml", "flights")
        self.of.settle()
        assert self.of.champion() == before

    @rule()
    def every_status_is_lost(self) -> None:
        self.of.advance(15)
        before = self.of.champion()
        for (kind, _, _), found in list(self.of.cluster.objects.items()):
            if kind in ("ModelVersion", "RegisteredModel"):
                self.of.cluster.put({key: value for key, value in found.items() if key != "status"})
        self.of.settle()
        if before is not None and not self.refusing:
            assert self.of.champion() == before, "a status is nobody's memory"

    @rule(number=NUMBERS)
    def a_version_becomes_unreadable(self, number: int) -> None:
        before = self.of.route()
        self.stages[f"flights-v{number}"] = "Sideways"
        self.of.edit("ModelVersion", f"flights-v{number}", stage="Sideways")
        self.of.settle()
        if ("ModelVersion", "ml", f"flights-v{number}") in self.of.cluster.objects and "Service" not in self.refusing:
            assert self.of.route() == before, "what cannot be read moves nothing"
            assert self.of.condition("ModelVersion", f"flights-v{number}", "Ready")["reason"] == "InvalidSpec"

    @rule()
    def the_model_becomes_unreadable(self) -> None:
        before = self.of.route()
        self.of.edit("RegisteredModel", "flights", serving="fast, please")
        self.of.settle()
        if ("RegisteredModel", "ml", "flights") in self.of.cluster.objects and "Service" not in self.refusing:
            assert self.of.route() == before, "what cannot be read moves nothing"

    @rule()
    def the_ledger_is_deleted(self) -> None:
        self.of.advance(15)
        before = self.of.route()
        self.of.cluster.lose("ModelLedger", "ml", "flights")
        self.asked = None
        self.of.settle()
        if before and not self.refusing:
            assert self.of.route() == before, "it is recalled"

    @rule(count=st.integers(1, 3))
    def answers_get_lost(self, count: int) -> None:
        self.of.cluster.losing = count
        self.of.wake_family()
        self.of.settle()

    @rule(silent=st.booleans())
    def the_registry_falls_silent(self, silent: bool) -> None:
        before = (self.of.route(), self._pods())
        self.of.registry.silent = silent
        self.of.swept()
        self.of.settle()
        if silent:
            assert (self.of.route(), self._pods()) == before, "silence changes nothing"

    @rule(number=NUMBERS, stage=LABELS, others=st.booleans(), seen=MOSTLY)
    def somebody_moves_a_version_to_a_stage(self, number: int, stage: str, others: bool, seen: bool) -> None:
        again = self.of.registry.labels.get(number, NO_LABELS).stage == stage
        self.of.registry.put(number, stage, others)
        self._labels_were_moved(seen, number if stage == "Production" and not again else None)

    @rule(number=NUMBERS, alias=st.sampled_from(["champion", "challenger", "best"]), seen=MOSTLY)
    def somebody_moves_an_alias(self, number: int, alias: str, seen: bool) -> None:
        again = alias in self.of.registry.labels.get(number, NO_LABELS).aliases
        self.of.registry.name(number, alias)
        self._labels_were_moved(seen, number if alias == "champion" and not again else None)

    @rule(number=NUMBERS, seen=MOSTLY)
    def somebody_takes_labels_away(self, number: int, seen: bool) -> None:
        if labels := self.of.registry.labels.get(number):
            self.of.registry.labels[number] = replace(labels, stage="None", aliases=())
            self._labels_were_moved(seen)

    @rule(moves=st.lists(st.tuples(NUMBERS, LABELS, st.booleans()), min_size=2, max_size=3))
    def somebody_moves_several_versions_between_two_sweeps(self, moves: list[tuple[int, str, bool]]) -> None:
        labels, before, champion = self.of.registry.labels, dict(self.of.registry.labels), self.of.champion()
        for number, stage, others in moves:
            self.of.registry.put(number, stage, others)
        last = moves[-1][0]
        new = labels[last].stage == "Production" and before.get(last, NO_LABELS).stage != "Production"
        self._labels_were_moved(True, last if new else None)
        pushed_out = champion is not None and champion not in {number for number, _, _ in moves}
        if pushed_out and self._by_registry():
            self.of.advance(SWEEPS_SECONDS)
            self.of.advance(SWEEPS_SECONDS)
            assert self.of.champion() is not None, "MLflow archived the champion: nobody has retired it"

    def _labels_were_moved(self, seen: bool, asked: int | None = None) -> None:
        before, self.moved, self.asked = self.of.route(), True, asked
        if seen:
            self.of.swept()
        self.of.settle()
        if not self._by_registry():
            assert self.of.route() == before

    def _by_registry(self) -> bool:
        found = self.of.cluster.objects.get(("RegisteredModel", "ml", "flights"), {"spec": {}})
        return bool(found["spec"].get("promotion", {}).get("source") == "Registry")

    @rule(number=NUMBERS)
    def somebody_promotes_a_version_by_mistake_and_deletes_it_before_a_sweep(self, number: int) -> None:
        champion, ledger = self.of.champion(), self.of.ledger()
        shown = self.of.registry.labels.get(champion or 0, NO_LABELS)
        if number == champion or self.of.registry.silent:
            return
        self.of.registry.put(number, "Production", archive_others=True)
        self.of.registry.delete(number)
        self._labels_were_moved(True)
        archived = ledger is None or ledger.following is None or ledger.following.archived != ""
        if champion is not None and shown.stage == "Production" and not archived and self._by_registry():
            self.of.advance(SWEEPS_SECONDS)
            self.of.advance(SWEEPS_SECONDS)
            assert self.of.champion() is not None, "MLflow archived the champion: nobody has retired it"

    @rule()
    def the_registry_is_backed_up(self) -> None:
        self.backup, self.backed_up = self.of.registry.backup(), self.of.registry.created

    @precondition(lambda self: self.backed_up == self.of.registry.created)
    @rule()
    def the_registry_is_restored(self) -> None:
        before, ledger = self.of.route(), self.of.ledger()
        self.of.registry.restore_from(self.backup)
        self._labels_were_moved(True)
        following = ledger.following if ledger else None
        noticed = following is not None and self.backup.updated < following.updated - CLOCKS_APART_MS
        if noticed and self._by_registry() and not self.of.registry.silent:
            assert self.of.route() == before, "labels of last night were answered last night"

    @rule(shows=st.dictionaries(NUMBERS, LABELS, max_size=3))
    def the_registered_model_is_deleted_and_made_anew(self, shows: dict[int, str]) -> None:
        before, self.moved, self.asked = self.of.route(), True, None
        self.of.registry.labels = {}
        self.of.registry.created += 1
        for number, stage in shows.items():
            self.of.registry.put(number, stage)
        self.of.swept()
        self.of.settle()
        assert before in ("", "none") or self.of.route() == before, "what lies in another one asks for nothing"

    @rule()
    def the_registry_loses_every_version_and_finds_them_again(self) -> None:
        before, there = self.of.route(), self.of.registry.labels
        self.of.registry.labels, self.moved, self.asked = {}, True, None
        self.of.swept()
        self.of.settle()
        self.of.registry.labels = there
        assert self.of.route() == before, "what is not there asks for nothing"
        self.of.swept()
        self.of.settle()

    @rule(seconds=st.sampled_from([30, 700, 4000]))
    def time_goes_on(self, seconds: int) -> None:
        self.of.swept()
        self.of.advance(seconds)
        self._the_registry_knows_who_serves()
        self._who_was_asked_for_last_serves()

    def _who_was_asked_for_last_serves(self) -> None:
        """Where the registry decides, and nothing is in the way that somebody is told of."""
        ledger, asked = self.of.ledger(), self.asked
        if asked is None or ledger is None or not self._by_registry() or self.of.registry.silent:
            return
        labels = self.of.registry.labels.get(asked, NO_LABELS)
        if asked in self.of.bad | self.of.down or (labels.stage != "Production" and "champion" not in labels.aliases):
            return
        if ledger.hold is not None or self.refusing or claims.out(ledger) & {asked}:
            return
        model = self.of.condition("RegisteredModel", "flights", "Ready").get("reason", "")
        version = self.of.condition("ModelVersion", f"flights-v{asked}", "Ready").get("reason", "")
        if model in ("Suspended", "InvalidSpec", "LabelsConflict", "LedgerUnproven") or version in IN_THE_WAY:
            return
        assert ledger.champion == asked, f"asked for and not served: {model}, {version}"

    def _the_registry_knows_who_serves(self) -> None:
        """Unless somebody said otherwise there since, or the operator may not write what is to be written first."""
        ledger, suspended = self.of.ledger(), self.of.condition("RegisteredModel", "flights", "Ready")
        if ledger is None or ledger.champion is None or self.of.registry.silent or self.refusing or self.moved:
            return
        version = self.of.cluster.objects.get(("ModelVersion", "ml", f"flights-v{ledger.champion}"))
        if version is None or suspended["reason"] in ("Suspended", "InvalidSpec"):
            return
        assert self.of.registry.labels[ledger.champion].stage == "Production"

    @rule()
    def the_operator_starts_anew(self) -> None:
        before = self.of.route()
        self.of.start()
        self.of.settle()
        assert "Service" in self.refusing or self.of.route() == before or not before

    def _pods(self) -> dict[str, int]:
        return {
            name: found["metadata"]["generation"]
            for (kind, _, name), found in self.of.cluster.objects.items()
            if kind == "Deployment"
        }

    @invariant()
    def the_route_is_that_of_the_ledger(self) -> None:
        ledger = self.of.ledger()
        if ledger is not None and ledger.since and not self.refusing & {"Service", "ModelLedger"}:
            assert self.of.route() == route(ledger)

    @invariant()
    def nobody_unproven_has_the_traffic(self) -> None:
        ledger = self.of.ledger()
        if ledger is not None and ledger.champion is not None:
            serving = ledger.serving
            assert serving is not None and (serving.version, serving.digest) in self.of.proven
            assert serving.version not in self.of.bad

    @invariant()
    def champion_and_predecessor_are_never_forgotten(self) -> None:
        ledger = self.of.ledger()
        if ledger is not None:
            assert ledger.champion is None or ledger.release(ledger.champion)
            assert ledger.predecessor is None or ledger.release(ledger.predecessor)
            assert len(json.dumps(ledger.wire()).encode()) <= LIMIT_BYTES

    @invariant()
    def no_status_outgrows_its_bound(self) -> None:
        for found in self.of.cluster.objects.values():
            assert len(json.dumps(found.get("status", {})).encode()) <= STATUS_BYTES

    @precondition(lambda self: not self.of.cluster.losing)
    @invariant()
    def everything_is_at_rest(self) -> None:
        ledger = self.of.ledger()
        waits = ledger is not None and ledger.following is not None and ledger.following.archived == "Seen"
        self.of.advance(SWEEPS_SECONDS if waits else MOMENT_SECONDS)
        self.of.advance(BEGUN_SECONDS)
        before, said = len(self.of.cluster.writes), self._conditions()
        self.of.wake_family()
        self.of.settle()
        changed = {name: (said.get(name), now) for name, now in self._conditions().items() if now != said.get(name)}
        assert self.of.cluster.writes[before:] == [], f"another look wants more: {changed}"

    def _conditions(self) -> dict[str, list[tuple[str, ...]]]:
        return {
            f"{kind}/{name}": [
                (one["type"], one["status"], one["reason"], one["message"])
                for one in found.get("status", {}).get("conditions", [])
            ]
            for (kind, _, name), found in self.of.cluster.objects.items()
            if kind in ("ModelVersion", "RegisteredModel")
        }


Friday.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a failure's steps are few enough as they are
)
TestFriday = Friday.TestCase
