"""What all tests share."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business; a slow one is no failure.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")

pytest_plugins = ["tests.sides", "tests.progress"]
