"""Metrics by model and by reason: counted from what the operator knows when Prometheus asks, so no pass maintains them.

One walk over the cache per scrape. What each gauge means is in FAMILIES; the reference page is made from it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ..adapters.cluster import DEPLOYMENT, LEDGER, MODEL, REGISTRY, Object
from ..api.base import seconds
from ..api.modelregistry import ModelRegistry
from ..core.reasons import reason_named
from ..resources import naming
from .cache import Cache
from .identity import section

Jobs = Callable[[], Mapping[str, tuple[int, int]]]  # how many run and how many wait, by queue


class Family(NamedTuple):
    """A gauge: its name, what it says, and its labels."""

    name: str
    about: str
    labels: tuple[str, ...] = ()


_MODEL = ("namespace", "model")
_STATE = ("reason", "ready", "stalled")
FAMILIES = {
    one.name.removeprefix("slipway_"): one
    for one in (
        Family("slipway_model_ready", "1 for a RegisteredModel that is Ready, otherwise 0.", _MODEL),
        Family("slipway_model_not_ready_reason", "1 for the reason why a RegisteredModel is not Ready; no series for "
               "one that is.", (*_MODEL, "reason")),
        Family("slipway_model_champion_version", "Version that has the model's traffic.", _MODEL),
        Family("slipway_model_champion_pods_ready", "Ready pods of that version.", _MODEL),
        Family("slipway_model_champion_pods_wanted", "Pods that its Deployment asks for.", _MODEL),
        Family("slipway_model_held", "1 for a model in which no rollout starts until somebody resumes; no series for "
               "others.", _MODEL),
        Family("slipway_rollout_started_timestamp_seconds", "When the rollout that is under way began (Unix time); no "
               "series for models without one.", _MODEL),
        Family("slipway_models", "RegisteredModels by the reason, the status and the Stalled of their Ready "
               "condition.", _STATE),
        Family("slipway_versions", "ModelVersions, by the same.", _STATE),
        Family("slipway_queue_depth", "Keys that wait for a pass: commands, what is urgent, all else.", ("lane",)),
        Family("slipway_imports_running", "Import Jobs at work."),
        Family("slipway_imports_waiting", "Imports that wait for their turn."),
        Family("slipway_validations_running", "Validation Jobs at work.", ("pool",)),
        Family("slipway_validations_waiting", "Validations that wait for their turn.", ("pool",)),
        Family("slipway_registry_sweep_interval_seconds", "How often a ModelRegistry asks to be read.",
               ("namespace", "name")),
        Family("slipway_registry_condition_false", "1 for each condition of a ModelRegistry that is False, with the "
               "reason why; no series for others.", ("namespace", "name", "condition", "reason")),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """Where the gauges look."""

    cache: Cache
    jobs: Jobs
    queued: Callable[[], Mapping[str, int]]  # keys that wait for a pass, by lane
    leads: Callable[[], bool] = lambda: (
        True
    )  # a standby's view may be empty or old, and it does no work: it says nothing


class Gauges(Collector):
    """Registered with the registry of `Telemetry`."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def describe(self) -> Iterator[Metric]:
        """What there is, without counting it."""
        for family in FAMILIES.values():
            yield GaugeMetricFamily(family.name, family.about)

    def collect(self) -> Iterator[Metric]:
        """What is so now."""
        found: dict[str, list[Sample]] = {name: [] for name in FAMILIES}
        if self._known.leads():
            self._count_models(found)
            _count_states(
                found["versions"], "versions", (_said(*one.ready, one.stalled) for one in self._known.cache.briefs())
            )
            _count_jobs(found, self._known.jobs())
            queued = self._known.queued()
            found["queue_depth"] = [_sample("queue_depth", {"lane": lane}, count) for lane, count in queued.items()]
            self._count_registries(found)
        for name, samples in found.items():
            metric = Metric(FAMILIES[name].name, FAMILIES[name].about, "gauge")
            metric.samples = samples
            yield metric

    def _count_models(self, found: Mapping[str, list[Sample]]) -> None:
        cache = self._known.cache
        models = list(cache.all(MODEL))
        _count_states(found["models"], "models", (_state_of(one) for one in models))
        for model in models:
            place = (model["metadata"].get("namespace", ""), model["metadata"]["name"])
            labels = dict(zip(_MODEL, place, strict=True))
            ledger = _ledger(cache, model)
            for name, value in _of_model(model, ledger):
                found[name].append(_sample(name, labels, value))
            ready = _ready_condition(model)
            if ready.get("status") != "True":
                found["model_not_ready_reason"].append(
                    _sample("model_not_ready_reason", labels | {"reason": _word(ready)}, 1.0)
                )
            champion = ledger.get("champion")
            if isinstance(champion, int) and champion:
                pods = cache.get(DEPLOYMENT, place[0], naming.version(place[1], champion)) or {}
                ready_pods = (pods.get("status") or {}).get("readyReplicas") or 0
                wanted = (pods.get("spec") or {}).get("replicas") or 0
                for name, value in (
                    ("model_champion_version", champion),
                    ("model_champion_pods_ready", ready_pods),
                    ("model_champion_pods_wanted", wanted),
                ):
                    found[name].append(_sample(name, labels, value))

    def _count_registries(self, found: Mapping[str, list[Sample]]) -> None:
        for registry in self._known.cache.all(REGISTRY):
            meta = registry["metadata"]
            labels = {"namespace": meta.get("namespace", ""), "name": meta["name"]}
            known = self._known.cache.value(REGISTRY, labels["namespace"], labels["name"])
            if isinstance(known, ModelRegistry):
                asked = seconds(known.spec.sync.interval)
                found["registry_sweep_interval_seconds"].append(
                    _sample("registry_sweep_interval_seconds", labels, asked)
                )
            for one in _conditions(registry):
                if one.get("status") == "False":
                    why = labels | {"condition": one.get("type", ""), "reason": _word(one)}
                    found["registry_condition_false"].append(_sample("registry_condition_false", why, 1.0))


