"""What Prometheus is told of the operator's own work. What it is told of models is in `gauges`."""

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from .. import __version__

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Telemetry:
    """All metrics of the process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.build = self._gauge("slipway_build_info", "1, with what is running.", "version", "python")
        self.build.labels(__version__, platform.python_version()).set(1)
        self.leader = self._gauge("slipway_leader", "1 while this operator acts, 0 while it stands by.")
        self.frozen = self._gauge("slipway_frozen", "1 while the platform has frozen promotions, otherwise 0.")
        self.waited = self._histogram("slipway_queue_wait_seconds", "How long a due key waited for a worker.")
        self.passes = self._counter(
            "slipway_passes", "Passes that were done, failed, or met a conflict.", "reconciler", "result"
        )
        self.took = self._histogram("slipway_pass_seconds", "How long a pass takes.", "reconciler")
        self.actions = self._counter(
            "slipway_actions",
            "Writes: ledger, ensure, retire and status in the cluster, label in the registry.",
            "verb",
        )
        self.refusals = self._counter("slipway_refusals", "Objects that the API server refused.", "reason")
        self.promotions = self._counter(
            "slipway_promotions", "Versions that were released, refused or rolled-back.", "result", "reason"
        )
        self.phases = self._histogram("slipway_phase_seconds", "How long an import or a validation took.", "phase")
        self.calls = self._counter(
            "slipway_registry_calls", "Calls of the registry; all but ok tell how it failed.", "operation", "result"
        )
        self.called = self._histogram("slipway_registry_call_seconds", "How long such a call took.", "operation")
        self.swept = self._gauge(
            "slipway_registry_last_sweep_timestamp_seconds",
            "When a registry was last read without anything missing (Unix time).",
            "namespace",
            "name",
        )
        self.registry_models = self._gauge(
            "slipway_registry_models", "Registered models that the last such sweep saw.", "namespace", "name"
        )
        self.registry_versions = self._gauge(
            "slipway_registry_versions", "Versions of the cluster's models that are known of it.", "namespace", "name"
        )
        self.deliveries = self._counter(
            "slipway_webhook_deliveries",
            "Webhooks that came: taken, passed-on to the operator that acts, repeated; or refused as forged, late, "
            "malformed, too-large or too-many; nobody-acts: to be sent again.",
            "result",
        )
        self.events = self._counter(
            "slipway_events",
            "CloudEvents for a target: sent, retried, failed (refused there, or too old) or dropped (too many waited).",
            "target",
            "result",
        )
        self.events_waiting = self._gauge("slipway_events_waiting", "CloudEvents that wait for their target.", "target")
        self.missed = self._counter("slipway_watch_missed", "Changes that only a relist found.", "kind")
        self.relisted = self._gauge(
            "slipway_last_relist_timestamp_seconds", "When everything was last listed (Unix time); 0 before the first."
        )
        self.relist_failures = self._counter("slipway_relist_failures", "Relists that could not list every kind.")

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def observe_call(self, operation: str, result: str, seconds: float) -> None:
        """A registry was called."""
        self.calls.labels(operation, result).inc()
        self.called.labels(operation).observe(seconds)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, buckets=_BUCKETS, registry=self.registry)
