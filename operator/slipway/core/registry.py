"""What the operator knows of a registry: an entry, its labels, and what to write back."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """One version as the registry describes it. Facts only: nothing here was executed."""

    name: str
    version: int
    source: str
    model_id: str | None
    run_id: str | None
    mlmodel_digest: str  # sha256:… of the MLmodel file's bytes
    mlflow_version: str | None
    flavors: tuple[str, ...]
    size_bytes: int | None
    has_signature: bool
    requirements: str  # requirements.txt, "" if there is none
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """What the registry says about one version right now."""

    stage: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RegistryModel:
    """One registered model as it was last read."""

    labels: Mapping[int, Labels]  # by version
    read_at: str = ""  # RFC 3339


@dataclass(frozen=True)
class Write:
    """What the registry should say about one version: idempotent, an absent part is left alone."""

    version: int
    stage: str | None = None
    archive_others: bool = False  # archive the other versions in that stage
    alias: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Silent:
    """No answer, or one that cannot be used: never to be read as absence."""

    reason: str  # of the catalogue: RegistryUnreachable, RegistryUnauthorized, RegistryNotFound, RegistryNotAllowed, …
    message: str
    retry: bool = True  # whether asking again without a change may help


@dataclass(frozen=True)
class Absent:
    """The registry answered, and does not have it."""

    reason: str  # VersionNotFound, ArtifactMissing
    message: str
