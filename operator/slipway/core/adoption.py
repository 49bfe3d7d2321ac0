"""A Deployment that served before any version did: when it is taken in, what keeps it out, and what is said of it.

Slipway only reads it. It has the traffic of the model's Service until a version takes over, and may be returned to for
as long as it is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..api.modelledger import SELECTOR_BYTES, SELECTOR_LABELS, Adopted, ModelLedgerSpec
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import Adopted as AdoptedStatus
from ..resources import serving
from . import ledger as ledgers
from .conditions import Verdict, failed, passed, refusal
from .observed import Deployed, ModelSeen, Unseen
from .reasons import Reason

LOOK_SECONDS = 15.0  # between two looks at a Deployment that is waited for, or has the traffic: nobody tells of it
REST_SECONDS = 60.0  # between two looks at one that a rollback would return to
UNKNOWN = "Its digest, environment and report are unknown: adopted."


def taken_in(seen: ModelSeen, ledger: ModelLedgerSpec) -> ModelLedgerSpec:
    """The ledger, once the Deployment that the spec names is the first to have the traffic, if it can be.

    Until a version takes over, it follows the spec to another Deployment or port, and a Deployment that was made anew.
    """
    adopt = seen.model.spec.adopt
    if adopt is None or seen.invalid or seen.model.spec.suspend or _too_late(ledger):
        return ledger
    found = seen.deployments.get(adopt.deployment)
    if not isinstance(found, Deployed) or obstacle(seen, found):
        return ledger
    now = Adopted(
        deployment=found.name, selector=dict(found.selector), port=adopt.port, version=adopt.version, serving=True
    )
    if now == ledger.adopted:
        return ledger
    same = ledger.adopted is not None and ledger.adopted.deployment == found.name
    return ledger.model_copy(update={"adopted": now, "since": ledger.since if same else ledgers.stamp(seen.now)})


def _too_late(ledger: ModelLedgerSpec) -> bool:
    """Whether a version has served."""
    return ledger.since is not None and ledger.serving_adopted is None


def obstacle(seen: ModelSeen, found: Deployed) -> str:
    """Why a Deployment cannot be taken in, or returned to; "" if it can."""
    name = f"Deployment {found.name}"
    if found.own:
        return f"{name} is Slipway's own"
    if not found.expressible:
        return f"{name} selects its pods by matchExpressions, which a Service cannot"
    size = len(json.dumps(dict(found.selector), ensure_ascii=False).encode())
    if not found.selector or len(found.selector) > SELECTOR_LABELS or size > SELECTOR_BYTES:
        return f"{name} selects its pods by {len(found.selector)} labels of {size} bytes: at most {SELECTOR_LABELS} fit"
    if found.finds:
        return f"{name} selects the pod {found.finds} of Slipway's, too"
    return f"{name} selects the pods of versions, too" if selects_versions(seen, found.selector) else ""


def selects_versions(seen: ModelSeen, selector: Mapping[str, str]) -> bool:
    """Whether a selector finds pods of this model's versions, those that are to come and those that were."""
    number = max((one.spec.version for one in seen.versions), default=1)
    labels = [serving.pod_labels(seen.model, number)]
    labels += [one.template.get("metadata", {}).get("labels") or {} for one in seen.records.values()]
    return any(selector.items() <= one.items() for one in labels)


def missing(seen: ModelSeen, ledger: ModelLedgerSpec) -> Verdict | None:
    """Why no rollout starts: the Deployment that the spec names is not taken in, or may not be while it serves."""
    adopt, adopted = seen.model.spec.adopt, ledger.serving_adopted
    if adopted is not None and selects_versions(seen, adopted.selector):
        return failed(Reason.AdoptionRefused, f"Deployment {adopted.deployment} selects the pods of versions, too.")
    if adopt is None or adopted is not None or _too_late(ledger):
        return None
    found = seen.deployments.get(adopt.deployment)
    if isinstance(found, Deployed):
        why = obstacle(seen, found)
        return failed(Reason.AdoptionRefused, f"{why}.") if why else None
    said = f"cannot be read: {found.why}" if found and found.why else "is not there"
    return failed(Reason.AdoptionPending, f"Deployment {adopt.deployment} {said}, and nothing is released before.")


def ready(seen: ModelSeen, ledger: ModelLedgerSpec) -> Verdict | None:
    """How the adopted Deployment serves; None while it does not."""
    adopted = ledger.serving_adopted
    if adopted is None:
        return None
    name, found = adopted.deployment, seen.deployments.get(adopted.deployment)
    if isinstance(found, Unseen) and not found.why:
        return failed(Reason.AdoptedGone, f"Deployment {name} is gone.")
    if isinstance(found, Deployed) and found.selector != adopted.selector:
        return failed(Reason.AdoptedGone, f"Deployment {name} was made anew, and its pods have other labels.")
    if isinstance(found, Deployed) and found.ready == 0:
        return failed(Reason.AdoptedNotReady, f"No pod of Deployment {name} is ready.")
    pods = f"{found.ready}/{found.replicas} pods ready" if isinstance(found, Deployed) else "it cannot be read now"
    return passed(
        Reason.Adopted, f"Deployment {name} serves since {ledger.since}, {pods}. {UNKNOWN} {_compared(seen, adopted)}"
    )


