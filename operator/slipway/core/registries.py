"""The decision about a registry: what its status says, and how rarely."""

from dataclasses import dataclass, field
from datetime import datetime

from ..api.modelregistry import ModelRegistry, ModelRegistryStatus
from . import discovery
from .conditions import Verdict, conditions_after, failed, passed, unknown
from .decision import Create, Event
from .discovery import Around, Discovered
from .jobs import parse_time
from .reasons import Reason, reason_named
from .registry import RegistryState

BEAT_SECONDS = 600  # between two statuses that only say how the sweeps go
LONGEST_MILLISECONDS = 3_600_000


@dataclass(frozen=True)
class RegistrySeen:
    """What the registry's reconciler sees; `state` is None before the first sweep."""

    now: datetime
    registry: ModelRegistry
    state: RegistryState | None
    around: Around = field(default_factory=Around)  # where discovery would make models
    notified: Verdict | None = None  # whether its webhooks arrive; None: it is to have none


@dataclass(frozen=True)
class RegistryDecision:
    """What the registry's status should be, and what people are told once it is."""

    status: ModelRegistryStatus
    events: tuple[Event, ...] = ()
    acts: tuple[Create, ...] = ()


def decide(seen: RegistrySeen) -> RegistryDecision:
    """What the status says: conditions at once, figures every ten minutes, and with a condition that changed."""
    before, state = seen.registry.status, seen.state
    if state is None and before.conditions:
        return RegistryDecision(before)  # the operator has started anew: what it last saw stands
    ready = _registry_ready(seen.registry, state)
    generation = seen.registry.metadata.generation
    now = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    discovered = discovery.decide(seen.registry, state.found if state else None, seen.around)
    told = _told_of(seen.registry, discovered) | ({"Notified": seen.notified} if seen.notified else {})
    conditions = conditions_after(before.conditions, told, ready, now, generation)
    changed = _is_news(before, "Ready", ready)
    figures = before
    if state is not None and state.swept_at and (changed or _is_due(seen.now, before.last_sweep_time)):
        figures = ModelRegistryStatus(
            models=state.models,
            versions=state.versions,
            last_sweep_time=state.swept_at,
            latency_milliseconds=min(round(state.latency_seconds * 1000), LONGEST_MILLISECONDS),
        )
    status = figures.model_copy(
        update={
            "observed_generation": generation,
            "version": (state.version if state else None) or before.version,
            "discovered": discovered.made,
            "conditions": conditions,
        }
    )
    news = [(kind, one) for kind, one in {"Ready": ready, **told}.items() if _is_news(before, kind, one)]
    events = tuple(
        Event("Normal" if one.holds else "Warning", one.reason, one.message, kind)
        for kind, one in news
        if state is not None and one.status != "Unknown"
    )
    return RegistryDecision(status, events, discovered.acts)


def _told_of(registry: ModelRegistry, discovered: Discovered) -> dict[str, Verdict]:
    """What is said of discovery. While nobody knows what the registry has, what was said of this spec stands."""
    verdict = discovered.verdict
    if verdict is None:
        return {}
    said = registry.status.condition("Discovered")
    if verdict.reason is Reason.Resolving and said and said.observed_generation == registry.metadata.generation:
        verdict = Verdict(said.status, reason_named(said.reason), said.message)
    return {"Discovered": verdict}


def _is_news(before: ModelRegistryStatus, kind: str, now: Verdict) -> bool:
    said = before.condition(kind)
    return said is None or (said.status, said.reason) != (now.status, now.reason)


def _registry_ready(registry: ModelRegistry, state: RegistryState | None) -> Verdict:
    if state is None:
        return unknown(Reason.Resolving)
    if state.silence is not None:
        return failed(reason_named(state.silence.reason), state.silence.message)
    uri = registry.spec.backend.mlflow.uri if registry.spec.backend.mlflow else ""
    return passed(Reason.RegistryReachable, f"MLflow {state.version or 'of an unknown version'} answers at {uri}.")


def _is_due(now: datetime, last: str | None) -> bool:
    return last is None or (now - parse_time(last)).total_seconds() >= BEAT_SECONDS
