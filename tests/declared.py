"""What people apply, for the model `flights` in `ml`."""

from typing import Any

from slipway.adapters.cluster import Object

from tests.simulation import METRIC
from tests.worlds import DATA

GATED: dict[str, Any] = {
    "modelType": "regressor",
    "data": DATA,
    "gates": [{"name": "error", "metric": {"name": METRIC, "threshold": 12.0, "greaterIsBetter": False}}],
}


def model(**spec: Any) -> Object:
    """A RegisteredModel."""
    return _object("RegisteredModel", "flights", spec)


def version(number: int, stage: str = "Production") -> Object:
    """A ModelVersion."""
    return _object("ModelVersion", f"flights-v{number}", {"model": "flights", "version": number, "stage": stage})


def _object(kind: str, name: str, spec: Any) -> Object:
    meta = {"name": name, "namespace": "ml", "creationTimestamp": "2026-03-06T16:00:00Z"}
    return {"apiVersion": "slipway.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def deployed(name: str = "old-flights", ready: int = 2, **selector: Any) -> Object:
    """A Deployment that somebody runs, with two pods of its own."""
    found = _object("Deployment", name, {"replicas": 2, "selector": selector or {"matchLabels": {"app": name}}})
    labels = found["spec"]["selector"].get("matchLabels", {})
    found["spec"]["template"] = {"metadata": {"labels": labels}}
    return found | {"apiVersion": "apps/v1", "status": {"replicas": 2, "readyReplicas": ready}}
