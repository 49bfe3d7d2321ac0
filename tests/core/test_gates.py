"""Metric gates say what MLflow's own validation says, and a number that is missing never passes."""

import logging
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.models import MetricThreshold
from mlflow.models.evaluation.base import EvaluationResult
from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results
from slipway.api.modelversion import GateResult
from slipway.api.report import Measured, Report
from slipway.api.validation import Gate, MetricGate, Validation, VersionValidation
from slipway.core import gates


def report(candidate: dict[str, float], champion: dict[str, float] | None) -> Report:
    return Report(
        revision="r",
        candidate=Measured(digest="a", metrics=candidate),
        champion=Measured(digest="b", metrics=champion) if champion is not None else None,
    )


class Case(NamedTuple):
    name: str
    because: str
    gate: dict[str, object]
    candidate: float | None
    champion: float | None
    want: str


CASES = [
    Case("met exactly", "a threshold may be met", {"threshold": 12.0}, 12.0, None, "Passed"),
    Case("missed", "lower is better here", {"threshold": 12.0}, 12.1, None, "Failed"),
    Case("not measured", "no number never passes", {"threshold": 12.0}, None, None, "Failed"),
    Case("not a number", "NaN never passes", {"threshold": 12.0}, float("nan"), None, "Failed"),
    Case("first version", "there is nobody to compare with", {"min_relative_change": 0.1}, 12.0, None, "Skipped"),
    Case("first, absolute too", "the threshold still binds", {"threshold": 9.0, "min_relative_change": 0.1}, 12.0, None, "Failed"),
    Case("better enough", "10 is 20 % below 12.5", {"min_relative_change": 0.2}, 10.0, 12.5, "Passed"),
    Case("not better enough", "11 is 12 % below 12.5", {"min_relative_change": 0.2}, 11.0, 12.5, "Failed"),
    Case("better by enough", "2 below", {"min_absolute_change": 2.0}, 10.0, 12.0, "Passed"),
    Case("better by too little", "1 below", {"min_absolute_change": 2.0}, 11.0, 12.0, "Failed"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_metric_gate(case: Case) -> None:
    gate = Gate(
        name="error", metric=MetricGate.model_validate({"name": "rmse", "greater_is_better": False, **case.gate})
    )
    of = {} if case.candidate is None else {"rmse": case.candidate}
    champion = None if case.champion is None else {"rmse": case.champion}
    (result,) = gates.evaluate([gate], report(of, champion))
    assert result.result == case.want, case.because


def test_a_gate_on_one_of_several_targets_reads_its_metric_and_no_other() -> None:
    metric = MetricGate(name="rmse", target="east", threshold=2.0, greater_is_better=False)
    gate = Gate(name="error", metric=metric)
    assert gates.metrics([gate]) == ("east/rmse",)
    (result,) = gates.evaluate([gate], report({"east/rmse": 1.0, "north/rmse": 9.0}, None))
    assert (result.result, result.metric, result.message) == ("Passed", "east/rmse", "east/rmse is 1")
    (result,) = gates.evaluate([gate], report({"rmse": 1.0, "north/rmse": 1.0}, None))
    assert (result.result, result.message) == ("Failed", "east/rmse was not measured")


@pytest.mark.parametrize(
    ("target", "targets", "says"),
    [
        ("east", ("east", "north"), ""),
        (None, (), ""),
        (None, ("east", "north"), "Gate 'error' names no target of spec.validation.data.targets: east, north."),
        ("west", ("east", "north"), "Gate 'error' names no target of spec.validation.data.targets: east, north."),
        ("east", (), "Gate 'error' names the target 'east': that is for spec.validation.data.targets."),
    ],
)
def test_a_gate_says_which_of_several_targets_it_is_about(
    target: str | None, targets: tuple[str, ...], says: str
) -> None:
    metric = MetricGate(name="rmse", target=target, threshold=2.0, greater_is_better=False)
    assert gates.of_no_target([Gate(name="error", metric=metric)], targets) == says


def test_anything_but_passed_or_skipped_refuses_and_so_does_a_gate_without_a_result() -> None:
    asked = [Gate(name=name) for name in ("passed", "skipped", "failed", "of-tomorrow", "forgotten")]
    results = [
        GateResult.model_construct(name="passed", result="Passed"),
        GateResult.model_construct(name="skipped", result="Skipped"),
        GateResult.model_construct(name="failed", result="Failed", message="13 is over 12"),
        GateResult.model_construct(name="of-tomorrow", result="Undecided", message="nobody knows"),
    ]
    assert gates.missed(asked, results) == [
        "failed: 13 is over 12",
        "of-tomorrow: nobody knows",
        "forgotten: it has no result",
    ]


def test_a_failed_gate_tells_both_numbers() -> None:
    gate = Gate(name="error", metric=MetricGate(name="rmse", min_relative_change=0.2, greater_is_better=False))
    (result,) = gates.evaluate([gate], report({"rmse": 11.0}, {"rmse": 12.5}))
    assert result.message == "rmse is 11, the champion's is 12.5: must be lower by at least 20.000%"


def test_a_metric_of_the_champion_that_is_missing_fails_the_comparison() -> None:
    gate = Gate(name="error", metric=MetricGate(name="rmse", min_relative_change=0.2, greater_is_better=False))
    (result,) = gates.evaluate([gate], report({"rmse": 11.0}, {}))
    assert result.result == "Failed"


numbers = st.floats(-1e6, 1e6)
changes = st.none() | st.floats(1e-6, 10.0)
fractions = st.none() | st.floats(1e-6, 1.0)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)


@given(numbers, numbers, st.none() | numbers, changes, fractions, st.booleans())
def test_gates_agree_with_mlflow(
    candidate: float,
    champion: float,
    threshold: float | None,
    absolute: float | None,
    relative: float | None,
    greater: bool,
) -> None:
    if threshold is absolute is relative is None:
        threshold = 0.0
    metric = MetricGate(
        name="m",
        threshold=threshold,
        min_absolute_change=absolute,
        min_relative_change=relative,
        greater_is_better=greater,
    )
    bound = MetricThreshold(
        threshold=threshold, min_absolute_change=absolute, min_relative_change=relative, greater_is_better=greater
    )
    try:
        validate_evaluation_results(
            {"m": bound}, EvaluationResult(metrics={"m": candidate}, artifacts={}),
            EvaluationResult(metrics={"m": champion}, artifacts={}),
        )  # fmt: skip
        want = "Passed"
    except ModelValidationFailedException:
        want = "Failed"
    (result,) = gates.evaluate([Gate(name="g", metric=metric)], report({"m": candidate}, {"m": champion}))
    assert result.result == want


def _gate(name: str, threshold: float, overridable: bool = False) -> Gate:
    return Gate(
        name=name, overridable=overridable, metric=MetricGate(name="m", threshold=threshold, greater_is_better=True)
    )


def test_a_version_adds_gates_and_replaces_only_those_that_it_may() -> None:
    policy = Validation(gates=(_gate("a", 1), _gate("b", 1, overridable=True)))
    merged = gates.merged(policy, VersionValidation(gates=(_gate("b", 2), _gate("c", 3))))
    assert [(gate.name, gate.metric.threshold) for gate in merged if gate.metric] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_version_may_not_replace_a_gate_of_its_model() -> None:
    policy = Validation(gates=(_gate("a", 1),))
    assert gates.merged(policy, VersionValidation(gates=(_gate("a", 0),))) == (
        "gate 'a' belongs to the model and is not overridable."
    )


def test_a_kind_of_gate_that_nobody_judges_never_passes() -> None:
    (result,) = gates.evaluate([Gate(name="later")], report({"m": 1.0}, None))
    assert result.result == "Failed"
