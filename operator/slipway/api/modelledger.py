"""ModelLedger: what serves a model, and what led there. Only the operator writes it, before anything that follows it.

One object per RegisteredModel, of the same name and owned by it. It is a `spec` without a status, as a Lease is: backup
tools drop what a status says.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from . import names
from .base import Digest, LabelValue, ResourceName, Time, Value, keyed_by, rules
from .meta import Meta

RELEASES = 10  # kept at most, champion and predecessor included
ROLLED_BACK = 12
TOLD = 12
SHOWN = 24
STARTED = 4
HISTORY = 10
TAKEN_BACK = 12
SELECTOR_LABELS, SELECTOR_BYTES = 8, 400  # of an adopted Deployment's selector; bytes as JSON
WHO_BYTES, REASON_BYTES = 64, 96  # as JSON: what keeps the whole within LIMIT_BYTES
LIMIT_BYTES = 8 * 1024

LIST: Any = {"x-kubernetes-list-type": "atomic"}
Number = Annotated[int, Field(ge=1, le=2_147_483_647)]
Short = Annotated[str, Field(max_length=16, pattern=r"^[0-9a-f]*$")]


class Release(Value):
    """What ran under a version's number when it was released: what a rollback returns to."""

    version: Annotated[Number, Field(description="Number of the version.")]
    digest: Annotated[Digest, Field(description="Digest of the model's files.")]
    environment: Annotated[
        str, Field(max_length=71, description="Content digest of the environment that it was proven in.")
    ] = ""
    python: Annotated[str, Field(max_length=8, description="Python minor version, such as 3.11.")] = ""
    record: Annotated[Short, Field(description="Hash that ends the name of the ControllerRevision with its pods.")]
    inputs: Annotated[Short, Field(description="Hash of the user's settings that this record answers.")] = ""
    since: Annotated[Time, Field(description="When it last got the traffic (RFC 3339).")]
    origin: Annotated[
        Short,
        Field(description="Hashes of the registered model and the version that it is; empty: not known."),
    ] = ""


class Shift(Value):
    """A rollout under way: traffic on its way from the champion to another version."""

    to: Annotated[Release, Field(description="What the traffic goes to.")]
    weight: Annotated[int, Field(ge=0, le=100, description="Percent of the traffic that it should have now.")] = 0
    step: Annotated[int, Field(ge=0, le=100, description="Number of the step.")] = 0
    since: Annotated[Time, Field(description="Since when this step has lasted (RFC 3339).")]


class Served(Value):
    """A time for which a version had the traffic. Nothing is decided by it."""

    version: Annotated[Number, Field(description="Number of the version.")]
    digest: Annotated[str, Field(max_length=71, description="Digest of the model's files.")]
    since: Annotated[Time, Field(description="When it got the traffic (RFC 3339).")]
    until: Annotated[Time | None, Field(description="When it lost it (RFC 3339); absent: it has it.")] = None
    by: Annotated[
        str,
        Field(
            max_length=WHO_BYTES,
            description="Who asked for it: whoever approved or rolled back, or the program that set the stage; "
            "`unknown` where nobody is known, as of a label in the registry.",
        ),
    ] = "unknown"
    report: Annotated[
        str, Field(max_length=16, description="Revision that it was proven by: its report's name ends with it.")
    ] = ""
    left: Annotated[str, Field(max_length=REASON_BYTES, description="Why it lost the traffic.")] = ""


class Adopted(Value):
    """A Deployment that is not Slipway's and was taken in: how the model's Service finds its pods."""

    deployment: Annotated[ResourceName, Field(description="Its name.")]
    selector: Annotated[
        dict[Annotated[str, Field(max_length=317)], LabelValue],
        Field(max_length=SELECTOR_LABELS, description="Labels of its pods, as its own selector names them."),
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="Port of its pods.")]
    version: Annotated[Number | None, Field(description="Number of the version that it is said to run.")] = None
    serving: Annotated[bool, Field(description="Whether it has the traffic.")] = False


