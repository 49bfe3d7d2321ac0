"""The secrets of webhooks: read now and then, whoever asks; silence takes none away."""

import pytest
from slipway.adapters.cluster import REGISTRY, SECRET
from slipway.adapters.errors import Unreachable
from slipway.controller.webhook_secrets import READ_SECONDS, Secrets

from tests.controller.registry_world import PLACE, World

WEBHOOK = {"secretRef": {"name": "hooks"}}
LONG = "a secret of both of them"


@pytest.fixture
def world() -> World:
    world = World()
    world.registry(webhook=WEBHOOK)
    put(world, LONG)
    return world


def put(world: World, secret: str, **labels: str) -> None:
    """The Secret `ml/hooks` holds this."""
    world.api.secret(secret=secret)
    world.api.objects["Secret", "ml", "hooks"] = world.api.objects.pop(("Secret", "ml", "credential"))


def secrets(world: World) -> Secrets:
    return Secrets(world.cache, world.registries, lambda: world.now)


async def test_it_is_read_once_in_a_while_however_often_it_is_asked_for(world: World) -> None:
    found = secrets(world)
    assert found.of(PLACE) == "" and world.api.asked == []
    for _ in range(3):
        await found.look()
        assert found.of(PLACE) == LONG and found.trouble(PLACE) is None
    assert world.api.asked == ["Secret ml/hooks"]


async def test_another_content_is_noticed(world: World) -> None:
    found = secrets(world)
    await found.look()
    put(world, LONG + "\n")
    world.now += READ_SECONDS
    await found.look()
    assert found.of(PLACE) == LONG, "a file's last line end is none of the secret"
    put(world, "another secret of theirs")
    world.now += READ_SECONDS
    await found.look()
    assert found.of(PLACE) == "another secret of theirs"


async def test_another_secret_is_read_at_once(world: World) -> None:
    found = secrets(world)
    await found.look()
    world.registry(webhook={"secretRef": {"name": "others"}}, generation=2)
    await found.look()
    assert found.of(PLACE) == "" and (trouble := found.trouble(PLACE)) is not None
    assert trouble.reason == "SecretNotFound"


async def test_who_asks_for_no_webhooks_has_none(world: World) -> None:
    found = secrets(world)
    await found.look()
    world.registry(generation=2)
    await found.look()
    assert found.of(PLACE) == "" and found.trouble(PLACE) is None
    world.registry(webhook=WEBHOOK, generation=3)
    await found.look()
    assert found.of(PLACE) == LONG
    world.cache.remove(REGISTRY, *PLACE)
    await found.look()
    assert found.of(PLACE) == ""


async def test_silence_of_the_api_server_takes_no_secret_away(world: World) -> None:
    found = secrets(world)
    await found.look()
    world.api.refuses = Unreachable("no answer")
    world.now += READ_SECONDS
    await found.look()
    assert found.of(PLACE) == LONG


@pytest.mark.parametrize(
    ("because", "labels", "data", "says"),
    [
        ("the team did not label it", {}, {"secret": LONG}, "lacks the label"),
        ("it has another key", {"slipway.dev/registry": ""}, {"token": LONG}, "lacks the key secret"),
        ("it can be guessed", {"slipway.dev/registry": ""}, {"secret": "short"}, "at least 16 characters"),
        ("it is empty", {"slipway.dev/registry": ""}, {"secret": ""}, "at least 16 characters"),
    ],
)
async def test_what_is_wrong_with_it_is_said(
    world: World, because: str, labels: dict[str, str], data: dict[str, str], says: str
) -> None:
    world.api.secret(**data)
    world.api.put(SECRET, "ml", "hooks", labels, data=world.api.objects["Secret", "ml", "credential"]["data"])
    found = secrets(world)
    await found.look()
    trouble = found.trouble(PLACE)
    assert trouble is not None and says in trouble.message and "short" not in trouble.message, because
    assert found.of(PLACE) == ""
