"""Reads many models and versions of an MLflow server at once, in pages, and keeps of them what is wanted.

A page that is too large is asked for again with fewer rows. One row that is too large alone is told by its beginning,
which has the model's name: the list is then read without that model, and everybody else's labels are known. Where it
has no name, or more models are too large than a filter can leave out, the models of the cluster are asked for by name.
"""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..api.base import GROUP
from ..core.description import lines
from ..core.snapshot import Labelled, ModelListed, Sweep, VersionListed, Watermark, kept_tags
from .errors import AdapterError, Rejected
from .mlflow_answers import TooLarge
from .mlflow_formats import records
from .mlflow_http import API, Client, Pages, Request
from .ports import silence

MODELS = "registered-models/search"
MODEL = "registered-models/get"
VERSIONS = "model-versions/search"
WHOLE = "model-versions/search-whole"  # counted apart: it is rare, and slow
MODELS_PAGE = 200  # MLflow reads every version of a page's models: half a second where each has a hundred
NEWEST_PAGE = 100  # of the versions that changed last
CHANGED_PAGE = 1000  # the second page, where the first was not enough
WHOLE_PAGE = 1000
NAMES_BYTES = 3000  # of one request's filter: servers and proxies take at least 8 KiB of URL
# Tag of each cluster and namespace: when a version was moved before Slipway described it, and when it did. One for all
# would tell of one of two that describe a version at once, and not of the later.
DESCRIBED = re.compile(rf"{GROUP}/[^/]+/[^/]+/described")
NO_LISTS = "supports comparison with a list"  # MLflow 2.9 says this of all but run_id
PAGE_LIMIT_BYTES = 32 * 2**20
ROW_NAME = re.compile(rb'\s*\{\s*"\w+"\s*:\s*\[\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")')  # of the first in a list
Row = dict[str, Any]


