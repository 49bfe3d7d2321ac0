"""The demo: real flights, three versions of one model, and what Slipway does with each."""

import os

# Before anything here imports MLflow: nothing is sent home, nothing is printed but what the demo says.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MLFLOW_LOGGING_LEVEL="WARNING",
    GIT_PYTHON_REFRESH="quiet",
)
