"""The metrics of predictions, by the names and the formulas of `mlflow.models.evaluate` (scikit-learn's functions).

MLflow's own evaluator needs a store for its run and draws pictures, which takes longer than all the rest of a judge. A
test compares the two on many kinds of data. Besides, `brier_score_loss` tells how well probabilities are calibrated.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from sklearn import metrics

Scalar = float | str | bool
ROUNDED = 0.02  # what the probabilities of a row may lack of one, where a model rounds them

# What they say depends on which of two classes is the positive one.
OF_A_POSITIVE = frozenset(
    ["precision_score", "recall_score", "f1_score", "precision_recall_auc", "true_positives", "false_positives",
     "true_negatives", "false_negatives"]
)  # fmt: skip
_SPEAKING = ((0.0, 1.0), (-1.0, 1.0), (False, True))  # labels of which the second is the positive one for everybody


@dataclass(frozen=True)
class Classes:
    """The classes of a target, in order, and which of two is the positive one."""

    labels: tuple[Scalar, ...]
    positive: Scalar | None = None  # as somebody stated it

    @property
    def is_ambiguous(self) -> bool:
        """Whether nobody can know which of two classes is the positive one."""
        return len(self.labels) == 2 and self.positive is None and self.labels not in _SPEAKING


def of_regressor(truth: "numpy.ndarray[Any, Any]", predicted: "numpy.ndarray[Any, Any]") -> dict[str, float]:
    """Those of numbers."""
    squared = metrics.mean_squared_error(truth, predicted)
    return {
        "example_count": len(truth),
        "mean_absolute_error": metrics.mean_absolute_error(truth, predicted),
        "mean_squared_error": squared,
        "root_mean_squared_error": metrics.root_mean_squared_error(truth, predicted),
        "sum_on_target": sum(truth),
        "mean_on_target": sum(truth) / len(truth),
        "r2_score": metrics.r2_score(truth, predicted),
        "max_error": metrics.max_error(truth, predicted),
        "mean_absolute_percentage_error": metrics.mean_absolute_percentage_error(truth, predicted),
    }


def of_classifier(
    truth: Sequence[Scalar],
    predicted: Sequence[Scalar],
    classes: Classes,
    probabilities: "Mapping[Scalar, numpy.ndarray[Any, Any]] | None" = None,
) -> dict[str, float]:
    """Those of labels; `probabilities` has, of each class of the truth, that of each row."""
    true, said = numpy.asarray(truth), numpy.asarray(predicted)
    labels = numpy.unique(numpy.concatenate([true, said])).tolist()
    if len(labels) != 2:
        return _common(true, said, "weighted", None) | _of_probabilities(
            true, classes.labels, classes.positive, probabilities
        )
    positive = classes.positive if classes.positive is not None else labels[-1]
    ordered = [label for label in labels if label != positive] + [positive]
    counts = metrics.confusion_matrix(true, said, labels=ordered).ravel().tolist()
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    return {
        **dict(zip(names, counts, strict=True)),
        **_common(true, said, "binary", positive),
        **_of_probabilities(true, classes.labels, positive, probabilities),
    }


def _common(true: Any, said: Any, average: str, positive: Scalar | None) -> dict[str, float]:
    chosen: Any = {"average": average, "pos_label": positive, "zero_division": 0.0}
    return {
        "example_count": len(true),
        "accuracy_score": metrics.accuracy_score(true, said),
        "recall_score": metrics.recall_score(true, said, **chosen),
        "precision_score": metrics.precision_score(true, said, **chosen),
        "f1_score": metrics.f1_score(true, said, **chosen),
    }


def _of_probabilities(
    true: Any,
    labels: tuple[Scalar, ...],
    positive: Scalar | None,
    probabilities: "Mapping[Scalar, numpy.ndarray[Any, Any]] | None",
) -> dict[str, float]:
    if probabilities is None:
        return {}
    table = numpy.column_stack([probabilities[label] for label in labels])
    sums = table.sum(axis=1, keepdims=True)
    if len(labels) > 2 and (abs(sums - 1) <= ROUNDED).all():
        table = table / sums
    found = {
        "log_loss": metrics.log_loss(true, table, labels=list(labels)),
        "brier_score_loss": float(numpy.mean(numpy.sum((table - _indicators(true, labels)) ** 2, axis=1))),
    }
    if len(labels) > 2:
        chosen: Any = {"average": "weighted", "multi_class": "ovr", "labels": list(labels)}
        with contextlib.suppress(ValueError):  # of what does not add up to one
            found["roc_auc"] = metrics.roc_auc_score(true, table, **chosen)
        return found
    positive = labels[-1] if positive is None else positive
    of_positive, hits = probabilities[positive], true == positive
    return found | {
        "brier_score_loss": found["brier_score_loss"] / 2,  # of one of two classes, as it was first defined
        "roc_auc": metrics.roc_auc_score(hits, of_positive),
        "precision_recall_auc": metrics.average_precision_score(hits, of_positive),
    }


def _indicators(true: Any, labels: tuple[Scalar, ...]) -> Any:
    return numpy.column_stack([true == label for label in labels]).astype(float)
