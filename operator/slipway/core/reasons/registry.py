"""Reasons of a registry: its answers, labels, webhooks, and what is discovered there."""

from .words import Words

WORDS = {
    "Registered": Words("Fine", "The registry knows the version; nothing more was asked for."),
    "LabelsWritten": Words("Fine", "The registry's labels say what is running."),
    "FollowsRegistry": Words(
        "Fine",
        "A label that is moved in the registry from now on is a request.",
        "What was moved before status.followingSince asks for nothing while a version serves: move it again.",
    ),
    "RegistryReachable": Words("Fine", "The registry answers."),
    "ModelsDiscovered": Words("Fine", "What discovery is about has its RegisteredModels."),
    "WebhookHeard": Words("Fine", "The registry's webhooks arrive: what moves there is noticed at once."),
    "PermissionsHeld": Words("Fine", "The credential may do all that is needed in the registry."),
    "PermissionsNotTold": Words(
        "Fine",
        "The credential may read; the registry does not tell what else it may do. A refusal is told where it happens.",
    ),
    "NotTold": Words("Fine", "The registry is told of the newest versions in play; this is none of them."),
    "Resolving": Words("Moving", "The registry is being asked."),
    "LabelsPending": Words("Moving", "The registry's labels are about to be written."),
    "RegistryUnreachable": Words(
        "Retrying",
        "The registry does not answer; what serves goes on serving.",
        "Check that the MLflow server runs and that its URI is right.",
    ),
    "RegistryContested": Words(
        "Stuck",
        "Somebody else writes the same tags or labels to this registry, again and again.",
        "Give each cluster its own value clusterName in the chart, and its own stages or aliases.",
    ),
    "WebhookUnheard": Words(
        "Retrying",
        "The registry has our webhook, and its deliveries do not arrive; changes are noticed at the next sweep.",
        "Let the registry reach the webhook's URL: look at the chart's webhooks.url, its Ingress and NetworkPolicies.",
    ),
    "WebhookForbidden": Words(
        "Stuck",
        "The registry lets its administrators alone make webhooks; changes are noticed at the next sweep.",
        "Give the ModelRegistry an administrator's credential, or remove spec.webhook.",
    ),
    "WebhookRefused": Words(
        "Stuck",
        "The registry does not take our webhook; changes are noticed at the next sweep.",
        "For a receiver in the cluster start MLflow with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and "
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true; or give it a public https URL.",
    ),
    "WebhookKeyLost": Words(
        "Stuck",
        "The registry cannot read its own webhooks, and sends none; changes are noticed at the next sweep.",
        "Start MLflow with the MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY that its webhooks were made with, always; if "
        "it is lost, delete the rows of its table webhooks.",
    ),
    "WebhookNowhere": Words(
        "Stuck",
        "The ModelRegistry asks for webhooks, and this operator has no receiver.",
        "Set webhooks.enabled in the chart's values, or remove spec.webhook.",
    ),
    "RegistryNotFound": Words(
        "Stuck",
        "The ModelRegistry that the model names does not exist.",
        "Create it, or name another in spec.source.registryRef.",
    ),
    "RegistryNotAllowed": Words(
        "Stuck",
        "The ModelRegistry does not allow this namespace, or this model to it.",
        "Have its owner extend spec.allowedNamespaces.",
    ),
    "NamesCollide": Words(
        "Stuck",
        "Several registered models would get a RegisteredModel of the same name, so none was made.",
        "Declare a RegisteredModel for each of them, with a name of its own and spec.source.name.",
    ),
    "DiscoveryLimited": Words(
        "Stuck",
        "More registered models have labels than discovery may make objects for.",
        "Raise spec.discovery.limit, or name fewer models.",
    ),
    "DiscoveryNotAllowed": Words(
        "Stuck",
        "Discovery may make nothing in the namespace that it names.",
        "Label that namespace as spec.allowedNamespaces says and slipway.dev/models=true, or name another.",
    ),
    "RegistryUnauthorized": Words(
        "Stuck",
        "The registry refuses the credential.",
        "Correct what the message names: mostly the Secret of the ModelRegistry, which is read again at each sweep.",
    ),
    "PermissionsMissing": Words(
        "Stuck",
        "The credential may read the registry, and not do all that is needed there.",
        "Have an administrator of the MLflow server grant what the message names.",
    ),
    "RegistryRejected": Words("Stuck", "The registry refuses the request.", "Read the message: it is the registry's."),
    "ModelTooLarge": Words(
        "Stuck",
        "The registry says more of the model than can be read (32 MiB): its labels are not known.",
        "In MLflow, remove tags and descriptions of the model and its versions; it is read again within ten minutes.",
    ),
    "SecretNotFound": Words(
        "Stuck",
        "The credential that the ModelRegistry names cannot be read.",
        "Create the Secret with the label slipway.dev/registry, in a namespace that the chart lists.",
    ),
    "TokenUnusable": Words(
        "Stuck",
        "The operator has no token of its own that may be shown to a registry.",
        "Set registries.tokenAudience in the chart's values to an audience that only the registry's proxy takes, and "
        "registries.namespaces to where such ModelRegistries are.",
    ),
    "VersionGone": Words(
        "Stuck",
        "The version was deleted in the registry. What serves here goes on serving, from the artifact store.",
        "Promote another version, and archive this one; or leave it as it is.",
    ),
    "VersionNotFound": Words(
        "Stuck",
        "The registry has no such model or version.",
        "Register it, or correct the number.",
    ),
    "Unclaimed": Words(
        "Stuck",
        "Its labels in the registry were taken away, and no other version was asked for; it goes on serving.",
        "Set the label again, move it to another version, or archive the version to stop serving.",
    ),
    "LabelsConflict": Words(
        "Stuck",
        "The stage and the alias in the registry ask for different versions, so neither is followed.",
        "Set the stage and the alias of Production on the same version.",
    ),
    "RegistryDrifted": Words(
        "Stuck",
        "Somebody changed the labels in the registry after they were written.",
        "Set the labels back; where the cluster decides, promote by the ModelVersion's stage.",
    ),
}
