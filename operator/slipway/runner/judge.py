"""Rehearses the candidate's server, compares predictions with the truth, and reports. Never loads a model."""

import hashlib
import json
import math
import platform
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy
import pandas

from slipway.api.report import PREFIX, Measured, Report, Summary
from slipway.api.tasks import CANDIDATE_PREDICTIONS, CHAMPION_PREDICTIONS, TRUTH, JudgeTask
from slipway.api.validation import Outputs

from . import metrics, outputs, predictions
from .metrics import Classes
from .outcome import Refused, run, say
from .outputs import Wanted
from .pod import THIS_POD, Pod
from .predictions import CANDIDATE_REASON, CHAMPION_REASON, Predictions
from .rehearsal import rehearse

_CLASSES_SHOWN = 12


def judge(task: JudgeTask, pod: Pod) -> Summary:
    """The whole program."""
    report = _report(task, pod)
    text = json.dumps(report.wire(), sort_keys=True, separators=(",", ":"), allow_nan=False)
    print(PREFIX + text, flush=True)
    return Summary(report_digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", revision=task.revision)


def _report(task: JudgeTask, pod: Pod) -> Report:
    if not task.with_data:
        return _without_data(task, pod)
    frame, facts = _truth(pod)
    truth = [_target(frame, place, task) for place in range(len(frame.columns))]
    found = predictions.read(pod.at(CANDIDATE_PREDICTIONS), len(frame), CANDIDATE_REASON)
    rehearsed = rehearse(task, pod, found.rows)
    candidate, champion = _measured(task, truth, found, task.candidate_digest, CANDIDATE_REASON), None
    if task.champion_digest:
        found = predictions.read(pod.at(CHAMPION_PREDICTIONS), len(frame), CHAMPION_REASON)
        champion = _measured(task, truth, found, task.champion_digest, CHAMPION_REASON)
    return Report(
        revision=task.revision,
        candidate=candidate,
        champion=champion,
        data_digest=str(facts["data_digest"]),
        rows=len(frame),
        python=_python(),
        rehearsal=rehearsed,
    )


def _without_data(task: JudgeTask, pod: Pod) -> Report:
    # That the model loaded and predicted its example is proven by the scoring program having written its file.
    found = predictions.read(pod.at(CANDIDATE_PREDICTIONS), 0, CANDIDATE_REASON)
    if task.metrics:
        raise Refused("MetricNotComputed", f"without data there is no {', '.join(task.metrics)}")
    return Report(
        revision=task.revision,
        candidate=Measured(digest=task.candidate_digest, metrics={}, seconds=found.seconds),
        python=_python(),
        rehearsal=rehearse(task, pod, ()),
    )


def _python() -> str:
    """The minor version of Python: the judge runs in the image of the score steps."""
    return ".".join(platform.python_version_tuple()[:2])


def _truth(pod: Pod) -> tuple[pandas.DataFrame, dict[str, Any]]:
    folder = pod.at(TRUTH)
    facts = json.loads((folder / "facts.json").read_text())
    frame = pandas.read_parquet(folder / "target.parquet")
    if len(frame) != facts["rows"]:
        raise Refused("DataInvalid", f"the target has {len(frame)} rows, not {facts['rows']}")
    return frame, facts


@dataclass(frozen=True)
class Target:
    """One column of the truth, and what a prediction of it has to be."""

    wanted: Wanted
    values: tuple[Any, ...]
    classes: Classes | None = None  # of a classifier

    @property
    def name(self) -> str:
        """Its column."""
        return self.wanted.target


def _target(frame: pandas.DataFrame, place: int, task: JudgeTask) -> Target:
    name, values = str(frame.columns[place]), frame.iloc[:, place]
    if task.model_type is None:
        raise Refused("ModelTypeMissing", "metrics need a model type: regressor or classifier")
    if pandas.api.types.is_bool_dtype(values.dtype):
        kind: type = bool
    else:
        kind = float if pandas.api.types.is_numeric_dtype(values.dtype) else str
    if task.model_type == "regressor":
        if kind is not float:
            raise Refused("DataInvalid", f"the target of a regressor is numbers; {name!r} is {values.dtype}")
        return Target(Wanted(name, kind, False, place, len(frame.columns)), tuple(values.astype(float).tolist()))
    found = tuple(values.astype(float).tolist() if kind is float else values.tolist())  # as predictions are read
    labels = tuple(sorted(set(found)))
    if len(labels) < 2:
        raise Refused("DataInvalid", f"the target {name!r} holds one class only: {outputs.text(labels[0])[:60]!r}")
    wanted = Wanted(name, kind, True, place, len(frame.columns))
    return Target(wanted, found, Classes(labels, _positive(labels, task)))


def _positive(labels: tuple[Any, ...], task: JudgeTask) -> Any:
    if task.positive_label is None:
        return None
    known = {outputs.text(label): label for label in labels}
    if task.positive_label not in known:
        there = ", ".join(list(known)[:_CLASSES_SHOWN])
        raise Refused("PositiveLabelMissing", f"there is no class {task.positive_label!r} in the target: {there}")
    return known[task.positive_label]


def _measured(task: JudgeTask, truth: list[Target], found: Predictions, digest: str, reason: str) -> Measured:
    def refuse(why: str) -> Refused:
        if task.served and task.served.is_quiet:
            why = "they do not fit the target or spec.validation.outputs; none is shown, since the model has Secrets"
        return Refused(reason, why)

    computed: dict[str, float] = {}
    for target in truth:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                its = _of_target(task, target, found, refuse)
        except ValueError as error:  # scikit-learn's, over values that this program did not choose
            raise refuse(f"the metrics cannot be computed: {' '.join(str(error).split())[:400]}") from error
        prefix = f"{target.name}/" if len(truth) > 1 else ""
        computed |= {f"{prefix}{name}": float(value) for name, value in its.items()}
    finite = {name: value for name, value in sorted(computed.items()) if math.isfinite(value)}
    missing = [name for name in task.metrics if name not in finite]
    if missing:
        said = f"{digest} has no finite {', '.join(missing)}; there are: {', '.join(finite)}"
        raise Refused("MetricNotComputed", said)
    say(f"{digest}: {', '.join(f'{name}={value:.6g}' for name, value in finite.items())}")
    return Measured(digest=digest, metrics=finite, seconds=found.seconds)


def _of_target(task: JudgeTask, target: Target, found: Predictions, refuse: outputs.Refuse) -> dict[str, float]:
    chosen, classes = task.outputs or Outputs(), target.classes
    if classes is None:
        said = outputs.of_target(found.rows, target.wanted, chosen, refuse)
        return metrics.of_regressor(numpy.array(target.values), numpy.array(said))
    probabilities = outputs.of_classes(found.rows, classes.labels, chosen, refuse)
    if probabilities is not None and not chosen.predictions:
        said = outputs.most_probable(probabilities, classes.positive)
    else:
        said = outputs.of_target(found.rows, target.wanted, chosen, refuse)
    if not set(said) & set(classes.labels):
        theirs, there = (", ".join(outputs.text(one) for one in sorted(set(many))[:_CLASSES_SHOWN])
                         for many in (said, classes.labels))  # fmt: skip
        raise refuse(f"no prediction is a class of the target {target.name!r} ({there}): they are {theirs}")
    asked = [name for name in task.metrics if name.rsplit("/", 1)[-1] in metrics.OF_A_POSITIVE]
    if asked and classes.is_ambiguous:
        two = " or ".join(repr(outputs.text(label)) for label in classes.labels)
        said_so = f"which class is the positive one, {two}, decides {', '.join(asked)}"
        raise Refused("PositiveLabelMissing", f"{said_so}: set spec.validation.positiveLabel")
    return metrics.of_classifier(target.values, said, classes, probabilities)


def main(pod: Pod = THIS_POD) -> NoReturn:
    """Run the program in its pod."""
    run(judge, JudgeTask, pod)


if __name__ == "__main__":
    main()
