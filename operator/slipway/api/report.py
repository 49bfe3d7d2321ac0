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


class Report(Value):
    """The measurements of one validation, bound to what was measured."""

    revision: str  # of the validation that asked for it
    candidate: Measured
    champion: Measured | None = None
    data_digest: str | None = None
    rows: int = 0
    python: str = ""  # such as 3.11: of the image in which the models predicted


class Summary(Value):
    """Termination message of the judge: proves that the report in the log is complete."""

    report_digest: str  # sha256:… of the report's JSON, as UTF-8
    revision: str
