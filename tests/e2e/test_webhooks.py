"""MLflow in the cluster sends webhooks to the receiver in the cluster, and a moved alias is seen at once."""

import base64
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from dev.demo.manifests import MLFLOW, MLFLOW_PORT, SYSTEM
from dev.demo.progress import condition

from .conftest import World, places_of
from .place import API, Place, poll, registered_model

SEEN_SECONDS = 30.0  # on a busy machine; the registry's own interval is an hour


@pytest.fixture
def place(world: World) -> Iterator[Place]:
    """A namespace, and a registry that asks for webhooks."""
    with places_of(world.kube) as places:
        found = places("hooks")
        yield found
        world.kube.run("kubectl", "delete", "mreg,secret", "hooks", "-n", SYSTEM, "--ignore-not-found")


def registry(**spec: Any) -> dict[str, Any]:
    uri = f"http://mlflow.{MLFLOW}.svc.cluster.local:{MLFLOW_PORT}"
    allowed = {"selector": {"matchLabels": {"slipway.dev/models": "true"}}}
    more = {"backend": {"mlflow": {"uri": uri}}, "allowedNamespaces": allowed, "sync": {"interval": "1h"}, **spec}
    return {
        "apiVersion": API,
        "kind": "ModelRegistry",
        "metadata": {"name": "hooks", "namespace": SYSTEM},
        "spec": more,
    }


def test_an_alias_that_is_moved_is_heard_of(world: World, place: Place) -> None:
    meta = {"name": "hooks", "namespace": SYSTEM, "labels": {"slipway.dev/registry": ""}}
    data = {"secret": base64.b64encode(secrets.token_hex(24).encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
    world.kube.apply(secret, registry(webhook={"secretRef": {"name": "hooks"}}))

    def notified() -> str:
        return str(
            condition(world.kube.get("modelregistry.slipway.dev", SYSTEM, "hooks") or {}, "Notified").get("reason")
        )

    poll("a delivery on trial has arrived", 120, lambda: notified() == "WebhookHeard", notified)
    registered = f"{place.namespace}-heard"
    world.made.register(registered, "fair")
    source = {"registryRef": {"name": "hooks", "namespace": SYSTEM}, "name": registered}
    place.apply(registered_model("heard", source=source, promotion={"source": "Registry"}))
    poll("the model is known", 60, lambda: condition(place.model("heard"), "Ready").get("reason") == "NothingToServe")
    world.made.client.set_registered_model_alias(registered, "champion", "1")
    poll("a ModelVersion is made", SEEN_SECONDS, lambda: place.version("heard-v1"), place.told)
    world.kube.apply(registry())
    poll("it is removed", 60, lambda: not [one for one in world.made.client.list_webhooks() if "/hooks" in one.url])
