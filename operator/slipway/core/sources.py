"""Where an import may read the files of a version: behind its registry's server, and in the buckets that it names."""

from collections.abc import Iterable

from ..api.connection import ArtifactRoot
from ..api.locations import AZURE, PROXIED, Location, covers, depth, location
from ..api.modelregistry import ModelRegistry
from ..api.tasks import AWS_KEYS, AZURE_KEYS, Bucket
from .allowed import named
from .registry import Silent

_READ = ("s3", "gs", *AZURE)
_GOOGLE = "https://storage.googleapis.com"  # speaks S3 with HMAC keys
_SERVE = "let MLflow hand its files out (--serve-artifacts, mlflow-artifacts:/) and log the model again"


def objection(where: str, via: Iterable[str], registry: ModelRegistry | Silent, namespace: str, name: str) -> str:
    """Why files at a location, copied from those models, may not be read for this model of this namespace.

    "" if they may, or nobody can tell.
    """
    if isinstance(registry, Silent):
        return ""
    patterns = _models_of(registry, namespace)
    for original in via:
        if patterns and not named(original, patterns):
            told = f'was copied from the registered model "{original}"'
            told = told if original else "is a copy whose original was deleted"
            return (
                f"the version {told}, and ModelRegistry {registry.metadata.name} lets this namespace use "
                f"{', '.join(patterns[:5])} only: have its owner extend spec.allowedNamespaces.models"
            )
    return out_of_bounds(where, registry, name)


def runs_forbidden(registry: ModelRegistry | Silent, namespace: str) -> str:
    """Why this namespace may not take evaluation data from the registry's runs; "" if it may, or nobody can tell.

    A run belongs to no registered model, and whoever writes a ModelVersion may name any.
    """
    if isinstance(registry, Silent) or not (patterns := _models_of(registry, namespace)):
        return ""
    return (
        f"the evaluation data lies in a run, and ModelRegistry {registry.metadata.name} lets this namespace read the "
        f"registered models {', '.join(patterns[:5])} only: keep the data at an s3:// or https:// address, or use a "
        "ModelRegistry of this namespace"
    )


def _models_of(registry: ModelRegistry, namespace: str) -> tuple[str, ...]:
    """Patterns of the registered models that a namespace may use; () for all."""
    allowed = registry.spec.allowed_namespaces
    return allowed.models if allowed and namespace != registry.metadata.namespace else ()


def out_of_bounds(where: str, registry: ModelRegistry, name: str) -> str:
    """Why imports of this registry do not read a location for a registered model; "" if they do."""
    place = location(where)
    if place is not None and place.scheme == PROXIED and not place.authority:
        return ""
    if (root := root_of(where, registry)) is not None:
        return "" if is_for(root, name) else _of_others(root, registry, name)
    if place is not None and place.scheme == PROXIED:
        return (
            f"the files lie on another server, {place.authority}: if that is a name of this same MLflow, have the "
            "owner of the ModelRegistry add it to spec.backend.mlflow.artifactHosts"
        )
    if place is None or place.scheme == "file":
        return f"the files lie at {where[:300]}, on a disk that only MLflow's server has: {_SERVE}"
    if place.scheme in _READ:
        return (
            f"the files lie at {where[:300]}, and no prefix in spec.backend.mlflow.artifactRoots of ModelRegistry "
            f"{registry.metadata.name} covers that: have its owner add one, or {_SERVE}"
        )
    return f"the files lie at {where[:300]}, and imports read {', '.join(_READ)} only: {_SERVE}"


def root_of(where: str, registry: ModelRegistry) -> ArtifactRoot | None:
    """The root that a location lies in, the deepest of several; None if it is in none."""
    place, backend = location(where), registry.spec.backend.mlflow
    roots = backend.artifact_roots if backend else ()
    found = [one for one in roots if place is not None and covers(one.prefix, place)]
    return max(found, key=lambda one: depth(one.prefix), default=None)


def is_for(root: ArtifactRoot, name: str) -> bool:
    """Whether a registered model may have its files below the root."""
    return not root.models or named(name, root.models)


def _of_others(root: ArtifactRoot, registry: ModelRegistry, name: str) -> str:
    return (
        f"the files lie below {root.prefix}, which is for the registered models {', '.join(root.models[:5])} and not "
        f'for "{name}": have the owner of ModelRegistry {registry.metadata.name} extend the models of that root in '
        "spec.backend.mlflow.artifactRoots"
    )


def keys_of(root: ArtifactRoot) -> tuple[tuple[str, ...], ...]:
    """Keys of a root's Secret: the first of these sets that is there is the credential."""
    return tuple((key,) for key in AZURE_KEYS) if root.prefix.startswith(AZURE) else (AWS_KEYS,)


def bucket_of(where: str, registry: ModelRegistry) -> Bucket | None:
    """How the import reads a location; None if the registry's server hands it out."""
    root, place = root_of(where, registry), location(where)
    if root is None or place is None:
        return None
    return Bucket(endpoint=root.endpoint or _endpoint(place), region=root.region)


def _endpoint(place: Location) -> str | None:
    """Where a bucket is asked for, unless its root says otherwise; None for AWS."""
    scheme, authority = place.store
    if scheme in AZURE:
        return f"https://{authority.partition('@')[2]}"
    return _GOOGLE if scheme == "gs" else None
