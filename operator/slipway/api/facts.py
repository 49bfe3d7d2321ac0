"""How a version was made, and how it differs from the one that serves; all of it bounded, for a status."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .base import Time, Value

ATOMIC: Any = {"x-kubernetes-map-type": "atomic"}  # one owner for all of it: no entry of it is kept for another writer

Short = Annotated[str, Field(max_length=16, pattern=r"^[0-9a-f]*$")]
Word = Annotated[str, Field(max_length=128)]


def _by_name(most: int, description: str) -> Any:
    return Field(max_length=most, description=description, json_schema_extra=ATOMIC)


class Rest(Value):
    """What there was no room for."""

    count: Annotated[int, Field(ge=1, description="How many entries.")]
    hash: Annotated[Short, Field(description="Hash of them: two versions with the same rest differ in none of it.")]


class Facts(Value):
    """How a version was made, as the registry tells it. What is absent is not known; what is empty, there is none of.

    Lists are in the order of their names; what there was no room for is counted in `rest`.
    """

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    registry: Annotated[
        str, Field(max_length=16, description="Hash of the registry and the registered model that it was read from.")
    ] = ""
    hash: Annotated[Short, Field(description="Hash of all that was read.")] = ""
    params: Annotated[
        dict[str, Word] | None, _by_name(64, "Hyperparameters of the run. A value that seems secret is hidden.")
    ] = None
    metrics: Annotated[dict[str, Word] | None, _by_name(32, "Metrics, to six digits, as the run logged them.")] = None
    tags: Annotated[dict[str, Word] | None, _by_name(16, "Tags of the run, without MLflow's own.")] = None
    data: Annotated[
        dict[str, Word] | None, _by_name(16, "Digests of the datasets that the run logged, by name and context.")
    ] = None
    inputs: Annotated[dict[str, Word] | None, _by_name(64, "Types of the columns that it takes.")] = None
    outputs: Annotated[dict[str, Word] | None, _by_name(16, "Types of the columns that it gives.")] = None
    files: Annotated[dict[str, Word] | None, _by_name(32, "Its files and folders, without sizes.")] = None
    packages: Annotated[dict[str, Word] | None, _by_name(64, "Python packages that it requires.")] = None
    python: Annotated[str | None, Field(max_length=32, description="Python that it was made with.")] = None
    commit: Annotated[str | None, Field(max_length=64, description="Git commit of the code that made it.")] = None
    trained_by: Annotated[str | None, Field(max_length=128, description="User of the run, as MLflow says.")] = None
    trained_at: Annotated[Time | None, Field(description="When the run began (RFC 3339).")] = None
    duration_seconds: Annotated[int | None, Field(description="How long the run took.")] = None
    experiment: Annotated[str | None, Field(max_length=64, description="MLflow's id of the run's experiment.")] = None
    rest: Annotated[
        dict[str, Rest],
        Field(default_factory=dict, max_length=8, description="What there was no room for, by the list's name."),
    ]
    unread: Annotated[
        tuple[Annotated[str, Field(max_length=32)], ...],
        Field(max_length=8, description="What the registry did not let be read."),
    ] = ()


class Difference(Value):
    """One thing that is not as it is in the version that serves."""

    name: Annotated[str, Field(max_length=128, description="What differs.")]
    champion: Annotated[str | None, Field(max_length=128, description="What it is there; absent: there is none.")] = (
        None
    )
    candidate: Annotated[str | None, Field(max_length=128, description="What it is here; absent: there is none.")] = (
        None
    )


Differences = Annotated[tuple[Difference, ...], Field(max_length=16)]


class Changes(Value):
    """What differs from the version that serves. An empty list was compared; an absent one could not be."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    against: Annotated[int | None, Field(description="The version that it is compared with; absent: none serves.")] = (
        None
    )
    summary: Annotated[str, Field(max_length=512, description="All of it in a line.")] = ""
    params: Annotated[Differences | None, Field(description="Hyperparameters.")] = None
    metrics: Annotated[Differences | None, Field(description="Metrics of the training runs.")] = None
    data: Annotated[Differences | None, Field(description="Datasets.")] = None
    code: Annotated[Differences | None, Field(description="Git commits.")] = None
    training: Annotated[Differences | None, Field(description="Size, and how long training took.")] = None
    preprocessing: Annotated[
        Differences | None, Field(description="Flavors, files, and columns that it takes and gives.")
    ] = None
    environment: Annotated[Differences | None, Field(description="Python, MLflow and packages.")] = None
    more: Annotated[
        dict[str, int],
        Field(default_factory=dict, max_length=8, description="How many more differ than are listed, by the list."),
    ]
    hash: Annotated[Short, Field(description="Hash of what was compared.")] = ""
