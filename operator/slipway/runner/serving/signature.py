"""A model's signature, read from its MLmodel file without MLflow: names and types of its inputs and outputs.

What is read here has the names that MLflow's own `Schema` and its columns have, so that either can be asked. The file:
`signature` has `inputs` and `outputs`, each a JSON list of columns or of tensors.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Type:
    """A type: of a column as MLflow names it, of a tensor as numpy does."""

    name: str


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str | None
    type: Type
    required: bool = True


@dataclass(frozen=True)
class TensorColumn:
    """A tensor."""

    name: str | None
    type: Type
    shape: tuple[int, ...]
    required: bool = True


@dataclass(frozen=True)
class Schema:
    """Inputs or outputs: columns, or tensors."""

    inputs: tuple[Column | TensorColumn, ...]

    def is_tensor_spec(self) -> bool:
        """Whether these are tensors."""
        return bool(self.inputs) and isinstance(self.inputs[0], TensorColumn)

    def has_input_names(self) -> bool:
        """Whether they have names."""
        return bool(self.inputs) and self.inputs[0].name is not None

    def input_names(self) -> list[str | int]:
        """Their names, or their numbers where they have none."""
        return [number if one.name is None else one.name for number, one in enumerate(self.inputs)]

    def input_types(self) -> list[Type]:
        """Their types."""
        return [one.type for one in self.inputs]

    def optional_input_names(self) -> list[str | int]:
        """Those that may be left out."""
        return [name for name, one in zip(self.input_names(), self.inputs, strict=True) if not one.required]

    def input_dict(self) -> dict[str | None, Column | TensorColumn]:
        """Each by its name."""
        return {one.name: one for one in self.inputs}


@dataclass(frozen=True)
class Signature:
    """What a model takes, and what it answers; None where nothing is said."""

    inputs: Schema | None
    outputs: Schema | None


def read(model: Path) -> Signature | None:
    """The signature of the model in that folder; None if it has none that can be read."""
    try:
        said = yaml.safe_load((model / "MLmodel").read_text())["signature"]
        return Signature(*(_schema(said.get(which)) for which in ("inputs", "outputs")))
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _schema(said: str | None) -> Schema | None:
    return Schema(tuple(_column(one) for one in json.loads(said))) if said else None


def _column(said: dict[str, Any]) -> Column | TensorColumn:
    if said["type"] == "tensor":
        spec = said["tensor-spec"]
        return TensorColumn(said.get("name"), Type(spec["dtype"]), tuple(spec["shape"]))
    return Column(said.get("name"), Type(said["type"]), said.get("required") is not False)
