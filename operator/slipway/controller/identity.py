"""What an object is: its place, its version, and the model that it belongs to."""

from collections.abc import Mapping
from typing import Any

from ..adapters.cluster import LEDGER, MODEL, NAMESPACE, REGISTRY, VERSION, Kind
from ..api import names
from ..api.modelregistry import ModelRegistry

Place = tuple[str, str]  # namespace, name
Family = tuple[str, str]  # namespace of the model, name of the model


def place_of(found: Mapping[str, Any]) -> Place:
    """Where the object is."""
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def registry_place(registry: ModelRegistry) -> Place:
    """Where the ModelRegistry is."""
    return registry.metadata.namespace, registry.metadata.name


def uid_of(found: Mapping[str, Any]) -> str:
    """Which object it is, among all that ever had its name."""
    return str(found["metadata"].get("uid", ""))


def version_of(found: Mapping[str, Any]) -> int:
    """The object's resource version as a number; 0 if it has none."""
    text = found["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0


def section(found: Any, *path: str) -> Mapping[str, Any]:
    """A part of an object as it is stored, which nobody has parsed: {} where there is none that has parts."""
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def family_of(kind: Kind, found: Mapping[str, Any]) -> Family | None:
    """The model that an object belongs to."""
    meta = found["metadata"]
    namespace, labels = meta.get("namespace", ""), meta.get("labels") or {}
    if kind in (REGISTRY, NAMESPACE):
        return None
    if kind in (MODEL, LEDGER):  # of the same name
        return namespace, meta["name"]
    if kind is VERSION:
        model = section(found, "spec").get("model")
        return namespace, model if isinstance(model, str) else ""
    model = labels.get(names.MODEL)
    return (labels.get(names.OWNER_NAMESPACE, namespace), model) if model else None


def registered_name(model: Mapping[str, Any]) -> str:
    """The name of a RegisteredModel in its registry."""
    return str(section(model, "spec", "source").get("name") or model["metadata"]["name"])
