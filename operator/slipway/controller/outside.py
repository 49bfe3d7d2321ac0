"""What is known of the registries without asking them: whoever asks them in its own time tells it here."""

from typing import NamedTuple, Protocol

from ..api.facts import Facts
from ..core.registry import Absent, Contest, Entry, RegistryModel, Silent
from .identity import Place
from .queue import Key
from .registries import Registries


class Lookup(NamedTuple):
    """A version of a registered model, to be looked up in its registry."""

    key: Key  # who waits for it
    registry: Place  # namespace and name of the ModelRegistry
    name: str  # of the registered model
    version: int


class Shelf(Protocol):
    """The registries as they were last read."""

    def model(self, registry: Place, name: str) -> RegistryModel | Absent | Silent | None:
        """A registered model; None if it was not read yet."""
        ...

    def models(self, registry: Place, name: str) -> tuple[Key, ...]:
        """The RegisteredModels that name it."""
        ...


class LabelWriter(Protocol):
    """What became of the labels that were to be written."""

    def refusal(self, model: Key, version: int) -> Silent | None:
        """Why they could not be written."""
        ...

    def contested(self, model: Key, version: int) -> Contest | None:
        """What another writer has made of ours since."""
        ...


class Resolver(Protocol):
    """Reads versions from registries, in its own time."""

    def ask(self, lookup: Lookup) -> Entry | Absent | Silent | None:
        """What the registry says; None if it has not said it yet."""
        ...

    def forget(self, lookup: Lookup) -> None:
        """It is known."""
        ...

    def facts(self, lookup: Lookup) -> Facts | None:
        """How the version was made; None if that was not read yet."""
        ...

    def forget_facts(self, lookup: Lookup) -> None:
        """They are known, or nobody asks."""
        ...

    def drop(self, key: Key) -> None:
        """Who waited is not there any more, or has nothing to look up."""
        ...


class Outside(NamedTuple):
    """What is known of the registries without asking them."""

    registries: Registries
    shelf: Shelf
    labels: LabelWriter
    resolver: Resolver
