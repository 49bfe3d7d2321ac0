"""Has registries send webhooks to the receiver: makes ours in each that asks for it, looks after it, and removes it.

It holds nothing up, and what it cannot do says one condition of the ModelRegistry: sweeps go on without webhooks.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..adapters.cluster import REGISTRY
from ..adapters.errors import AdapterError
from ..adapters.ports import Registry, silence
from ..api.modelregistry import ModelRegistry
from ..core.conditions import Verdict
from ..core.reasons import Reason, reason_named
from ..core.registry import Silent
from ..core.webhooks import Subscription, subscription, subscription_name, verdict
from ..logs import about
from .cache import Cache
from .identity import Place, place_of, registry_place
from .queue import Key
from .registries import Registries
from .webhook_secrets import Secrets

log = logging.getLogger("slipway")
NOTIFIED = "Notified"
LOOK_SECONDS = 2.0  # until a ModelRegistry that asks for webhooks is noticed
HEARD_SECONDS = 600.0  # between two trials, where all is well
AGAIN_SECONDS = 20.0  # between two tries, where it is not
_UNREACHED = Silent(Reason.RegistryUnreachable, "the registry was not reached since this operator began")


@dataclass(frozen=True)
class Home:
    """Whose webhooks they are, and where they go."""

    cluster_name: str
    url: str  # of the receiver, for ModelRegistries that name none
    receives: bool  # whether there is one


@dataclass(frozen=True)
class _Known:
    """What was done about one ModelRegistry's webhook last."""

    at: float
    uri: str = ""  # of the registry that has it
    client: Registry | None = None
    wanted: Subscription | None = None
    outcome: Verdict | None = None


class Subscriber:
    """The webhooks of all ModelRegistries. What it says of one comes at once."""

    def __init__(
        self,
        cache: Cache,
        registries: Registries,
        secrets: Secrets,
        home: Home,
        wake: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache, self._registries, self._secrets, self._home = cache, registries, secrets, home
        self._wake, self._clock = wake, clock
        self._known: dict[Place, _Known] = {}

    def said(self, resource: ModelRegistry) -> Verdict | None:
        """What the condition Notified says; before anything was done, what it said before. None: there is no such."""
        known = self._known.get(registry_place(resource))
        if known is not None:
            return known.outcome
        said = resource.status.condition(NOTIFIED)
        return Verdict(said.status, reason_named(said.reason), said.message) if said else None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`."""
        while not stop.is_set():
            await self.look()
            try:
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Do what is due, in all registries at the same time."""
        there = {place_of(one) for one in self._cache.all(REGISTRY) if not one["metadata"].get("deletionTimestamp")}
        gone = [self._leave(place) for place in self._known.keys() - there]
        await asyncio.gather(*gone, *(self._look_at(place) for place in there))

    async def _leave(self, place: Place) -> None:
        """The ModelRegistry is gone: its webhook should be, too. Nobody is left who could be told if it is not."""
        await self._forsake(place, self._known.pop(place))

    async def _look_at(self, place: Place) -> None:
        resource = self._registries.resource(place)
        if isinstance(resource, Silent):
            return
        known = self._known.get(place)
        if resource.spec.webhook is None:
            due = known is None or known.wanted is not None or self._clock() - known.at >= AGAIN_SECONDS
            if due and self.said(resource) is not None:
                await self._unsubscribe(place, resource)
            return
        wanted = self._wanted(place, resource)
        if wanted is None:
            return
        if isinstance(wanted, Silent):
            now = replace(known or _Known(0.0), at=self._clock(), wanted=None, outcome=verdict(wanted, ""))
            self._note(place, now, known)
        elif known is None or (known.wanted, known.uri) != (wanted, _uri(resource)) or self._is_due(known):
            await self._subscribe(place, resource, wanted)

    def _is_due(self, known: _Known) -> bool:
        well = known.outcome is not None and known.outcome.holds
        return self._clock() - known.at >= (HEARD_SECONDS if well else AGAIN_SECONDS)

    def _wanted(self, place: Place, resource: ModelRegistry) -> Subscription | Silent | None:
        """The webhook, or why there can be none; None while its secret was not read."""
        assert resource.spec.webhook is not None
        url = resource.spec.webhook.url or self._home.url
        if not self._home.receives:
            return Silent("WebhookNowhere", "This operator has no receiver of webhooks.", False)
        if (trouble := self._secrets.trouble(place)) is not None:
            return trouble
        secret = self._secrets.of(place)
        return subscription(self._home.cluster_name, *place, url, secret) if secret else None

    async def _subscribe(self, place: Place, resource: ModelRegistry, wanted: Subscription) -> None:
        known, uri = self._known.get(place), _uri(resource)
        client = known.client if known else None  # kept until forsaken: the webhook may outlast the way to it
        if known is not None and known.uri and known.uri != uri:
            await self._forsake(place, known)
            client = None
        reached = await self._reached(resource)
        if isinstance(reached, Silent):  # Ready says so; whether webhooks come is as unknown as all else
            self._note(place, _Known(self._clock(), uri, client, wanted, verdict(reached, wanted.url)), known)
            return
        try:
            outcome = verdict(await reached.subscribe(wanted), wanted.url)
        except AdapterError as error:
            outcome = verdict(silence(error), wanted.url)
        self._note(place, _Known(self._clock(), uri, reached, wanted, outcome), known)

    async def _unsubscribe(self, place: Place, resource: ModelRegistry) -> None:
        """Remove what spec.webhook does not ask for any more. Until that is done the condition stays: it tells that
        there is something to remove."""
        known, before = self._known.get(place), self.said(resource)
        reached = await self._reached(resource)
        why = reached if isinstance(reached, Silent) else None
        if not isinstance(reached, Silent):
            try:
                why = await reached.unsubscribe(subscription_name(self._home.cluster_name, *place))
            except AdapterError as error:
                why = silence(error)
        forbidden = why is not None and why.reason == "WebhookForbidden"  # then it never made one
        outcome = before if why is not None and not forbidden else None
        if why is not None:
            said = "the webhook of %s/%s could not be removed from its registry: %s"
            log.warning(said, *place, why.message, extra=about("ModelRegistry", *place, why.reason))
        self._note(place, _Known(self._clock(), outcome=outcome), known or _Known(0.0, outcome=before))

    async def _reached(self, resource: ModelRegistry) -> Registry | Silent:
        try:
            reached = await self._registries.reach(resource)
        except AdapterError as error:
            return silence(error)
        return reached if isinstance(reached, Silent) else reached.client

    async def _forsake(self, place: Place, known: _Known) -> None:
        """Remove it from a registry that is not this ModelRegistry's any more, if that can be done now."""
        name, why = subscription_name(self._home.cluster_name, *place), _UNREACHED if known.uri else None
        if known.client is not None:
            try:
                why = await known.client.unsubscribe(name)
            except AdapterError as error:
                why = silence(error)
        if why is not None:
            said = "the webhook %s of %s/%s was left in the registry at %s, delete it there: %s"
            log.warning(said, name, *place, known.uri, why.message, extra=about("ModelRegistry", *place, why.reason))

    def _note(self, place: Place, now: _Known, before: _Known | None) -> None:
        self._known[place] = now
        if before is None or before.outcome != now.outcome:
            self._wake(Key("registry", *place))


def _uri(resource: ModelRegistry) -> str:
    return resource.spec.backend.mlflow.uri if resource.spec.backend.mlflow else ""
