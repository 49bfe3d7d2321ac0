"""Reads how a version was made from an MLflow server: its run, its logged model, its MLmodel file and requirements.

Each part is read by itself, and one that cannot be read is left unknown: nothing waits for it.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..core.facts import Logged
from .errors import Rejected
from .mlflow_answers import Foreign, GatewayFault, ServerFault, Unknown
from .mlflow_formats import MLMODEL_LIMIT_BYTES, records
from .mlflow_http import API, Client, Request
from .mlflow_made import ENTRIES, mapping, of_conda, of_logged_model, of_mlmodel, of_requirements, of_run
from .mlflow_sources import MLMODEL, PROXY, Found

T = TypeVar("T")
LOGGED_MODELS = 3  # the release of MLflow that brought them; whoever copies the files of one may use an older server
FILE_LIMIT_BYTES = 256 * 1024  # of requirements.txt and conda.yaml; real ones have a few hundred


@dataclass(frozen=True)
class Where:
    """A version, and where the things lie that tell of it."""

    version: Found
    run_id: str | None
    model_id: str | None = None  # of the logged model
    folder: str | None = None  # of the files, below the server's artifact proxy; None: they lie elsewhere


@dataclass
class _Read:
    """What has been read so far."""

    facts: dict[str, Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


class Traces:
    """What a version's making has left on one MLflow server."""

    def __init__(self, http: Client) -> None:
        self._http = http

    async def read(self, where: Where) -> Logged:
        """All that can be read. Raises an `AdapterError` where it is not MLflow that answers, or not yet.

        GET runs/get, logged-models/<id>, /model-versions/get-artifact for MLmodel and requirements.txt (or conda.yaml),
        and the list of the model's files.
        """
        found = _Read()
        run = await self._part(found, "run", self._run(where)) if where.run_id else None
        made = await self._part(found, "model", self._logged_model(where)) if where.model_id else None
        found.facts |= of_run(run) if run is not None else {}
        found.facts |= of_logged_model(made, found.facts) if made is not None else {}
        mlmodel = await self._part(found, "MLmodel", self._file(where, MLMODEL, MLMODEL_LIMIT_BYTES))
        if mlmodel is not None:
            found.facts |= await asyncio.to_thread(of_mlmodel, mlmodel)
        files = await self._part(found, "files", self._files(where))
        if files is not None:
            found.facts["files"] = files
        found.facts |= await self._environment(found, where, files)
        return Logged(**found.facts, unread=tuple(found.unread))

    async def _part(self, found: _Read, name: str, call: Awaitable[T]) -> T | None:
        """What the call brings; None where MLflow has none of it, or does not let it be read."""
        try:
            return await call
        except (Foreign, GatewayFault, Unknown) as error:  # will be over: what is unread now would be so for ever
            never = isinstance(error, Foreign) and name == "model" and await self._http.is_before(LOGGED_MODELS)
            if not never:
                raise
        except (Rejected, ServerFault):  # it answers 500 for a file that an object store does not have
            pass
        found.unread.append(name)
        return None

    async def _run(self, where: Where) -> dict[str, Any]:
        request = Request(
            "runs/get", f"read the run {where.run_id}", f"{API}/runs/get", query={"run_id": str(where.run_id)}
        )
        return mapping((await self._http.document(request)).get("run"))

    async def _logged_model(self, where: Where) -> dict[str, Any]:
        path = f"{API}/logged-models/{where.model_id}"
        request = Request("logged-models/get", f"read the logged model {where.model_id}", path)
        return mapping((await self._http.document(request)).get("model"))

    async def _file(self, where: Where, file: str, limit_bytes: int) -> bytes:
        purpose = f"read {file} of {where.version}"
        if where.folder is not None:
            path = f"{PROXY}/{where.folder}/{file}"
            return await self._http.content(Request("mlflow-artifacts/get", purpose, path, limit_bytes=limit_bytes))
        operation = "model-versions/get-artifact"
        query = {"path": file} | {key: str(value) for key, value in where.version.key.items()}
        return await self._http.content(Request(operation, purpose, operation, query=query, limit_bytes=limit_bytes))

    async def _files(self, where: Where) -> dict[str, str] | None:
        """Its files and folders; None where they lie elsewhere."""
        if where.folder is None:
            return None
        request = Request(
            "mlflow-artifacts/list", f"list the files of {where.version}", PROXY, query={"path": where.folder}
        )
        found = {}
        for one in list(records((await self._http.document(request)).get("files")))[:ENTRIES]:
            name = str(one.get("path", "")).rstrip("/").rpartition("/")[2]
            found[name] = "folder" if one.get("is_dir") else "file"
        return found

    async def _environment(self, found: _Read, where: Where, files: Mapping[str, str] | None) -> dict[str, Any]:
        """Packages by requirements.txt, or by conda.yaml where an older MLflow wrote nothing else."""
        for file, read in (("requirements.txt", of_requirements), ("conda.yaml", of_conda)):
            if files is not None and file not in files:
                continue
            probe = _Read()
            content = await self._part(probe, file, self._file(where, file, FILE_LIMIT_BYTES))
            if content is not None:
                return await asyncio.to_thread(read, content, found.facts)
        found.unread.append("requirements")
        return {}
