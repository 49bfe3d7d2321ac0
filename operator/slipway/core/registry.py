"""What the operator knows of a registry: an entry, its labels, and what to write back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CLOCKS_APART_MS = 60_000  # how far apart the clocks of one registry's servers may be


@dataclass(frozen=True)
class Entry:
    """One version as the registry describes it. Facts only: nothing here was executed."""

    name: str
    version: int
    source: str  # of a copy: where the registry lets it be downloaded from
    model_id: str | None
    run_id: str | None
    location: str = ""  # the folder with the files that the source led to
    via: tuple[str, ...] = ()  # registered models that it was copied from; "" for one that cannot be told
    mlmodel_digest: str | None = None  # sha256:… of the MLmodel file's bytes; None: only the import can read it
    mlflow_version: str | None = None
    flavors: tuple[str, ...] = ()
    size_bytes: int | None = None
    created: int = 0  # when it was registered, by the registry's clock (milliseconds); 0: unknown


@dataclass(frozen=True, slots=True)
class Labels:
    """What the registry says about one version right now."""

    stage: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    moved: int = field(default=0, compare=False)  # when it last entered a stage, by the registry's clock; 0: unknown
    lines: tuple[str, ...] = ()  # of its description: those that a Slipway wrote
    created: int = field(default=0, compare=False)  # when it was registered, by the registry's clock (ms); 0: unknown


@dataclass(frozen=True)
class RegistryModel:
    """One registered model as the last sweep left it."""

    labels: Mapping[int, Labels]  # by version, of every version; tags of Slipway only
    read_at: str = ""  # when the registry was last swept (RFC 3339)
    created: int = 0  # when it was registered (milliseconds, by the registry's clock); one made later is another one
    gone: frozenset[int] = (
        frozenset()
    )  # versions that were there, and of which it has said for a while that they are not
    answers_since: str = ""  # since when it has answered each sweep, or since the operator began to ask
    updated: int = 0  # when it last changed, as by a version that is registered, enters a stage or is deleted
    unexplained: int = 0  # when it last changed and no version that was listed showed why, as when one is deleted


@dataclass(frozen=True)
class Expected:
    """What the registry said when a write was decided. Where it says something else by now, somebody asks for it."""

    stage: str
    aliases: tuple[str, ...]  # it may have lost one since: that went elsewhere
    holder: int | None  # the version that has the alias which is to be set


@dataclass(frozen=True)
class Write:
    """What the registry should say about one version: idempotent, an absent part is left alone."""

    version: int
    stage: str | None = None
    archive: tuple[int, ...] = ()  # versions that leave that stage for it
    aside: str = "Archived"  # the stage that those go to
    alias: str | None = None
    without: str | None = None  # an alias that the version must not have
    expected: Expected | None = None  # None: stage and alias are set whatever they are
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)  # tags that only tell: where they differ, nothing was moved
    line: str = ""  # of the description; all others are people's
    created: int = field(default=0, compare=False)  # when the version was registered that this is about; 0: unknown

    def is_about(self, created: int) -> bool:
        """Whether the version that was registered then is meant: its number may have been given again."""
        return 0 in (self.created, created) or self.created == created

    @property
    def all_tags(self) -> Mapping[str, str]:
        """Tags and notes."""
        return {**self.tags, **self.notes}


@dataclass(frozen=True)
class Contest:
    """Somebody else writes our tags."""

    said: str  # what they say now, and what was written
    tags: Mapping[str, str]  # what was written, and seen there


@dataclass(frozen=True)
class Silent:
    """No answer, or one that cannot be used: never to be read as absence."""

    reason: str  # of the catalogue: RegistryUnreachable, RegistryUnauthorized, RegistryNotFound, RegistryNotAllowed, …
    message: str
    retry: bool = True  # whether asking again without a change may help
    telling: bool = False  # of a write: stage, alias and tags are as asked, and only what tells people is not


@dataclass(frozen=True)
class Absent:
    """The registry answered, and does not have it."""

    reason: str  # VersionNotFound, ArtifactMissing
    message: str


@dataclass(frozen=True)
class Rights:
    """What the registry itself says that our credential may do there."""

    user: str
    levels: Mapping[str, str]  # of registered models, by name: MLflow's own words, such as READ, EDIT or MANAGE
    experiments: str = ""  # the level on all experiments; "": it is not known, or differs


@dataclass(frozen=True)
class RegistryState:
    """What the sweeps have learned about one registry."""

    silence: Silent | None  # why the last sweep brought nothing, or broke off
    version: str | None = None  # of the server
    swept_at: str | None = None  # when the last sweep ended (RFC 3339); None: none has
    models: int = 0  # registered models that the credential can read
    versions: int = 0  # versions of the models that are named in the cluster
    latency_seconds: float = 0.0  # how long the last sweep took
    found: tuple[str, ...] | None = None  # registered models that discovery is about; None: nobody knows
    rights: Rights | None = None  # None: it does not say
    left_out: tuple[str, ...] = ()  # registered models of which it says more than can be read
    by_name: bool = False  # no list of all models can be read: those of the cluster are asked for by name
