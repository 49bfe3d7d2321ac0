"""Reasons of a validation: the gates, the data, and how the model itself fares."""

from .words import Words

WORDS = {
    "GatesPassed": Words("Fine", "Every gate passed."),
    "LoadsAndPredicts": Words("Fine", "No gates are set: the model loads and predicts."),
    "AlreadyReleased": Words("Fine", "The version was released before; its evidence stands."),
    "Validated": Words("Fine", "The version is proven; its stage asks for no traffic."),
    "ValidationRunning": Words("Moving", "The validation Job is at work."),
    "EvidenceStale": Words("Moving", "The champion changed since the validation; it is judged again."),
    "GateFailed": Words(
        "Stuck",
        "The version misses a gate.",
        "Train a better one, or have the model's owner change the gate.",
    ),
    "GateNotOverridable": Words(
        "Stuck",
        "The version replaces a gate or a pool that its model does not let it replace.",
        "Rename the gate, or have the model's owner mark it overridable.",
    ),
    "MetricNotComputed": Words(
        "Stuck",
        "A gate asks for a metric that MLflow does not compute here.",
        "Choose one of the metrics that the message lists.",
    ),
    "DataUnreadable": Words("Stuck", "The evaluation data cannot be read.", "Correct validation.data."),
    "DataUnreachable": Words(
        "Retrying",
        "The evaluation data cannot be reached.",
        "Check the address and the network.",
    ),
    "DataAddressDenied": Words(
        "Stuck",
        "The platform does not allow data to be read from this address.",
        "Give another address in validation.data, or have the platform team allow the host (data.allowedHosts).",
    ),
    "DataColumnMissing": Words("Stuck", "The data has no such column.", "Correct validation.data.target or targets."),
    "DataTooLarge": Words("Stuck", "The evaluation data exceeds the size limit.", "Give a smaller sample."),
    "ModelTypeMissing": Words("Stuck", "Which metrics apply is not known.", "Set validation.modelType."),
    "DataDoesNotFit": Words(
        "Stuck",
        "The data cannot be given the types of the model's signature without a loss, or lacks a column of it.",
        "Correct the column in the data, or log the model with a signature of what it takes.",
    ),
    "PositiveLabelMissing": Words(
        "Stuck",
        "Which of two classes is the positive one is not known.",
        "Set validation.positiveLabel to one of the data's classes.",
    ),
    "DataEmpty": Words("Stuck", "The data has no rows.", "Give data with rows."),
    "DataInvalid": Words(
        "Stuck",
        "The target lacks values, or holds values of several kinds or of one class only.",
        "Clean the data.",
    ),
    "EnvironmentNotReproducible": Words(
        "Stuck",
        "The packages that the model was trained with cannot be had as wheels, no package index is set, or its Python "
        "has no image.",
        "Log the model with released packages, have the platform team put the missing ones into an index, set one "
        "(environments.indexes), or name an image of that Python (runtimes).",
    ),
    "EnvironmentUnstated": Words(
        "Stuck",
        "The model's files do not say which packages it was trained with.",
        "Log it with mlflow.<flavor>.log_model, which writes requirements.txt; or have the platform team set "
        "environments.unstated to Image, and annotate slipway.dev/retry.",
    ),
    "EnvironmentBuilding": Words("Moving", "The packages that the model was trained with are being brought."),
    "IndexUnreachable": Words(
        "Retrying",
        "A package index of the platform does not answer, or lets nobody in.",
        "Check environments.indexes, their credentials and the network of the operator's namespace.",
    ),
    "IndexRejected": Words(
        "Stuck",
        "A package index served another file than the one whose hash is known.",
        "Find out who changed it; then annotate the version slipway.dev/retry.",
    ),
    "ModelDoesNotLoad": Words(
        "Stuck",
        "The model cannot be loaded.",
        "Read the end of the log in the message. A library (lib….so) that cannot be opened is the system's, and the "
        "runner image lacks it: log the model with a package that brings it (opencv-python-headless for opencv-python, "
        "say), or have the platform team build the image on a base that has it.",
    ),
    "PredictionFailed": Words(
        "Stuck",
        "The model fails to predict the data.",
        "Read the end of the log in the message.",
    ),
    "ModelCrashed": Words("Stuck", "The model's process died.", "Read the end of the log in the message."),
    "PredictionsInvalid": Words(
        "Stuck",
        "The model's predictions are not one finite value per row, or not what validation.outputs says.",
        "Check the model's output on the data; say in validation.outputs what several outputs mean.",
    ),
    "ChampionPredictionsInvalid": Words(
        "Stuck",
        "The champion's predictions are not one finite value per row, or not what validation.outputs says.",
        "Check that the data fits the champion too.",
    ),
    "ChampionFailed": Words(
        "Stuck",
        "The champion could not be scored on this data, so nothing can be compared.",
        "Check that the data fits the champion too.",
    ),
    "ServerNotReady": Words(
        "Stuck",
        "The model loads and predicts, but its server does not come up.",
        "Read the message: a server that is slow to load the model may need more of spec.serving.resources.",
    ),
    "RehearsalFailed": Words(
        "Stuck",
        "The model's server does not answer its input example or rows of the data as a client needs it.",
        "Ask `mlflow models serve` what the message names: the answer is to be JSON, within a minute, for one row too.",
    ),
    "AnswersDiffer": Words(
        "Stuck",
        "The model's server answers otherwise than the model predicted when it was scored.",
        "Log a model whose predictions depend on the row alone: not on chance, other rows or earlier requests.",
    ),
    "ReportMissing": Words(
        "Retrying",
        "The Job ended without a report that belongs to it.",
        "Annotate slipway.dev/retry; report it if it repeats.",
    ),
}
