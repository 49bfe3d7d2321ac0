"""MLflow's scoring server as a runtime: what one of its pods takes at a time, and for how long."""

from typing import Annotated

from pydantic import Field

from .base import Duration, Value, between, rules, seconds


class Batching(Value):
    """Requests that come while others are answered are answered together, each as it would be alone, to the byte."""

    max_rows: Annotated[
        int, Field(ge=2, le=100_000, description="Rows of one prediction; a request with more is one by itself.")
    ] = 256


class Scoring(Value):
    """MLflow's own scoring server: `/invocations`, `/ping`, `/version`."""

    model_config = rules(between("requestTimeout", "1s", "1h"), between("gracePeriod", "1s", "10m"))

    max_concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Requests that a pod works on at a time. The model runs in fewer threads: as many as the node "
            "has cores and 4, 32 at most.",
        ),
    ] = 128
    max_queue: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="Requests beyond these that wait for their turn, first come, first served. Past that, a pod "
            "answers 429.",
        ),
    ] = 0
    request_timeout: Annotated[
        Duration, Field(description="How long a request may take, with its time in the queue; then it is answered 504.")
    ] = "60s"
    max_body_size: Annotated[
        str,
        Field(
            max_length=16,
            pattern=r"^([1-9][0-9]{0,2}Mi|1Gi)$",
            description="The largest body, 1Gi at most; a pod holds twice as much of all bodies together.",
        ),
    ] = "64Mi"
    grace_period: Annotated[
        Duration,
        Field(
            description="How long a pod that is about to end goes on taking requests, while its clients learn to go "
            "elsewhere. Then it answers those that it has."
        ),
    ] = "15s"

    batching: Annotated[
        Batching | None,
        Field(
            description="Answer together what comes together: for models, such as forests, whose predictions of many "
            "rows cost little more than those of one. Off where a row's answer depends on its company. Default: off."
        ),
    ] = None

    @property
    def answering_seconds(self) -> int:
        """How long a pod that ends has for the requests in flight, once it takes no more."""
        return seconds(self.request_timeout)