def _of_model(model: Object, ledger: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What is said of every model, or while it is so."""
    ready = _ready_condition(model)
    yield "model_ready", 1.0 if ready.get("status") == "True" else 0.0
    if ledger.get("hold"):
        yield "model_held", 1.0
    candidate, shift = section(model, "status", "candidate"), section(ledger, "shift")
    if candidate or shift:
        # Where not even a Deployment came to be, the model is not ready since the rollout began.
        begun = candidate.get("since") or shift.get("since") or ready.get("lastTransitionTime")
        if (at := _unix(begun)) is not None:
            yield "rollout_started_timestamp_seconds", at


def _ledger(cache: Cache, model: Object) -> Mapping[str, Any]:
    """What the model's ledger says; nothing where it is that of another model of this name."""
    meta = model["metadata"]
    spec = (cache.get(LEDGER, meta.get("namespace", ""), meta["name"]) or {}).get("spec") or {}
    return spec if spec.get("modelUid", "") == meta.get("uid", "") else {}


State = tuple[str, str, str]  # reason and status of the Ready condition, and whether Stalled is True


def _state_of(found: Object) -> State:
    stalled = any(one.get("type") == "Stalled" and one.get("status") == "True" for one in _conditions(found))
    return _said(_ready_condition(found).get("status", ""), _ready_condition(found).get("reason", ""), stalled)


def _said(status: str, reason: str, stalled: bool) -> State:
    return reason, status or "Unknown", "true" if stalled else "false"


def _count_states(samples: list[Sample], name: str, states: Iterable[State]) -> None:
    """How many objects there are by what their conditions say."""
    counts: Counter[State] = Counter(states)
    known: Counter[tuple[str, str, str]] = Counter()
    for (reason, status, stalled), count in counts.items():
        known[_catalogued(reason), status, stalled] += count
    samples += [_sample(name, dict(zip(_STATE, state, strict=True)), count) for state, count in known.items()]


def _count_jobs(found: Mapping[str, list[Sample]], jobs: Mapping[str, tuple[int, int]]) -> None:
    for queue, (running, waiting) in jobs.items():
        work, _, pool = queue.partition(" ")
        labels = {"pool": pool} if pool else {}
        for state, count in (("running", running), ("waiting", waiting)):
            name = f"{'validations' if work == 'validate' else 'imports'}_{state}"
            found[name].append(_sample(name, labels, count))


def _ready_condition(found: Object) -> Mapping[str, Any]:
    """The Ready condition; {} if nothing was ever said."""
    return next((one for one in _conditions(found) if one.get("type") == "Ready"), {})


def _conditions(found: Object) -> Iterable[Mapping[str, Any]]:
    return (found.get("status") or {}).get("conditions") or ()


def _word(condition: Mapping[str, Any]) -> str:
    return _catalogued(condition.get("reason", ""))


def _catalogued(reason: str) -> str:
    """A word of the catalogue, so that there are never more series than it has; `none` before anything was said."""
    return reason_named(reason).value if reason else "none"


def _sample(name: str, labels: dict[str, str], value: float) -> Sample:
    return Sample(FAMILIES[name].name, labels, float(value))


def _unix(stamp: object) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else None
    except (ValueError, OverflowError):
        return None
