"""The webhook that a ModelRegistry should have in its registry, and what its status says of it."""

import hashlib
import hmac
from dataclasses import dataclass, field

from .conditions import Verdict, failed, passed, unknown
from .reasons import Reason, reason_named
from .registry import Silent

NAME_LIMIT = 63  # of MLflow, as for letters, digits, dots, hyphens and underscores


@dataclass(frozen=True)
class Subscription:
    """A webhook of ours; by its name it is known as this cluster's and this ModelRegistry's."""

    name: str
    url: str
    description: str  # differs where the secret does: the registry never tells that
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Trial:
    """What became of a delivery that the registry was asked to send."""

    status: int | None  # of the answer; None: the registry got none
    said: str = ""  # what it says instead

    @property
    def heard(self) -> bool:
        """Whether the receiver took it, and so the signature is right, too."""
        return self.status == 204

    @property
    def unsigned(self) -> bool:
        """Whether the receiver does not know the signature."""
        return self.status == 401


def subscription_name(cluster_name: str, namespace: str, name: str) -> str:
    """Unlike that of any other ModelRegistry, here and in another cluster."""
    mark = hashlib.sha256("/".join((cluster_name, namespace, name)).encode()).hexdigest()[:12]
    begin = "".join(one if one.isascii() and one.isalnum() else "-" for one in f"slipway-{cluster_name}")
    return f"{begin[: NAME_LIMIT - len(mark) - 1].rstrip('-')}-{mark}"


def subscription(cluster_name: str, namespace: str, name: str, url: str, secret: str) -> Subscription:
    """The webhook of a ModelRegistry, whose deliveries go to the receiver at `url`."""
    target = f"{url.rstrip('/')}/{namespace}/{name}"
    mark = hmac.new(secret.encode(), f"slipway {target}".encode(), hashlib.sha256).hexdigest()[:16]
    description = (
        f"Slipway in the cluster {cluster_name} looks after it, for the ModelRegistry {namespace}/{name} ({mark})."
    )
    return Subscription(subscription_name(cluster_name, namespace, name), target, description, secret)


def verdict(outcome: Trial | Silent, url: str) -> Verdict:
    """What the condition Notified says once the registry was asked for the webhook, or could not be."""
    if isinstance(outcome, Silent):
        if outcome.retry:  # what Ready says of the registry
            return unknown(reason_named(outcome.reason), outcome.message)
        return failed(reason_named(outcome.reason), outcome.message)
    if outcome.heard:
        return passed(Reason.WebhookHeard, f"A delivery on trial reached {url}: what moves is noticed at once.")
    if outcome.unsigned:
        said = f"The receiver at {url} knows the signature of no delivery on trial: is it this cluster's?"
        return failed(Reason.WebhookUnheard, said)
    what = f"was answered {outcome.status}" if outcome.status else "did not arrive"
    return failed(
        Reason.WebhookUnheard, f"A delivery on trial to {url} {what}{f': {outcome.said}' * bool(outcome.said)}"
    )
