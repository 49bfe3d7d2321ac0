"""Reasons of a rollout: who has the traffic, who may have it, and how it goes back."""

from .words import Words

WORDS = {
    "Serving": Words("Fine", "The version has the model's traffic."),
    "Superseded": Words("Fine", "A higher version that also wants Production comes first."),
    "Archived": Words("Fine", "The version is out of use."),
    "NothingToServe": Words("Fine", "No version of the model asks for Production."),
    "NotRequested": Words("Fine", "The stage does not ask for it."),
    "PredecessorWarm": Words("Fine", "The pods of the version that a rollback returns to are ready."),
    "PredecessorCold": Words("Fine", "A rollback has to start the pods of the version it returns to."),
    "NoPredecessor": Words("Fine", "There is no version that a rollback could return to."),
    "Adopted": Words("Fine", "A Deployment that was there before has the traffic, until a version takes over."),
    "AdoptionOver": Words(
        "Fine",
        "A version has taken over from the adopted Deployment.",
        "When you no longer want to go back to it (slipway.dev/rollback: to=adopted), remove it and spec.adopt.",
    ),
    "AdoptionIgnored": Words(
        "Fine",
        "A version has served already, so spec.adopt is not followed.",
        "Remove spec.adopt.",
    ),
    "RolloutProgressing": Words("Moving", "The candidate's pods are coming up; the champion serves."),
    "LedgerUnproven": Words(
        "Moving",
        "The ledger was restored; it is believed once its versions are imported again under the same digests.",
        "Nothing, while imports run; otherwise look at the ModelVersion that the message names.",
    ),
    "AdoptionPending": Words(
        "Retrying",
        "The Deployment that spec.adopt names is not there; no version is released before it is taken in.",
        "Apply the Deployment in the model's namespace, or correct or remove spec.adopt.",
    ),
    "AdoptedNotReady": Words(
        "Retrying",
        "No pod of the adopted Deployment is ready; it keeps the traffic until a version takes over.",
        "Look at the Deployment: it is its owner's, and Slipway leaves it as it is.",
    ),
    "InsufficientCapacity": Words(
        "Retrying",
        "The version's pods do not become ready.",
        "Read the message; look at the pods of the version's Deployment.",
    ),
    "Held": Words(
        "Stuck",
        "After a rollback, no rollout starts until somebody resumes.",
        "Annotate the RegisteredModel slipway.dev/resume to let rollouts start again.",
    ),
    "Frozen": Words(
        "Stuck",
        "The platform has frozen promotions: no rollout starts.",
        "Wait until the platform team empties the chart's value freeze.",
    ),
    "ApprovalMissing": Words(
        "Stuck",
        "The version is proven, and people have to approve of it in Kubernetes: the registry's policy says so, or the "
        "model has a Secret of its own.",
        "Run the command that the message gives, as somebody who may promote.",
    ),
    "OutsideWindow": Words(
        "Moving",
        "The version is proven and waits for the hours in which the registry's policy lets rollouts start.",
        "Wait; or have the owner of the ModelRegistry change spec.promotion.windows.",
    ),
    "PromotionNotAllowed": Words(
        "Stuck",
        "The ModelRegistry does not let labels promote this model, or anything in this namespace.",
        "Have its owner extend spec.promotion, or set promotion.source of the RegisteredModel to Cluster.",
    ),
    "ProgressDeadlineExceeded": Words(
        "Stuck",
        "The candidate's pods did not become ready in time.",
        "Read the message; set the version's stage to Archived, or mend what keeps its pods down.",
    ),
    "RolledBack": Words(
        "Stuck",
        "Somebody rolled the version back.",
        "Release a new version; to try this one again, annotate it slipway.dev/retry.",
    ),
    "RollbackImpossible": Words(
        "Stuck",
        "A rollback was asked for that cannot be carried out.",
        "Name one of the releases in the message, or promote another version.",
    ),
    "StillServing": Words(
        "Stuck",
        "Its stage was withdrawn, and no other version can take over; it goes on serving.",
        "Promote another version, or set the stage to Archived to stop serving.",
    ),
    "AdoptionRefused": Words(
        "Stuck",
        "The Deployment that spec.adopt names cannot be taken in as it is.",
        "Adopt one whose selector is a few matchLabels, none of them of versions' pods (spec.serving.pod.labels).",
    ),
    "AdoptedGone": Words(
        "Stuck",
        "The adopted Deployment is gone while it has the traffic.",
        "Apply it again, or promote a version: it takes over once it is proven.",
    ),
    "LedgerUnreadable": Words(
        "Stuck",
        "The model's ledger cannot be read, so nothing is changed; what serves goes on serving.",
        "Upgrade Slipway to the release that wrote it, or delete the ModelLedger: it is recalled from the statuses.",
    ),
}
