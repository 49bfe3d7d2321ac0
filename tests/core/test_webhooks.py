"""The webhook that a ModelRegistry should have, and what its status says of it."""

import re

import pytest
from slipway.core.registry import Silent
from slipway.core.webhooks import Subscription, Trial, subscription, subscription_name, verdict

URL, SECRET = "http://slipway-webhooks.slipway-system.svc:8081", "a secret of both of them"
MLFLOW_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)  # as MLflow checks it


def wanted(cluster: str = "prod", name: str = "mlflow", url: str = URL, secret: str = SECRET) -> Subscription:
    return subscription(cluster, "ml", name, url, secret)


def test_it_leads_to_the_path_of_its_registry() -> None:
    assert wanted().url == wanted(url=URL + "/").url == f"{URL}/ml/mlflow"
    assert "cluster prod" in wanted().description and "ml/mlflow" in wanted().description


@pytest.mark.parametrize(
    ("because", "other"),
    [
        ("another cluster", subscription_name("test", "ml", "mlflow")),
        ("another registry", subscription_name("prod", "ml", "other")),
        ("another namespace", subscription_name("prod", "team", "mlflow")),
    ],
)
def test_nobody_else_has_its_name(because: str, other: str) -> None:
    assert wanted().name == subscription_name("prod", "ml", "mlflow") != other, because


@pytest.mark.parametrize("cluster", ["prod", "p" * 63, "a_b.c-d", "-.-", "1"])
def test_every_cluster_has_a_name_that_mlflow_takes(cluster: str) -> None:
    assert MLFLOW_NAME.fullmatch(subscription_name(cluster, "n" * 63, "r" * 253))


def test_another_secret_is_another_webhook_and_is_not_told() -> None:
    assert wanted(secret="another secret of theirs").description != wanted().description
    assert SECRET not in repr(wanted()) and SECRET not in wanted().description


@pytest.mark.parametrize(
    ("because", "outcome", "status", "reason", "says"),
    [
        ("it arrived", Trial(204), "True", "WebhookHeard", URL),
        ("nobody listens", Trial(None, "Connection refused"), "False", "WebhookUnheard", "Connection refused"),
        ("something else listens", Trial(200), "False", "WebhookUnheard", "was answered 200"),
        ("another cluster's receiver", Trial(401), "False", "WebhookUnheard", "is it this cluster's?"),
        ("nobody acts", Trial(503), "False", "WebhookUnheard", "was answered 503"),
        ("not allowed", Silent("WebhookForbidden", "no admin", False), "False", "WebhookForbidden", "no admin"),
        ("away", Silent("RegistryUnreachable", "no answer"), "Unknown", "RegistryUnreachable", "no answer"),
        ("no secret", Silent("SecretNotFound", "no Secret", False), "False", "SecretNotFound", "no Secret"),
    ],
)
def test_what_the_status_says(because: str, outcome: Trial | Silent, status: str, reason: str, says: str) -> None:
    found = verdict(outcome, URL)
    assert (found.status, found.reason) == (status, reason), because
    assert says in found.message