class _TooLargeAlone(Exception):
    """What MLflow says of this model, or of one of its versions, is too large to be read; "": of which is not known."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def apart(self, names: list[str]) -> tuple[frozenset[str], list[list[str]]]:
        """Of the names that were asked for, the one that is too large, if that is known, and others to be tried on."""
        if self.name in names or len(names) == 1:
            large = self.name if self.name in names else names[0]
            return frozenset({large}), [left] if (left := [one for one in names if one != large]) else []
        middle = len(names) // 2
        return frozenset(), [names[:middle], names[middle:]]


class Lists:
    """The lists of one MLflow server."""

    def __init__(self, http: Client) -> None:
        self._http = http
        self._singly = False  # an older MLflow takes no list of names

    async def sweep(self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str]) -> Sweep:
        """The wanted models, and their versions that have changed since; what fails after the first page ends it."""
        by_name = since is not None and since.by_name
        while not by_name and len(list(_batches(without))) <= 1:
            try:
                swept = await self._sweep(since, wanted, f"name NOT {_in(without)}" if without else "")
                return replace(swept, counted=swept.counted + len(without), left_out=without)
            except _TooLargeAlone as one:
                by_name = not one.name or one.name in without
                without |= {one.name} - {""}
        parts = [await self._named(since, batch) for batch in _batches(wanted - without)]
        return _joined(parts, without)

    async def model(self, name: str) -> Sweep:
        """The row of one model, as the list of models has it."""
        request = Request(MODEL, f'read the model "{name}"', f"{API}/{MODEL}", query={"name": name})
        row = (await self._http.document(request)).get("registered_model")
        if not isinstance(row, dict) or row.get("name") != name:
            raise Rejected(f'the MLflow at {self._http.where} told of another model than "{name}"')
        return Sweep((_model(row),), (*_versions(row.get("latest_versions")),))

    async def versions(self, names: frozenset[str]) -> Sweep:
        """Every version of the models; what fails after the first page ends it, and its models are not whole."""
        found: list[VersionListed] = []
        whole: set[str] = set()
        left_out: frozenset[str] = frozenset()
        try:
            for batch in [[name] for name in sorted(names)] if self._singly else _batches(names):
                rows, without = await self._versions(batch)
                found += rows
                left_out |= without
                if len({(one.name, one.version) for one in rows}) == len(rows):
                    whole |= set(batch) - without  # otherwise something was written between two pages
        except AdapterError as error:
            if NO_LISTS in str(error) and not self._singly:
                self._singly = True
                return await self.versions(names)
            if not whole:
                raise
            return Sweep((), (*found,), whole=frozenset(whole), broken_off=silence(error), left_out=left_out)
        return Sweep(versions=(*found,), whole=frozenset(whole), left_out=left_out)

    async def _versions(self, names: list[str]) -> tuple[list[VersionListed], frozenset[str]]:
        """Every version of a few models, and the models that had to be left out."""
        purpose = f'list the versions of "{names[0]}"' + (" and other models" if len(names) > 1 else "")
        where = f"name = {_quoted(names[0])}" if self._singly else f"name {_in(names)}"
        query = _Query(WHOLE, purpose, ("name ASC", "version_number ASC"), where)
        try:
            return [row async for page in self._pages(query, WHOLE_PAGE) for row in _versions(page)], frozenset()
        except _TooLargeAlone as one:
            left_out, parts = one.apart(names)
        found: list[VersionListed] = []
        for part in parts:
            rows, without = await self._versions(part)
            found, left_out = found + rows, left_out | without
        return found, left_out

    async def _named(self, since: Watermark | None, names: list[str]) -> Sweep:
        """A sweep of these models only."""
        try:
            return await self._sweep(since, frozenset(names), f"name {_in(names)}")
        except _TooLargeAlone as one:
            left_out, parts = one.apart(names)
        return _joined([await self._named(since, part) for part in parts], left_out)

    async def _sweep(self, since: Watermark | None, wanted: frozenset[str], where: str) -> Sweep:
        """A sweep of all that the filter lets through."""
        found: dict[str, ModelListed] = {}
        tops: list[VersionListed] = []
        labelled: list[Labelled] = []
        counted = 0
        try:
            async for page in self._pages(_Query(MODELS, "list models", ("name ASC",), where), MODELS_PAGE):
                counted += len(page)
                for row in page:
                    if (labels := _labelled(row)) is not None:
                        labelled.append(labels)
                    if (name := row.get("name")) in wanted:
                        found[name] = _model(row)
                        tops += _versions(row.get("latest_versions"))
        except AdapterError as error:
            if not counted:
                raise
            swept = Sweep((*found.values(),), (*tops,), watermark=since, counted=counted)
            return replace(swept, broken_off=silence(error))
        swept = Sweep((*found.values(),), (*tops,), True, (*labelled,), watermark=since, counted=counted)
        try:
            return await self._changed(swept, since, wanted, where)
        except AdapterError as error:
            return replace(swept, broken_off=silence(error))

    async def _changed(self, swept: Sweep, since: Watermark | None, wanted: frozenset[str], where: str) -> Sweep:
        """The sweep with the versions that changed last: a page, and a larger one where that does not reach back."""
        query = _Query(VERSIONS, "list the newest versions", ("last_updated_timestamp DESC",), where)
        rows, token, _ = await self._page(query, NEWEST_PAGE)
        newest = list(_versions(rows))
        changed = newest
        gap = since is not None and bool(token) and not since.reached(newest)
        if gap and since is not None:
            rows, token, _ = await self._page(query, CHANGED_PAGE, token)
            changed = [*newest, *_versions(rows)]
            gap = bool(token) and not since.reached(changed)
        return replace(
            swept,
            versions=(*swept.versions, *(row for row in changed if row.name in wanted)),
            watermark=Watermark(frozenset(row.mark for row in newest)),
            gap=gap,
        )

    async def _pages(self, query: "_Query", size: int) -> AsyncIterator[list[Row]]:
        token, pages, fits = "", Pages(self._http.where), size
        while True:
            rows, following, fits = await self._page(query, fits, token)
            token, fits = pages.next(following), min(size, 2 * fits)
            yield rows
            if not token:
                return

    async def _page(self, query: "_Query", size: int, token: str = "") -> tuple[list[Row], str, int]:
        """The rows of a page, what asks for the next one, and how many were asked for: fewer where they are large."""
        while True:
            try:
                answer = await self._http.document(query.request(size, token))
            except TooLarge as error:  # tags may hold 100,000 characters each
                if size > 1:
                    size //= 2
                    continue
                name = ROW_NAME.match(error.beginning)
                raise _TooLargeAlone(json.loads(name[1]) if name else "") from None
            member = answer.get("registered_models" if query.operation == MODELS else "model_versions")
            return list(records(member)), str(answer.get("next_page_token") or ""), size


@dataclass(frozen=True)
class _Query:
    """What a list is of; `where` is a filter of MLflow's."""

    operation: str
    purpose: str
    order_by: tuple[str, ...]
    where: str = ""

    def request(self, size: int, token: str) -> Request:
        path = f"{API}/{VERSIONS if self.operation == WHOLE else self.operation}"
        asked = {"max_results": str(size), "filter": self.where, "page_token": token}
        given: dict[str, str | tuple[str, ...]] = {key: value for key, value in asked.items() if value}
        given["order_by"] = self.order_by
        return Request(self.operation, self.purpose, path, query=given, limit_bytes=PAGE_LIMIT_BYTES)


