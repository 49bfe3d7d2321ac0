"""The decision about a registry: what its status says, and how rarely."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..api.modelregistry import ModelRegistry, ModelRegistryStatus
from . import discovery
from .conditions import Verdict, conditions_after, failed, passed, unknown
from .decision import Create, Event
from .discovery import Around, Discovered
from .jobs import parse_time
from .permissions import Use, held, missing
from .reasons import Reason, reason_named
from .registry import RegistryState, Silent

BEAT_SECONDS = 600  # between two statuses that only say how the sweeps go
LONGEST_MILLISECONDS = 3_600_000
LEFT_OUT = 5  # models that are named


@dataclass(frozen=True)
class RegistrySeen:
    """What the registry's reconciler sees; `state` is None before the first sweep."""

    now: datetime
    registry: ModelRegistry
    state: RegistryState | None
    around: Around = field(default_factory=Around)  # where discovery would make models
    notified: Verdict | None = None  # whether its webhooks arrive; None: it is to have none
    uses: tuple[Use, ...] = ()

    @property
    def silence(self) -> Silent | None:
        """Why nothing new is known of it."""
        if self.registry.spec.suspend:
            return SUSPENDED
        return self.state.silence if self.state else None


@dataclass(frozen=True)
class RegistryDecision:
    """What the registry's status should be, and what people are told once it is."""

    status: ModelRegistryStatus
    events: tuple[Event, ...] = ()
    acts: tuple[Create, ...] = ()


SUSPENDED = Silent(
    Reason.Suspended, "The ModelRegistry is suspended: it is asked for nothing, and nothing is written to it.", False
)


def decide(seen: RegistrySeen) -> RegistryDecision:
    """What the status says: conditions at once, figures every ten minutes, and with a condition that changed."""
    before, state, suspended = seen.registry.status, seen.state, seen.registry.spec.suspend
    if state is None and before.conditions and not suspended:
        return RegistryDecision(before)  # the operator has started anew: what it last saw stands
    figures = before
    if state is not None and state.swept_at and (_news(before, _verdicts(seen, None)) or _is_due(seen)):
        figures = ModelRegistryStatus(
            models=state.models,
            versions=state.versions,
            last_sweep_time=state.swept_at,
            latency_milliseconds=min(round(state.latency_seconds * 1000), LONGEST_MILLISECONDS),
        )
    discovered = discovery.decide(seen.registry, state.found if state and not suspended else None, seen.around)
    told = _told_of(seen.registry, discovered) | ({"Notified": seen.notified} if seen.notified else {})
    verdicts = _verdicts(seen, figures.latency_milliseconds) | told
    ready = verdicts.pop("Ready")
    generation, now = seen.registry.metadata.generation, seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    status = figures.model_copy(
        update={
            "observed_generation": generation,
            "version": (state.version if state else None) or before.version,
            "discovered": discovered.made,
            "drifted": sum(one.drifted for one in seen.uses),
            "conditions": conditions_after(before.conditions, verdicts, ready, now, generation),
        }
    )
    events = tuple(
        Event("Normal" if one.holds or one.reason is Reason.Suspended else "Warning", one.reason, one.message, kind)
        for kind, one in {"Ready": ready, **verdicts}.items()
        if kind in _ANNOUNCED and one.status != "Unknown" and (state is not None or suspended)
        if kind in _news(before, {kind: one})
    )
    return RegistryDecision(status, events, discovered.acts)


_ANNOUNCED = ("Ready", "Discovered", "Notified")  # the others are what Ready is made of


def _told_of(registry: ModelRegistry, discovered: Discovered) -> dict[str, Verdict]:
    """What is said of discovery. While nobody knows what the registry has, what was said of this spec stands."""
    verdict = discovered.verdict
    if verdict is None:
        return {}
    said = registry.status.condition("Discovered")
    if verdict.reason is Reason.Resolving and said and said.observed_generation == registry.metadata.generation:
        verdict = Verdict(said.status, reason_named(said.reason), said.message)
    return {"Discovered": verdict}


def _verdicts(seen: RegistrySeen, took_milliseconds: int | None) -> dict[str, Verdict]:
    """What every condition says; Ready sums the others up."""
    reachable, authorized = _reachable(seen, took_milliseconds), _authorized(seen)
    ready = authorized if authorized.status == "False" else reachable
    if (silent := seen.silence) is not None:
        ready = failed(reason_named(silent.reason), silent.message)
    return {"Reachable": reachable, "Authorized": authorized, "Ready": ready}


def _news(before: ModelRegistryStatus, verdicts: Mapping[str, Verdict]) -> set[str]:
    """The conditions that say something else than before, not only in other words."""
    said = {one.type: (one.status, one.reason) for one in before.conditions}
    return {kind for kind, one in verdicts.items() if said.get(kind) != (one.status, one.reason)}


def _reachable(seen: RegistrySeen, took_milliseconds: int | None) -> Verdict:
    """Whether it answers; a refused credential is an answer."""
    silent = seen.silence
    if silent is None and seen.state is None:
        return unknown(Reason.Resolving)
    if silent is None or silent.reason == Reason.RegistryUnauthorized:
        took = f", the last sweep took {took_milliseconds} ms" if took_milliseconds is not None else ""
        backend, version = seen.registry.spec.backend.mlflow, seen.state.version if seen.state else None
        said = f"MLflow {version or 'of an unknown version'} answers at {backend.uri if backend else ''}{took}."
        return passed(Reason.RegistryReachable, said + (_left_out(seen.state) if seen.state else ""))
    reason = reason_named(silent.reason)
    return (failed if reason in (Reason.RegistryUnreachable, Reason.RegistryRejected) else unknown)(
        reason, silent.message
    )


def _left_out(state: RegistryState) -> str:
    """Which models it says too much of, and what that costs others."""
    names, said = state.left_out, ""
    if names:
        more = f" and {len(names) - LEFT_OUT} more" if len(names) > LEFT_OUT else ""
        shown = ", ".join(f'"{name[:63]}"' for name in names[:LEFT_OUT])
        said = f" Not read, since what it says of them is too large: {shown}{more}."
    if state.by_name:
        said += " No list of all models can be read: those of the cluster are read by name, and none is discovered."
    return f"{said} {Reason.ModelTooLarge.remedy}" if said else ""


_CREDENTIAL = (Reason.RegistryUnauthorized, Reason.SecretNotFound, Reason.TokenUnusable)


def _authorized(seen: RegistrySeen) -> Verdict:
    """Whether the credential may do what is needed; what nobody tells is not missing."""
    silent, state = seen.silence, seen.state
    if silent is not None:
        reason = reason_named(silent.reason)
        return (failed if reason in _CREDENTIAL else unknown)(reason, silent.message)
    if state is None:
        return unknown(Reason.Resolving)
    if state.rights is None:
        return unknown(Reason.PermissionsNotTold)
    if said := missing(state.rights, seen.uses, seen.registry.spec.stages.production.alias is not None):
        return failed(Reason.PermissionsMissing, said)
    return passed(Reason.PermissionsHeld, held(state.rights))


def _is_due(seen: RegistrySeen) -> bool:
    last = seen.registry.status.last_sweep_time
    return last is None or (seen.now - parse_time(last)).total_seconds() >= BEAT_SECONDS
