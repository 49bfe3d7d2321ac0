"""What keeps the pods of a model from going at the same time: a budget for drains, and a spread over nodes."""

from typing import Any

from ..api.registeredmodel import RegisteredModel
from . import naming
from .naming import NOBODY, selector
from .platform import Manifest


def pod_disruption_budget(model: RegisteredModel, champion: int | None) -> Manifest:
    """At most one pod with the model's traffic is taken by a drain or an upgrade of nodes at a time.

    It follows the traffic, as the Service does. A candidate that never gets ready would otherwise count as unavailable
    and hold up every drain; so would a broken pod, hence AlwaysAllow.

    `maxUnavailable: 1`, never `minAvailable`: of a model with one replica, `minAvailable: 1` would forbid every
    eviction, and the drain would wait for ever. One replica is therefore not protected: it is evicted, and the model
    does not answer until its next pod is ready. Who cannot bear that asks for two.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": model.metadata.name,
            "namespace": model.metadata.namespace,
            "labels": naming.labels(model.metadata.name),
            "ownerReferences": naming.owner("RegisteredModel", model.metadata),
        },
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(model.metadata.name, champion or NOBODY)},
        },
    }


def topology_spread(model: RegisteredModel, version: int) -> list[dict[str, Any]]:
    """The pods of one version go to different nodes, where there are any with room: a spread that cannot be had does
    not keep a pod from starting. Pods of an older template, which are on their way out, do not count."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(model.metadata.name, version)},
            "matchLabelKeys": ["pod-template-hash"],
        }
    ]