def _model(row: Row) -> ModelListed:
    aliases = {str(one.get("alias")): integer(one.get("version")) for one in records(row.get("aliases"))}
    updated, created = (integer(row.get(f"{when}_timestamp")) for when in ("last_updated", "creation"))
    return ModelListed(str(row.get("name")), updated, aliases, created)


def _labelled(row: Row) -> Labelled | None:
    """What the registered model has labels of; None if it has none."""
    stages = frozenset(str(one.get("current_stage")) for one in records(row.get("latest_versions")))
    aliases = frozenset(str(one.get("alias")) for one in records(row.get("aliases")))
    labels = Labelled(str(row.get("name")), stages - {"None", ""}, aliases)
    return labels if labels.stages or labels.aliases else None


def _versions(rows: object) -> Iterator[VersionListed]:
    for row in records(rows):
        name, number, stage = row.get("name"), integer(row.get("version")), row.get("current_stage")
        if not isinstance(name, str) or number < 1:
            raise Rejected("MLflow listed a version without a name or a number")
        tags = {str(tag.get("key")): str(tag.get("value", "")) for tag in records(row.get("tags"))}
        updated, shown = integer(row.get("last_updated_timestamp")), stage if isinstance(stage, str) else "None"
        described, created = lines(row.get("description")), integer(row.get("creation_timestamp"))
        yield VersionListed(name, number, updated, shown, kept_tags(tags), moved_at(row), described, created)


def moved_at(facts: Mapping[str, object]) -> int:
    """When a version last entered a stage or was described anew (milliseconds); 0 for one that is as it was made.

    What Slipway wrote into the description moved nothing, and the tag says so for as long as that was the last change;
    or, where it broke off there, for as long as the version is in the stage that it was in.
    """
    updated = integer(facts.get("last_updated_timestamp"))
    tags = (tag for tag in records(facts.get("tags")) if DESCRIBED.fullmatch(str(tag.get("key"))))
    said = {until: moved for moved, _, until in (str(tag.get("value", "")).partition(" ") for tag in tags)}
    for until in (str(updated), facts.get("current_stage") or "None"):
        if until in said:
            return integer(said[until])
    return 0 if updated == integer(facts.get("creation_timestamp")) else updated


def _joined(parts: list[Sweep], left_out: frozenset[str]) -> Sweep:
    """One sweep of models by their names: of the others, and of how many there are, it says nothing."""
    marks = (one.watermark.marks for one in parts if one.watermark)
    return Sweep(
        models=tuple(row for one in parts for row in one.models),
        versions=tuple(row for one in parts for row in one.versions),
        listed=all(one.listed for one in parts),
        watermark=Watermark(frozenset().union(*marks), by_name=True),
        gap=any(one.gap for one in parts),
        broken_off=next((one.broken_off for one in parts if one.broken_off), None),
        left_out=left_out.union(*(one.left_out for one in parts)),
        by_name=True,
    )


def _batches(names: frozenset[str]) -> Iterator[list[str]]:
    """The names, in lists that a URL can carry."""
    batch: list[str] = []
    size = 0
    for name in sorted(names):
        length = len(name.encode()) * 3 + 12  # each byte may become three; quotes and a comma
        if batch and size + length > NAMES_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += length
    if batch:
        yield batch


def _in(names: Iterable[str]) -> str:
    """A list in MLflow's filters; only there, a literal may hold what `_quoted` makes of quotes."""
    return f"IN ({', '.join(map(_quoted, sorted(names)))})"


def _quoted(name: str) -> str:
    """A string literal of MLflow's filters, which it reads as Python's after having split the filter at quotes."""
    return "'" + name.replace("\\", "\\x5c").replace("'", "\\x27") + "'"


def integer(value: object) -> int:
    """An int64: a number in MLflow's JSON, and a string in protobuf's."""
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"[0-9]{1,19}", str(value)) else 0