class RolledBack(Value):
    """A version that does not come back by itself."""

    version: Annotated[Number, Field(description="Number of the version.")]
    at: Annotated[Time, Field(description="When it was rolled back (RFC 3339).")]
    by: Annotated[str, Field(max_length=WHO_BYTES, description="Who asked; `unknown` where nobody is known.")]
    reason: Annotated[str, Field(max_length=REASON_BYTES, description="Why, in the words of who asked.")] = ""
    retry: Annotated[Short, Field(description="Hash of the slipway.dev/retry that it carried.")] = ""
    approvals: Annotated[
        tuple[Short, ...],
        Field(
            max_length=len(names.APPROVALS),
            json_schema_extra=LIST,
            description="Hashes of the approvals that it carried: they let it in no more.",
        ),
    ] = ()


class Hold(Value):
    """No rollout starts until somebody resumes."""

    at: Annotated[Time, Field(description="Since when (RFC 3339).")]
    by: Annotated[str, Field(max_length=WHO_BYTES, description="Who asked; `unknown` where nobody is known.")]
    reason: Annotated[str, Field(max_length=REASON_BYTES, description="Why, in the words of who asked.")] = ""


class Told(Value):
    """What the registry was last asked to say about a version."""

    version: Annotated[Number, Field(description="Number of the version.")]
    state: Annotated[str, Field(max_length=16, description="What has become of it, in a word.")]
    stage: Annotated[str, Field(max_length=16, description="Stage that was set; empty: none.")] = ""
    alias: Annotated[Short, Field(description="Hash of the alias that was set; empty: none.")] = ""


class Shown(Value):
    """Labels of Production that the registry was seen to give to a version."""

    version: Annotated[Number, Field(description="Number of the version.")]
    by: Annotated[
        Literal["Stage", "Alias", "Both"], Field(description="Whether the stage says so, the alias, or both.")
    ]
    asked: Annotated[bool, Field(description="Whether that was a request, and not there before labels decided.")] = (
        False
    )


class Request(Value):
    """What somebody asked for last, by moving a label to a version or by a retry."""

    version: Annotated[Number, Field(description="Number of the version.")]
    at: Annotated[Time, Field(description="When that was first seen (RFC 3339).")]
    against: Annotated[
        Number | None, Field(description="A version that the other label asks for: neither is followed.")
    ] = None
    retry: Annotated[Short, Field(description="Hash of the slipway.dev/retry that asked; empty: a label did.")] = ""
    again: Annotated[
        bool, Field(description="Whether the version was refused or rolled back before: it is proven anew.")
    ] = False


class TakenBack(Value):
    """A version that was asked for and refused."""

    version: Annotated[Number, Field(description="Number of the version.")]
    at: Annotated[Time | None, Field(description="When it was last asked for (RFC 3339).")] = None
    retry: Annotated[Short, Field(description="Hash of the slipway.dev/retry that it carried.")] = ""


class Following(Value):
    """What the registry's labels have asked for so far. A label of Production that is not among them is a request."""

    since: Annotated[Time | None, Field(description="Since when labels count (RFC 3339).")] = None
    of: Annotated[
        Short,
        Field(description="Hash of the registered model and of the labels that this is about: Production, Archived."),
    ] = ""
    shown: Annotated[
        tuple[Shown, ...],
        Field(
            max_length=SHOWN,
            json_schema_extra=keyed_by("version"),
            description="Labels that were seen and answered; of more versions than these, the highest.",
        ),
    ] = ()
    request: Annotated[Request | None, Field(description="The request that is not answered yet.")] = None
    taken_back: Annotated[
        tuple[TakenBack, ...],
        Field(max_length=TAKEN_BACK, json_schema_extra=keyed_by("version"), description="Requests that were refused."),
    ] = ()
    archived: Annotated[
        Literal["", "Aside", "Seen", "Asked"],
        Field(
            description="Whether the registry says that the champion is archived. `Aside`: MLflow did it by itself "
            "when another version was asked for. `Seen`: by the last sweep only. `Asked`: it is to stop serving."
        ),
    ] = ""
    read_at: Annotated[Time | None, Field(description="The sweep that saw it first (RFC 3339).")] = None
    restore: Annotated[
        bool, Field(description="Whether the champion gets its labels again, after a request that was refused.")
    ] = False
    updated: Annotated[
        int,
        Field(
            ge=0,
            description="When the registered model had last changed when this was taken down, in milliseconds by the "
            "registry's clock; one that says less was restored from a backup. 0: not known.",
        ),
    ] = 0


