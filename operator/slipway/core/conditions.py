"""Verdicts become conditions: times move only when a status flips, Ready is derived and never set by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..api.condition import Condition, Status
from ..api.modelversion import ModelVersion
from .reasons import LASTING_REASONS, REGISTRY_REASONS, Reason

MESSAGE_LIMIT = 1000
PASSING_REASONS = REGISTRY_REASONS | {Reason.ModelMissing}


@dataclass(frozen=True)
class Verdict:
    """What is known of one condition now."""

    status: Status
    reason: Reason
    message: str
    final: bool = False  # tried as often as it is worth: a cause that may pass has become one that does not

    @property
    def holds(self) -> bool:
        """Whether the next condition can be looked at."""
        return self.status == "True"

    @property
    def stuck(self) -> bool:
        """Whether it stays so until somebody changes something."""
        return not self.holds and (self.final or self.reason.outlook == "Stuck")

    @property
    def moving(self) -> bool:
        """Whether more is going to happen by itself."""
        return not self.holds and not self.stuck and self.reason.outlook in ("Moving", "Retrying")


def passed(reason: Reason, message: str = "") -> Verdict:
    """It holds."""
    return Verdict("True", reason, message or reason.meaning)


def failed(reason: Reason, message: str = "") -> Verdict:
    """It does not hold; the message ends with what to do."""
    said = sentence(message or reason.meaning)
    glue = "\n" if "\n" in said else " "  # after the lines of a log, the advice begins a line of its own
    return Verdict("False", reason, said if reason.remedy in said else f"{said}{glue}{reason.remedy}".strip())


def sentence(text: str) -> str:
    """The text with a full stop, so that another sentence can follow; a log is left as it is."""
    text = text.strip()
    return text if not text or "\n" in text or text.endswith((".", "!", "?", "…")) else text + "."


def unknown(reason: Reason, message: str = "") -> Verdict:
    """Nobody can tell: silence is not absence."""
    return Verdict("Unknown", reason, message or reason.meaning)


def clipped(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """At most `limit` characters; the end is kept, since that is where a log says what went wrong."""
    text = text.strip()
    return (
        text if len(text) <= limit else text[: limit // 3].rstrip() + " … " + text[-(limit - limit // 3 - 3) :].lstrip()
    )


def conditions_after(
    previous: Sequence[Condition], verdicts: Mapping[str, Verdict], ready: Verdict, now: str, generation: int
) -> tuple[Condition, ...]:
    """All conditions: those of `verdicts`, and Ready, Reconciling and Stalled derived from `ready` (kstatus)."""
    everything = dict(verdicts) | {"Ready": ready}
    if ready.moving:
        everything["Reconciling"] = Verdict("True", ready.reason, ready.message)
    if ready.stuck:
        everything["Stalled"] = Verdict("True", ready.reason, ready.message)
    before = {one.type: one for one in previous}
    return tuple(_condition(kind, verdict, before.get(kind), now, generation) for kind, verdict in everything.items())


def _condition(kind: str, verdict: Verdict, before: Condition | None, now: str, generation: int) -> Condition:
    flipped = before is None or before.status != verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason.value,
        message=clipped(verdict.message),
        last_transition_time=now if flipped or before is None else before.last_transition_time,
        observed_generation=generation,
    )


def refusal(version: ModelVersion) -> Condition | None:
    """The condition that refuses a version, if its status says that one does.

    A registry that is missing, or refuses the credential, refuses no version: it may answer again. Nor does what keeps
    an import waiting, nor a model that was missing: whoever asks here has it.
    """
    stalled = version.status.condition("Stalled")
    if stalled is None or stalled.status != "True":
        return None
    found = (version.status.condition(kind) for kind in ("Resolved", "Imported", "Validated"))
    first = next((one for one in found if one is not None and one.status != "True"), None)
    if first is None or first.reason in PASSING_REASONS:
        return None
    if first.reason == Reason.InvalidSpec and first.type != "Validated":  # of the ModelRegistry, not of the gates
        return None
    return None if first.type == "Imported" and first.reason in LASTING_REASONS else first
