"""Whether a promotion that a label asks for may start: by whom it is allowed, who has approved, and at which hours.

Going back to what was released needs nobody's consent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..api import names
from ..api.modelledger import ModelLedgerSpec, RolledBack
from ..api.modelregistry import Window
from ..api.modelversion import ModelVersion
from ..resources import naming
from .allowed import named
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Silent

_APPROVAL = re.compile(
    r"by=(?P<by>[^,=]+), *version=(?P<version>[1-9][0-9]*), *digest=(?P<digest>[^, ]+), "
    r"*environment=(?P<environment>[^, ]+), *until=(?P<until>[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)"
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


def withheld(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, started: bool = False) -> Withheld | None:
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
    needed = max(policy.approvals, 1 if _own_secret(seen) else 0)
    if (missing := needed - len(approved(seen, ledger, version, started))) > 0:
        return Withheld(Reason.ApprovalMissing, _asks_for(seen, ledger, version, missing))
    return None if started or not policy.windows else _closed(policy.windows, seen.now)


def _own_secret(seen: ModelSeen) -> str:
    """What the model has of a Secret of its own namespace; "" if it has none. A registry's are the platform's."""
    data = seen.model.spec.validation.data
    if data and data.secret_ref:
        return f"reads its data with the Secret {data.secret_ref.name} of this namespace"
    for variable in seen.model.variables:
        if variable.secret_key_ref:
            return f"has the Secret {variable.secret_key_ref.name} of this namespace in its variable {variable.name}"
    return ""


def marks(version: ModelVersion) -> tuple[str, ...]:
    """Hashes of the approvals that a version carries, by which the ledger remembers those that count no longer."""
    return tuple(naming.short_hash(one) for one in _carried(version).values())


def approved(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, started: bool) -> set[str]:
    """Who has approved of these files in this environment, and whose approval still holds."""
    return set(_valid(seen, ledger, version, started).values())


def _carried(version: ModelVersion) -> Mapping[str, str]:
    said = {key: version.metadata.annotations.get(key, "").strip() for key in names.APPROVALS}
    return {key: one for key, one in said.items() if one}


def _valid(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, started: bool) -> Mapping[str, str]:
    """The annotations that are approvals, and whose; not those from before the version was rolled back."""
    found, out = dict[str, str](), _rolled_back(ledger, version)
    environment, now = _environment(version), seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for key, one in _carried(version).items():
        said = _APPROVAL.fullmatch(one)
        if said is None or int(said["version"]) != version.spec.version:
            continue
        if out is not None and naming.short_hash(one) in out.approvals:
            continue
        same = (said["digest"], said["environment"]) == (version.status.digest, environment)
        if same and (started or said["until"] > now):
            found[key] = said["by"].strip()
    return found


def _environment(version: ModelVersion) -> str:
    proof = version.status.validation
    return (proof.environment if proof else None) or NO_ENVIRONMENT


def _rolled_back(ledger: ModelLedgerSpec, version: ModelVersion) -> RolledBack | None:
    """How it was rolled back, whether it was asked for since or not."""
    return next((one for one in ledger.rolled_back if one.version == version.spec.version), None)


def _asks_for(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion, missing: int) -> str:
    """Says what to do, with what an approval must name."""
    there, out = _valid(seen, ledger, version, False), _rolled_back(ledger, version)
    key = next((one for one in names.APPROVALS if one not in there), names.APPROVALS[-1])
    at = out.at.partition("T")[2] if out is not None else "00:00:00Z"  # so that it is none that it carried then
    value = (
        f"by=<you>, version={version.spec.version}, digest={version.status.digest}, "
        f"environment={_environment(version)}, until={seen.now + timedelta(days=APPROVED_DAYS):%Y-%m-%d}T{at}"
    )  # one message a day
    who = (
        f"{', '.join(sorted(set(there.values())))} has approved, another person must"
        if there
        else "who may promote must"
    )
    return (
        f"{missing} approval{'s are' if missing > 1 else ' is'} missing{_because(seen, out)}: {who} "
        f"run kubectl annotate --overwrite "
        f"--namespace={version.metadata.namespace} mv/{version.metadata.name} '{key}={value}'"
    )


def _because(seen: ModelSeen, out: RolledBack | None) -> str:
    """Why people are asked, where the policy alone does not say it."""
    if out is not None and out.approvals:
        return ", since those from before it was rolled back count no longer"
    secret = "" if isinstance(seen.registry, Silent) or seen.registry.spec.promotion.approvals else _own_secret(seen)
    return f", since the model {secret}" if secret else ""


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
