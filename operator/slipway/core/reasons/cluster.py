"""Reasons of the cluster: its objects, its rights, and the pods that it runs."""

from .words import Words

WORDS = {
    "Pending": Words(
        "Moving",
        "The operator has not told anything of the object yet.",
        "Nothing for some seconds; then see whether the operator runs.",
    ),
    "AwaitingModel": Words("Moving", "The version was applied alone; its RegisteredModel is about to be there."),
    "Queued": Words("Moving", "As many Jobs of this kind run as the platform allows; this one waits for its turn."),
    "Suspended": Words(
        "Moving",
        "spec.suspend is set on the RegisteredModel, or on its ModelRegistry.",
        "Set suspend to false.",
    ),
    "Unschedulable": Words(
        "Retrying",
        "No node of the pool takes the pod.",
        "Free or add a node in the pool, or name another pool; annotate slipway.dev/retry to ask again.",
    ),
    "ImagePullFailed": Words(
        "Retrying",
        "The image cannot be pulled.",
        "Correct the image or the pull secrets in the operator's values; what serves follows by slipway.dev/refresh.",
    ),
    "OutOfMemory": Words(
        "Stuck",
        "The container was killed because it exceeded its memory limit.",
        "Raise the memory of the pool's resources, then annotate slipway.dev/retry.",
    ),
    "DeadlineExceeded": Words(
        "Stuck",
        "The step ran longer than its timeout.",
        "Raise validation.timeout or shrink the data, then annotate slipway.dev/retry.",
    ),
    "QuotaExceeded": Words(
        "Retrying",
        "A ResourceQuota of the namespace does not let it in.",
        "Raise the quota or free some of it; annotate slipway.dev/retry to ask again.",
    ),
    "AdmissionDenied": Words(
        "Stuck",
        "The cluster's admission refused it.",
        "Read the message: a policy, a LimitRange or Pod Security refused it.",
    ),
    "PodLost": Words(
        "Retrying",
        "The pod vanished or was evicted, preempted or deleted before it had ended.",
        "Nothing, if it does not repeat; otherwise look at the node.",
    ),
    "PodConfigInvalid": Words(
        "Retrying",
        "The kubelet cannot set the container up, such as for a missing Secret or claim.",
        "Create what the message names.",
    ),
    "VariableNotFound": Words(
        "Retrying",
        "A Secret, or a key in it, that a variable of the model comes from is not there.",
        "Create it in the model's namespace, or correct spec.serving.pod.env of the RegisteredModel.",
    ),
    "InternalError": Words(
        "Retrying",
        "A program of Slipway failed in a way that nobody foresaw.",
        "Please report it with the message.",
    ),
    "TakenInHand": Words(
        "Stuck",
        "A person has broken the glass on it; Slipway leaves it alone.",
        "Remove the annotation slipway.dev/break-glass from the object once it may be Slipway's again.",
    ),
    "OperatorForbidden": Words(
        "Stuck",
        "The operator's own rights do not allow it.",
        "Label the namespace slipway.dev/models=true, or have the chart's roles bound there.",
    ),
    "ModelMissing": Words(
        "Stuck",
        "The RegisteredModel of the version was deleted, and its gates with it.",
        "Apply the RegisteredModel again, or delete this version.",
    ),
    "PoolNotFound": Words(
        "Stuck",
        "The operator's settings name no such pool.",
        "Use one of the pools in the message.",
    ),
    "NameTaken": Words(
        "Stuck",
        "A Service or Deployment of that name is there that Slipway did not make.",
        "Remove or rename it, or give the model another name.",
    ),
    "InvalidSpec": Words("Stuck", "The object cannot be read.", "Read the message and correct the object."),
}
