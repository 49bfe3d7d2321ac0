"""Follows what a version says of its files to where they lie, and reads the MLmodel file there.

As MLflow's own client does it: `models:/m-…` and `runs:/…` are asked for, and a copy (`copy_model_version` leaves
`models:/<name>/<version>`) lies where the server says that it may be downloaded from, which it decided when the copy
was made. What the copies led through is told too: not everybody may use every model.
"""

import posixpath
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..api.locations import PROXIED, Location, at_home, location
from ..core.description import lines
from ..core.registry import Absent, Labels
from .errors import AdapterError, NotFound, Rejected
from .mlflow_answers import ServerFault
from .mlflow_formats import MLMODEL_LIMIT_BYTES, records
from .mlflow_http import API, Client, Request
from .mlflow_lists import integer, moved_at
from .ports import Connection

MLMODEL = "MLmodel"
PROXY = "api/2.0/mlflow-artifacts/artifacts"
HOPS = 5  # copies of copies that are followed
GONE = ""  # stands for a model that nobody can tell any more: the version that was copied is deleted
COPIED = re.compile(r"models:/+([^/]+)/([0-9]{1,9})/?")
LOGGED = re.compile(r"models:/+(m-[0-9a-zA-Z]+)/?")
MODEL_ID = re.compile(r"(?:^models:/|/models/)(m-[0-9a-f]{32})(?:/artifacts)?/?$")


@dataclass(frozen=True)
class Found:
    """A version as `model-versions/get` tells it."""

    name: str
    version: int
    facts: dict[str, Any]

    def __str__(self) -> str:
        return f'version {self.version} of the model "{self.name}"'

    def text(self, key: str) -> str:
        value = self.facts.get(key)
        return value if isinstance(value, str) else ""

    @property
    def key(self) -> dict[str, object]:
        """What names the version in a call."""
        return {"name": self.name, "version": str(self.version)}

    @property
    def labels(self) -> Labels:
        aliases = self.facts.get("aliases")
        return Labels(
            stage=self.text("current_stage") or "None",
            aliases=tuple(sorted(map(str, aliases if isinstance(aliases, list) else ()))),
            tags={str(tag.get("key")): str(tag.get("value", "")) for tag in records(self.facts.get("tags"))},
            moved=moved_at(self.facts),
            lines=lines(self.text("description")),
            created=self.created,
        )

    @property
    def created(self) -> int:
        """When it was registered (milliseconds, by the server's clock); 0: the server does not tell."""
        return integer(self.facts.get("creation_timestamp"))


@dataclass(frozen=True)
class Source:
    """What a version's source has led to."""

    uri: str  # of the version itself; of a copy: where the server lets it be downloaded from
    place: Location
    via: tuple[str, ...] = ()  # registered models that it was copied from; `GONE` for one that cannot be told

    @property
    def model_id(self) -> str | None:
        """The logged model that the files are. Taken from where they lie: the MLmodel file could claim any."""
        match = MODEL_ID.search(self.uri) or MODEL_ID.search(str(self.place))
        return match[1] if match else None

    @property
    def folder(self) -> str | None:
        """The path below the server's artifact proxy; None where the server does not hand the files out."""
        return self.place.path if self.place.scheme == PROXIED and not self.place.authority else None


