"""Where an import may read the files of a version: behind its registry's own server, and nowhere else."""

from ..api.locations import PROXIED, location
from ..api.modelregistry import ModelRegistry
from .allowed import named
from .registry import Entry, Silent

_SERVE = "let MLflow hand its files out (--serve-artifacts, mlflow-artifacts:/) and log the model again"


def objection(entry: Entry, registry: ModelRegistry | Silent, namespace: str) -> str:
    """Why the files of a version may not be read for this namespace; "" if they may, or nobody can tell."""
    if isinstance(registry, Silent):
        return ""
    allowed = registry.spec.allowed_namespaces
    patterns = allowed.models if allowed and namespace != registry.metadata.namespace else ()
    for name in entry.via:
        if patterns and not named(name, patterns):
            told = f'was copied from the registered model "{name}"' if name else "is a copy whose original was deleted"
            return (
                f"the version {told}, and ModelRegistry {registry.metadata.name} lets this namespace use "
                f"{', '.join(patterns[:5])} only: have its owner extend spec.allowedNamespaces.models"
            )
    place = location(entry.location)
    if place is not None and place.scheme == PROXIED and not place.authority:
        return ""
    if place is not None and place.scheme == PROXIED:
        return (
            f"the files lie on another server, {place.authority}: if that is a name of this same MLflow, have the "
            "owner of the ModelRegistry add it to spec.backend.mlflow.artifactHosts"
        )
    if place is None or place.scheme == "file":
        return f"the files lie at {entry.location[:300]}, on a disk that only MLflow's server has: {_SERVE}"
    return f"the files lie at {entry.location[:300]}, which imports do not read: {_SERVE}"
