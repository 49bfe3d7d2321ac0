"""The catalogue of reasons: every word that a condition can give, what it means, and what a person does next.

The words are kept by subject in the modules beside this one.
"""

from enum import StrEnum, auto
from typing import Any

from . import cluster, imports, registry, rollout, validation
from .words import Outlook

WORDS = {**registry.WORDS, **imports.WORDS, **validation.WORDS, **cluster.WORDS, **rollout.WORDS}


class Reason(StrEnum):
    """Why a condition is as it is; `outlook` tells what happens next without anybody's help."""

    meaning: str
    remedy: str
    outlook: Outlook

    def __new__(cls, value: str) -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.outlook, member.meaning, member.remedy = WORDS[value]
        return member

    @staticmethod
    def _generate_next_value_(name: str, *_: Any) -> str:
        return name

    # Nothing is wrong.
    Registered = auto()
    Imported = auto()
    GatesPassed = auto()
    LoadsAndPredicts = auto()
    AlreadyReleased = auto()
    Serving = auto()
    Validated = auto()
    Superseded = auto()
    Archived = auto()
    LabelsWritten = auto()
    NothingToServe = auto()
    FollowsRegistry = auto()
    RegistryReachable = auto()
    ModelsDiscovered = auto()
    WebhookHeard = auto()
    PermissionsHeld = auto()
    PermissionsNotTold = auto()
    NotRequested = auto()
    NotTold = auto()
    PredecessorWarm = auto()
    PredecessorCold = auto()
    NoPredecessor = auto()
    Adopted = auto()
    AdoptionOver = auto()
    AdoptionIgnored = auto()

    # Work is under way.
    Pending = auto()
    AwaitingModel = auto()
    Resolving = auto()
    ImportRunning = auto()
    ValidationRunning = auto()
    EvidenceStale = auto()
    RolloutProgressing = auto()
    LabelsPending = auto()
    Queued = auto()
    LedgerUnproven = auto()
    Suspended = auto()

    # A cause outside the model: tried again within limits.
    RegistryUnreachable = auto()
    StoreUnreachable = auto()
    StoreUnauthorized = auto()
    StoreReadOnly = auto()
    AdoptionPending = auto()
    AdoptedNotReady = auto()
    Unschedulable = auto()
    ImagePullFailed = auto()
    OutOfMemory = auto()
    DeadlineExceeded = auto()
    QuotaExceeded = auto()
    AdmissionDenied = auto()
    PodLost = auto()
    PodConfigInvalid = auto()
    VariableNotFound = auto()
    InsufficientCapacity = auto()
    InternalError = auto()

    # It stays so until somebody changes something.
    Held = auto()
    Frozen = auto()
    ApprovalMissing = auto()
    OutsideWindow = auto()
    PromotionNotAllowed = auto()
    TakenInHand = auto()
    OperatorForbidden = auto()
    ProgressDeadlineExceeded = auto()
    RegistryContested = auto()
    WebhookUnheard = auto()
    WebhookForbidden = auto()
    WebhookRefused = auto()
    WebhookKeyLost = auto()
    WebhookNowhere = auto()
    RegistryNotFound = auto()
    RegistryNotAllowed = auto()
    NamesCollide = auto()
    DiscoveryLimited = auto()
    DiscoveryNotAllowed = auto()
    RegistryUnauthorized = auto()
    PermissionsMissing = auto()
    RegistryRejected = auto()
    ModelTooLarge = auto()
    SecretNotFound = auto()
    TokenUnusable = auto()
    ModelMissing = auto()
    VersionGone = auto()
    VersionNotFound = auto()
    ArtifactMissing = auto()
    ModelInvalid = auto()
    ArtifactForbidden = auto()
    DigestMismatch = auto()
    ArtifactTooLarge = auto()
    UnsafeArtifact = auto()
    GateFailed = auto()
    GateNotOverridable = auto()
    MetricNotComputed = auto()
    DataUnreadable = auto()
    DataUnreachable = auto()
    DataAddressDenied = auto()
    DataColumnMissing = auto()
    DataTooLarge = auto()
    ModelTypeMissing = auto()
    StoreRejected = auto()
    DataEmpty = auto()
    DataInvalid = auto()
    EnvironmentNotReproducible = auto()
    EnvironmentUnstated = auto()
    EnvironmentBuilding = auto()
    IndexUnreachable = auto()
    IndexRejected = auto()
    ModelDoesNotLoad = auto()
    PredictionFailed = auto()
    ModelCrashed = auto()
    DataDoesNotFit = auto()
    PositiveLabelMissing = auto()
    PredictionsInvalid = auto()
    ChampionPredictionsInvalid = auto()
    ChampionFailed = auto()
    ServerNotReady = auto()
    RehearsalFailed = auto()
    AnswersDiffer = auto()
    ReportMissing = auto()
    PoolNotFound = auto()
    RolledBack = auto()
    RollbackImpossible = auto()
    StillServing = auto()
    Unclaimed = auto()
    LabelsConflict = auto()
    RegistryDrifted = auto()
    AdoptionRefused = auto()
    AdoptedGone = auto()
    NameTaken = auto()
    LedgerUnreadable = auto()
    InvalidSpec = auto()


def reason_named(word: str) -> Reason:
    """The reason of that name; `InternalError` for a word that is not in the catalogue."""
    return Reason.__members__.get(word, Reason.InternalError)


# What keeps an import from its files or its store, or its pod from running: it is tried for as long as that lasts.
LASTING_REASONS = frozenset(
    {
        Reason.RegistryUnreachable,
        Reason.RegistryUnauthorized,
        Reason.StoreUnreachable,
        Reason.StoreUnauthorized,
        Reason.StoreReadOnly,
        Reason.IndexUnreachable,
        Reason.Unschedulable,
        Reason.ImagePullFailed,
        Reason.QuotaExceeded,
        Reason.PodLost,
        Reason.PodConfigInvalid,
    }
)

# What a registry, or the way to it, is to blame for: such a reason refuses no version.
REGISTRY_REASONS = frozenset(
    {
        Reason.RegistryUnreachable,
        Reason.RegistryUnauthorized,
        Reason.PermissionsMissing,
        Reason.RegistryRejected,
        Reason.RegistryNotFound,
        Reason.RegistryNotAllowed,
        Reason.SecretNotFound,
        Reason.TokenUnusable,
    }
)
