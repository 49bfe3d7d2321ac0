"""The decision about a registry: what its status says, and how rarely; who may use which of its models."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from ..api.modelregistry import AllowedNamespaces, ModelRegistry, ModelRegistryStatus
from .conditions import Verdict, conditions_after, failed, passed, unknown
from .decision import Event
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


@dataclass(frozen=True)
class RegistryDecision:
    """What the registry's status should be, and what people are told once it is."""

    status: ModelRegistryStatus
    events: tuple[Event, ...] = ()


def decide(seen: RegistrySeen) -> RegistryDecision:
    """What the status says: conditions at once, figures every ten minutes, and with a condition that changed."""
    before, state = seen.registry.status, seen.state
    if state is None and before.conditions:
        return RegistryDecision(before)  # the operator has started anew: what it last saw stands
    ready = _registry_ready(seen.registry, state)
    generation = seen.registry.metadata.generation
    now = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = conditions_after(before.conditions, {}, ready, now, generation)
    said = before.condition("Ready")
    changed = said is None or (said.status, said.reason) != (ready.status, ready.reason)
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
            "conditions": conditions,
        }
    )
    news = (Event("Normal" if ready.holds else "Warning", ready.reason, ready.message, "Ready"),)
    return RegistryDecision(status, news if changed and state is not None else ())


def refuses(allowed: AllowedNamespaces | None, labels: dict[str, str], name: str) -> str:
    """Why a namespace with these labels may not use a registered model, after "does not allow"; "" if it may."""
    if allowed is None or any(labels.get(key) != value for key, value in allowed.selector.match_labels.items()):
        return "this namespace"
    if allowed.models and not any(_matches(name, pattern) for pattern in allowed.models):
        return f'this namespace the registered model "{name}", but {", ".join(allowed.models[:5])}'
    return ""


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))  # only `*` is special


def _registry_ready(registry: ModelRegistry, state: RegistryState | None) -> Verdict:
    if state is None:
        return unknown(Reason.Resolving)
    if state.silence is not None:
        return failed(reason_named(state.silence.reason), state.silence.message)
    uri = registry.spec.backend.mlflow.uri if registry.spec.backend.mlflow else ""
    return passed(Reason.RegistryReachable, f"MLflow {state.version or 'of an unknown version'} answers at {uri}.")


def _is_due(now: datetime, last: str | None) -> bool:
    return last is None or (now - parse_time(last)).total_seconds() >= BEAT_SECONDS
