"""What the controller needs of a model registry."""

from dataclasses import dataclass, field
from typing import Protocol

from ..api.facts import Facts
from ..core.reasons import Reason
from ..core.registry import Absent, Entry, Labels, Rights, Silent, Write
from ..core.snapshot import Sweep, Watermark
from ..core.webhooks import Subscription, Trial
from .errors import AdapterError, Forbidden, NotFound, Unauthorized, Unreachable


@dataclass(frozen=True)
class Connection:
    """How to reach a registry; compares by value, and never shows a secret in its repr."""

    uri: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_certificates: str = field(default="", repr=False)  # PEM
    artifact_hosts: tuple[str, ...] = ()  # other names of the same server, in addresses of artifacts
    certificate: str = field(default="", repr=False)  # of the client, PEM
    key: str = field(default="", repr=False)  # that belongs to it, PEM
    proxy: str = ""
    connect_seconds: float = 3.0
    answer_seconds: float = 10.0


class Registry(Protocol):
    """A model registry. Raises only errors of `adapters.errors`."""

    async def server_version(self) -> str:
        """The server's version; the cheapest call that needs the credential to be right."""
        ...

    async def rights(self, names: frozenset[str]) -> Rights | None:
        """What the credential may do with these models; None where the server does not say. Nothing is written."""
        ...

    async def resolve(self, name: str, version: int) -> Entry | Absent:
        """Everything about a version that never changes."""
        ...

    async def facts(self, name: str, version: int) -> Facts | Absent:
        """How a version was made, as far as the registry lets it be read; never more than a status has room for."""
        ...

    async def sweep(
        self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
    ) -> Sweep:
        """Aliases of the wanted models, and their versions that have changed since; None: only how far it has come.

        Which models have labels at all, wanted or not. Models of which so much is said that it cannot be read are
        left out, and those that the caller knows as such (`without`) are not asked for.

        Costs the pages of one search and at most two requests more. What fails after the first page breaks it off.
        """
        ...

    async def model(self, name: str) -> Sweep:
        """What a sweep would tell of one registered model; `NotFound` where there is none."""
        ...

    async def versions(self, names: frozenset[str]) -> Sweep:
        """Every version of the models, with stage and tags: slow, and the only way to see a deletion or a tag."""
        ...

    async def labels(self, name: str, version: int) -> Labels | Absent:
        """Stage, aliases and tags of a version, now."""
        ...

    async def write(self, name: str, write: Write) -> None:
        """Make the labels of a version as given; true already is success. What is refused does not hold the rest up."""
        ...

    async def subscribe(self, wanted: Subscription) -> Trial | Silent:
        """Have it send webhooks, and try one; why it does not take that."""
        ...

    async def unsubscribe(self, name: str) -> Silent | None:
        """Have it send none of that name; why it still may."""
        ...

    async def keep(self, run_id: str, path: str, content: bytes) -> None:
        """Store a document among the artifacts of a run, over one of the same path."""
        ...

    async def close(self) -> None:
        """Give the connections back, those of running calls when they end."""
        ...


def silence(error: AdapterError) -> Silent:
    """What a registry's refusal, or its silence, means for whoever asked."""
    if isinstance(error, Unreachable):
        return Silent(Reason.RegistryUnreachable, str(error))
    if isinstance(error, Forbidden):
        return Silent(Reason.PermissionsMissing, str(error), False)
    if isinstance(error, Unauthorized):
        return Silent(Reason.RegistryUnauthorized, str(error), False)
    if isinstance(error, NotFound):
        return Silent(Reason.VersionNotFound, str(error), False)
    return Silent(Reason.RegistryRejected, str(error), False)
