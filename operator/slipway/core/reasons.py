"""The catalogue of reasons: every word that a condition can give, what it means, and what a person does next."""

from enum import StrEnum
from typing import Literal

Outlook = Literal["Fine", "Moving", "Retrying", "Stuck"]


class Reason(StrEnum):
    """Why a condition is as it is; `outlook` tells what happens next without anybody's help.

    Fine: nothing is wrong. Moving: work is under way. Retrying: a cause outside the model, tried again within limits.
    Stuck: it stays so until somebody changes something.
    """

    meaning: str
    remedy: str
    outlook: Outlook

    def __new__(cls, value: str, outlook: Outlook, meaning: str, remedy: str = "") -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.outlook, member.meaning, member.remedy = outlook, meaning, remedy
        return member

    # Nothing is wrong.
    Registered = "Registered", "Fine", "The registry knows the version; nothing more was asked for."
    Imported = "Imported", "Fine", "The files are in the artifact store under their digest."
    GatesPassed = "GatesPassed", "Fine", "Every gate passed."
    LoadsAndPredicts = "LoadsAndPredicts", "Fine", "No gates are set: the model loads and predicts."
    AlreadyReleased = "AlreadyReleased", "Fine", "The version was released before; its evidence stands."
    Serving = "Serving", "Fine", "The version has the model's traffic."
    Validated = "Validated", "Fine", "The version is proven; its stage asks for no traffic."
    Superseded = "Superseded", "Fine", "A higher version that also wants Production comes first."
    Archived = "Archived", "Fine", "The version is out of use."
    LabelsWritten = "LabelsWritten", "Fine", "The registry's labels say what is running."
    NothingToServe = "NothingToServe", "Fine", "No version of the model asks for Production."
    FollowsRegistry = (
        "FollowsRegistry",
        "Fine",
        "A label that is moved in the registry from now on is a request.",
        "What was moved before status.followingSince asks for nothing while a version serves: move it again.",
    )
    RegistryReachable = "RegistryReachable", "Fine", "The registry answers."
    ModelsDiscovered = "ModelsDiscovered", "Fine", "What discovery is about has its RegisteredModels."
    WebhookHeard = "WebhookHeard", "Fine", "The registry's webhooks arrive: what moves there is noticed at once."
    PermissionsHeld = "PermissionsHeld", "Fine", "The credential may do all that is needed in the registry."
    PermissionsNotTold = (
        "PermissionsNotTold",
        "Fine",
        "The credential may read; the registry does not tell what else it may do. A refusal is told where it happens.",
    )
    NotRequested = "NotRequested", "Fine", "The stage does not ask for it."
    NotTold = "NotTold", "Fine", "The registry is told of the newest versions in play; this is none of them."
    PredecessorWarm = "PredecessorWarm", "Fine", "The pods of the version that a rollback returns to are ready."
    PredecessorCold = "PredecessorCold", "Fine", "A rollback has to start the pods of the version it returns to."
    NoPredecessor = "NoPredecessor", "Fine", "There is no version that a rollback could return to."
    Adopted = "Adopted", "Fine", "A Deployment that was there before has the traffic, until a version takes over."
    AdoptionOver = (
        "AdoptionOver",
        "Fine",
        "A version has taken over from the adopted Deployment.",
        "When you no longer want to go back to it (slipway.dev/rollback: to=adopted), remove it and spec.adopt.",
    )
    AdoptionIgnored = (
        "AdoptionIgnored",
        "Fine",
        "A version has served already, so spec.adopt is not followed.",
        "Remove spec.adopt.",
    )

    # Work is under way.
    Pending = (
        "Pending",
        "Moving",
        "The operator has not told anything of the object yet.",
        "Nothing for some seconds; then see whether the operator runs.",
    )
    AwaitingModel = (
        "AwaitingModel",
        "Moving",
        "The version was applied alone; its RegisteredModel is about to be there.",
    )
    Resolving = "Resolving", "Moving", "The registry is being asked."
    ImportRunning = "ImportRunning", "Moving", "The files are being copied into the artifact store."
    ValidationRunning = "ValidationRunning", "Moving", "The validation Job is at work."
    EvidenceStale = "EvidenceStale", "Moving", "The champion changed since the validation; it is judged again."
    RolloutProgressing = "RolloutProgressing", "Moving", "The candidate's pods are coming up; the champion serves."
    LabelsPending = "LabelsPending", "Moving", "The registry's labels are about to be written."
    Queued = "Queued", "Moving", "As many Jobs of this kind run as the platform allows; this one waits for its turn."
    LedgerUnproven = (
        "LedgerUnproven",
        "Moving",
        "The ledger was restored; it is believed once its versions are imported again under the same digests.",
        "Nothing, while imports run; otherwise look at the ModelVersion that the message names.",
    )
    Suspended = (
        "Suspended",
        "Moving",
        "spec.suspend is set on the RegisteredModel, or on its ModelRegistry.",
        "Set suspend to false.",
    )

    # A cause outside the model: tried again within limits.
    RegistryUnreachable = (
        "RegistryUnreachable",
        "Retrying",
        "The registry does not answer; what serves goes on serving.",
        "Check that the MLflow server runs and that its URI is right.",
    )
    StoreUnreachable = (
        "StoreUnreachable",
        "Retrying",
        "The artifact store does not answer.",
        "Check the slipway-store Deployment.",
    )
    StoreUnauthorized = (
        "StoreUnauthorized",
        "Retrying",
        "The artifact store refuses the password of the import.",
        "Let the store and the Secret that store.pushSecret names (or slipway-store-push) hold the same password.",
    )
    StoreReadOnly = (
        "StoreReadOnly",
        "Retrying",
        "The artifact store takes nothing, as while old models are removed from it.",
        "Set store.readOnly to false when that is done.",
    )
    AdoptionPending = (
        "AdoptionPending",
        "Retrying",
        "The Deployment that spec.adopt names is not there; no version is released before it is taken in.",
        "Apply the Deployment in the model's namespace, or correct or remove spec.adopt.",
    )
    AdoptedNotReady = (
        "AdoptedNotReady",
        "Retrying",
        "No pod of the adopted Deployment is ready; it keeps the traffic until a version takes over.",
        "Look at the Deployment: it is its owner's, and Slipway leaves it as it is.",
    )
    Unschedulable = (
        "Unschedulable",
        "Retrying",
        "No node of the pool takes the pod.",
        "Free or add a node in the pool, or name another pool; annotate slipway.dev/retry to ask again.",
    )
    ImagePullFailed = (
        "ImagePullFailed",
        "Retrying",
        "The image cannot be pulled.",
        "Correct the image or the pull secrets in the operator's values; what serves follows by slipway.dev/refresh.",
    )
    OutOfMemory = (
        "OutOfMemory",
        "Stuck",
        "The container was killed because it exceeded its memory limit.",
        "Raise the memory of the pool's resources, then annotate slipway.dev/retry.",
    )
    DeadlineExceeded = (
        "DeadlineExceeded",
        "Stuck",
        "The step ran longer than its timeout.",
        "Raise validation.timeout or shrink the data, then annotate slipway.dev/retry.",
    )
    QuotaExceeded = (
        "QuotaExceeded",
        "Retrying",
        "A ResourceQuota of the namespace does not let it in.",
        "Raise the quota or free some of it; annotate slipway.dev/retry to ask again.",
    )
    AdmissionDenied = (
        "AdmissionDenied",
        "Stuck",
        "The cluster's admission refused it.",
        "Read the message: a policy, a LimitRange or Pod Security refused it.",
    )
    PodLost = (
        "PodLost",
        "Retrying",
        "The pod vanished or was evicted, preempted or deleted before it had ended.",
        "Nothing, if it does not repeat; otherwise look at the node.",
    )
    PodConfigInvalid = (
        "PodConfigInvalid",
        "Retrying",
        "The kubelet cannot set the container up, such as for a missing Secret or claim.",
        "Create what the message names.",
    )
    InsufficientCapacity = (
        "InsufficientCapacity",
        "Retrying",
        "The version's pods do not become ready.",
        "Read the message; look at the pods of the version's Deployment.",
    )
    InternalError = (
        "InternalError",
        "Retrying",
        "A program of Slipway failed in a way that nobody foresaw.",
        "Please report it with the message.",
    )

    # It stays so until somebody changes something.
    Held = (
        "Held",
        "Stuck",
        "After a rollback, no rollout starts until somebody resumes.",
        "Annotate the RegisteredModel slipway.dev/resume to let rollouts start again.",
    )
    Frozen = (
        "Frozen",
        "Stuck",
        "The platform has frozen promotions: no rollout starts.",
        "Wait until the platform team empties the chart's value freeze.",
    )
    ApprovalMissing = (
        "ApprovalMissing",
        "Stuck",
        "The version is proven, and the registry's policy asks that people approve of it in Kubernetes.",
        "Run the command that the message gives, as somebody who may promote.",
    )
    OutsideWindow = (
        "OutsideWindow",
        "Moving",
        "The version is proven and waits for the hours in which the registry's policy lets rollouts start.",
        "Wait; or have the owner of the ModelRegistry change spec.promotion.windows.",
    )
    PromotionNotAllowed = (
        "PromotionNotAllowed",
        "Stuck",
        "The ModelRegistry does not let labels promote this model, or anything in this namespace.",
        "Have its owner extend spec.promotion, or set promotion.source of the RegisteredModel to Cluster.",
    )
    TakenInHand = (
        "TakenInHand",
        "Stuck",
        "A person has broken the glass on it; Slipway leaves it alone.",
        "Remove the annotation slipway.dev/break-glass from the object once it may be Slipway's again.",
    )
    OperatorForbidden = (
        "OperatorForbidden",
        "Stuck",
        "The operator's own rights do not allow it.",
        "Label the namespace slipway.dev/models=true, or have the chart's roles bound there.",
    )
    ProgressDeadlineExceeded = (
        "ProgressDeadlineExceeded",
        "Stuck",
        "The candidate's pods did not become ready in time.",
        "Read the message; set the version's stage to Archived, or mend what keeps its pods down.",
    )
    RegistryContested = (
        "RegistryContested",
        "Stuck",
        "Somebody else writes the same tags or labels to this registry, again and again.",
        "Give each cluster its own value clusterName in the chart, and its own stages or aliases.",
    )
    WebhookUnheard = (
        "WebhookUnheard",
        "Retrying",
        "The registry has our webhook, and its deliveries do not arrive; changes are noticed at the next sweep.",
        "Let the registry reach the webhook's URL: look at the chart's webhooks.url, its Ingress and NetworkPolicies.",
    )
    WebhookForbidden = (
        "WebhookForbidden",
        "Stuck",
        "The registry lets its administrators alone make webhooks; changes are noticed at the next sweep.",
        "Give the ModelRegistry an administrator's credential, or remove spec.webhook.",
    )
    WebhookRefused = (
        "WebhookRefused",
        "Stuck",
        "The registry does not take our webhook; changes are noticed at the next sweep.",
        "For a receiver in the cluster start MLflow with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and "
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true; or give it a public https URL.",
    )
    WebhookKeyLost = (
        "WebhookKeyLost",
        "Stuck",
        "The registry cannot read its own webhooks, and sends none; changes are noticed at the next sweep.",
        "Start MLflow with the MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY that its webhooks were made with, always; if it is "
        "lost, delete the rows of its table webhooks.",
    )
    WebhookNowhere = (
        "WebhookNowhere",
        "Stuck",
        "The ModelRegistry asks for webhooks, and this operator has no receiver.",
        "Set webhooks.enabled in the chart's values, or remove spec.webhook.",
    )
    RegistryNotFound = (
        "RegistryNotFound",
        "Stuck",
        "The ModelRegistry that the model names does not exist.",
        "Create it, or name another in spec.source.registryRef.",
    )
    RegistryNotAllowed = (
        "RegistryNotAllowed",
        "Stuck",
        "The ModelRegistry does not allow this namespace, or this model to it.",
        "Have its owner extend spec.allowedNamespaces.",
    )
    NamesCollide = (
        "NamesCollide",
        "Stuck",
        "Several registered models would get a RegisteredModel of the same name, so none was made.",
        "Declare a RegisteredModel for each of them, with a name of its own and spec.source.name.",
    )
    DiscoveryLimited = (
        "DiscoveryLimited",
        "Stuck",
        "More registered models have labels than discovery may make objects for.",
        "Raise spec.discovery.limit, or name fewer models.",
    )
    DiscoveryNotAllowed = (
        "DiscoveryNotAllowed",
        "Stuck",
        "Discovery may make nothing in the namespace that it names.",
        "Label that namespace as spec.allowedNamespaces says and slipway.dev/models=true, or name another.",
    )
    RegistryUnauthorized = (
        "RegistryUnauthorized",
        "Stuck",
        "The registry refuses the credential.",
        "Correct the Secret that the ModelRegistry names; it is read again at each sweep.",
    )
    PermissionsMissing = (
        "PermissionsMissing",
        "Stuck",
        "The credential may read the registry, and not do all that is needed there.",
        "Have an administrator of the MLflow server grant what the message names.",
    )
    RegistryRejected = (
        "RegistryRejected",
        "Stuck",
        "The registry refuses the request.",
        "Read the message: it is the registry's.",
    )
    SecretNotFound = (
        "SecretNotFound",
        "Stuck",
        "The credential that the ModelRegistry names cannot be read.",
        "Create the Secret with the label slipway.dev/registry, in a namespace that the chart lists.",
    )
    TokenUnusable = (
        "TokenUnusable",
        "Stuck",
        "The operator has no token of its own that may be shown to a registry.",
        "Set registries.tokenAudience in the chart's values to an audience that only the registry's proxy takes.",
    )
    ModelMissing = (
        "ModelMissing",
        "Stuck",
        "The RegisteredModel of the version was deleted, and its gates with it.",
        "Apply the RegisteredModel again, or delete this version.",
    )
    VersionGone = (
        "VersionGone",
        "Stuck",
        "The version was deleted in the registry. What serves here goes on serving, from the artifact store.",
        "Promote another version, and archive this one; or leave it as it is.",
    )
    VersionNotFound = (
        "VersionNotFound",
        "Stuck",
        "The registry has no such model or version.",
        "Register it, or correct the number.",
    )
    ArtifactMissing = (
        "ArtifactMissing",
        "Stuck",
        "The files of the version are not where the registry says.",
        "Log the model again and register it as a new version.",
    )
    ModelInvalid = (
        "ModelInvalid",
        "Stuck",
        "What was registered is no model that MLflow wrote.",
        "Log the model again and register it as a new version.",
    )
    ArtifactForbidden = (
        "ArtifactForbidden",
        "Stuck",
        "The files lie where the ModelRegistry lets no import read, or came from a model that it does not allow.",
        "Have MLflow hand them out, or the owner of the ModelRegistry allow what the message names.",
    )
    DigestMismatch = (
        "DigestMismatch",
        "Stuck",
        "The content is not what was pinned.",
        "Find out who changed it; a new content is a new version.",
    )
    ArtifactTooLarge = "ArtifactTooLarge", "Stuck", "The files exceed the size limit.", "Shrink the model."
    UnsafeArtifact = (
        "UnsafeArtifact",
        "Stuck",
        "The files hold a link or a path that leads outside.",
        "Log the model without it.",
    )
    GateFailed = (
        "GateFailed",
        "Stuck",
        "The version misses a gate.",
        "Train a better one; the numbers are in status.validation.",
    )
    GateNotOverridable = (
        "GateNotOverridable",
        "Stuck",
        "The version replaces a gate or a pool that its model does not let it replace.",
        "Rename the gate, or have the model's owner mark it overridable.",
    )
    MetricNotComputed = (
        "MetricNotComputed",
        "Stuck",
        "A gate asks for a metric that MLflow does not compute here.",
        "Choose one of the metrics that the message lists.",
    )
    DataUnreadable = "DataUnreadable", "Stuck", "The evaluation data cannot be read.", "Correct validation.data."
    DataUnreachable = (
        "DataUnreachable",
        "Retrying",
        "The evaluation data cannot be reached.",
        "Check the address and the network.",
    )
    DataAddressDenied = (
        "DataAddressDenied",
        "Stuck",
        "The platform does not allow data to be read from this address.",
        "Give another address in validation.data, or have the platform team allow the host (data.allowedHosts).",
    )
    DataColumnMissing = "DataColumnMissing", "Stuck", "The data has no such column.", "Correct validation.data.target."
    DataTooLarge = "DataTooLarge", "Stuck", "The evaluation data exceeds the size limit.", "Give a smaller sample."
    ModelTypeMissing = (
        "ModelTypeMissing",
        "Stuck",
        "Which metrics apply is not known.",
        "Set validation.modelType.",
    )
    StoreRejected = (
        "StoreRejected",
        "Stuck",
        "The artifact store refuses the request.",
        "Check the store's URL and what it lets the operator do.",
    )
    DataEmpty = "DataEmpty", "Stuck", "The data has no rows.", "Give data with rows."
    DataInvalid = "DataInvalid", "Stuck", "The target holds values that are no numbers.", "Clean the data."
    EnvironmentNotReproducible = (
        "EnvironmentNotReproducible",
        "Stuck",
        "The runner image does not satisfy the model's requirements.",
        "Log the model with versions that the image has, or build the image with the model's.",
    )
    ModelDoesNotLoad = (
        "ModelDoesNotLoad",
        "Stuck",
        "The model cannot be loaded.",
        "Read the end of the log in the message.",
    )
    PredictionFailed = (
        "PredictionFailed",
        "Stuck",
        "The model fails to predict the data.",
        "Read the end of the log in the message.",
    )
    ModelCrashed = (
        "ModelCrashed",
        "Stuck",
        "The model's process died.",
        "Read the end of the log in the message.",
    )
    PredictionsInvalid = (
        "PredictionsInvalid",
        "Stuck",
        "The model's predictions are not one finite value per row.",
        "Check the model's output on the data.",
    )
    ChampionPredictionsInvalid = (
        "ChampionPredictionsInvalid",
        "Stuck",
        "The champion's predictions are not one finite value per row.",
        "Check that the data fits the champion too.",
    )
    ChampionFailed = (
        "ChampionFailed",
        "Stuck",
        "The champion could not be scored on this data, so nothing can be compared.",
        "Check that the data fits the champion too.",
    )
    ReportMissing = (
        "ReportMissing",
        "Retrying",
        "The Job ended without a report that belongs to it.",
        "Annotate slipway.dev/retry; report it if it repeats.",
    )
    PoolNotFound = (
        "PoolNotFound",
        "Stuck",
        "The operator's settings name no such pool.",
        "Use one of the pools in the message.",
    )
    RolledBack = (
        "RolledBack",
        "Stuck",
        "Somebody rolled the version back.",
        "Release a new version; to try this one again, annotate it slipway.dev/retry.",
    )
    RollbackImpossible = (
        "RollbackImpossible",
        "Stuck",
        "A rollback was asked for that cannot be carried out.",
        "Name one of the releases in the message, or promote another version.",
    )
    StillServing = (
        "StillServing",
        "Stuck",
        "Its stage was withdrawn, and no other version can take over; it goes on serving.",
        "Promote another version, or set the stage to Archived to stop serving.",
    )
    Unclaimed = (
        "Unclaimed",
        "Stuck",
        "Its labels in the registry were taken away, and no other version was asked for; it goes on serving.",
        "Set the label again, move it to another version, or archive the version to stop serving.",
    )
    LabelsConflict = (
        "LabelsConflict",
        "Stuck",
        "The stage and the alias in the registry ask for different versions, so neither is followed.",
        "Set the stage and the alias of Production on the same version.",
    )
    RegistryDrifted = (
        "RegistryDrifted",
        "Stuck",
        "Somebody changed the labels in the registry after they were written.",
        "Set the labels back; where the cluster decides, promote by the ModelVersion's stage.",
    )
    AdoptionRefused = (
        "AdoptionRefused",
        "Stuck",
        "The Deployment that spec.adopt names cannot be taken in as it is.",
        "Adopt one whose selector is a few matchLabels, none of them of versions' pods (spec.serving.pod.labels).",
    )
    AdoptedGone = (
        "AdoptedGone",
        "Stuck",
        "The adopted Deployment is gone while it has the traffic.",
        "Apply it again, or promote a version: it takes over once it is proven.",
    )
    NameTaken = (
        "NameTaken",
        "Stuck",
        "A Service or Deployment of that name is there that Slipway did not make.",
        "Remove or rename it, or give the model another name.",
    )
    LedgerUnreadable = (
        "LedgerUnreadable",
        "Stuck",
        "The model's ledger cannot be read, so nothing is changed; what serves goes on serving.",
        "Upgrade Slipway to the release that wrote it, or delete the ModelLedger: it is recalled from the statuses.",
    )
    InvalidSpec = (
        "InvalidSpec",
        "Stuck",
        "The object cannot be read.",
        "Read the message and correct the object.",
    )


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
        Reason.RegistryRejected,
        Reason.RegistryNotFound,
        Reason.RegistryNotAllowed,
        Reason.SecretNotFound,
        Reason.TokenUnusable,
    }
)