class Sources:
    """Follows and reads sources of one MLflow server; raises errors of `adapters.errors`."""

    def __init__(
        self, http: Client, connection: Connection, find: Callable[[str, int], Awaitable[Found | Absent]]
    ) -> None:
        self._http, self._connection, self._find = http, connection, find

    async def follow(self, found: Found) -> Source | Absent:
        """Where the files of a version lie, or why no client can load them (`ArtifactMissing`).

        GET model-versions/get and get-download-uri for a copy, logged-models/<id>, runs/get; POST logged-models/search.
        """
        uri, via = found.text("source"), list[str]()
        seen = {(found.name, found.version)}
        while copied := COPIED.fullmatch(uri):
            name, version = copied[1], int(copied[2])
            if (name, version) in seen:
                return self._missing(found, f"is a copy of {name}/{version}, which is a copy of itself")
            if len(via) == HOPS:
                return self._missing(found, f"is a copy of a copy, more than {HOPS} times")
            seen.add((name, version))
            via.append(name)
            origin = await self._find(name, version)
            if isinstance(origin, Absent):
                via.append(GONE)
                break
            uri = origin.text("source")
        if via:
            purpose = f"tell where the files of {found} are downloaded from"
            answer = await self._get("model-versions/get-download-uri", purpose, **_texts(found.key))
            uri = str(answer.get("artifact_uri") or "")
        told = await self._told(found, uri)
        if isinstance(told, Absent):
            return told
        place = location(told)
        if place is None:
            return self._missing(
                found,
                f"lies at {told[:300] or 'no address'}, which MLflow's clients read as another address or as none: log "
                "the model under a name without ?, # and ..",
            )
        return Source(uri, at_home(place, self._connection.uri, self._connection.artifact_hosts), tuple(via))

    async def mlmodel(self, found: Found, source: Source) -> bytes | Absent | None:
        """The bytes of the MLmodel file; None where the server cannot read it, and the import will.

        GET /api/2.0/mlflow-artifacts/artifacts/<path> or, for a bucket, /model-versions/get-artifact.
        """
        purpose = f"read {MLMODEL} of {found}"
        if source.folder is None:
            query = {"path": MLMODEL, **_texts(found.key)}
            where = "model-versions/get-artifact"
            try:
                return await self._http.content(
                    Request(where, purpose, where, query=query, limit_bytes=MLMODEL_LIMIT_BYTES)
                )
            except NotFound:
                return self._missing(found, f"has no {MLMODEL} file in {source.place}")
            except AdapterError:  # the server has answered a moment ago: what it has not is the bucket
                return None
        path = f"{PROXY}/{source.folder}/{MLMODEL}"
        try:
            return await self._http.content(
                Request("mlflow-artifacts/get", purpose, path, limit_bytes=MLMODEL_LIMIT_BYTES)
            )
        except NotFound:
            return await self._without_mlmodel(found, source.folder)
        except ServerFault:
            # MLflow answers 500 for a file that an object store does not have.
            with suppress(ServerFault):
                if MLMODEL not in await self._listed(found, source.folder):
                    return await self._without_mlmodel(found, source.folder)
            raise

    async def _told(self, found: Found, uri: str) -> str | Absent:
        """The address of the files that `models:/m-…` or `runs:/…` stands for; any other as it is."""
        if logged := LOGGED.fullmatch(uri):
            operation, path = "logged-models/get", f"{API}/logged-models/{logged[1]}"
            try:
                answer = await self._http.document(Request(operation, f"read the logged model {logged[1]}", path))
            except NotFound:
                return self._missing(found, f"is the logged model {logged[1]}, which was deleted")
            return _text(answer, "model", "info", "artifact_uri")
        if uri.startswith("models:"):
            return self._missing(
                found, f"names {uri[:300]}, which may be another version tomorrow: register a version by its number"
            )
        if uri.startswith("runs:"):
            return await self._of_run(found, uri)
        return uri

    async def _of_run(self, found: Found, uri: str) -> str | Absent:
        """A folder of a run, or the model that the run has logged under that name: MLflow's client prefers it."""
        run_id, _, below = uri.removeprefix("runs:").strip("/").partition("/")
        try:
            run = (await self._get("runs/get", f"read the run {run_id}", run_id=run_id)).get("run")
        except NotFound:
            return self._missing(found, f"lies in the run {run_id}, which was deleted")
        name, _, rest = below.partition("/")
        logged = await self._logged(_text(run, "info", "experiment_id"), run_id, name)
        root, path = (logged, rest) if logged else (_text(run, "info", "artifact_uri"), below)
        return f"{root.rstrip('/')}/{path}".rstrip("/")

    async def _logged(self, experiment_id: str, run_id: str, name: str) -> str:
        """Where the newest model lies that the run has logged under the name; "" if it has none."""
        if not name or re.search(r"""["'%:.\\]""", name + run_id):
            return ""  # MLflow lets no logged model be called that
        operation = "logged-models/search"
        document = {
            "experiment_ids": [experiment_id],
            "filter": f"name = '{name}' AND source_run_id = '{run_id}'",
            "max_results": 1,
        }
        request = Request(
            operation, f"search the models of the run {run_id}", f"{API}/{operation}", "POST", document=document
        )
        try:
            answer = await self._http.document(request)
        except Rejected:  # a server that knows no logged models
            return ""
        return next((_text(model, "info", "artifact_uri") for model in records(answer.get("models"))), "")

    async def _without_mlmodel(self, found: Found, folder: str) -> Absent:
        """What is there in place of a folder with an MLmodel file."""
        held = await self._listed(found, folder)
        if held:
            names = ", ".join(sorted(held)[:5])
            return self._missing(found, f"has no {MLMODEL} file: the folder {folder} has only {names}")
        above, name = posixpath.split(folder)
        if not above or (await self._listed(found, above)).get(name) is not False:
            problem = f"has no {MLMODEL} file in {folder}: its artifacts were deleted or never uploaded"
            return self._missing(found, problem)
        problem = f"is a single file, {folder}, and no folder with an {MLMODEL} file"
        do = "log the model with MLflow (mlflow.<flavor>.log_model) and register a new version"
        return Absent("ModelInvalid", f"{found} in the MLflow at {self._http.where} {problem}; {do}")

    async def _listed(self, found: Found, folder: str) -> dict[str, bool]:
        """Names in a folder of the server's artifact proxy, and whether each is a folder."""
        request = Request("mlflow-artifacts/list", f"list the files of {found}", PROXY, query={"path": folder})
        files = records((await self._http.document(request)).get("files"))
        return {posixpath.basename(str(one.get("path"))): bool(one.get("is_dir")) for one in files}

    async def _get(self, operation: str, purpose: str, **query: str) -> dict[str, Any]:
        return await self._http.document(Request(operation, purpose, f"{API}/{operation}", query=query))

    def _missing(self, found: Found, problem: str) -> Absent:
        do = "log the model again and register a new version"
        return Absent("ArtifactMissing", f"{found} in the MLflow at {self._http.where} {problem}; {do}")


def _texts(key: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in key.items()}


def _text(found: Any, *keys: str) -> str:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str):
        raise Rejected(f"what answers there is not the MLflow REST API: JSON without {'.'.join(keys)}")
    return found
