"""Everything that a decision may look at: one frozen value per pass, with the time in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from ..api.facts import Facts
from ..api.modelledger import ModelLedgerSpec, Release
from ..api.modelregistry import ModelRegistry, Stages
from ..api.modelversion import ModelVersion, Stage
from ..api.registeredmodel import RegisteredModel
from ..api.validation import Validation
from ..resources import naming
from ..resources.platform import Manifest, Platform
from . import claims
from . import origin as origins
from .decision import Ref, Refusal
from .jobs import JobSeen
from .pods import VersionPods
from .registry import Absent, Contest, Entry, RegistryModel, Silent


@dataclass(frozen=True)
class Record:
    """The pod template of a version as a ControllerRevision keeps it, for drift repair and for going back."""

    version: int
    digest: str  # of the model's files
    hash: str  # of the template; ends the ControllerRevision's name
    inputs: str  # hash of the user's settings that it was rendered from
    revision: int
    template: Manifest = field(repr=False)


@dataclass(frozen=True)
class Deployed:
    """A Deployment that is not Slipway's, as it was read for this pass."""

    name: str
    selector: Mapping[str, str]  # labels of its pods
    replicas: int
    ready: int
    expressible: bool = True  # its selector has nothing but those labels
    own: bool = False  # it is Slipway's after all
    finds: str = ""  # a pod of Slipway's, of whichever model, that its selector finds, too


@dataclass(frozen=True)
class Unseen:
    """A Deployment that was not found."""

    why: str = ""  # it could not be read; "": there is none


