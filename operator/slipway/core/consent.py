"""Whether a promotion that a label asks for may start: by whom it is allowed, who has approved, and at which hours.

Going back to what was released needs nobody's consent.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..api import names
from ..api.modelregistry import Window
from ..api.modelversion import ModelVersion
from .allowed import named
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Silent

_APPROVAL = re.compile(
    r"by=(?P<by>[^,=]+), *version=(?P<version>[1-9][0-9]*), *digest=(?P<digest>[^, ]+), "
    r"*environment=(?P<environment>[^, ]+), *until=(?P<until>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
)
NO_ENVIRONMENT = "none"  # in an approval of a version whose environment has no digest
APPROVED_DAYS = 4  # that the command in the message proposes
_WEEK_DAYS = 8  # the same day of the next week included


@dataclass(frozen=True)
class Withheld:
    """Why a promotion does not start, and when it may."""

    reason: Reason
    message: str
    again_seconds: float | None = None


def forbidden(seen: ModelSeen) -> str:
    """Why labels may promote nothing of this model, as a sentence; "" if they may."""
    if not seen.by_registry or isinstance(seen.registry, Silent):
        return ""
    policy, meta = seen.registry.spec.promotion, seen.registry.metadata
    name, namespace = seen.model.registered_name, seen.model.metadata.namespace
    where = f"The ModelRegistry {meta.namespace}/{meta.name} lets labels promote nothing"
    if policy.namespaces and not named(namespace, policy.namespaces):
        return f"{where} in this namespace."
    if policy.models and not named(name, policy.models):
        return f'{where} of the registered model "{name}".'
    return ""


def withheld(seen: ModelSeen, version: ModelVersion, started: bool = False) -> Withheld | None:
    """Why a proven version is not rolled out yet; None if it may be. A rollout that has started goes on.

    Without its ModelRegistry nobody knows what is allowed, and nothing is.
    """
    if not seen.by_registry:
        return None
    if isinstance(seen.registry, Silent) and started:
        return None
    if isinstance(seen.registry, Silent):
        return Withheld(reason_named(seen.registry.reason), seen.registry.message)
    policy = seen.registry.spec.promotion
    missing = policy.approvals - len(approved(seen, version, started))
    if missing > 0:
        return Withheld(Reason.ApprovalMissing, _asks_for(seen, version, missing))
    return None if started or not policy.windows else _closed(policy.windows, seen.now)


def approved(seen: ModelSeen, version: ModelVersion, started: bool) -> set[str]:
    """Who has approved of these files in this environment, and whose approval still holds."""
    found, proof = set(), version.status.validation
    environment = (proof.environment if proof else None) or NO_ENVIRONMENT
    now = seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for key in names.APPROVALS:
        said = _APPROVAL.fullmatch(version.metadata.annotations.get(key, "").strip())
        if said is None or int(said["version"]) != version.spec.version:
            continue
        same = (said["digest"], said["environment"]) == (version.status.digest, environment)
        if same and (started or said["until"] > now):
            found.add(said["by"].strip())
    return found


def _asks_for(seen: ModelSeen, version: ModelVersion, missing: int) -> str:
    """Says what to do, with what an approval must name."""
    proof, there = version.status.validation, approved(seen, version, False)
    key = names.APPROVALS[1 if there else 0]
    until = (seen.now + timedelta(days=APPROVED_DAYS)).strftime("%Y-%m-%dT00:00:00Z")  # one message a day
    value = (
        f"by=<you>, version={version.spec.version}, digest={version.status.digest}, "
        f"environment={(proof.environment if proof else None) or NO_ENVIRONMENT}, until={until}"
    )
    who = f"{', '.join(sorted(there))} has approved, another person must" if there else "who may promote must"
    return (
        f"{missing} approval{'s are' if missing > 1 else ' is'} missing: {who} run kubectl annotate --overwrite "
        f"--namespace={version.metadata.namespace} mv/{version.metadata.name} '{key}={value}'"
    )


def _closed(windows: tuple[Window, ...], now: datetime) -> Withheld | None:
    """The wait for the next window; None while one is open."""
    opens: list[datetime] = []
    for window in windows:
        try:
            zone = ZoneInfo(window.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            said = f"spec.promotion.windows of the ModelRegistry names no time zone: {window.time_zone}."
            return Withheld(Reason.OutsideWindow, said)
        here = now.astimezone(zone)  # its hours are compared as moments: an hour may come twice, or not at all
        for ahead in range(_WEEK_DAYS):
            day = (here + timedelta(days=ahead)).date()
            if f"{day:%A}" not in window.days:
                continue
            start, end = (
                datetime.fromisoformat(f"{day}T{at}").replace(tzinfo=zone) for at in (window.start, window.end)
            )
            if start.timestamp() <= now.timestamp() < end.timestamp():
                return None
            if start.timestamp() > now.timestamp():
                opens.append(start)
    next_one = min(opens, key=datetime.timestamp)
    return Withheld(
        Reason.OutsideWindow,
        f"Promotions may start again on {next_one:%A %Y-%m-%d at %H:%M} ({next_one.tzinfo}).",
        next_one.timestamp() - now.timestamp() + 1,
    )
