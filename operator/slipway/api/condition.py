"""Conditions as Kubernetes defines them, and the status fields that every kind shares."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Time, Value, keyed_by

Status = Literal["True", "False", "Unknown"]


class Condition(Value):
    """One thing that is known about an object, and why."""

    type: Annotated[str, Field(max_length=64, description="What is judged, such as Validated.")]
    status: Annotated[Status, Field(description="True, False or Unknown.")]
    reason: Annotated[str, Field(max_length=128, description="One word of the reason catalogue.")]
    message: Annotated[str, Field(max_length=2048, description="What happened and what to do next, for a person.")] = ""
    last_transition_time: Annotated[Time, Field(description="When the status last flipped (RFC 3339).")]
    observed_generation: Annotated[int | None, Field(description="The generation that was judged.")] = None


Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=16, json_schema_extra=keyed_by("type"), description="What is known, one entry per condition."),
]


class ObjectStatus(Value):
    """Status fields that every kind has."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status is about.")] = None
    conditions: Conditions = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it was ever judged."""
        return next((one for one in self.conditions if one.type == kind), None)
