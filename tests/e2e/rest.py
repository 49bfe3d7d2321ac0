"""What the operator does while nothing is asked of it, as its own metrics tell."""

import time
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from dev.demo.kube import Kube
from dev.demo.manifests import SYSTEM

from .place import poll

OPERATOR = "app.kubernetes.io/component=operator"
METRICS_PORT = 8080
PASSES, ACTIONS = "slipway_passes_total", "slipway_actions_total"
REST_SECONDS, PATIENCE_SECONDS = 20.0, 120.0


@dataclass(frozen=True)
class Work:
    """What was done in a stretch of time in which nothing was written."""

    passes: float
    failed: float  # passes that failed or met a conflict


def acting(kube: Kube) -> tuple[str, str]:
    """Name and uid of the operator's pod that acts; both "" while none does."""
    lease = kube.get("lease", SYSTEM, "slipway") or {"spec": {}}
    name, _, uid = (lease["spec"].get("holderIdentity") or "").partition("_")
    return name, uid


def restarts(kube: Kube) -> dict[str, int]:
    """How often each pod of the operator was started anew, by name."""
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
        for pod in kube.list("pods", SYSTEM, OPERATOR)
    }


def rest(kube: Kube) -> Work:
    """What the operator did in the first stretch of so many seconds in which it wrote nothing."""
    name = poll("an operator acts", PATIENCE_SECONDS, lambda: acting(kube)[0])
    with kube.forwarded(SYSTEM, f"pod/{name}", METRICS_PORT) as url:
        began, before = time.monotonic(), _counted(url)

        def rested() -> Work | None:
            nonlocal began, before
            now = _counted(url)
            if _written(now) != _written(before):
                began, before = time.monotonic(), now
            if time.monotonic() - began < REST_SECONDS:
                return None
            done, rest = (_passes(now, good) - _passes(before, good) for good in (True, False))
            return Work(done + rest, rest)

        found: Work = poll(
            f"nothing is written for {REST_SECONDS:.0f} s", PATIENCE_SECONDS, rested, lambda: f"{_counted(url)}"
        )
        return found


def told(kube: Kube) -> dict[tuple[str, ...], float]:
    """Every series of the operator that acts, by its name and labels such as `target=chat`."""
    name = poll("an operator acts", PATIENCE_SECONDS, lambda: acting(kube)[0])
    with kube.forwarded(SYSTEM, f"pod/{name}", METRICS_PORT) as url:
        return _series(url)


def _series(url: str) -> dict[tuple[str, ...], float]:
    # kubectl ends where a connection breaks, and the forward is open again a second later.
    with httpx.Client(transport=httpx.HTTPTransport(retries=5), timeout=10, trust_env=False) as client:
        text = client.get(f"{url}/metrics").text
    return {
        (one.name, *(f"{key}={value}" for key, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def _counted(url: str) -> dict[tuple[str, ...], float]:
    """Every counter of passes and of writes."""
    return {key: value for key, value in _series(url).items() if key[0] in (PASSES, ACTIONS)}


def _written(counted: dict[tuple[str, ...], float]) -> float:
    return sum(value for name, value in counted.items() if name[0] == ACTIONS)


def _passes(counted: dict[tuple[str, ...], float], good: bool) -> float:
    return sum(value for name, value in counted.items() if name[0] == PASSES and ("result=done" in name) == good)
