"""The model registry of an MLflow server, over its REST API."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..api.facts import Facts
from ..api.locations import is_inside
from ..core.description import DESCRIPTION_LIMIT, described
from ..core.facts import bounded
from ..core.registry import Absent, Entry, Labels, Rights, Silent, Write
from ..core.snapshot import Sweep, Watermark
from ..core.webhooks import Subscription, Trial
from ..resources import naming
from .errors import Conflict, NotFound, Rejected
from .mlflow_answers import Patience, TooLarge
from .mlflow_facts import Traces, Where
from .mlflow_formats import Unreadable, digest, proxied_path, read_mlmodel, records, scheme
from .mlflow_http import API, Client, Observe, Request
from .mlflow_lists import DESCRIBED, Lists
from .mlflow_rights import AllRights
from .mlflow_sources import MLMODEL, PROXY, Found, Sources
from .mlflow_webhooks import Webhooks
from .ports import Connection


def _unobserved(operation: str, result: str, seconds: float) -> None:
    """Counts nothing."""


@dataclass(frozen=True)
class _Step:
    """One call of a write."""

    operation: str
    purpose: str
    document: Mapping[str, object]
    method: str = "POST"


class MLflowRegistry:
    """A `Registry`. `observe` hears of every call: operation (the REST path), result, seconds.

    Results are ok, not_found, unauthorized, rejected, unreachable, cancelled.
    """

    def __init__(
        self, connection: Connection, observe: Observe = _unobserved, patience: Patience | None = None
    ) -> None:
        usual = Patience(connect_seconds=connection.connect_seconds, total_seconds=connection.answer_seconds)
        self._http = Client(connection, observe, patience or usual)
        self._lists = Lists(self._http)
        self._sources = Sources(self._http, connection, self._find)
        self._traces = Traces(self._http)
        self._webhooks = Webhooks(self._http)
        self._rights = AllRights(self._http)

    async def close(self) -> None:
        """No connection is left open; one that a call still uses is closed after it."""
        await self._http.close()

    async def server_version(self) -> str:
        """MLflow's version, "unknown" where a proxy hides it; the credential may read the registry.

        GET registered-models/search, since /version is open to all on some servers; then GET /version.
        """
        await self._get("registered-models/search", "list models", max_results="1")
        request = Request("version", "tell its version", "version", limit_bytes=1024)
        try:
            text = (await self._http.content(request)).decode("utf-8", "replace").strip()
        except Rejected:
            return "unknown"
        return text if re.fullmatch(r"[0-9]+\.[0-9][\w.+-]{0,40}", text) else "unknown"

    async def rights(self, names: frozenset[str]) -> Rights | None:
        """What the credential may do, as MLflow's basic-auth app tells; None without it. GET users/…"""
        return await self._rights(names)

    async def resolve(self, name: str, version: int) -> Entry | Absent:
        """What never changes about a version, or why it is no model.

        `VersionNotFound`, `ArtifactMissing` (no files, no way to them) or `ModelInvalid` (not what MLflow writes).
        GET model-versions/get, and what `Sources` asks.
        """
        found = await self._find(name, version)
        if isinstance(found, Absent):
            return found
        source = await self._sources.follow(found)
        if isinstance(source, Absent):
            return source
        entry = Entry(
            name=name,
            version=version,
            source=source.uri,
            location=str(source.place),
            via=source.via,
            model_id=source.model_id,
            run_id=found.text("run_id") or None,
        )
        try:
            content = await self._sources.mlmodel(found, source)
            if content is None or isinstance(content, Absent):
                return content or entry
            mlmodel = await asyncio.to_thread(read_mlmodel, content)  # up to a second for a hostile file
        except TooLarge:
            return Absent("ModelInvalid", self._invalid(found, "is too large to be one that MLflow wrote"))
        except Unreadable as error:
            return Absent("ModelInvalid", self._invalid(found, str(error)))
        return replace(
            entry,
            mlmodel_digest=digest(content),
            mlflow_version=mlmodel.mlflow_version,
            flavors=mlmodel.flavors,
            size_bytes=mlmodel.size_bytes,
        )

    async def facts(self, name: str, version: int) -> Facts | Absent:
        """How a version was made. What cannot be read of it is not known; no answer at all is `Unreachable`.

        GET model-versions/get, then what `Sources` asks and `Traces` reads.
        """
        found = await self._find(name, version)
        if isinstance(found, Absent):
            return found
        source = await self._sources.follow(found)
        where = Where(found, found.text("run_id") or None)
        if not isinstance(source, Absent):
            where = replace(where, model_id=source.model_id, folder=source.folder)
        logged = await self._traces.read(where)
        return await asyncio.to_thread(bounded, logged)  # a hostile run has thousands of long entries

    async def sweep(
        self, since: Watermark | None, wanted: frozenset[str], without: frozenset[str] = frozenset()
    ) -> Sweep:
        """What has changed. GET registered-models/search, model-versions/search."""
        return await self._lists.sweep(since, wanted, without)

    async def model(self, name: str) -> Sweep:
        """Aliases, and the highest version of each stage. GET registered-models/get."""
        return await self._lists.model(name)

    async def versions(self, names: frozenset[str]) -> Sweep:
        """Every version of the models. GET model-versions/search."""
        return await self._lists.versions(names)

    async def labels(self, name: str, version: int) -> Labels | Absent:
        """Stage, aliases (sorted) and tags of a version, now. GET model-versions/get."""
        found = await self._find(name, version)
        return found if isinstance(found, Absent) else found.labels

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

    async def subscribe(self, wanted: Subscription) -> Trial | Silent:
        """Our webhook is there, and what became of a delivery on trial."""
        return await self._webhooks.subscribe(wanted)

    async def unsubscribe(self, name: str) -> Silent | None:
        """Our webhook is not there."""
        return await self._webhooks.unsubscribe(name)

    async def keep(self, run_id: str, path: str, content: bytes) -> None:
        """The document lies among the run's artifacts under `path`; `Rejected` where MLflow does not proxy them.

        GET runs/get, PUT /api/2.0/mlflow-artifacts/artifacts/<path>.
        """
        if not is_inside(path):
            raise Rejected(f'"{path}" is no path inside the artifacts of a run')
        run = (await self._get("runs/get", f"read the run {run_id}", run_id=run_id)).get("run")
        info = run.get("info") if isinstance(run, dict) else None
        root = info.get("artifact_uri") if isinstance(info, dict) else None
        folder = proxied_path(root)
        if folder is None:
            raise Rejected(
                f"the artifacts of the run {run_id} in the MLflow at {self._http.where} are not proxied by the server "
                f"(they lie in {scheme(root)}): start MLflow with --serve-artifacts and an experiment whose artifact "
                "location is mlflow-artifacts:/, or reports cannot be kept there"
            )
        target = f"{PROXY}/{folder}/{path}"
        purpose = f"keep {path} in the run {run_id}"
        await self._http.content(Request("mlflow-artifacts/put", purpose, target, method="PUT", content=content))

    async def _find(self, name: str, version: int) -> Found | Absent:
        """The version as MLflow tells it; when it does not exist, a sentence that says what to do."""
        purpose = f'read version {version} of the model "{name}"'
        try:
            answer = await self._get("model-versions/get", purpose, name=name, version=str(version))
        except NotFound:
            return await self._not_found(name, version)
        return Found(name, version, self._member(answer, "model_version"))

    async def _not_found(self, name: str, version: int) -> Absent:
        where = self._http.where
        try:
            answer = await self._get("registered-models/get", f'read the model "{name}"', name=name)
        except NotFound:
            message = (
                f'the model "{name}" is not registered in the MLflow at {where} (version {version} was asked for): '
                "register it, or correct the name, which is case-sensitive"
            )
            return Absent("VersionNotFound", message)
        latest = records(self._member(answer, "registered_model").get("latest_versions"))
        numbers = [number for one in latest if (number := naming.number(str(one.get("version"))))]
        newest = f"; the newest is {max(numbers)}" if numbers else ""
        message = (
            f'version {version} of the model "{name}" is not registered in the MLflow at {where}{newest}: '
            "it was deleted or never created; name a version that exists"
        )
        return Absent("VersionNotFound", message)

    async def _get(self, operation: str, purpose: str, **query: str) -> dict[str, Any]:
        return await self._http.document(Request(operation, purpose, f"{API}/{operation}", query=query))

    async def _post(self, step: _Step) -> None:
        path = f"{API}/{step.operation}"
        await self._http.document(
            Request(step.operation, step.purpose, path, method=step.method, document=step.document)
        )

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
        expected, now = write.expected, found.labels
        before = f"{now.moved} {now.stage}"
        if write.line in now.lines:
            if now.tags.get(DESCRIBED) == before:
                await self._unmoved(found, f"{now.moved} {found.facts.get('last_updated_timestamp')}")
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
        await self._unmoved(found, before)
        document = {**found.key, "description": text}
        path = f"{API}/model-versions/update"
        answer = await self._http.document(
            Request("model-versions/update", f"describe {found}", path, method="PATCH", document=document)
        )
        at = self._member(answer, "model_version").get("last_updated_timestamp")
        await self._unmoved(found, f"{now.moved} {at}")

    async def _unmoved(self, found: Found, value: str) -> None:
        said = {**found.key, "key": DESCRIBED, "value": value}
        await self._post(_Step("model-versions/set-tag", f'set the tag "{DESCRIBED}" on {found}', said))

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
        try:
            answer = await self._get("registered-models/alias", purpose, name=name, alias=alias)
        except NotFound:
            return None
        except Rejected as error:  # MLflow calls an alias that nobody has an invalid parameter
            if "not found" in str(error):
                return None
            raise
        return naming.number(str(self._member(answer, "model_version").get("version")))

    def _member(self, answer: dict[str, Any], key: str) -> dict[str, Any]:
        value = answer.get(key)
        if not isinstance(value, dict):
            raise Rejected(f'what answers at {self._http.where} is not the MLflow REST API: JSON without "{key}"')
        return value

    def _invalid(self, found: Found, problem: str) -> str:
        return (
            f"{found} in the MLflow at {self._http.where} cannot be used, its {MLMODEL} file {problem}: "
            "log the model again with MLflow and register a new version"
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
