"""Reasons of an import: the files of a version, on their way into the artifact store."""

from .words import Words

WORDS = {
    "Imported": Words("Fine", "The files are in the artifact store under their digest."),
    "ImportRunning": Words("Moving", "The files are being copied into the artifact store."),
    "StoreUnreachable": Words("Retrying", "The artifact store does not answer.", "Check the slipway-store Deployment."),
    "StoreUnauthorized": Words(
        "Retrying",
        "The artifact store refuses the password of the import.",
        "Let the store and the Secret that store.pushSecret names (or slipway-store-push) hold the same password.",
    ),
    "StoreReadOnly": Words(
        "Retrying",
        "The artifact store takes nothing, as while old models are removed from it.",
        "Set store.readOnly to false when that is done.",
    ),
    "ArtifactMissing": Words(
        "Stuck",
        "The files of the version are not where the registry says.",
        "Log the model again and register it as a new version.",
    ),
    "ModelInvalid": Words(
        "Stuck",
        "What was registered is no model that MLflow wrote.",
        "Log the model again and register it as a new version.",
    ),
    "ArtifactForbidden": Words(
        "Stuck",
        "The files lie where the ModelRegistry lets no import read, or came from a model that it does not allow.",
        "Have MLflow hand them out, or the owner of the ModelRegistry allow what the message names.",
    ),
    "DigestMismatch": Words(
        "Stuck",
        "The content is not what was pinned.",
        "Find out who changed it; a new content is a new version.",
    ),
    "ArtifactTooLarge": Words("Stuck", "The files exceed the size limit.", "Shrink the model."),
    "UnsafeArtifact": Words(
        "Stuck",
        "The files hold a link or a path that leads outside.",
        "Log the model without it.",
    ),
    "StoreRejected": Words(
        "Stuck",
        "The artifact store refuses the request.",
        "Check the store's URL and what it lets the operator do.",
    ),
}
