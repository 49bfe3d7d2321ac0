"""The judge: what predictions are worth, and which are not predictions at all."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pytest
from sklearn.metrics import log_loss, mean_squared_error
from slipway.api.report import PREFIX, Report
from slipway.api.tasks import CANDIDATE_PREDICTIONS, CHAMPION_PREDICTIONS, TRUTH, JudgeTask
from slipway.api.validation import Outputs
from slipway.runner.judge import judge
from slipway.runner.outcome import Refused

from tests.runner.pods import Pod

TRUE = [1.0, 2.0, 3.0, 4.0]
CANDIDATE, CHAMPION = "sha256:" + "a" * 64, "sha256:" + "b" * 64
TASK = JudgeTask(revision="r1", candidate_digest=CANDIDATE, model_type="regressor", with_data=True)


def truth(pod: Pod, values: list[object]) -> None:
    truth_of(pod, {"y": values})


def truth_of(pod: Pod, columns: Mapping[str, list[Any]]) -> None:
    pandas.DataFrame(columns).to_parquet(pod.at(TRUTH) / "target.parquet")
    facts = {"data_digest": "sha256:" + "d" * 64, "rows": len(next(iter(columns.values())))}
    (pod.at(TRUTH) / "facts.json").write_text(json.dumps(facts))


def predicted(pod: Pod, values: Sequence[object], folder: str = CANDIDATE_PREDICTIONS) -> None:
    (pod.at(folder) / "predictions.json").write_text(json.dumps({"predictions": values, "seconds": 0.5}))


def report_of(stdout: str) -> tuple[Report, str]:
    (line,) = [line for line in stdout.splitlines() if line.startswith(PREFIX)]
    text = line.removeprefix(PREFIX)
    return Report.model_validate_json(text), "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_candidate_and_champion_are_measured_by_mlflows_metrics_and_the_summary_seals_the_report(pod: Pod) -> None:
    truth(pod, list(TRUE))
    predicted(pod, [1.1, 2.1, 2.9, 4.2])
    predicted(pod, [1.5, 2.5, 2.5, 4.5], CHAMPION_PREDICTIONS)
    task = TASK.model_copy(update={"champion_digest": CHAMPION, "metrics": ("root_mean_squared_error",)})

    ended = pod.run("judge", task)

    assert ended.code == 0, ended.stderr
    report, digest = report_of(ended.stdout)
    assert ended.termination == {"reportDigest": digest, "revision": "r1"}
    assert report.candidate.digest == CANDIDATE
    assert report.candidate.seconds == 0.5
    assert report.candidate.metrics["mean_squared_error"] == mean_squared_error(TRUE, [1.1, 2.1, 2.9, 4.2])
    assert report.champion is not None
    assert report.champion.metrics["root_mean_squared_error"] == 0.5
    assert (report.rows, report.data_digest) == (4, "sha256:" + "d" * 64)
    assert report.python == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_same_predictions_give_the_same_bytes(pod: Pod, capsys: pytest.CaptureFixture[str]) -> None:
    truth(pod, list(TRUE))
    predicted(pod, [1.1, 2.1, 2.9, 4.2])
    assert judge(TASK, pod.inside) == judge(TASK, pod.inside)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


@pytest.mark.parametrize(
    ("labels", "guesses"),
    [
        (["jfk", "lga", "jfk", "ewr"], ["jfk", "lga", "lga", "ewr"]),
        (["on time", "late", "late", "late"], ["on time", "on time", "late", "late"]),
        ([0, 1, 1, 0], [0, 1, 0, 0]),
        ([0, 1, 1, 0], [0.0, 1.0, 0.0, 0.0]),
        ([True, False, True, True], [True, False, False, True]),
    ],
)
def test_labels_of_a_classifier_may_be_strings_numbers_or_truth_values(
    pod: Pod, capsys: pytest.CaptureFixture[str], labels: list[object], guesses: list[object]
) -> None:
    truth(pod, labels)
    predicted(pod, guesses)
    judge(TASK.model_copy(update={"model_type": "classifier", "metrics": ("accuracy_score",)}), pod.inside)
    assert report_of(capsys.readouterr().out)[0].candidate.metrics["accuracy_score"] == 0.75


CLASSIFIER = TASK.model_copy(update={"model_type": "classifier"})


def outputs(**chosen: object) -> Outputs:
    return Outputs.model_validate(chosen)


def test_each_target_of_several_is_measured_by_its_name(pod: Pod, capsys: pytest.CaptureFixture[str]) -> None:
    truth_of(pod, {"east": TRUE, "north": [0.0, 0.0, 0.0, 1.0]})
    asked = ("east/mean_absolute_error", "north/max_error")
    by_name = [{"north": 0.0, "more": "x", "east": value + 1} for value in TRUE]
    by_place = [[value + 1, 0.0] for value in TRUE]
    named = [{"e": value + 1, "n": 0.0} for value in TRUE]
    said = outputs(predictions=[{"target": "east", "output": "e"}, {"target": "north", "output": "n"}])
    for rows, chosen in ((by_name, None), (by_place, None), (named, said)):
        predicted(pod, rows)
        judge(TASK.model_copy(update={"metrics": asked, "outputs": chosen}), pod.inside)
        found = report_of(capsys.readouterr().out)[0].candidate.metrics
        assert [found[name] for name in asked] == [1.0, 1.0]


PROBABLE = [0.1, 0.6, 0.8, 0.4]  # of the second class, where the truth is "no", "yes", "yes", "yes"
TABLE = [{"label": "yes" if p > 0.5 else "no", "n": 1 - p, "y": p} for p in PROBABLE]
BOTH = [{"label": "no", "output": "n"}, {"label": "yes", "output": "y"}]
ONE = [{"label": "yes"}]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        (TABLE, outputs(probabilities=BOTH, predictions=[{"target": "y", "output": "label"}])),
        (TABLE, outputs(probabilities=BOTH)),
        (TABLE, outputs(probabilities=BOTH[1:])),
        ([[1 - p, p] for p in PROBABLE], outputs(probabilities=[{"label": "yes", "output": "1"}])),
        (PROBABLE, outputs(probabilities=ONE)),
    ],
    ids=["label beside probabilities", "the most probable one", "one of two", "by place", "one number"],
)
def test_probabilities_are_judged_where_they_are_named(
    pod: Pod, capsys: pytest.CaptureFixture[str], rows: list[object], chosen: Outputs
) -> None:
    truth(pod, ["no", "yes", "yes", "yes"])
    predicted(pod, rows)
    judge(CLASSIFIER.model_copy(update={"outputs": chosen}), pod.inside)
    found = report_of(capsys.readouterr().out)[0].candidate.metrics
    assert found["accuracy_score"] == 0.75
    assert found["roc_auc"] == 1.0
    assert found["brier_score_loss"] == pytest.approx((0.01 + 0.16 + 0.04 + 0.36) / 4)
    assert found["log_loss"] == pytest.approx(log_loss([0, 1, 1, 1], PROBABLE))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [[0, 1], [1, 0], [1, 0], [1, 0]],
            r"row 0 has 2 outputs \(0, 1\): say in spec.validation.outputs which one is",
        ),
        ([{"a": 1, "b": 0}] * 4, r"row 0 has 2 outputs \(a, b\)"),
        ([0.2, 0.4, 0.6, 0.9], r"no prediction is a class of the target 'y' \(0, 1\): they are 0.2, 0.4, 0.6, 0.9"),
    ],
)
def test_what_is_no_class_says_what_to_do(pod: Pod, values: list[object], said: str) -> None:
    truth(pod, [0, 1, 1, 0])
    predicted(pod, values)
    with pytest.raises(Refused, match=said) as refused:
        judge(CLASSIFIER, pod.inside)
    assert refused.value.reason == "PredictionsInvalid"


@pytest.mark.parametrize(
    ("chosen", "rows", "said"),
    [
        (outputs(probabilities=BOTH[:1]), [{"y": 1}] * 4, "row 0 has no output 'n': it has y"),
        (outputs(probabilities=ONE), [1.5] * 4, "the probability of 'yes' in row 0 is '1.5', not from 0 to 1"),
        (outputs(probabilities=ONE), [None] * 4, "the probability of 'yes' in row 0 is 'None', not from 0 to 1"),
        (
            outputs(probabilities=[{"label": "maybe"}]),
            [1] * 4,
            "there is no class 'maybe' in the target: it has no, yes",
        ),
        (
            outputs(predictions=[{"target": "y", "output": "c"}]),
            [{"a": 1, "b": 2}] * 4,
            "row 0 has no output 'c': it has a, b",
        ),
    ],
)
def test_outputs_that_are_not_there_are_named(pod: Pod, chosen: Outputs, rows: list[object], said: str) -> None:
    truth(pod, ["no", "yes", "yes", "yes"])
    predicted(pod, rows)
    with pytest.raises(Refused) as refused:
        judge(CLASSIFIER.model_copy(update={"outputs": chosen}), pod.inside)
    assert (refused.value.reason, said in str(refused.value)) == ("PredictionsInvalid", True), str(refused.value)


@pytest.mark.parametrize(
    ("labels", "guesses"), [([True, False, True, True], [1, 0, 0, 1]), ([1, 0, 1, 1], [True, False, False, True])]
)
def test_truth_values_and_0_and_1_are_the_same(
    pod: Pod, capsys: pytest.CaptureFixture[str], labels: list[object], guesses: list[object]
) -> None:
    truth(pod, labels)
    predicted(pod, guesses)
    judge(CLASSIFIER, pod.inside)
    assert report_of(capsys.readouterr().out)[0].candidate.metrics["accuracy_score"] == 0.75


def test_which_class_is_positive_is_said_or_a_gate_on_it_is_refused(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    truth(pod, ["late", "on time", "on time", "on time"])
    predicted(pod, ["late", "late", "on time", "on time"])
    task = CLASSIFIER.model_copy(update={"metrics": ("precision_score",)})
    with pytest.raises(
        Refused, match="is the positive one, 'late' or 'on time', decides precision_score: set "
    ) as refused:
        judge(task, pod.inside)
    assert refused.value.reason == "PositiveLabelMissing"
    for label, precision in (("late", 0.5), ("on time", 1.0)):
        judge(task.model_copy(update={"positive_label": label}), pod.inside)
        assert report_of(capsys.readouterr().out)[0].candidate.metrics["precision_score"] == precision
    with pytest.raises(Refused, match="there is no class 'early' in the target: late, on time"):
        judge(task.model_copy(update={"positive_label": "early"}), pod.inside)


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], ["a", "a", "a", "a"], [True, True, True, True]])
def test_data_of_one_class_is_the_datas_fault(pod: Pod, labels: list[object]) -> None:
    truth(pod, labels)
    predicted(pod, [labels[0], labels[0], labels[0], 0])
    with pytest.raises(Refused, match="the target 'y' holds one class only") as refused:
        judge(CLASSIFIER, pod.inside)
    assert refused.value.reason == "DataInvalid"


def test_a_metric_that_was_not_computed_is_a_reason_of_its_own_and_names_those_that_were(pod: Pod) -> None:
    truth(pod, list(TRUE))
    predicted(pod, list(TRUE))
    with pytest.raises(Refused, match=r"no finite roc_auc; there are: .*mean_squared_error") as refused:
        judge(TASK.model_copy(update={"metrics": ("roc_auc",)}), pod.inside)
    assert refused.value.reason == "MetricNotComputed"


def test_metrics_that_are_not_finite_are_left_out(pod: Pod, capsys: pytest.CaptureFixture[str]) -> None:
    truth(pod, [1.0])  # r2 of one row is undefined
    predicted(pod, [1.5])
    judge(TASK, pod.inside)
    metrics = report_of(capsys.readouterr().out)[0].candidate.metrics
    assert "r2_score" not in metrics
    assert metrics["max_error"] == 0.5


def test_without_data_the_report_says_who_was_loaded_and_nothing_more(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(pod, [])
    judge(TASK.model_copy(update={"with_data": False}), pod.inside)
    report = report_of(capsys.readouterr().out)[0]
    assert (report.candidate.digest, report.candidate.metrics, report.rows) == (CANDIDATE, {}, 0)


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    write: Callable[[Path], object]


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def values(content: str) -> Callable[[Path], object]:
    return text('{"predictions": [' + content + '], "seconds": 1}')


HOSTILE = [
    Case("absent", "the model ended its process before it was asked", lambda path: None),
    Case("empty", "a full disk", text("")),
    Case("not json", "anything can be in a file", text("PK\x03\x04")),
    Case("not an object", "", text("[1, 2, 3, 4]")),
    Case("deep", "parsers recurse", text("[" * 100_000)),
    Case("large", "the judge's memory is bounded", lambda path: path.write_bytes(b"[" + b"1," * 100_000)),
    Case("too few", "rows were dropped", values("1, 2, 3")),
    Case("too many", "rows were added", values("1, 2, 3, 4, 5")),
    Case("null", "the model predicted NaN", values("1, 2, null, 4")),
    Case("NaN", "comparisons with NaN are false, gates must not be", values("1, 2, NaN, 4")),
    Case("infinity", "", values("1, 2, Infinity, 4")),
    Case("overflow", "1e999 is read as infinity", values("1, 2, 1e999, 4")),
    Case("huge integer", "it is no float", values("1, 2, 1" + "0" * 400 + ", 4")),
    Case("strings", "a regressor predicts numbers", values('1, 2, "3", 4')),
    Case("truth values", "True is an int in Python", values("1, 2, true, 4")),
    Case("nested", "", values("[1], [2], [3], [4]")),
    Case("names", "an output is no number", values('{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}')),
    Case("second list", "the last of two keys would win", text('{"predictions": [], "predictions": [1,2,3,4]}')),
    Case("more keys", "", text('{"predictions": [1, 2, 3, 4], "seconds": 1, "metrics": {"r2_score": 1}}')),
    Case("time", "latency is evidence too", text('{"predictions": [1, 2, 3, 4], "seconds": -1}')),
    Case("no time", "", text('{"predictions": [1, 2, 3, 4], "seconds": true}')),
    Case("link", "it would be the truth itself", lambda path: path.symlink_to(path.parents[1] / "truth/answers.json")),
    Case("pipe", "reading it never ends", os.mkfifo),
    Case("folder", "", Path.mkdir),
]


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("folder", "reason"),
    [(CANDIDATE_PREDICTIONS, "PredictionsInvalid"), (CHAMPION_PREDICTIONS, "ChampionPredictionsInvalid")],
)
def test_predictions_are_hostile_until_proven_otherwise(pod: Pod, case: Case, folder: str, reason: str) -> None:
    truth(pod, list(TRUE))
    (pod.at(TRUTH) / "answers.json").write_text(json.dumps({"predictions": TRUE, "seconds": 0}))
    if folder == CHAMPION_PREDICTIONS:
        predicted(pod, list(TRUE))
    case.write(pod.at(folder) / "predictions.json")
    with pytest.raises(Refused) as refused:
        judge(TASK.model_copy(update={"champion_digest": CHAMPION}), pod.inside)
    assert refused.value.reason == reason, str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_refusal_is_a_problem_in_the_termination_message_and_a_sentence_in_the_log(pod: Pod) -> None:
    truth(pod, list(TRUE))
    ended = pod.run("judge", TASK)
    assert (ended.code, ended.reason) == (1, "PredictionsInvalid")
    assert ended.message in ended.stderr
    assert PREFIX not in ended.stdout
