"""A ModelRegistry that asks for webhooks, and who looks after them: time stands still until it is moved."""

from slipway.adapters.cluster import REGISTRY
from slipway.api.modelregistry import ModelRegistry
from slipway.controller.subscriber import Home, Subscriber
from slipway.controller.webhook_secrets import Secrets
from slipway.core.conditions import Verdict

from tests.controller.registry_world import PLACE, REGISTRY_KEY, World

WEBHOOK = {"secretRef": {"name": "credential"}}
HOME = Home("prod", "http://slipway-webhooks.slipway-system.svc:8081", True)


class Hooks:
    """A registry that asks for webhooks, and who looks after them."""

    def __init__(self, home: Home = HOME) -> None:
        self.world = World()
        self.world.api.secret(secret="a secret of both of them")
        self.generation, self.home = 0, home
        self.secrets = Secrets(self.world.cache, self.world.registries, lambda: self.world.now)
        self.begin_anew()

    def begin_anew(self) -> None:
        """The operator is another process."""
        world = self.world
        self.subscriber = Subscriber(
            world.cache, world.registries, self.secrets, self.home, world._wake, lambda: world.now
        )

    def registry(self, uri: str = "http://mlflow:5000", status: object = None, **spec: object) -> None:
        self.generation += 1
        self.world.registry(uri, self.generation, **spec)
        if status:
            found = self.world.cache.get(REGISTRY, *PLACE)
            assert found is not None
            meta = found["metadata"] | {"resourceVersion": str(self.generation + 1000)}
            self.world.cache.put(REGISTRY, {**found, "metadata": meta, "status": status})

    @property
    def said(self) -> Verdict | None:
        resource = self.world.registries.resource(PLACE)
        assert isinstance(resource, ModelRegistry)
        return self.subscriber.said(resource)

    @property
    def reason(self) -> str:
        return self.said.reason.value if self.said else ""

    async def look(self, after_seconds: float = 2.0) -> bool:
        """Whether the status had to be written."""
        self.world.now += after_seconds
        self.world.woken.clear()
        await self.secrets.look()
        await self.subscriber.look()
        return REGISTRY_KEY in self.world.woken
