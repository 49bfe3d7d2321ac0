"""Which permission each call takes in MLflow's basic-auth app, for the words to whom it is refused.

Protocol: `mlflow/server/auth/__init__.py`, as of MLflow 3.17.
"""

# What MLflow shows to everybody, less what they may not see.
FREE = ("registered-models/search", "model-versions/search")
_OF_EXPERIMENTS = {
    "runs/": "the experiment of the run",
    "logged-models/": "the experiment of the logged model",
    "mlflow-artifacts/": "the experiment that the files belong to",
}
_OF_MODELS = ("registered-models/", "model-versions/")
_LEVELS = {"GET": "READ", "DELETE": "MANAGE"}


def is_free(operation: str) -> bool:
    """Whether MLflow itself refuses it to nobody whom it knows."""
    return operation.startswith(FREE)


def needed(operation: str, method: str) -> str:
    """The permission, and on what; "" where it is another app's affair."""
    level = _LEVELS.get(method, "EDIT")
    for prefix, on in _OF_EXPERIMENTS.items():
        if operation.startswith(prefix):
            return f"{level} on {on}"
    return f"{level} on the registered model" if operation.startswith(_OF_MODELS) else ""
