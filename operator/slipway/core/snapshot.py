"""What is known of a registry's models: each sweep is merged into what the sweeps before it have found.

A sweep adds and updates. What two reads in a row do not list is gone: one answer may be short, because pages are
offsets that shift under writes, because it broke off, or because a permission was lost for a moment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..api.base import GROUP
from .registry import CLOCKS_APART_MS, Labels, Silent

SERVED, SERVED_KEPT = "/served ", 24  # tags of a version's times of serving, of which the latest are kept
WRITERS = 16  # of so many clusters and namespaces tags are kept, the first by name
TAG_LIMIT = 1024  # characters of a tag that are kept; what Slipway writes is shorter
_TAG = re.compile(rf"({GROUP}/[^/]+/[^/]+)/(?:state|reason|digest|changes|served [^/]+)")
_NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class ModelListed:
    """A registered model in a list."""

    name: str
    updated: int  # milliseconds, by the registry's clock
    aliases: Mapping[str, int]  # of every alias, the version
    created: int = 0  # milliseconds; one of that name that was made later is another model


@dataclass(frozen=True, slots=True)
class Labelled:
    """A registered model in a list that has labels, whether anybody in the cluster names it or not."""

    name: str
    stages: frozenset[str]  # other than None
    aliases: frozenset[str]


@dataclass(frozen=True, slots=True)
class VersionListed:
    """A version in a list; a list of versions says nothing about aliases."""

    name: str
    version: int
    updated: int  # milliseconds, by the registry's clock; a changed tag or alias does not move it
    stage: str
    tags: Mapping[str, str]  # those of Slipway
    moved: int = 0  # `updated`, but for a version that is as it was made, and for what Slipway described
    lines: tuple[str, ...] = ()  # of its description: those that a Slipway wrote
    created: int = 0  # milliseconds; one of that number that was made later is another version

    @property
    def mark(self) -> tuple[str, int, int]:
        """Changes with the version's stage, not with its tags."""
        return self.name, self.version, self.updated


@dataclass(frozen=True)
class Watermark:
    """How far the last sweep has read: the versions that had changed last."""

    marks: frozenset[tuple[str, int, int]]
    by_name: bool = False  # no list of all could be read: models were asked for by name, and are again

    def reached(self, page: Iterable[VersionListed]) -> bool:
        """Whether the page, newest first, goes back to what was read before."""
        oldest = min((updated for _, _, updated in self.marks), default=0)
        return any(one.mark in self.marks or one.updated < oldest for one in page)


@dataclass(frozen=True)
class Sweep:
    """What one reading of the registry brought, about the models that were asked for."""

    models: tuple[ModelListed, ...] = ()
    versions: tuple[VersionListed, ...] = ()  # a later one of the same number is the newer
    listed: bool = False  # `models` are all of the wanted that the registry has, and `labelled` all that it has
    labelled: tuple[Labelled, ...] = ()  # also those that were not asked for
    whole: frozenset[str] = frozenset()  # models of which `versions` are all that the registry has
    counted: int = 0  # registered models, also those that were not asked for
    watermark: Watermark | None = None
    gap: bool = False  # more has changed than was read: only a whole read finds it
    broken_off: Silent | None = None  # why it ended early
    left_out: frozenset[str] = frozenset()  # models of which nothing is told: what is said of one is too large
    by_name: bool = False  # only the wanted models were asked for: `labelled` and `counted` say nothing

    @property
    def complete(self) -> bool:
        """Whether everything that was to be read was read."""
        return not self.gap and self.broken_off is None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one registered model."""

    updated: int
    aliases: Mapping[str, int]
    labels: Mapping[int, Labels] = field(default_factory=dict)
    whole: bool = False  # every version was read
    doubtful: bool = False  # it has changed, and no version that was listed explains it: one may be deleted
    missing: frozenset[int] = frozenset()  # versions that the last whole read did not list
    unlisted: bool = False  # the last list of models did not have it
    created: int = 0  # milliseconds, by the registry's clock
    reused: int = 0  # how often a number was found to be another version's
    unexplained: int = 0  # when it last changed and no version that was listed had (milliseconds)


@dataclass(frozen=True)
class Snapshot:
    """The models of one registry that are named in the cluster."""

    models: Mapping[str, Known] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()  # names that are wanted, and that the registry does not have

    def after(self, sweep: Sweep, wanted: frozenset[str]) -> tuple["Snapshot", frozenset[str]]:
        """What is known after a sweep, and the names of which something else is known than before."""
        models = {name: known for name, known in self.models.items() if name in wanted}
        absent = set(self.absent & wanted)
        rows: dict[str, list[VersionListed]] = {}
        for row in sweep.versions:
            rows.setdefault(row.name, []).append(row)
        for listed in sweep.models:
            if listed.name in wanted:
                models[listed.name] = _listed(models.get(listed.name), listed, rows.get(listed.name, []))
                absent.discard(listed.name)
        for name in (rows.keys() | sweep.whole) & models.keys():
            models[name] = _read(models[name], rows.get(name, []), name in sweep.whole)
        if sweep.listed:
            for name in wanted - {one.name for one in sweep.models} - sweep.left_out:
                known = models.get(name)
                if known is None or known.unlisted:
                    models.pop(name, None)
                    absent.add(name)
                else:
                    models[name] = replace(known, unlisted=True)
        after = Snapshot(models, frozenset(absent))
        return after, frozenset(name for name in wanted if self._said(name) != after._said(name))

    def confirmed(self, name: str, version: int, labels: Labels) -> tuple["Snapshot", bool]:
        """What is known once a version was read by itself, and whether that is something else than before."""
        known = self.models.get(name)
        if known is None:
            return self, False
        others = {alias: number for alias, number in known.aliases.items() if number != version}
        aliases = others | dict.fromkeys(labels.aliases, version)
        stage_and_tags = {**known.labels, version: replace(labels, aliases=(), tags=kept_tags(labels.tags))}
        before = known.labels.get(version)
        entered = before is not None and before.stage != labels.stage  # MLflow gives its model the same date
        updated = max(known.updated, labels.moved) if entered else known.updated
        after = replace(known, aliases=aliases, labels=_with_aliases(stage_and_tags, aliases), updated=updated)
        return replace(self, models={**self.models, name: after}), after.labels != known.labels

    @property
    def unread(self) -> frozenset[str]:
        """Models of which every version has to be read."""
        return frozenset(
            name for name, known in self.models.items() if not known.whole or known.doubtful or known.missing
        )

    def labels(self, name: str) -> Mapping[int, Labels] | None:
        """The labels of a model's versions; None until all were read."""
        known = self.models.get(name)
        return known.labels if known and known.whole else None

    def _said(self, name: str) -> object:
        known = self.models.get(name)
        return name in self.absent, self.labels(name), known and known.reused


