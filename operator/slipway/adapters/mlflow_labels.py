"""Writes labels of versions: stage, alias, tags, and a line of the description. MLflow has no call for all of them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from ..api.base import GROUP
from ..core.description import DESCRIPTION_LIMIT, described, writer
from ..core.registry import Absent, Write
from ..resources import naming
from .errors import Conflict, NotFound, Rejected
from .mlflow_http import API, Client, Request
from .mlflow_sources import Found


@dataclass(frozen=True)
class _Step:
    """One call of a write."""

    operation: str
    purpose: str
    document: Mapping[str, object]
    method: str = "POST"


class Labelling:
    """The labels of versions in one MLflow; `find` reads a version as it is now."""

    def __init__(self, http: Client, find: Callable[[str, int], Awaitable[Found | Absent]]) -> None:
        self._http, self._find = http, find

    async def write(self, name: str, write: Write) -> None:
        """The labels are as given; what was so already is not written again.

        Stage, then alias, then tags, so that a reader of the alias finds the stage, and that tags tell of what was
        done. Versions are archived by number and only from that stage: MLflow by itself would archive all, also those
        that were asked for meanwhile, and those of other clusters. `NotFound` when the version is gone. What MLflow
        refuses, such as a stage where it has none, does not keep the rest from being written: the first refusal is
        raised afterwards. Writing again completes what another error broke off. Where stage or alias are not what
        the write expects, nothing is written: `Conflict`. MLflow compares nothing itself, so that what is moved
        between the two requests is overwritten all the same.
        Our line of the description comes last: all of it was read a moment before, and its other lines stay.
        POST model-versions/transition-stage, registered-models/alias (or DELETE), model-versions/set-tag; PATCH
        model-versions/update.
        """
        found = await self._find(name, write.version)
        if isinstance(found, Absent):
            raise NotFound(found.message)
        if not write.is_about(found.created):
            raise NotFound(f"{found} is another one: its number was given anew since the labels were decided")
        await self._expect(found, write)
        refusals: list[Rejected] = []
        for step in (*_steps(found, write), *await self._archived(found, write), *_tags(found, write)):
            try:
                await self._post(step)
            except Rejected as error:
                refusals.append(error)
        try:
            await self._describe(name, write)
        except Rejected as error:
            refusals.append(error)
        if refusals:
            raise refusals[0]

    async def _expect(self, found: Found, write: Write) -> None:
        """`Conflict` where stage or alias were moved since the write was decided."""
        expected, now = write.expected, found.labels
        if expected is None or not any(_steps(found, write)):
            return
        moved = now.stage != expected.stage or not set(now.aliases) <= set(expected.aliases)
        if not moved and write.alias is not None:
            moved = await self._holder(found.name, write.alias) != expected.holder
        if moved:
            raise Conflict(f"the labels of {found} were moved meanwhile: they are read again first")

    async def _describe(self, name: str, write: Write) -> None:
        """Our line is in the description. MLflow takes that for a move of the version: a tag says that it was none.

        The tag is there before, for as long as the version stays in its stage: what breaks off in between moves
        nothing either. The next write makes it exact.
        """
        found = await self._find(name, write.version) if write.line else None
        if not isinstance(found, Found):
            return
        expected, now, tag = write.expected, found.labels, f"{GROUP}/{writer(write.line)}/described"
        before = f"{now.moved} {now.stage}"
        if write.line in now.lines:
            if now.tags.get(tag) == before:
                await self._unmoved(found, tag, f"{now.moved} {found.facts.get('last_updated_timestamp')}")
            return
        if expected and (
            now.stage.lower() not in (expected.stage.lower(), (write.stage or "").lower())
            or not set(now.aliases) <= {*expected.aliases, write.alias}
        ):
            raise Conflict(f"the labels of {found} were moved meanwhile: they are read again first")
        text = described(found.text("description"), write.line)
        if len(text) > DESCRIPTION_LIMIT:
            raise Rejected(
                f"the description of {found} has no room for the line that Slipway writes: shorten it to "
                f"{DESCRIPTION_LIMIT - len(write.line) - 2} characters"
            )
        await self._unmoved(found, tag, before)
        document = {**found.key, "description": text}
        path = f"{API}/model-versions/update"
        answer = await self._http.document(
            Request("model-versions/update", f"describe {found}", path, method="PATCH", document=document)
        )
        at = self._http.member(answer, "model_version").get("last_updated_timestamp")
        await self._unmoved(found, tag, f"{now.moved} {at}")

    async def _unmoved(self, found: Found, tag: str, value: str) -> None:
        said = {**found.key, "key": tag, "value": value}
        await self._post(_Step("model-versions/set-tag", f'set the tag "{tag}" on {found}', said))

    async def _archived(self, found: Found, write: Write) -> list[_Step]:
        """The calls that archive those which leave the stage for it, and are still there."""
        steps = []
        for number in write.archive:
            other = await self._find(found.name, number)
            if isinstance(other, Found) and other.labels.stage.lower() == (write.stage or "").lower():
                moved = {**other.key, "stage": write.aside, "archive_existing_versions": False}
                steps.append(_Step("model-versions/transition-stage", f"move {other} to stage {write.aside}", moved))
        return steps

    async def _holder(self, name: str, alias: str) -> int | None:
        """The version that has an alias now. GET registered-models/alias."""
        purpose = f'read the alias "{alias}" of the model "{name}"'
        query = {"name": name, "alias": alias}
        try:
            answer = await self._http.document(
                Request("registered-models/alias", purpose, f"{API}/registered-models/alias", query=query)
            )
        except NotFound:
            return None
        except Rejected as error:  # MLflow calls an alias that nobody has an invalid parameter
            if "not found" in str(error):
                return None
            raise
        return naming.number(str(self._http.member(answer, "model_version").get("version")))

    async def _post(self, step: _Step) -> None:
        path = f"{API}/{step.operation}"
        await self._http.document(
            Request(step.operation, step.purpose, path, method=step.method, document=step.document)
        )


def _steps(found: Found, write: Write) -> Iterator[_Step]:
    """The calls that move the stage and the aliases of the version."""
    now, key = found.labels, found.key
    if write.stage is not None and write.stage.lower() != now.stage.lower():
        moved = {**key, "stage": write.stage, "archive_existing_versions": False}
        yield _Step("model-versions/transition-stage", f"move {found} to stage {write.stage}", moved)
    if write.alias is not None and write.alias not in now.aliases:
        yield _Step(
            "registered-models/alias", f'set the alias "{write.alias}" on {found}', {**key, "alias": write.alias}
        )
    if write.without is not None and write.without in now.aliases:
        off = {"name": found.name, "alias": write.without}
        yield _Step("registered-models/alias", f'take the alias "{write.without}" off {found}', off, "DELETE")


def _tags(found: Found, write: Write) -> Iterator[_Step]:
    for tag, value in write.all_tags.items():
        if found.labels.tags.get(tag) != value:
            said = {**found.key, "key": tag, "value": value}
            yield _Step("model-versions/set-tag", f'set the tag "{tag}" on {found}', said)
