"""What a ModelRegistry's credential needs is counted by its policy: for whom it is, whether they can be served or not."""

import pytest
from slipway.adapters.cluster import NAMESPACE
from slipway.adapters.errors import Unreachable
from slipway.controller.outside import Outside
from slipway.controller.registered import Registered

from tests.controller.registry_world import PLACE, World

ALLOWED = {"selector": {"matchLabels": {"team": "a"}}, "models": ["flights"]}


@pytest.fixture
def world() -> World:
    """A registry for the model `flights` of teams with a label, a team that has it, and one that has not."""
    world = World()
    world.registry(allowedNamespaces=ALLOWED)
    for name, labels in {"ours": {"team": "a"}, "theirs": {"team": "b"}}.items():
        world.cache.put(NAMESPACE, {"metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels}})
    return world


async def uses(world: World) -> set[str]:
    """The registered models for which a permission may be missing."""
    resource = world.registries.resource(PLACE)
    registered = Registered(world.cache, Outside(world.registries, world.sweeper, None, None))  # type: ignore[arg-type]
    return {one.name for one in await registered.uses(resource)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("namespace", "name", "counts"),
    [
        pytest.param("ours", "flights", True, id="let in"),
        pytest.param("ours", "trains", False, id="another model"),
        pytest.param("theirs", "flights", False, id="another namespace"),
        pytest.param("ml", "trains", True, id="the registry's own namespace"),
    ],
)
async def test_a_model_that_is_not_let_in_needs_no_permission(
    world: World, namespace: str, name: str, counts: bool
) -> None:
    world.model("model", namespace, name=name, registryRef={"name": PLACE[1], "namespace": PLACE[0]})
    assert await uses(world) == ({name} if counts else set())


async def test_a_registry_that_is_silent_or_has_no_credential_is_for_the_same_models(world: World) -> None:
    world.model("model", "ours", name="flights")
    world.server.trouble = Unreachable("no connection")
    await world.sweep()
    assert await uses(world) == {"flights"}
    world.registry(allowedNamespaces=ALLOWED, generation=2, mlflow={"auth": {"basic": {"secretRef": {"name": "gone"}}}})
    await world.sweep()
    assert await uses(world) == {"flights"}