@dataclass(frozen=True)
class ModelSeen:
    """What the model reconciler sees."""

    now: datetime
    platform: Platform
    model: RegisteredModel
    versions: tuple[ModelVersion, ...]
    registry: ModelRegistry | Silent
    invalid: str = ""  # why the spec cannot be read; `model` then has the rest of it, and defaults
    labelled_by: str = ""  # another model that sets stage and alias of the same registered model
    told_by: Mapping[int, str] = field(default_factory=dict)  # another model that tells of a version in the registry
    ledger: ModelLedgerSpec | None = None  # None: there is none
    ledger_version: str = ""  # resource version of the ledger: what a write of it must find
    route: str = ""  # version that the Service selects, as it says; "" while there is none
    unreadable: Mapping[int, str] = field(default_factory=dict)  # versions that cannot be parsed, and why
    records: Mapping[tuple[int, str], Record] = field(default_factory=dict)  # by version and hash
    pods: Mapping[int, VersionPods] = field(default_factory=dict)
    labels: RegistryModel | Absent | Silent | None = None  # None: the registry was not read yet
    label_refusals: Mapping[int, Silent] = field(default_factory=dict)  # why labels could not be written, by version
    contested: Mapping[int, Contest] = field(default_factory=dict)  # what another writer made of our tags, by version
    refusals: Mapping[Ref, Refusal] = field(default_factory=dict)
    deployments: Mapping[str, Deployed | Unseen] = field(default_factory=dict)  # to be adopted, or adopted, by name

    @property
    def by_registry(self) -> bool:
        """Whether the labels in the registry say which version should be in which stage."""
        if self.invalid:
            return self.ledger is not None and self.ledger.following is not None
        return self.model.spec.promotion.source == "Registry"

    @cached_property
    def policy(self) -> Validation:
        """How versions are proven. Where labels promote, no version replaces any of it: nobody reviews its spec."""
        found = self.model.spec.validation
        if not self.by_registry:
            return found
        gates = tuple(one.model_copy(update={"overridable": False}) for one in found.gates)
        pool = found.pool.model_copy(update={"overridable": False}) if found.pool else None
        return found.model_copy(update={"gates": gates, "pool": pool})

    @property
    def stages(self) -> Stages:
        """Which labels stand for which stage."""
        return Stages() if isinstance(self.registry, Silent) else self.registry.spec.stages

    @property
    def known(self) -> RegistryModel | None:
        """What the registry says; None while nobody knows."""
        usable = isinstance(self.labels, RegistryModel) and not isinstance(self.registry, Silent)
        return self.labels if usable and isinstance(self.labels, RegistryModel) else None

    @property
    def followed(self) -> str:
        """Hash of what is followed: the registered model where it is, and the labels that stand for Production.

        Six digits of what stands for Archived end it: another one asks for nothing anew, and retires nobody.
        """
        if isinstance(self.registry, Silent):
            return ""
        backend, labels = self.registry.spec.backend.mlflow, self.stages.production
        where = backend.uri.rstrip("/") if backend else ""
        name = self.model.registered_name
        created = self.known.created if self.known else 0
        aside = naming.short_hash(self.stages.archived.stage or "")
        return naming.short_hash([where, name, created, labels.stage or "", labels.alias or ""]) + aside[:6]

    def origin(self, number: int) -> str:
        """Which version has the number now, as far as the registry was heard: a hash of `core.origin`."""
        there = self.known.labels.get(number) if self.known else None
        return self.origin_of(there.created if there else 0)

    def origin_of(self, created: int) -> str:
        """The origin of a version of this registered model that was made then (milliseconds)."""
        backend = None if isinstance(self.registry, Silent) else self.registry.spec.backend.mlflow
        model_created = self.known.created if self.known else 0
        return origins.origin(backend.uri if backend else "", self.model.registered_name, model_created, created)

    def is_of_now(self, version: ModelVersion) -> bool:
        """Whether what is known of the version is about the one that the registry has now under its number."""
        pinned = version.status.resolved
        return pinned is None or not origins.differ(pinned.origin, self.origin(version.spec.version))

    def has(self, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
        """Whether the registry has this version under its number, and not another one, as far as anybody knows."""
        return self.has_champion(ledger) if version.spec.version == ledger.champion else self.is_of_now(version)

    def has_champion(self, ledger: ModelLedgerSpec) -> bool:
        """Whether it has what serves, in the same sense."""
        version, serving = self.version(ledger.champion), ledger.serving
        if serving is not None and origins.differ(serving.origin, self.origin(serving.version)):
            return False
        return version is None or self.is_of_now(version)

    def release(self, ledger: ModelLedgerSpec, version: ModelVersion) -> Release | None:
        """What was released of the version. What serves is nothing else while it serves."""
        if version.spec.version == ledger.champion:
            return ledger.serving
        pinned = version.status.resolved
        return self.released(ledger, version.spec.version, pinned.origin if pinned else "")

    def released(self, ledger: ModelLedgerSpec, number: int, origin: str = "") -> Release | None:
        """What was released under a number of this registered model: one that was made anew has other versions under
        the same numbers. `origin`: which one is meant while nobody knows which one is there.
        """
        found, meant = ledger.release(number), origins.completed(self.origin(number), origin)
        return None if found is None or origins.differ(found.origin, meant) else found

    def stage(self, version: ModelVersion, ledger: ModelLedgerSpec) -> Stage:
        """The stage that a version is asked to be in."""
        if not self.by_registry:
            return version.spec.stage
        return claims.stage_of(version, ledger, self.known.labels if self.known else None, self.stages)

    def refused_at(self, version: ModelVersion, ledger: ModelLedgerSpec) -> str | None:
        """When the registry last asked for a version that was refused."""
        refused = ledger.following.taken_back if self.by_registry and ledger.following else ()
        return next((one.at for one in refused if one.version == version.spec.version), None)

    def version(self, number: int | None) -> ModelVersion | None:
        """The ModelVersion of that number."""
        return next((one for one in self.versions if one.spec.version == number), None)


@dataclass(frozen=True)
class Place:
    """Where a version stands in the queue for a Job of one kind on one pool."""

    admitted: bool = True
    ahead: int = 0  # how many wait before it
    limit: int = 0  # how many may run


@dataclass(frozen=True)
class VersionSeen:
    """What the version reconciler sees."""

    now: datetime
    platform: Platform
    version: ModelVersion
    family: ModelSeen | None  # its model with all its versions; None: there is no RegisteredModel
    ledger: ModelLedgerSpec  # that may be believed; an empty one while there is none
    registry: ModelRegistry | Silent
    entry: Entry | Absent | Silent | None  # None: it was not asked, since what it said is pinned in status
    facts: Facts | None = None  # how it was made, once that was read; None: nobody asked, or no answer came yet
    credentials: Mapping[str, str] = field(repr=False, default_factory=dict)  # files of the import's Secret
    jobs: Mapping[str, JobSeen] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)  # by `import` and `validate <pool>`; absent: admitted
    refusals: Mapping[Ref, Refusal] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """The stage that the version is asked to be in."""
        return self.family.stage(self.version, self.ledger) if self.family else self.version.spec.stage

    @property
    def model(self) -> RegisteredModel | None:
        """The RegisteredModel that the version belongs to."""
        return self.family.model if self.family else None

    @property
    def release(self) -> Release | None:
        """What was released of the version."""
        if self.family is None:
            return self.ledger.release(self.version.spec.version)
        return self.family.release(self.ledger, self.version)
