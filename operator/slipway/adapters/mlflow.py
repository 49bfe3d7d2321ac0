"""The model registry of an MLflow server, over its REST API."""

import asyncio
from dataclasses import replace
from typing import Any

from ..api.facts import Facts
from ..api.locations import is_inside
from ..core.facts import bounded
from ..core.registry import Absent, Entry, Labels, Rights, Silent, Write
from ..core.snapshot import Sweep, Watermark
from ..core.webhooks import Subscription, Trial
from ..resources import naming
from .errors import NotFound, Rejected
from .mlflow_answers import Patience, TooLarge
from .mlflow_facts import Traces, Where
from .mlflow_formats import Unreadable, digest, proxied_path, read_mlmodel, records, scheme
from .mlflow_http import API, Client, Observe, Request
from .mlflow_labels import Labelling
from .mlflow_lists import Lists
from .mlflow_rights import AllRights
from .mlflow_sources import MLMODEL, PROXY, Found, Sources
from .mlflow_webhooks import Webhooks
from .ports import Connection


def _unobserved(operation: str, result: str, seconds: float) -> None:
    """Counts nothing."""


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
        self._labelling = Labelling(self._http, self._find)
        self._webhooks = Webhooks(self._http)
        self._rights = AllRights(self._http)

    async def close(self) -> None:
        """No connection is left open; one that a call still uses is closed after it."""
        await self._http.close()

    async def server_version(self) -> str:
        """MLflow's version, "unknown" where a proxy hides it; the credential may read the registry.

        GET registered-models/search, then version.
        """
        await self._get("registered-models/search", "list models", max_results="1")
        return await self._http.version()

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
            created=found.created,
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
        """The labels are as given: `Labelling.write`."""
        await self._labelling.write(name, write)

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
        return Found(name, version, self._http.member(answer, "model_version"))

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
        latest = records(self._http.member(answer, "registered_model").get("latest_versions"))
        numbers = [number for one in latest if (number := naming.number(str(one.get("version"))))]
        newest = f"; the newest is {max(numbers)}" if numbers else ""
        message = (
            f'version {version} of the model "{name}" is not registered in the MLflow at {where}{newest}: '
            "it was deleted or never created; name a version that exists"
        )
        return Absent("VersionNotFound", message)

    async def _get(self, operation: str, purpose: str, **query: str) -> dict[str, Any]:
        return await self._http.document(Request(operation, purpose, f"{API}/{operation}", query=query))

    def _invalid(self, found: Found, problem: str) -> str:
        return (
            f"{found} in the MLflow at {self._http.where} cannot be used, its {MLMODEL} file {problem}: "
            "log the model again with MLflow and register a new version"
        )
