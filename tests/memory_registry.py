"""A model registry in memory that keeps the contract of `adapters.ports` as MLflow's does."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from slipway.adapters.errors import AdapterError, Conflict, NotFound, Rejected
from slipway.adapters.mlflow_formats import Unreadable, digest, read_mlmodel
from slipway.adapters.mlflow_made import of_mlmodel, of_requirements, of_run
from slipway.adapters.ports import silence
from slipway.api.facts import Facts
from slipway.core.description import DESCRIPTION_LIMIT, described, lines
from slipway.core.facts import Logged, bounded
from slipway.core.registry import Absent, Entry, Labels, Rights, Silent, Write
from slipway.core.snapshot import Labelled, ModelListed, Sweep, VersionListed, Watermark, kept_tags
from slipway.core.webhooks import Subscription, Trial

STAGES = ("None", "Staging", "Production", "Archived")
ALIAS = re.compile(r"[\w-]{1,255}")
RESERVED_ALIAS = re.compile(r"latest|v[0-9]+", re.IGNORECASE)
TAG = re.compile(r"[/\w.\- :]{1,250}")
TAG_LIMIT = 100_000
LOGGED = ("params", "metrics", "tags")  # of a run
PAGE = 2  # models and versions of a page


@dataclass(frozen=True)
class Model:
    """What is logged and then registered. A file that is None is missing."""

    mlmodel: bytes | None
    model_id: str | None = None
    run_id: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)  # of the run
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    requirements: bytes | None = None


class MemoryRegistry:
    """A `Registry`; `trouble`, when set, is what every call raises, or every request after `good_requests` more.

    `refused` says what a write is refused for: a stage, an alias or a tag, word for word. `requests` counts pages.
    """

    def __init__(self, version: str = "3.17.2") -> None:
        self.trouble: AdapterError | None = None
        self.good_requests = 0
        self.refused: dict[str, AdapterError] = {}
        self.requests = 0
        self.too_large: frozenset[str] = frozenset()  # models of which more is said than can be read
        self.granted: dict[str, str] | None = None  # levels by model; None: nobody tells
        self.closed = False
        self._ticks = 0
        self.kept: dict[tuple[str, str], bytes] = {}
        self.runs: set[str] = set()
        self.webhooks: dict[str, Subscription] = {}
        self.trial = Trial(204)  # what becomes of a delivery on trial
        self.forbids_webhooks: Silent | None = None
        self.descriptions: dict[tuple[str, int], str] = {}
        self._server_version = version
        self._models: dict[str, dict[int, tuple[Model, Labels]]] = {}
        self._deleted: dict[tuple[str, int], tuple[Model, Labels]] = {}
        self._created: dict[str, int] = {}
        self._made: dict[tuple[str, int], int] = {}  # when a version was registered
        self._updated: dict[tuple[str, int], int] = {}  # the model itself is version 0

    def register(self, name: str, model: Model) -> int:
        """The model is the newest version of `name`; returns its number, which is never used again."""
        number = self._created[name] = self._created.get(name, 0) + 1
        if name not in self._models:
            self._made[name, 0] = self._ticks
        self._models.setdefault(name, {})[number] = (model, Labels("None", (), {}))
        if model.run_id:
            self.runs.add(model.run_id)
        self._touch(name, number)
        self._made[name, number] = self._ticks
        return number

    def delete(self, name: str, version: int) -> None:
        """The version is gone, and its labels with it."""
        self._deleted[name, version] = self._models[name].pop(version)
        self._touch(name)

    def restore(self, name: str, version: int) -> None:
        """It was never gone: a list was short."""
        self._models[name][version] = self._deleted.pop((name, version))

    def delete_model(self, name: str) -> None:
        """The model is gone, and all its versions; one of that name that is made later begins anew."""
        del self._models[name], self._created[name]

    def lose_files(self, name: str, version: int) -> None:
        """The version is registered, and its files are gone."""
        model, labels = self._models[name][version]
        self._models[name][version] = (replace(model, mlmodel=None), labels)

    async def server_version(self) -> str:
        """The version given to the constructor."""
        self._check()
        return self._server_version

    async def rights(self, names: frozenset[str]) -> Rights | None:
        """What was granted; where nothing is told of a model, all."""
        self._check()
        if self.granted is None:
            return None
        return Rights("slipway", {name: self.granted.get(name, "MANAGE") for name in names})

    async def resolve(self, name: str, version: int) -> Entry | Absent:
        """What was registered, read from the MLmodel file as the real adapter does."""
        self._check()
        found = self._find(name, version)
        if isinstance(found, Absent):
            return found
        model, _ = found
        shown = f'version {version} of the model "{name}" in memory'
        if model.mlmodel is None:
            return Absent("ArtifactMissing", f"{shown} has no MLmodel file")
        try:
            mlmodel = read_mlmodel(model.mlmodel)
        except Unreadable as error:
            return Absent("ModelInvalid", f"{shown} cannot be used, its MLmodel file {error}")
        return Entry(
            name=name,
            version=version,
            source=f"models:/{model.model_id}" if model.model_id else f"memory:/{name}/{version}",
            location=f"mlflow-artifacts:/0/models/{model.model_id}/artifacts",
            model_id=model.model_id,
            run_id=model.run_id,
            mlmodel_digest=digest(model.mlmodel),
            mlflow_version=mlmodel.mlflow_version,
            flavors=mlmodel.flavors,
            size_bytes=mlmodel.size_bytes,
            created=self._made[name, version],
        )

    async def facts(self, name: str, version: int) -> Facts | Absent:
        """What was logged of the run, and what the files say."""
        self._check()
        found = self._find(name, version)
        if isinstance(found, Absent):
            return found
        model = found[0]
        logged = {key: [{"key": k, "value": v} for k, v in getattr(model, key).items()] for key in LOGGED}
        said = (of_run({"data": logged}) if model.run_id else {}) | (of_mlmodel(model.mlmodel) if model.mlmodel else {})
        packages = of_requirements(model.requirements, {}) if model.requirements is not None else {}
        unread = ["MLmodel"] * (model.mlmodel is None) + ["requirements"] * (not packages)
        files = {"MLmodel": "file"} if model.mlmodel is not None else {}
        files |= {"requirements.txt": "file"} if packages else {}
        return bounded(Logged(**said, **packages, files=files, unread=tuple(unread)))

    async def sweep(
        self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
    ) -> Sweep:
        """The wanted models, page after page, and what has changed since."""
        found: list[ModelListed] = []
        tops: list[VersionListed] = []
        left_out = without | self.too_large
        names = sorted(self._models.keys() - left_out)
        for start in range(0, max(1, len(names)), PAGE):
            try:
                self._check()
            except AdapterError as error:
                if start == 0:
                    raise
                return Sweep(
                    (*found,), (*tops,), watermark=since, counted=start, broken_off=silence(error), left_out=left_out
                )
            for name in wanted.intersection(names[start : start + PAGE]):
                found.append(self._model_row(name))
                tops += self._tops(name)
        labelled = (*(one for one in map(self._labelled, names) if one.stages or one.aliases),)
        counted = len(names) + len(left_out)
        swept = Sweep((*found,), (*tops,), True, labelled, watermark=since, counted=counted, left_out=left_out)
        try:
            self._check()
            rows = sorted((self._row(n, v) for n in names for v in self._models[n]), key=lambda row: -row.updated)
            page, gap = rows[:PAGE], False
            if since is not None and not since.reached(page) and len(rows) > PAGE:
                self._check()
                page = rows[: 2 * PAGE]
                gap = len(rows) > 2 * PAGE and not since.reached(page)
        except AdapterError as error:
            return replace(swept, broken_off=silence(error))
        watermark = Watermark(frozenset(row.mark for row in rows[:PAGE]))
        changed = tuple(row for row in page if row.name in wanted)
        return replace(swept, versions=(*tops, *changed), watermark=watermark, gap=gap)

    async def model(self, name: str) -> Sweep:
        """Its aliases, and the highest version of each stage."""
        self._check()
        if name not in self._models:
            raise NotFound(f'the model "{name}" is not registered in memory')
        if name in self.too_large:
            raise Rejected(f'too much is said of the model "{name}"')
        return Sweep((self._model_row(name),), (*self._tops(name),))

    def _model_row(self, name: str) -> ModelListed:
        aliases = {a: n for n, (_, labels) in self._models[name].items() for a in labels.aliases}
        return ModelListed(name, self._updated[name, 0], aliases, self._made[name, 0])

    def _tops(self, name: str) -> list[VersionListed]:
        newest = {labels.stage: n for n, (_, labels) in sorted(self._models[name].items())}
        return [self._row(name, n) for n in newest.values()]

    def _labelled(self, name: str) -> Labelled:
        every = [labels for _, labels in self._models[name].values()]
        stages = frozenset(one.stage for one in every) - {"None"}
        return Labelled(name, stages, frozenset(alias for one in every for alias in one.aliases))

    async def versions(self, names: frozenset[str]) -> Sweep:
        """Every version of the models, a model a page."""
        found: list[VersionListed] = []
        whole: set[str] = set()
        for name in sorted(names):
            try:
                self._check()
            except AdapterError as error:
                if not whole:
                    raise
                return Sweep(versions=(*found,), whole=frozenset(whole), broken_off=silence(error))
            if name in self.too_large:
                continue
            found += [self._row(name, number) for number in self._models.get(name, {})]
            whole.add(name)
        return Sweep(versions=(*found,), whole=frozenset(whole), left_out=names & self.too_large)

    async def labels(self, name: str, version: int) -> Labels | Absent:
        """The labels as last written."""
        self._check()
        found = self._find(name, version)
        return found if isinstance(found, Absent) else self._labels(name, version)

    async def write(self, name: str, write: Write) -> None:
        """The labels are as given; the alias has left other versions."""
        self._check()
        found = self._find(name, write.version)
        if isinstance(found, Absent):
            raise NotFound(found.message)
        if not write.is_about(self._made[name, write.version]):
            raise NotFound(f'version {write.version} of the model "{name}" is another one')
        self._expect(name, write, found[1])
        refusals: list[Rejected] = []
        for step in self._steps(name, write):
            try:
                step()
            except Rejected as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    async def subscribe(self, wanted: Subscription) -> Trial | Silent:
        self._check()
        if self.forbids_webhooks is not None:
            return self.forbids_webhooks
        self.webhooks[wanted.name] = wanted
        return self.trial

    async def unsubscribe(self, name: str) -> Silent | None:
        self._check()
        if self.forbids_webhooks is not None:
            return self.forbids_webhooks
        self.webhooks.pop(name, None)
        return None

    async def keep(self, run_id: str, path: str, content: bytes) -> None:
        """The document is in `kept`, under the run and the path."""
        self._check()
        if not path or {"", ".", ".."} & set(path.split("/")):
            raise Rejected(f'"{path}" is no path inside the artifacts of a run')
        if run_id not in self.runs:
            raise NotFound(f"there is no run {run_id}")
        self.kept[run_id, path] = content

    async def close(self) -> None:
        """Nothing to give back."""
        self.closed = True

    def _check(self) -> None:
        if self.trouble is not None:
            if self.good_requests == 0:
                raise self.trouble
            self.good_requests -= 1
        self.requests += 1

    def _touch(self, name: str, version: int = 0) -> None:
        self._ticks += 1
        self._updated[name, version] = self._updated[name, 0] = self._ticks

    def _labels(self, name: str, number: int) -> Labels:
        updated, made = self._updated[name, number], self._made[name, number]
        moved = 0 if updated == made else updated
        return replace(self._models[name][number][1], moved=moved, created=made)

    def _row(self, name: str, number: int) -> VersionListed:
        one, updated = self._labels(name, number), self._updated[name, number]
        tags = kept_tags(one.tags)
        return VersionListed(name, number, updated, one.stage, tags, one.moved, one.lines, one.created)

    def _expect(self, name: str, write: Write, now: Labels) -> None:
        expected, alias = write.expected, write.alias if write.alias not in now.aliases else None
        changes = write.stage not in (None, now.stage) or alias is not None or write.without in now.aliases
        changes = changes or (write.line != "" and write.line not in now.lines)
        if expected is None or not changes:
            return
        holder = next((n for n, (_, one) in self._models[name].items() if alias in one.aliases), None)
        moved = now.stage != expected.stage or not set(now.aliases) <= set(expected.aliases)
        if moved or (alias and holder != expected.holder):
            raise Conflict(f"the labels of version {write.version} were moved meanwhile: they are read again first")

    def _steps(self, name: str, write: Write) -> Iterator[Callable[[], None]]:
        number = write.version
        if write.stage is not None:
            yield partial(self._enter, name, number, write.stage)
        if write.alias is not None:
            yield partial(self._name, name, number, write.alias)
        if write.without in self._models[name][number][1].aliases:
            yield partial(self._unname, name, number, str(write.without))
        for other in write.archive:
            if (
                other in self._models[name]
                and self._models[name][other][1].stage.lower() == (write.stage or "").lower()
            ):
                yield partial(self._enter, name, other, write.aside)
        for key, value in write.all_tags.items():
            yield partial(self._tag, name, number, key, value)
        if write.line and write.line not in self._models[name][number][1].lines:
            yield partial(self._describe, name, number, write.line)

    def _describe(self, name: str, version: int, line: str) -> None:
        self._refuse("description")
        text = described(self.descriptions.get((name, version), ""), line)
        if len(text) > DESCRIPTION_LIMIT:
            raise Rejected(f"the description of version {version} has no room for the line that Slipway writes")
        self.describe(name, version, text)

    def describe(self, name: str, version: int, text: str) -> None:
        """Somebody writes a description."""
        self.descriptions[name, version] = text
        self._relabel(name, version, replace(self._models[name][version][1], lines=lines(text)))

    def _refuse(self, what: str) -> None:
        if what in self.refused:
            raise self.refused[what]

    def _tag(self, name: str, version: int, key: str, value: str) -> None:
        if self._models[name][version][1].tags.get(key) == value:
            return
        self._refuse(key)
        if not TAG.fullmatch(key) or len(value) > TAG_LIMIT:
            raise Rejected(f'refused to set the tag "{key[:250]}"')
        labels = self._models[name][version][1]
        self._relabel(name, version, replace(labels, tags={**labels.tags, key: value}))

    def _find(self, name: str, version: int) -> tuple[Model, Labels] | Absent:
        if name not in self._models:
            return Absent("VersionNotFound", f'the model "{name}" is not registered in memory (version {version})')
        found = self._models[name].get(version)
        if found is None:
            return Absent("VersionNotFound", f'version {version} of the model "{name}" is not registered in memory')
        return found

    def _enter(self, name: str, version: int, wanted: str) -> None:
        stage = next((one for one in STAGES if one.lower() == wanted.lower()), None)
        if stage is None:
            raise Rejected(f'"{wanted}" is no stage: it is one of {", ".join(STAGES)}')
        labels = self._models[name][version][1]
        if labels.stage == stage:
            return
        self._refuse(stage)
        self._relabel(name, version, replace(labels, stage=stage))
        self._touch(name, version)

    def _name(self, name: str, version: int, alias: str) -> None:
        if alias in self._models[name][version][1].aliases:
            return
        self._refuse(alias)
        if not ALIAS.fullmatch(alias) or RESERVED_ALIAS.fullmatch(alias):
            raise Rejected(f'the alias "{alias}" is reserved or not legal')
        for other, (_, labels) in list(self._models[name].items()):
            aliases = set(labels.aliases) - {alias} | ({alias} if other == version else set())
            self._relabel(name, other, replace(labels, aliases=tuple(sorted(aliases))))

    def _unname(self, name: str, version: int, alias: str) -> None:
        self._refuse(alias)
        labels = self._models[name][version][1]
        left = tuple(one for one in labels.aliases if one != alias)
        self._relabel(name, version, replace(labels, aliases=left))

    def _relabel(self, name: str, version: int, labels: Labels) -> None:
        self._models[name][version] = (self._models[name][version][0], labels)
