"""The report: what a validation measured. Written by the judge, read by the operator, kept in the registry."""

from typing import Annotated

from pydantic import Field

from .base import Value

PREFIX = "slipway-report "  # the line of the judge's log that carries the report as JSON


class Measured(Value):
    """What one version of the model achieved on the data."""

    digest: str
    metrics: Annotated[dict[str, float], Field(default_factory=dict)]  # MLflow's names; finite numbers only
    seconds: float = 0.0  # time that scoring took


class Rehearsal(Value):
    """How the candidate's server answered the judge, who asked as a client will."""

    example: bool  # whether its own input example was there, and answered
    formats: Annotated[tuple[str, ...], Field(max_length=16)] = ()  # in which rows of the data were asked
    rows: int = 0  # that were asked
    at_once: int = 0  # requests at a time
    exact: bool = True  # whether each number was the predicted one to the last digit
    ready_seconds: float = 0.0  # from the judge's start until the example was answered
    fast_way: bool | None = None  # as the server says; None: it does not
    fast_way_reason: Annotated[str, Field(max_length=300)] = ""  # why it is off, or batching that was asked for
    note: Annotated[str, Field(max_length=400)] = ""  # what was not asked, and why


class Report(Value):
    """The measurements of one validation, bound to what was measured."""

    revision: str  # of the validation that asked for it
    candidate: Measured
    champion: Measured | None = None
    data_digest: str | None = None
    rows: int = 0
    python: str = ""  # minor version in which the models ran, such as 3.11
    rehearsal: Rehearsal | None = None


class Summary(Value):
    """Termination message of the judge: proves that the report in the log is complete."""

    report_digest: str  # sha256:… of the report's JSON, as UTF-8
    revision: str
