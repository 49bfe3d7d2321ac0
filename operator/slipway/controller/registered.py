"""What passes read of the registries, and of the other models that use them."""

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

from ..adapters.cluster import LEDGER, MODEL, VERSION
from ..api import names
from ..api.facts import Facts
from ..api.modelledger import ModelLedger
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..core import in_play, ledger, lifecycle
from ..core.discovery import Present
from ..core.observed import VersionSeen
from ..core.permissions import Use
from ..core.registry import Absent, Entry, RegistryModel, Silent
from .cache import Cache
from .identity import Place, place_of, registered_name, registry_place, section
from .outside import Lookup, Outside
from .queue import Key
from .registries import Reached


class Others(NamedTuple):
    """Other models of the same registered model, as messages name them."""

    labelled_by: str = ""  # sets stage and alias
    told_by: Mapping[int, str] = {}  # tells what becomes of a version, by number


class Registered:
    """Reads the cache, and what others have found out."""

    def __init__(self, cache: Cache, outside: Outside) -> None:
        self._cache, self._outside = cache, outside

    def labels(self, reached: Reached | Silent, name: str) -> RegistryModel | Absent | Silent | None:
        """What the registry says of a registered model."""
        if isinstance(reached, Silent):
            return reached
        return self._outside.shelf.model(registry_place(reached.resource), name)

    def entry(self, key: Key, seen: VersionSeen, reached: Reached | Silent) -> Entry | Absent | Silent | None:
        """What the registry says of a version, asked only until it is pinned."""
        if seen.model is None or isinstance(reached, Silent):
            return reached if isinstance(reached, Silent) else None
        lookup = Lookup(key, registry_place(reached.resource), seen.model.registered_name, seen.version.spec.version)
        if lifecycle.pinned_entry(seen) is not None:
            self._outside.resolver.forget(lookup)
            return None
        return self._outside.resolver.ask(lookup)

    def facts(self, key: Key, seen: VersionSeen, reached: Reached | Silent) -> Facts | None:
        """How a version was made, asked only until it is in the status."""
        if seen.model is None or isinstance(reached, Silent):
            return None
        lookup = Lookup(key, registry_place(reached.resource), seen.model.registered_name, seen.version.spec.version)
        if lifecycle.needs_facts(seen):
            return self._outside.resolver.facts(lookup)
        self._outside.resolver.forget_facts(lookup)
        return None

    def present(self, registry: Place) -> Iterator[Present]:
        """Every RegisteredModel, as discovery looks at it."""
        for found in self._cache.all(MODEL):
            meta, annotations = found["metadata"], found["metadata"].get("annotations") or {}
            about = self._outside.registries.place(found) == registry
            made = annotations.get(names.DISCOVERED) == "/".join(registry)
            yield Present(meta.get("namespace", ""), meta["name"], registered_name(found) if about else "", made)

    async def uses(self, registry: ModelRegistry) -> tuple[Use, ...]:
        """The models that the registry is for. Who is not let in needs nothing there; silence lets nobody out."""
        place = registry_place(registry)
        drifted = {(one.namespace, one.model) for one in self._cache.briefs() if one.drifted}
        found = []
        for model in self._cache.all(MODEL):
            here, name = place_of(model), registered_name(model)
            if self._outside.registries.place(model) != place:
                continue
            if not await self._outside.registries.forbids(registry, here[0], name):
                follows = section(model, "spec", "promotion").get("source") == "Registry"
                found.append(Use(name, follows, here in drifted))
        return tuple(found)

    async def others(self, key: Key, reached: Reached | Silent, name: str) -> Others:
        """Who else sets the labels of a model's registered model, and who tells of its versions.

        Of those that follow its labels, the first sets them. In each namespace one comes first: the one that sets
        them, or else the oldest. It tells of each version that it has a say in; of the others, the next one does.
        """
        if isinstance(reached, Silent):
            return Others()
        keys = self._outside.shelf.models(registry_place(reached.resource), name)
        if len(keys) < 2:
            return Others()
        forbids = self._outside.registries.forbids
        usable = [one for one in keys if not await forbids(reached.resource, one.namespace, name)]
        follower = min([one for one in usable if self._follows(one)], default=None)
        here = [one for one in usable if one.namespace == key.namespace]
        here.sort(key=lambda one: (one != follower, self._age(one)))
        sets = follower or (here[0] if here else key)
        told_by: dict[int, str] = {}
        for one in takewhile(lambda one: one != key, here):
            for number in self._tells(one):
                told_by.setdefault(number, _named(one))
        return Others("" if sets == key else _named(sets), told_by)

    def _tells(self, key: Key) -> Iterator[int]:
        """The versions that a model has a say in."""
        found = self._cache.value(LEDGER, key.namespace, key.name)
        known = found.spec if isinstance(found, ModelLedger) else ledger.EMPTY
        for version in self._cache.values(key.namespace, key.name, VERSION):
            if isinstance(version, ModelVersion) and in_play.has_a_say(version, known):
                yield version.spec.version

    def _age(self, key: Key) -> tuple[str, str]:
        found = self._cache.get(MODEL, key.namespace, key.name) or {}
        return str(section(found, "metadata").get("creationTimestamp", "")), key.name

    def _follows(self, key: Key) -> bool:
        """Whether a model follows labels; one that cannot be read follows them as before."""
        model = self._cache.value(MODEL, key.namespace, key.name)
        if isinstance(model, RegisteredModel):
            return model.spec.promotion.source == "Registry"
        known = self._cache.value(LEDGER, key.namespace, key.name)
        return model is not None and isinstance(known, ModelLedger) and known.spec.following is not None


def _named(key: Key) -> str:
    return f"{key.namespace}/{key.name}"
