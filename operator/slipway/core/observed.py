"""Everything that a decision may look at: one frozen value per pass, with the time in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel, VersionVerdicts
from ..resources.platform import Manifest, Platform
from ..resources.serving import Traffic
from .jobs import JobSeen
from .pods import Trouble
from .registry import Absent, Entry, Labels, Silent


@dataclass(frozen=True)
class Kept:
    """What a version's serving pods run, kept word for word for drift repair and for going back."""

    version: int
    digest: str
    inputs: str
    revision: int
    name: str  # of the ControllerRevision
    template: Manifest = field(repr=False)


@dataclass(frozen=True)
class VersionSeen:
    """What the version reconciler sees."""

    now: datetime
    platform: Platform
    version: ModelVersion
    model: RegisteredModel | None
    registry: ModelRegistry | Silent
    entry: Entry | Absent | Silent | None  # None: it was not asked, since what it said is pinned in status
    credentials: Mapping[str, str] = field(repr=False)  # files of the import's Secret
    jobs: Mapping[str, JobSeen]
    traffic: Traffic

    @property
    def handed(self) -> VersionVerdicts | None:
        """What the model's reconciler says of this version."""
        verdicts = self.model.status.versions if self.model else ()
        return next((one for one in verdicts if one.version == self.version.spec.version), None)


@dataclass(frozen=True)
class Fleet:
    """The pods of one version, as its Deployment's status tells."""

    version: int
    replicas: int  # that its spec asks for
    ready: int
    complete: bool  # all replicas run the newest template and are available
    inputs: str  # what the newest template was rendered from
    trouble: Trouble | None = None


@dataclass(frozen=True)
class ModelSeen:
    """What the model reconciler sees."""

    now: datetime
    platform: Platform
    model: RegisteredModel
    versions: tuple[ModelVersion, ...]
    registry: ModelRegistry | Silent
    traffic: Traffic
    kept: Mapping[int, Kept]
    fleets: Mapping[int, Fleet]
    labels: Mapping[int, Labels | Absent | Silent]  # of the versions whose labels may have to be written
