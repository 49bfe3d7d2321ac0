"""What Prometheus is told. Every metric of the operator is declared here."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Telemetry:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.leader = Gauge(
            "slipway_leader", "1 while this operator acts, 0 while it stands by.", registry=self.registry
        )
        self.depth = Gauge("slipway_queue_depth", "Keys that wait for a pass.", registry=self.registry)
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
        self.swept = Gauge(
            "slipway_registry_last_sweep_timestamp_seconds",
            "When a registry was last read without anything missing (Unix time).",
            ("namespace", "name"),
            registry=self.registry,
        )
        self.missed = self._counter("slipway_watch_missed", "Changes that only a relist found.", "kind")

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, buckets=_BUCKETS, registry=self.registry)
