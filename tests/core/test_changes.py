"""What differs from the version that serves: the four questions of whoever promotes a version."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from slipway.api.facts import Changes, Difference
from slipway.api.modelledger import Adopted
from slipway.api.modelversion import ModelVersion
from slipway.core import lifecycle
from slipway.core.changes import NOBODY, compared, lasting, size
from slipway.core.facts import Logged, bounded

from tests.core.test_facts import LOGGED, hostile
from tests.worlds import digest, model, model_seen, serves, version, version_seen

LIMIT_BYTES = 5 * 1024


def made(number: int, logged: Logged | None, stage: str = "Production", **resolved: Any) -> ModelVersion:
    """A version that was made so."""
    pinned = {"source": "models:/m-1", "mlmodelDigest": digest("f"), "flavors": ["sklearn"], "sizeBytes": 1000}
    status = {"resolved": pinned | resolved}
    return version(number, stage, status | ({"facts": bounded(logged).wire()} if logged else {}))


def changes(champion: Logged, candidate: Logged, ours: Any = None, theirs: Any = None) -> Changes:
    """What differs between version 2 and the champion, version 1."""
    one, two = made(1, champion, **(theirs or {})), made(2, candidate, **(ours or {}))
    found = compared(model_seen((one, two), serves(1)), serves(1), two)
    assert found is not None and found.against == 1
    return found


def told(differences: tuple[Difference, ...] | None) -> list[tuple[str, str | None, str | None]]:
    assert differences is not None
    return [(one.name, one.champion, one.candidate) for one in differences]


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    champion: Logged
    candidate: Logged
    part: str
    want: list[tuple[str, str | None, str | None]]
    summary: str


CASES = [
    Case(
        "a hyperparameter was changed",
        "both values are what people ask for",
        Logged(params={"max_depth": "6", "eta": "0.1"}),
        Logged(params={"max_depth": "8", "eta": "0.1"}),
        "params",
        [("max_depth", "6", "8")],
        "1 parameter",
    ),
    Case(
        "hyperparameters came and went",
        "one that is left at its default is not one that was never there",
        Logged(params={"gamma": "1"}),
        Logged(params={"alpha": "0"}),
        "params",
        [("alpha", None, "0"), ("gamma", "1", None)],
        "2 parameters",
    ),
    Case(
        "it was trained on other data",
        "the same name with another digest is other data",
        Logged(data={"flights (training)": "cb5a70f5"}),
        Logged(data={"flights (training)": "11111111"}),
        "data",
        [("flights (training)", "cb5a70f5", "11111111")],
        "1 dataset",
    ),
    Case(
        "it was made by other code",
        "a commit can be looked up",
        Logged(commit="a" * 40),
        Logged(commit="b" * 40),
        "code",
        [("commit", "a" * 40, "b" * 40)],
        "code aaaaaaa → bbbbbbb",
    ),
    Case(
        "training took longer",
        "seconds are read as hours",
        Logged(duration_seconds=90),
        Logged(duration_seconds=5400),
        "training",
        [("duration", "1m30s", "1h30m")],
        "duration 1m30s → 1h30m",
    ),
    Case(
        "a column was added, one removed and one retyped",
        "that is preprocessing that clients notice",
        Logged(inputs={"carrier": "string", "distance": "double", "day": "long"}, outputs={"0": "double"}, files={}),
        Logged(inputs={"distance": "float", "day": "long", "origin": "string"}, outputs={"0": "double"}, files={}),
        "preprocessing",
        [("input carrier", "string", None), ("input distance", "double", "float"), ("input origin", None, "string")],
        "preprocessing: input carrier removed, input distance changed, input origin added",
    ),
    Case(
        "a scaler lies beside the model now",
        "a file or folder that was not there is preprocessing that was added",
        Logged(files={"MLmodel": "file", "model.pkl": "file"}),
        Logged(files={"MLmodel": "file", "model.pkl": "file", "code": "folder"}),
        "preprocessing",
        [("file code", None, "folder")],
        "preprocessing: file code added",
    ),
    Case(
        "packages were added, removed, raised and lowered",
        "that is the environment it needs",
        Logged(python="3.11.7", packages={"numpy": "==1.9.10", "old": "", "xgboost": "==3.2.0", "skops": ">=1"}),
        Logged(python="3.12.1", packages={"numpy": "==1.10.0", "new": "==1", "xgboost": "==3.1.9", "skops": ">=2"}),
        "environment",
        [
            ("python", "3.11.7", "3.12.1"),
            ("new", None, "==1"),
            ("numpy", "==1.9.10", "==1.10.0"),
            ("old", "", None),
            ("skops", ">=1", ">=2"),
            ("xgboost", "==3.2.0", "==3.1.9"),
        ],
        "environment: python raised, new added, numpy raised and 3 more",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_differs(case: Case) -> None:
    found = changes(case.champion, case.candidate)
    assert told(getattr(found, case.part)) == case.want, case.because
    assert case.summary in found.summary and found.summary.startswith("Against version 1: ")


def test_flavors_size_and_the_mlflow_of_old_are_told_too() -> None:
    theirs = {"flavors": ["sklearn"], "sizeBytes": 1024, "mlflowVersion": "2.9.2"}
    ours = {"flavors": ["sklearn", "xgboost"], "sizeBytes": 3 * 2**20, "mlflowVersion": "3.17.2"}
    found = changes(Logged(python="3.11"), Logged(python="3.11"), ours, theirs)
    assert told(found.preprocessing) == [("flavor xgboost", None, "there")]
    assert told(found.training) == [("size", "1 KiB", "3 MiB")]
    assert told(found.environment) == [("mlflow", "2.9.2", "3.17.2")]


def test_what_is_the_same_was_compared_and_what_is_unknown_was_not() -> None:
    found = changes(Logged(params={"a": "1"}, commit="c"), Logged(params={"a": "1"}))
    assert found.params == () and found.metrics is None and found.data is None
    assert told(found.code) == [("commit", "c", None)]
    assert "Not known: metrics, data" in found.summary


def test_nothing_differs_between_what_was_made_alike() -> None:
    alike = Logged(params={"a": "1"}, metrics={"rmse": 1.0}, data={}, commit="c", inputs={}, packages={})
    assert changes(alike, alike).summary == "Against version 1: nothing that is known differs."


def test_lists_that_were_cut_are_compared_as_far_as_both_reach() -> None:
    many = {f"p{number:04}": "1" for number in range(300)}
    found = changes(Logged(params=many), Logged(params={"a": "1", **many}))
    assert told(found.params)[0] == ("a", None, "1")
    assert {name for name, _, _ in told(found.params)} == {"a", "(others)"}, "none of those beyond the end is guessed"
    assert changes(Logged(params=many), Logged(params=many)).params == (), "the rest is the same, too"


def test_where_nobody_serves_that_is_said() -> None:
    first = made(1, Logged(params={}))
    found = compared(model_seen((first,)), serves(1).model_copy(update={"champion": None}), first)
    assert found is not None and (found.summary, found.against, found.params) == (NOBODY, None, None)


def test_what_an_adopted_deployment_is_said_to_run_is_compared_with() -> None:
    one, two = made(1, Logged(params={"a": "1"})), made(2, Logged(params={"a": "2"}))
    old = Adopted(deployment="old", selector={"app": "old"}, port=80, version=1, serving=True)
    ledger = serves(1).model_copy(update={"champion": None, "adopted": old})
    found = compared(model_seen((one, two)), ledger, two)
    assert found is not None and (found.against, told(found.params)) == (1, [("a", "1", "2")])
    assert compared(model_seen((one, two)), ledger, one) is None, "it is what serves, as far as anybody knows"


@pytest.mark.parametrize("known", [True, False])
def test_a_champion_of_which_nothing_was_read_is_compared_once_it_was(known: bool) -> None:
    champion, own = made(1, Logged(params={"a": "1"}) if known else None), made(2, Logged(params={"a": "2"}))
    found = compared(model_seen((champion, own), serves(1)), serves(1), own)
    assert found is not None
    assert (found.params is not None) == known
    own = own.model_copy(update={"status": own.status.model_copy(update={"changes": found})})
    assert compared(model_seen((champion, own), serves(1)), serves(1), own) is None, "it is said"
    later = made(1, Logged(params={"a": "1"}))
    again = compared(model_seen((later, own), serves(1)), serves(1), own)
    assert (again is None) == known


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(made(1, Logged(params={})), id="the champion keeps what it changed when it came"),
        pytest.param(made(2, Logged(params={}), "Archived"), id="what is out of use is not compared any more"),
        pytest.param(made(2, None), id="nothing was read of it yet"),
    ],
)
def test_what_was_said_before_stays(own: ModelVersion) -> None:
    others = (made(1, Logged(params={})),) if own.spec.version != 1 else ()
    assert compared(model_seen((*others, own), serves(1)), serves(1), own) is None


@given(LOGGED, LOGGED)
def test_whatever_differs_takes_little_room_and_can_be_read(one: Logged, two: Logged) -> None:
    found = changes(one, two).wire()
    assert len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT_BYTES
    Changes.model_validate(json.loads(json.dumps(found)))


@pytest.mark.parametrize("letter", ["a", "ü", "😀", '"'])
def test_hostile_runs_take_little_room_and_the_rest_is_counted(letter: str) -> None:
    found = changes(Logged(**{name: {} for name in ("params", "inputs", "packages")}), hostile(letter))
    assert len(json.dumps(found.wire(), ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT_BYTES
    assert found.more["params"] > 0


class TestStatus:
    def test_facts_go_into_the_status_once_they_were_read_and_the_comparison_with_them(self) -> None:
        facts = bounded(Logged(params={"a": "1"}))
        seen = version_seen(version(1, "None"), model())
        assert lifecycle.needs_facts(seen)
        decision = lifecycle.decide(seen.__class__(**{**vars(seen), "facts": facts}))
        assert decision.status is not None
        assert decision.status["facts"]["params"] == {"a": "1"}
        assert decision.status["facts"]["registry"] == decision.status["resolved"]["registry"]
        assert decision.status["changes"]["summary"] == NOBODY

    def test_no_condition_waits_for_them(self) -> None:
        decision = lifecycle.decide(version_seen(version(1, "None"), model()))
        assert decision.status is not None and "facts" not in decision.status
        ready = next(one for one in decision.status["conditions"] if one["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "Registered")

    def test_they_are_read_once_and_anew_where_the_model_points_elsewhere(self) -> None:
        seen = version_seen(version(1, "None"), model())
        decision = lifecycle.decide(seen.__class__(**{**vars(seen), "facts": bounded(Logged())}))
        known = version(1, "None", decision.status)
        assert not lifecycle.needs_facts(version_seen(known, model(), entry=None))
        elsewhere = model({"source": {"name": "other"}})
        assert lifecycle.needs_facts(version_seen(known, elsewhere))


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5120 GiB")])
def test_sizes_are_written_as_people_do(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (61, "1m1s"), (3600, "1h0m"), (90061, "25h1m")])
def test_durations_are_written_as_people_do(seconds: int, said: str) -> None:
    assert lasting(seconds) == said
