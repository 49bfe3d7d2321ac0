"""Which of a model's outputs is the prediction of which target, and which is the probability of which class."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from slipway.api.validation import Outputs

Scalar = float | str | bool
Refuse = Callable[[str], Exception]  # what is raised of a sentence
_NAMES: dict[type, str] = {float: "finite number", str: "string", bool: "truth value"}
_SHOWN = 12


@dataclass(frozen=True)
class Predicted:
    """What one version says of one target: a value per row, and per class the probability of each row."""

    values: tuple[Scalar, ...]
    probabilities: "Mapping[Scalar, numpy.ndarray[Any, Any]] | None" = None


def text(label: Scalar) -> str:
    """A label as a field names it: 1, true, yes."""
    if isinstance(label, bool):
        return str(label).lower()
    return f"{label:g}" if isinstance(label, float) and label.is_integer() else str(label)


@dataclass(frozen=True)
class Wanted:
    """What is looked for in each row: the prediction of a target."""

    target: str
    kind: type  # float, str or bool
    is_class: bool = False  # then 0 and 1 are the same as false and true
    place: int = 0  # among so many targets
    targets: int = 1


def of_target(rows: Sequence[Any], wanted: Wanted, chosen: Outputs, refuse: Refuse) -> tuple[Scalar, ...]:
    """The prediction of each row for a target, as its kind."""
    output = next((one.output for one in chosen.predictions if one.target == wanted.target), None)
    values = [_output(row, number, output, wanted, refuse) for number, row in enumerate(rows)]
    return tuple(_as_kind(value, number, wanted, refuse) for number, value in enumerate(values))


def _output(row: Any, number: int, output: str | None, wanted: Wanted, refuse: Refuse) -> Any:
    if not isinstance(row, list | dict):  # a champion of before may have had just the prediction
        return row
    if output is not None:
        return _named(row, output, number, refuse)
    if isinstance(row, dict) and wanted.target in row:
        return row[wanted.target]
    if isinstance(row, list) and len(row) == wanted.targets > 1:
        return row[wanted.place]
    said = "say in spec.validation.outputs which one is the prediction"
    raise refuse(f"row {number} has {len(row)} outputs ({_listed(row)}): {said} of {wanted.target!r}")


def _named(row: Any, output: str, number: int, refuse: Refuse) -> Any:
    if isinstance(row, dict) and output in row:
        return row[output]
    if isinstance(row, list) and output.isdecimal() and int(output) < len(row):
        return row[int(output)]
    there = f"it has {_listed(row)}" if isinstance(row, list | dict) else "it has one output"
    raise refuse(f"row {number} has no output {output!r}: {there}")


def _listed(row: list[Any] | dict[str, Any]) -> str:
    names = [str(name)[:60] for name in (row if isinstance(row, dict) else range(len(row)))]
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _as_kind(value: Any, number: int, wanted: Wanted, refuse: Refuse) -> Scalar:
    kind, found = wanted.kind, kind_of(value)
    if found is kind:
        return float(value) if kind is float else value
    if wanted.is_class and {found, kind} == {float, bool} and value in (0, 1):
        return bool(value) if kind is bool else float(value)
    if value is None:
        raise refuse(f"the prediction of row {number} is no finite number")
    raise refuse(f"the prediction of row {number} is a {_name(value)}, not a {_NAMES[kind]}")


def kind_of(value: Any) -> type | None:
    """The kind of a value from JSON that can be a prediction: float, str or bool; None: it cannot."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int):
        return float if abs(value) < 2**63 else None
    if isinstance(value, float):
        return float if math.isfinite(value) else None
    return str if isinstance(value, str) else None


def _name(value: Any) -> str:
    return _NAMES.get(kind_of(value) or type(value), type(value).__name__)


def of_classes(
    rows: Sequence[Any], labels: tuple[Scalar, ...], chosen: Outputs, refuse: Refuse
) -> "dict[Scalar, numpy.ndarray[Any, Any]] | None":
    """The probabilities of each class, as `spec.validation.outputs` names them; None if it names none."""
    if not chosen.probabilities:
        return None
    known = {text(label): label for label in labels}
    found: dict[Scalar, numpy.ndarray[Any, Any]] = {}
    for one in chosen.probabilities:
        if one.label not in known:
            raise refuse(f"there is no class {one.label!r} in the target: it has {', '.join(list(known)[:_SHOWN])}")
        values = [row if one.output is None else _named(row, one.output, number, refuse)
                  for number, row in enumerate(rows)]  # fmt: skip
        for number, value in enumerate(values):
            if kind_of(value) is not float or not 0 <= value <= 1:
                raise refuse(
                    f"the probability of {one.label!r} in row {number} is {str(value)[:60]!r}, not from 0 to 1"
                )
        found[known[one.label]] = numpy.array(values, dtype=float)
    missing = [label for label in labels if label not in found]
    if len(missing) == 1 and len(labels) == 2:
        found[missing[0]] = 1.0 - next(iter(found.values()))
    elif missing:
        raise refuse(f"spec.validation.outputs names no probability of the class {text(missing[0])!r}")
    return found


def most_probable(
    probabilities: "Mapping[Scalar, numpy.ndarray[Any, Any]]", positive: Scalar | None
) -> tuple[Scalar, ...]:
    """The class of each row; of two that are as probable as each other, the positive one, or else the first."""
    ordered = sorted(probabilities, key=lambda label: label != positive)
    best = numpy.argmax(numpy.column_stack([probabilities[label] for label in ordered]), axis=1)
    return tuple(ordered[place] for place in best)
