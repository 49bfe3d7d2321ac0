"""Where an import may read the files of a version: behind its registry's server, and in the buckets that it names."""

from ..api.connection import ArtifactRoot
from ..api.locations import PROXIED, covers, location
from ..api.modelregistry import ModelRegistry
from ..api.tasks import Bucket
from .allowed import named
from .registry import Entry, Silent

_GOOGLE = "https://storage.googleapis.com"  # speaks S3 with HMAC keys
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
    return out_of_bounds(entry.location, registry)


def out_of_bounds(where: str, registry: ModelRegistry) -> str:
    """Why imports of this registry do not read a location; "" if they do."""
    place = location(where)
    if place is not None and place.scheme == PROXIED and not place.authority:
        return ""
    if root_of(where, registry) is not None:
        return ""
    if place is not None and place.scheme == PROXIED:
        return (
            f"the files lie on another server, {place.authority}: if that is a name of this same MLflow, have the "
            "owner of the ModelRegistry add it to spec.backend.mlflow.artifactHosts"
        )
    if place is None or place.scheme == "file":
        return f"the files lie at {where[:300]}, on a disk that only MLflow's server has: {_SERVE}"
    if place.scheme in ("s3", "gs"):
        return (
            f"the files lie at {where[:300]}, and no prefix in spec.backend.mlflow.artifactRoots of ModelRegistry "
            f"{registry.metadata.name} covers that: have its owner add one, or {_SERVE}"
        )
    return f"the files lie at {where[:300]}, and imports read s3 and gs only: {_SERVE}"


def root_of(where: str, registry: ModelRegistry) -> ArtifactRoot | None:
    """The root that a location lies in, the deepest of several; None if it is in none."""
    place, backend = location(where), registry.spec.backend.mlflow
    roots = backend.artifact_roots if backend else ()
    found = [one for one in roots if place is not None and covers(one.prefix, place)]
    return max(found, key=lambda one: len(one.prefix.rstrip("/")), default=None)


def bucket_of(where: str, registry: ModelRegistry) -> Bucket | None:
    """How the import reads a location; None if the registry's server hands it out."""
    root = root_of(where, registry)
    if root is None:
        return None
    google = _GOOGLE if root.prefix.startswith("gs:") else None
    return Bucket(endpoint=root.endpoint or google, region=root.region)