def adopted(seen: ModelSeen, ledger: ModelLedgerSpec) -> Verdict | None:
    """Whether a Deployment was taken in; None where none is named, and none was."""
    adopt, there = seen.model.spec.adopt, ledger.adopted
    if verdict := missing(seen, ledger):
        return verdict
    if there is None:
        return failed(Reason.AdoptionIgnored) if adopt is not None and _too_late(ledger) else None
    if there.serving:
        return _followed(seen, there) or ready(seen, ledger)
    if adopt is not None and (adopt.deployment, adopt.port) != (there.deployment, there.port):
        return failed(Reason.AdoptionIgnored, f"A version has taken over from Deployment {there.deployment}.")
    return passed(Reason.AdoptionOver, f"A version has taken over from Deployment {there.deployment}.")


def _followed(seen: ModelSeen, there: Adopted) -> Verdict | None:
    """Why the Deployment that the spec names by now is not the one that serves; None if it is, or none is named."""
    adopt = seen.model.spec.adopt
    if adopt is None or adopt.deployment == there.deployment:
        return None
    found = seen.deployments.get(adopt.deployment)
    why = obstacle(seen, found) if isinstance(found, Deployed) else f"Deployment {adopt.deployment} is not there"
    return failed(Reason.AdoptionRefused, f"{why}; Deployment {there.deployment} serves on.") if why else None


def way_back(seen: ModelSeen, ledger: ModelLedgerSpec) -> Adopted | str:
    """The adopted Deployment, if a rollback may return to it; otherwise a sentence that says why it may not."""
    adopted = ledger.adopted
    if adopted is None:
        return "no Deployment was adopted"
    if adopted.serving:
        return f"Deployment {adopted.deployment} has the traffic"
    found = seen.deployments.get(adopted.deployment)
    if isinstance(found, Unseen) and not found.why:
        return f"Deployment {adopted.deployment} is gone"
    if isinstance(found, Deployed):  # it may have been made anew
        adopted = adopted.model_copy(update={"selector": dict(found.selector)})
        if why := obstacle(seen, found):
            return why
        if found.ready == 0:
            return f"no pod of Deployment {adopted.deployment} is ready: scale it up, then ask again"
    elif selects_versions(seen, adopted.selector):
        return f"Deployment {adopted.deployment} selects the pods of versions, too"
    return adopted


def status(seen: ModelSeen, ledger: ModelLedgerSpec) -> AdoptedStatus | None:
    """What the model's status says of the adopted Deployment."""
    adopted = ledger.adopted
    if adopted is None:
        return None
    found = seen.deployments.get(adopted.deployment)
    return AdoptedStatus(
        deployment=adopted.deployment,
        version=adopted.version,
        serving=adopted.serving,
        since=ledger.since if adopted.serving else None,
        ready=f"{found.ready}/{found.replicas}" if isinstance(found, Deployed) else "",
    )


def again_seconds(seen: ModelSeen, ledger: ModelLedgerSpec) -> float | None:
    """Seconds until the Deployment is looked at again: no watch tells of it, since it has no label of Slipway."""
    if ledger.serving_adopted or (seen.model.spec.adopt and not _too_late(ledger)):
        return LOOK_SECONDS
    return REST_SECONDS if ledger.adopted and ledger.predecessor is None and ledger.champion else None


@dataclass(frozen=True)
class Opponent:
    """The champion that a version is compared with; no digest: there is none."""

    digest: str = ""
    version: int | None = None


def opponent(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> Opponent | None:
    """The champion of now: what serves, or what an adopted Deployment is said to run. None while that is imported.

    A version is not compared with itself: the first that takes over may be the one that the Deployment runs.
    """
    if serving := ledger.serving:
        return Opponent(serving.digest, serving.version)
    adopted = ledger.serving_adopted
    if adopted is None or adopted.version in (None, version.spec.version):
        return Opponent()
    runs = seen.version(adopted.version)
    if runs is None:
        return None
    if _is_imported(runs):
        return Opponent(runs.status.digest or "", adopted.version)
    return Opponent() if refusal(runs) else None


def _is_imported(version: ModelVersion) -> bool:
    done = version.status.condition("Imported")
    return done is not None and done.status == "True" and version.status.digest is not None


def _compared(seen: ModelSeen, adopted: Adopted) -> str:
    """What versions are compared with, in words."""
    runs = seen.version(adopted.version)
    if adopted.version is None:
        return "Versions are compared with nothing."
    if runs is not None and _is_imported(runs):
        return f"Versions are compared with version {adopted.version}, which it is said to run."
    if runs is not None and (why := refusal(runs)):
        said = f"Version {adopted.version}, which it is said to run, cannot be imported ({why.reason})"
        return f"{said}: versions are compared with nothing."
    return f"Version {adopted.version}, which it is said to run, is imported, to compare with."
