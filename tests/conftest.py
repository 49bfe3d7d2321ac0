"""What all tests share."""

import os

from hypothesis import HealthCheck, settings

# MLflow's client would send its use to its makers, and a thread of it would change the environment at any moment.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# How long an example takes is the machine's business; a slow one is no failure.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")

pytest_plugins = ["tests.sides", "tests.progress"]
