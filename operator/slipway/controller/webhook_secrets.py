"""The secrets that webhooks are signed with: read now and then, never because a stranger asks."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..adapters.cluster import REGISTRY
from ..adapters.errors import AdapterError, Rejected
from ..api.modelregistry import ModelRegistry
from ..core.deliveries import SECRET_LENGTH
from ..core.reasons import Reason
from ..core.registry import Silent
from .cache import Cache
from .identity import Place, place_of
from .registries import Registries

KEY = "secret"  # of the Secret
LOOK_SECONDS = 2.0  # until a ModelRegistry that names another Secret is noticed
READ_SECONDS = 30.0  # until other content of the Secret is


@dataclass(frozen=True)
class _Read:
    """What was read of one ModelRegistry's Secret, and when."""

    name: str
    at: float
    secret: str = ""
    trouble: Silent | None = None


class Secrets:
    """One per ModelRegistry with `spec.webhook`. Its answers come at once and ask nobody."""

    def __init__(self, cache: Cache, registries: Registries, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache, self._registries, self._clock = cache, registries, clock
        self._read: dict[Place, _Read] = {}

    def of(self, registry: Place) -> str:
        """The secret; "" where there is none."""
        found = self._read.get(registry)
        return found.secret if found else ""

    def trouble(self, registry: Place) -> Silent | None:
        """Why there is none, once that is known."""
        found = self._read.get(registry)
        return found.trouble if found else None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`."""
        while not stop.is_set():
            await self.look()
            try:
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Read what is due; while the API server does not answer, what was read stands."""
        named = dict(self._named())
        for gone in self._read.keys() - named.keys():
            del self._read[gone]
        for place, name in named.items():
            known = self._read.get(place)
            if known is None or known.name != name or self._clock() - known.at >= READ_SECONDS:
                try:
                    self._read[place] = await self._reading(place, name)
                except AdapterError:
                    continue

    async def _reading(self, place: Place, name: str) -> _Read:
        try:
            secret = (await self._registries.secret(place[0], name, (KEY,)))[KEY].strip()  # files end with a newline
        except Rejected as error:
            return _Read(name, self._clock(), trouble=Silent(Reason.SecretNotFound, str(error), False))
        if len(secret) < SECRET_LENGTH:
            said = f"Secret {place[0]}/{name}: its key {KEY} needs at least {SECRET_LENGTH} characters."
            return _Read(name, self._clock(), trouble=Silent(Reason.SecretNotFound, said, False))
        return _Read(name, self._clock(), secret)

    def _named(self) -> list[tuple[Place, str]]:
        found = []
        for one in self._cache.all(REGISTRY):
            resource = self._registries.resource(place_of(one))
            if isinstance(resource, ModelRegistry) and resource.spec.webhook is not None:
                found.append((place_of(one), resource.spec.webhook.secret_ref.name))
        return found
