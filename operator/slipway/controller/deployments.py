"""Reads Deployments that are not Slipway's: they lack its labels, so no watch tells of them."""

from collections.abc import Iterable, Mapping

from ..adapters.cluster import DEPLOYMENT, POD, Cluster, Object
from ..adapters.errors import AdapterError, NotFound
from ..api import names
from ..api.base import GROUP
from ..api.modelledger import ModelLedgerSpec
from ..api.registeredmodel import RegisteredModel
from ..core.observed import Deployed, Unseen
from .cache import Cache


def named(model: RegisteredModel, ledger: ModelLedgerSpec | None, way_back: bool) -> set[str]:
    """The Deployments to read: until a version has served, the one to adopt and the one that was adopted.

    After that, what was adopted is read for a rollback only.
    """
    adopt, adopted = model.spec.adopt, ledger.adopted if ledger else None
    if ledger is not None and ledger.since and not ledger.serving_adopted:
        adopt, adopted = None, adopted if way_back else None
    return {one.deployment for one in (adopt, adopted) if one is not None}


async def read(
    cluster: Cluster, cache: Cache, namespace: str, deployments: Iterable[str]
) -> Mapping[str, Deployed | Unseen]:
    """What is known of each by now; silence is not absence."""
    found: dict[str, Deployed | Unseen] = {}
    for name in sorted(deployments):
        try:
            found[name] = _deployed(await cluster.get(DEPLOYMENT, namespace, name), cache)
        except NotFound:
            found[name] = Unseen()
        except AdapterError as error:
            found[name] = Unseen(str(error) or type(error).__name__)
    return found


def _deployed(found: Object, cache: Cache) -> Deployed:
    spec, meta = found["spec"], found["metadata"]
    selector = spec.get("selector") or {}
    chosen = selector.get("matchLabels") or {}
    labels = [meta.get("labels") or {}, (spec.get("template") or {}).get("metadata", {}).get("labels") or {}]
    return Deployed(
        name=meta["name"],
        selector=chosen,
        replicas=spec.get("replicas", 1),
        ready=(found.get("status") or {}).get("readyReplicas", 0),
        expressible=not selector.get("matchExpressions"),
        own=any(_is_own(one) for one in labels),
        finds=next((pod["metadata"]["name"] for pod in cache.all(POD) if _finds(chosen, meta["namespace"], pod)), ""),
    )


def _finds(selector: Mapping[str, str], namespace: str, pod: Object) -> bool:
    meta = pod["metadata"]
    return meta["namespace"] == namespace and selector.items() <= (meta.get("labels") or {}).items()


def _is_own(labels: Mapping[str, str]) -> bool:
    return labels.get(names.MANAGED_BY) == names.MANAGER or any(key.startswith(f"{GROUP}/") for key in labels)