def kept_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tags that Slipway writes, in whichever cluster; others would only take memory, and anybody may set them."""
    writers = {key: told[1] for key in tags if (told := _TAG.fullmatch(key))}
    first = set(sorted(set(writers.values()))[:WRITERS])
    found = {key: tags[key][:TAG_LIMIT] for key, writer in writers.items() if writer in first}
    served: dict[str, list[str]] = {}
    for key in found:
        if SERVED in key:
            served.setdefault(key.partition(SERVED)[0], []).append(key)  # what others write pushes out none of ours
    for keys in served.values():
        for old in sorted(keys, key=lambda key: key.rpartition(" ")[2])[:-SERVED_KEPT]:
            del found[old]
    return found or _NO_TAGS


def _listed(before: Known | None, listed: ModelListed, rows: list[VersionListed]) -> Known:
    shown = any(row.updated >= listed.updated for row in rows)
    if before is None or _begins_anew(before, listed):
        unexplained = 0 if shown else listed.updated
        return Known(listed.updated, listed.aliases, created=listed.created, unexplained=unexplained)
    after = replace(before, updated=listed.updated, unlisted=False)
    if not shown and listed.updated > before.updated:
        after = replace(after, doubtful=True, unexplained=listed.updated)
    if before.aliases == listed.aliases:
        return after
    return replace(after, aliases=listed.aliases, labels=_with_aliases(before.labels, listed.aliases))


def _begins_anew(before: Known, listed: ModelListed) -> bool:
    """Whether it was deleted and made anew, or the registry was restored from a backup: nothing goes back in time."""
    return before.created != listed.created or listed.updated < before.updated - CLOCKS_APART_MS


def _read(before: Known, rows: list[VersionListed], whole: bool) -> Known:
    labels, news, reused = dict(before.labels), False, before.reused
    for row in rows:
        known = labels.get(row.version)
        said = Labels(row.stage, (), row.tags, row.moved, row.lines, row.created)
        if known is None or (replace(known, aliases=()), known.moved, known.created) != (
            said,
            said.moved,
            said.created,
        ):
            reused += known is not None and 0 not in (known.created, said.created) and known.created != said.created
            labels[row.version], news = said, True
    if not whole and not news:  # so it is for nearly every model at every tick
        return before
    if whole:
        unlisted = frozenset(labels) - {row.version for row in rows}
        for gone in unlisted & before.missing:
            del labels[gone]
        before = replace(before, whole=True, doubtful=False, missing=unlisted - before.missing)
    return replace(before, labels=_with_aliases(labels, before.aliases), reused=reused)


def _with_aliases(labels: Mapping[int, Labels], aliases: Mapping[str, int]) -> Mapping[int, Labels]:
    named: dict[int, list[str]] = {}
    for alias, number in aliases.items():
        named.setdefault(number, []).append(alias)
    found = {}
    for number, one in labels.items():
        its = tuple(sorted(named.get(number, ())))
        found[number] = one if one.aliases == its else replace(one, aliases=its)
    return found
