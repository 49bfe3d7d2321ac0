"""Gates: a report's numbers against the bounds that were set. A number that is missing never passes.

The meaning of a metric gate is MLflow's (`mlflow.models.MetricThreshold`, `validate_evaluation_results`):
a threshold may be met exactly; a minimal change must be reached against the champion's value.
"""

import math
from collections.abc import Sequence

from ..api.modelversion import GateResult
from ..api.report import Report
from ..api.validation import Gate, MetricGate, Validation, VersionValidation
from .conditions import clipped


def merged(policy: Validation, version: VersionValidation | None) -> tuple[Gate, ...] | str:
    """The gates of a version: its model's and its own; a sentence if it replaces one that it may not."""
    found = {gate.name: gate for gate in policy.gates}
    for gate in version.gates if version else ():
        if gate.name in found and not found[gate.name].overridable:
            return f"gate '{gate.name}' belongs to the model and is not overridable."
        found[gate.name] = gate
    return tuple(found.values())


def evaluate(gates: Sequence[Gate], report: Report) -> tuple[GateResult, ...]:
    """One result per gate, in their order."""
    return tuple(_result(gate, report) for gate in gates)


def missed(gates: Sequence[Gate], results: Sequence[GateResult]) -> list[str]:
    """What keeps a version out, in words: any result but Passed and Skipped, and any gate without one."""
    found = {one.name: one for one in results}
    sentences = []
    for gate in gates:
        one = found.get(gate.name)
        if one is None:
            sentences.append(f"{gate.name}: it has no result")
        elif one.result not in ("Passed", "Skipped"):
            sentences.append(f"{gate.name}: {one.message}")
    return sentences


def _result(gate: Gate, report: Report) -> GateResult:
    if gate.metric is not None:
        return _metric(gate.name, gate.metric, report)
    return GateResult(name=gate.name, result="Failed", message="this operator does not know this kind of gate")


def metrics(gates: Sequence[Gate]) -> tuple[str, ...]:
    """The metrics that the gates ask for, as a report names them."""
    return tuple(sorted({_measured(gate.metric) for gate in gates if gate.metric}))


def of_no_target(gates: Sequence[Gate], targets: Sequence[str]) -> str:
    """A sentence about a gate that does not say which of several targets it is about, or another one; "" if all do."""
    for gate in gates:
        target = gate.metric.target if gate.metric else None
        if targets and target not in targets:
            return f"Gate '{gate.name}' names no target of spec.validation.data.targets: {', '.join(targets)}."
        if target and not targets:
            return f"Gate '{gate.name}' names the target '{target}': that is for spec.validation.data.targets."
    return ""


def _measured(gate: MetricGate) -> str:
    return f"{gate.target}/{gate.name}" if gate.target else gate.name


def _metric(name: str, gate: MetricGate, report: Report) -> GateResult:
    measured = _measured(gate)
    candidate = report.candidate.metrics.get(measured)
    champion = report.champion.metrics.get(measured) if report.champion else None

    def result(word: str, message: str) -> GateResult:
        return GateResult.model_validate(
            {"name": name, "result": word, "metric": measured, "candidate": candidate, "champion": champion,
             "message": clipped(message, 512)}
        )  # fmt: skip

    if candidate is None or not math.isfinite(candidate):
        return result("Failed", f"{measured} was not measured")
    relative = gate.min_absolute_change is not None or gate.min_relative_change is not None
    if relative and report.champion is not None and (champion is None or not math.isfinite(champion)):
        return result("Failed", f"{measured} of the champion was not measured")
    missed = [*_threshold(gate, candidate), *(_change(gate, candidate, champion) if champion is not None else [])]
    if missed:
        return result("Failed", "; ".join(missed))
    if relative and champion is None and gate.threshold is None:
        return result("Skipped", f"{measured} is {candidate:.6g}; there is no champion to compare with")
    against = f", the champion's is {champion:.6g}" if champion is not None else ""
    return result("Passed", f"{measured} is {candidate:.6g}{against}")


def _threshold(gate: MetricGate, candidate: float) -> list[str]:
    if gate.threshold is None:
        return []
    good = candidate >= gate.threshold if gate.greater_is_better else candidate <= gate.threshold
    bound = "at least" if gate.greater_is_better else "at most"
    return [] if good else [f"{_measured(gate)} is {candidate:.6g}, must be {bound} {gate.threshold:.6g}"]


def _change(gate: MetricGate, candidate: float, champion: float) -> list[str]:
    better = "higher" if gate.greater_is_better else "lower"
    both = f"{_measured(gate)} is {candidate:.6g}, the champion's is {champion:.6g}"
    missed = []
    if gate.min_absolute_change is not None and not _beats(gate, candidate, champion, gate.min_absolute_change):
        missed.append(f"{both}: must be {better} by at least {gate.min_absolute_change:.6g}")
    if gate.min_relative_change is not None and not _gains(gate, candidate, champion, gate.min_relative_change):
        missed.append(f"{both}: must be {better} by at least {gate.min_relative_change:.3%}")
    return missed


def _beats(gate: MetricGate, candidate: float, champion: float, change: float) -> bool:
    return candidate >= champion + change if gate.greater_is_better else candidate <= champion - change


def _gains(gate: MetricGate, candidate: float, champion: float, fraction: float) -> bool:
    if champion == 0:  # no fraction of nothing: MLflow asks for any gain at all
        return _beats(gate, candidate, champion, 1e-10)
    gain = candidate - champion if gate.greater_is_better else champion - candidate
    return gain / abs(champion) >= fraction