class Handled(Value):
    """Hashes of the commands that were carried out last: none is replayed."""

    rollback: Annotated[Short, Field(description="Of slipway.dev/rollback.")] = ""
    resume: Annotated[Short, Field(description="Of slipway.dev/resume.")] = ""


class ModelLedgerSpec(Value):
    """What serves, what may be returned to, and what was decided about it."""

    model_config = rules(
        (
            "!has(self.champion) || self.released.exists(one, one.version == self.champion)",
            "the champion must be among the released versions",
        ),
        (
            "!has(self.champion) || !has(self.adopted) || !has(self.adopted.serving) || !self.adopted.serving",
            "a version and an adopted Deployment do not have the traffic at once",
        ),
    )

    format: Annotated[Literal[1], Field(description="Version of this document.")] = 1
    model_uid: Annotated[str, Field(max_length=64, description="Uid of the RegisteredModel that it belongs to.")] = ""
    champion: Annotated[Number | None, Field(description="The version that has the traffic.")] = None
    predecessor: Annotated[Number | None, Field(description="The version that a rollback returns to.")] = None
    adopted: Annotated[
        Adopted | None, Field(description="A Deployment that served before any version did, and may be returned to.")
    ] = None
    since: Annotated[Time | None, Field(description="Since when it has been so (RFC 3339).")] = None
    shift: Annotated[Shift | None, Field(description="A rollout under way.")] = None
    started: Annotated[
        tuple[Number, ...],
        Field(
            max_length=STARTED,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="Versions whose pods were started while none ever had the traffic.",
        ),
    ] = ()
    against_stage: Annotated[
        bool, Field(description="Whether a rollback returned to the champion although its stage said Archived.")
    ] = False
    hold: Annotated[Hold | None, Field(description="Why no rollout starts.")] = None
    released: Annotated[
        tuple[Release, ...],
        Field(
            max_length=RELEASES,
            json_schema_extra=keyed_by("version"),
            description="What may be returned to without new evidence, the latest last.",
        ),
    ] = ()
    rolled_back: Annotated[
        tuple[RolledBack, ...],
        Field(
            max_length=ROLLED_BACK,
            json_schema_extra=keyed_by("version"),
            description="Versions that do not come back by themselves.",
        ),
    ] = ()
    following: Annotated[
        Following | None, Field(description="What the registry asked for, where its labels decide.")
    ] = None
    history: Annotated[
        tuple[Served, ...],
        Field(
            max_length=HISTORY,
            json_schema_extra=LIST,
            description="What had the traffic when, the latest last, as far as there is room. For people.",
        ),
    ] = ()
    handled: Annotated[Handled, Field(description="Commands that were carried out.")] = Handled()
    told: Annotated[
        tuple[Told, ...],
        Field(
            max_length=TOLD,
            json_schema_extra=keyed_by("version"),
            description="What the registry was asked to say, one entry per version in play.",
        ),
    ] = ()

    def release(self, number: int | None) -> Release | None:
        """What was released under that number, if it may be returned to."""
        return next((one for one in self.released if one.version == number), None)

    @property
    def serving(self) -> Release | None:
        """What has the traffic."""
        return self.release(self.champion)

    @property
    def serving_adopted(self) -> Adopted | None:
        """The adopted Deployment, while it has the traffic."""
        return self.adopted if self.adopted is not None and self.adopted.serving else None


class ModelLedger(Value):
    """What serves a model, and what led there; written by the operator alone."""

    plural: ClassVar[str] = "modelledgers"
    short: ClassVar[str] = "ledger"
    columns: ClassVar[tuple[tuple[str, str, str, int], ...]] = (
        ("Champion", "integer", ".spec.champion", 0),
        ("Since", "date", ".spec.since", 0),
        ("To", "integer", ".spec.shift.to.version", 0),
        ("Weight", "integer", ".spec.shift.weight", 0),
        ("Step", "integer", ".spec.shift.step", 0),
        ("Rollback", "integer", ".spec.predecessor", 0),
        ("Held-By", "string", ".spec.hold.by", 0),
        ("Digest", "string", ".spec.released[-1:].digest", 1),
    )

    metadata: Meta
    spec: ModelLedgerSpec = ModelLedgerSpec()
