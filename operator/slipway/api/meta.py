"""The part of object metadata that the operator reads."""

from typing import Annotated

from pydantic import Field

from .base import Value


class Meta(Value):
    """Name, place and identity of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: Annotated[dict[str, str], Field(default_factory=dict)]
    staged_by: str = ""  # the field manager that set spec.stage, as far as the API server tells
    staged_at: str = ""  # when (RFC 3339)
    annotations: Annotated[dict[str, str], Field(default_factory=dict)]
