"""Webhooks of registries: made where they are asked for, looked after, and removed; nothing else depends on them."""

import pytest
from slipway.adapters.cluster import REGISTRY
from slipway.adapters.errors import Unreachable
from slipway.controller.subscriber import AGAIN_SECONDS, HEARD_SECONDS, Home
from slipway.controller.webhook_secrets import READ_SECONDS
from slipway.core.registry import Silent
from slipway.core.webhooks import Trial

from tests.controller.registry_world import PLACE
from tests.controller.subscriber_world import HOME, WEBHOOK, Hooks
from tests.memory_registry import MemoryRegistry

FORBIDDEN = Silent("WebhookForbidden", "no admin", False)


async def test_who_asks_for_none_has_none() -> None:
    hooks = Hooks()
    hooks.registry()
    assert not await hooks.look()
    assert hooks.said is None and hooks.world.server.webhooks == {} and hooks.world.server.requests == 0


async def test_it_is_made_and_tried_and_then_left_alone() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    assert await hooks.look()
    (one,) = hooks.world.server.webhooks.values()
    assert one.url == f"{HOME.url}/ml/mlflow" and one.secret == "a secret of both of them"
    assert hooks.reason == "WebhookHeard"
    asked = hooks.world.server.requests
    assert not await hooks.look(HEARD_SECONDS - 1) and hooks.world.server.requests == asked
    hooks.world.server.webhooks.clear()  # somebody removed it
    assert not await hooks.look(1) and len(hooks.world.server.webhooks) == 1


async def test_an_url_of_its_own_and_a_changed_secret_are_told_to_the_registry() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    hooks.registry(webhook=WEBHOOK | {"url": "https://hooks.example.com"})
    await hooks.look()
    (one,) = hooks.world.server.webhooks.values()
    assert one.url == "https://hooks.example.com/ml/mlflow"
    hooks.world.api.secret(secret="another secret of theirs")
    await hooks.look(READ_SECONDS)
    (one,) = hooks.world.server.webhooks.values()
    assert one.secret == "another secret of theirs"


@pytest.mark.parametrize(
    ("because", "trouble", "reason"),
    [
        ("no administrator", FORBIDDEN, "WebhookForbidden"),
        ("it does not arrive", Trial(None, "refused"), "WebhookUnheard"),
        ("the server is away", Unreachable("no answer"), "RegistryUnreachable"),
    ],
)
async def test_what_is_wrong_is_said_and_tried_again(because: str, trouble: object, reason: str) -> None:
    hooks = Hooks()
    server: MemoryRegistry = hooks.world.server
    if isinstance(trouble, Silent):
        server.forbids_webhooks = trouble
    elif isinstance(trouble, Trial):
        server.trial = trouble
    else:
        assert isinstance(trouble, Unreachable)
        server.trouble = trouble
    hooks.registry(webhook=WEBHOOK)
    assert await hooks.look() and hooks.reason == reason, because
    assert not await hooks.look(AGAIN_SECONDS) and hooks.reason == reason, "it is said once"
    server.forbids_webhooks, server.trial, server.trouble = None, Trial(204), None
    assert not await hooks.look(1) and hooks.reason == reason
    assert await hooks.look(AGAIN_SECONDS) and hooks.reason == "WebhookHeard"


async def test_without_a_receiver_or_a_secret_the_registry_is_not_asked() -> None:
    deaf = Hooks(Home("prod", "", False))
    deaf.registry(webhook=WEBHOOK)
    assert await deaf.look() and deaf.reason == "WebhookNowhere"
    hooks = Hooks()
    hooks.world.api.objects.clear()
    hooks.registry(webhook=WEBHOOK)
    assert await hooks.look() and hooks.reason == "SecretNotFound"
    assert deaf.world.server.requests == hooks.world.server.requests == 0


async def test_what_is_not_asked_for_any_more_is_removed() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    hooks.registry()
    hooks.world.server.trouble = Unreachable("no answer")
    assert not await hooks.look() and hooks.reason == "WebhookHeard", "there still is one"
    hooks.world.server.trouble = None
    assert await hooks.look(AGAIN_SECONDS) and hooks.said is None and hooks.world.server.webhooks == {}
    asked = hooks.world.server.requests
    await hooks.look(HEARD_SECONDS)
    assert hooks.world.server.requests == asked


async def test_the_status_tells_another_process_that_there_is_one_to_remove() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    assert hooks.said is not None
    condition = {
        "type": "Notified", "status": "True", "reason": "WebhookHeard", "message": "m",
        "lastTransitionTime": "2026-03-06T17:00:00Z", "observedGeneration": 1,
    }  # fmt: skip
    hooks.registry(status={"conditions": [condition]})
    hooks.begin_anew()
    assert hooks.reason == "WebhookHeard", "as long as nothing else is known"
    assert await hooks.look() and hooks.said is None and hooks.world.server.webhooks == {}


async def test_who_may_make_none_has_none_to_remove() -> None:
    hooks = Hooks()
    hooks.world.server.forbids_webhooks = FORBIDDEN
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    hooks.registry()
    assert await hooks.look() and hooks.said is None


async def test_a_registry_that_is_gone_or_another_server_sends_nothing_more() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    first, hooks.world.server = hooks.world.server, MemoryRegistry()
    hooks.registry("http://other:5000", webhook=WEBHOOK)
    await hooks.look()
    assert first.webhooks == {} and len(hooks.world.server.webhooks) == 1
    hooks.world.cache.remove(REGISTRY, *PLACE)
    await hooks.look()
    assert hooks.world.server.webhooks == {}


async def test_a_webhook_of_a_registry_that_is_suspended_is_removed_once_it_is_at_another_server() -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    hooks.registry(webhook=WEBHOOK, suspend=True)
    await hooks.look(HEARD_SECONDS)
    assert hooks.reason == "Suspended" and len(hooks.world.server.webhooks) == 1
    first, hooks.world.server = hooks.world.server, MemoryRegistry()
    hooks.registry("http://other:5000", webhook=WEBHOOK)
    await hooks.look()
    assert first.webhooks == {} and len(hooks.world.server.webhooks) == 1


@pytest.mark.parametrize("suspend", [False, True])
async def test_a_webhook_that_cannot_be_removed_with_its_registry_is_named_in_the_log(
    suspend: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Hooks()
    hooks.registry(webhook=WEBHOOK)
    await hooks.look()
    condition = {
        "type": "Notified", "status": "True", "reason": "WebhookHeard", "message": "m",
        "lastTransitionTime": "2026-03-06T17:00:00Z", "observedGeneration": 1,
    }  # fmt: skip
    hooks.registry(status={"conditions": [condition]}, webhook=WEBHOOK, suspend=suspend)
    hooks.world.server.trouble = Unreachable("no answer")
    hooks.begin_anew()
    await hooks.look()
    hooks.world.cache.remove(REGISTRY, *PLACE)
    await hooks.look()
    left = [one.getMessage() for one in caplog.records if "was left" in one.getMessage()]
    name = next(iter(hooks.world.server.webhooks))
    assert len(left) == 1 and name in left[0] and "http://mlflow:5000" in left[0]
