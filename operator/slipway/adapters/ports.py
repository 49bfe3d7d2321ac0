"""What the controller needs of a model registry."""

from dataclasses import dataclass, field
from typing import Protocol

from ..core.registry import Absent, Entry, Labels, Write


@dataclass(frozen=True)
class Connection:
    """How to reach a registry; compares by value, and never shows a secret in its repr."""

    uri: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_certificates: str = field(default="", repr=False)  # PEM


class Registry(Protocol):
    """A model registry. Raises only errors of `adapters.errors`."""

    async def server_version(self) -> str:
        """The server's version; the cheapest call that needs the credential to be right."""
        ...

    async def resolve(self, name: str, version: int) -> Entry | Absent:
        """Everything about a version that never changes."""
        ...

    async def labels(self, name: str, version: int) -> Labels | Absent:
        """Stage, aliases and tags of a version, now."""
        ...

    async def write(self, name: str, write: Write) -> None:
        """Make the labels of a version as given; true already is success."""
        ...

    async def keep(self, run_id: str, path: str, content: bytes) -> None:
        """Store a document among the artifacts of a run, over one of the same path."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
