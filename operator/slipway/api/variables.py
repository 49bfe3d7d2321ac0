"""Environment variables of a model's code: what serving pods have, and what scoring steps have instead."""

from typing import Annotated

from pydantic import Field

from .base import ResourceName, Value, exactly_one, rules


class SecretKeyRef(Value):
    """One key of a Secret in the model's namespace."""

    name: Annotated[ResourceName, Field(description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key inside it.")]


class VariableValue(Value):
    """What a variable holds: exactly one of the members."""

    model_config = rules(exactly_one("value", "secretKeyRef"))

    value: Annotated[str | None, Field(max_length=4096, description="The text itself, for all to read.")] = None
    secret_key_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="A key of a Secret in the model's namespace. Whoever names one must be allowed to get that "
            "Secret; the operator never reads it."
        ),
    ] = None


class Variable(VariableValue):
    """An environment variable of the model's code."""

    model_config = rules(
        exactly_one("value", "secretKeyRef"),
        (
            "!self.name.matches('^(SLIPWAY_|PYTHON|LD_|(PATH|HOME|TMPDIR)$)')",
            "SLIPWAY_*, PYTHON*, LD_*, PATH, HOME and TMPDIR are what Slipway starts the process with: give the "
            "variable another name",
        ),
    )

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="Name of the variable, such as OPENAI_API_KEY.",
        ),
    ]
    validation: Annotated[
        VariableValue | None,
        Field(
            description="What the variable holds in the scoring steps, whose code nobody has proven: a test "
            "account's key, say. Default: they do not have it."
        ),
    ] = None
