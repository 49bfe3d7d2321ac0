"""Reads the files of a model version from an MLflow server, over REST and as untrusted input.

Not `mlflow.artifacts`: that follows whatever a version's `source` says (file:, another host, a bucket), would send the
credential there, bounds no size and hides the difference between a refusal and an outage. Only the server's own
artifact proxy is read, so a server must run with `--serve-artifacts` (the default).
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3

from slipway.api.locations import PROXIED, location
from slipway.api.tasks import RegistryAccess

from .outcome import Refused, scrubbed
from .part import CHUNK, Body, Part, be_impatient
from .patience import Patience, Unreachable
from .pod import Pod
from .registry_session import RegistrySession
from .tree import FILES_LIMIT, safe_path

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
# A server in front of a bucket fetches a file whole before it sends the first byte of it.
_FETCHED_BYTES_PER_SECOND = 5e6
_BROKEN_PAUSES = (0.5, 1.0, 2.0, 4.0)  # after tries of a folder that alone cannot be listed
_DEPTH_LIMIT = 32
_JSON_LIMIT = 32 * 1024 * 1024
_SAID_BYTES = 4096  # of what a refusal says
_BUSY = (408, 429)
_NEEDED = "; with MLflow's basic-auth app that takes READ on the experiment that the files belong to"


@dataclass(frozen=True)
class Remote:
    """A file as the server lists it; its size is what the server claims."""

    path: str
    size: int | None
    folder: bool = False


class MLflow:
    """One MLflow server; every failure is a Refused: RegistryUnreachable, RegistryUnauthorized, ArtifactMissing."""

    def __init__(self, uri: str, pod: Pod, access: RegistryAccess | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._access, self._pod = access or RegistryAccess(), pod
        self._session = RegistrySession(self._access, pod)
        passing = (requests.RequestException, urllib3.exceptions.HTTPError)
        self._patience = Patience(f"the registry at {self._uri}", pod.registry_patience_seconds, passing)

    def root(self, source: str) -> str:
        """The path in the server's artifact proxy that a source (models:/m-…, runs:/…, mlflow-artifacts:/…) means."""
        scheme, _, path = source.partition(":/")
        if scheme == "models" and re.fullmatch(r"m-[0-9a-zA-Z]+", path):
            return self._logged_model(path)
        if scheme == "runs":
            run_id, _, below = path.strip("/").partition("/")
            return self._run_path(run_id, below)
        return _proxied(source)

    def files(self, root: str) -> tuple[Remote, ...]:
        """Every file below a root, with paths relative to it; nothing is downloaded."""
        found = []
        for remote in self._list(root, "", _DEPTH_LIMIT):
            found.append(remote)
            if len(found) > FILES_LIMIT:
                raise Refused("ArtifactTooLarge", f"the version has more than {FILES_LIMIT} files")
        return tuple(found)

    def size(self, path: str) -> int | None:
        """The size of a file as its folder is listed; None if it is not, or has none."""
        folder, _, name = path.rpartition("/")
        try:
            listed = tuple(self._entries(folder)) if folder else ()
        except Refused as refused:
            if refused.reason != "ArtifactMissing":
                raise
            listed = ()  # something beside it cannot be listed
        return next((one.size for one in listed if one.path == name), None)

    def download(self, path: str, to: Path, max_bytes: int, size: int | None) -> int:
        """Stream one file to disk; its size, which is the one that the server has listed.

        What has come before a connection broke is kept where the server continues the same file (206, same ETag).
        """
        url, part = f"{self._uri}{_PROXY}/{quote(path)}", Part(to, max_bytes, size)
        return self._patience.tried(lambda: self._fetch(url, part))

    def _fetch(self, url: str, part: Part) -> int:
        connect, silent = self._access.connect_seconds, self._access.answer_seconds
        wait = silent + (part.size or 0) / _FETCHED_BYTES_PER_SECOND
        headers = {"Accept-Encoding": "identity"}
        if (rest := part.rest) is not None:
            headers |= {"Range": f"bytes={rest.start}-", "If-Range": rest.tag}
        with self._ask("GET", url, stream=True, headers=headers, timeout=(connect, wait)) as answer:
            be_impatient(answer, silent)
            part.take(
                Body(answer.status_code == 206, answer.headers, answer.iter_content(CHUNK)), self._patience.advanced
            )
        return part.whole()

    def _list(self, root: str, below: str, depth: int) -> Iterator[Remote]:
        if depth == 0:
            raise Refused("UnsafeArtifact", f"folders are nested deeper than {_DEPTH_LIMIT} levels")
        for entry in self._entries(f"{root}/{below}".rstrip("/")):
            path = safe_path(f"{below}/{entry.path}" if below else entry.path)
            if entry.folder:
                yield from self._list(root, path, depth - 1)
            else:
                yield Remote(path, entry.size)

    def _entries(self, folder: str) -> Iterator[Remote]:
        """What the server lists in a folder, by name."""
        listed = self._folder(folder)
        for entry in listed if isinstance(listed, list) else []:
            try:
                name, is_folder, size = str(entry["path"]), bool(entry.get("is_dir")), entry.get("file_size")
                yield Remote(name, None if size is None or int(size) < 0 else int(size), is_folder)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise Refused("RegistryUnreachable", f"{self._uri} lists files in a way MLflow does not") from error

    def _folder(self, path: str) -> Any:
        """The listing of a folder. One that alone makes the server fail holds what nobody can read."""
        above = path.rpartition("/")[0]
        for pause in _BROKEN_PAUSES:
            try:
                return self._listing(path, patience_seconds=0)
            except Unreachable as error:
                if error.status != 500 or not above or not self._lists(above):
                    return self._listing(path)
            time.sleep(pause)
        raise Refused(
            "ArtifactMissing",
            f"{self._uri} lists the folder above and fails on {path} itself (HTTP 500), as on a link that leads "
            "nowhere: remove it there, or log the model again",
        )

    def _lists(self, path: str) -> bool:
        try:
            self._listing(path, patience_seconds=0)
        except Unreachable:
            return False
        return True

    def _listing(self, path: str, patience_seconds: float | None = None) -> Any:
        return self._json("GET", _PROXY, patience_seconds, params={"path": path}).get("files", [])

    def _logged_model(self, model_id: str) -> str:
        found = self._json("GET", f"{_API}/logged-models/{model_id}")
        return _proxied(_text(found, "model", "info", "artifact_uri"))

    def _run_path(self, run_id: str, below: str) -> str:
        if not re.fullmatch(r"[0-9a-zA-Z_-]+", run_id):
            raise Refused("UnsafeArtifact", "the source names a run whose id is malformed")
        run = self._json("GET", f"{_API}/runs/get", params={"run_id": run_id}).get("run") or {}
        root = _proxied(_text(run, "info", "artifact_uri"))
        path = f"{root}/{safe_path(below)}" if below else root
        # MLflow 3 logs a model beside the run, under the name that used to be its folder in the run.
        outputs = (run.get("outputs") or {}).get("model_outputs") or []
        if outputs and not Path(below).suffix and not self._json("GET", _PROXY, params={"path": path}).get("files"):
            for output in reversed(outputs):
                model = self._json("GET", f"{_API}/logged-models/{quote(str(output['model_id']), safe='')}")
                if _text(model, "model", "info", "name") == below:
                    return _proxied(_text(model, "model", "info", "artifact_uri"))
        return path

    def _json(self, method: str, path: str, patience_seconds: float | None = None, **options: Any) -> dict[str, Any]:
        def attempt() -> bytes:
            with self._ask(method, self._uri + path, stream=True, **options) as answer:
                return bytes(answer.raw.read(_JSON_LIMIT, decode_content=True))

        found = _document(self._patience.tried(attempt, patience_seconds))
        if found is None:
            raise Refused("RegistryUnreachable", f"what answers at {self._uri} is not an MLflow server")
        return found

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        answer = self._session.request(method, url, **options)
        status = answer.status_code
        if status < 300:
            return answer
        if status >= 500 or status in _BUSY:
            raise requests.HTTPError(f"HTTP {status}", response=answer)
        if 300 <= status < 400:
            raise Refused("RegistryUnreachable", f"{self._uri} redirects; use the address that it redirects to")
        said = answer.raw.read(_SAID_BYTES, decode_content=True)
        told = scrubbed(said.decode(errors="replace"), self._pod.secrets())[:200]  # half a secret is found no more
        path = unquote(urlsplit(url).path)
        if status in (401, 403):
            takes = _NEEDED if status == 403 and self._session.by_password else ""
            raise Refused("RegistryUnauthorized", f"{self._uri} answers HTTP {status}: {told}{takes}")
        if "error_code" not in (_document(said) or {}):  # also a proxy's 404: never to be read as "does not exist"
            raise Refused("RegistryUnreachable", f"what answers at {self._uri} is not MLflow: HTTP {status}, {told}")
        advice = ". MLflow takes no # in a name and undoes what % stands for: rename the file" * bool(
            re.search("[#%]", path)
        )
        raise Refused("ArtifactMissing", f"{self._uri} answers HTTP {status} to {path}: {told}{advice}")


def _document(content: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _proxied(uri: str) -> str:
    place = location(uri)
    if place is None:
        safe_path(uri.partition(":")[2].strip("/"))
    if place is None or place.scheme != PROXIED or place.authority:
        raise Refused(
            "ArtifactForbidden",
            f"the files lie at {uri[:200]}; only those behind the registry's own artifact proxy "
            "(mlflow-artifacts:/…) are taken",
        )
    return safe_path(place.path)


def _text(found: Any, *keys: str) -> str:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str):
        raise Refused("RegistryUnreachable", f"the registry's answer has no {'.'.join(keys)}")
    return found
