"""Reads the files of a model version from an MLflow server, over REST and as untrusted input.

Not `mlflow.artifacts`: that follows whatever a version's `source` says (file:, another host, a bucket), would send the
credential there, bounds no size and hides the difference between a refusal and an outage. Only the server's own
artifact proxy is read, so a server must run with `--serve-artifacts` (the default).
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3

from slipway.api.locations import PROXIED, location
from slipway.api.tasks import RegistryAccess

from .outcome import Refused
from .pod import Pod
from .registry_session import RegistrySession
from .tree import CHUNK, FILES_LIMIT, safe_path

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_PAUSES = (0.5, 1.0, 2.0)
_DEPTH_LIMIT = 32
_JSON_LIMIT = 32 * 1024 * 1024
_SAID_BYTES = 4096  # of what a refusal says
_BUSY = (408, 429)

Got = TypeVar("Got")


@dataclass(frozen=True)
class Remote:
    """A file as the server lists it; its size is what the server claims."""

    path: str
    size: int | None


class MLflow:
    """One MLflow server; every failure is a Refused: RegistryUnreachable, RegistryUnauthorized, ArtifactMissing."""

    def __init__(self, uri: str, pod: Pod, access: RegistryAccess | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._session = RegistrySession(access or RegistryAccess(), pod)

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

    def download(self, path: str, to: Path, max_bytes: int) -> int:
        """Stream one file to disk; its size."""
        url = f"{self._uri}{_PROXY}/{quote(path)}"
        return self._retried(lambda: self._download_once(url, to, max_bytes))

    def _download_once(self, url: str, to: Path, max_bytes: int) -> int:
        size = 0
        with self._ask("GET", url, stream=True) as answer, to.open("wb") as file:
            for chunk in answer.iter_content(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise Refused("ArtifactTooLarge", f"{to.name} makes it larger than what is allowed")
                file.write(chunk)
        return size

    def _list(self, root: str, below: str, depth: int) -> Iterator[Remote]:
        if depth == 0:
            raise Refused("UnsafeArtifact", f"folders are nested deeper than {_DEPTH_LIMIT} levels")
        listed = self._folder(f"{root}/{below}".rstrip("/"))
        for entry in listed if isinstance(listed, list) else []:
            try:
                name, folder, size = str(entry["path"]), bool(entry.get("is_dir")), entry.get("file_size")
                path = safe_path(f"{below}/{name}" if below else name)
                if folder:
                    yield from self._list(root, path, depth - 1)
                else:
                    yield Remote(path, None if size is None else int(size))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise Refused("RegistryUnreachable", f"{self._uri} lists files in a way MLflow does not") from error

    def _folder(self, path: str) -> Any:
        """What the server lists in a folder. One that alone makes it fail holds what nobody can read."""
        try:
            return self._json("GET", _PROXY, params={"path": path}).get("files", [])
        except _Unreachable as error:
            above = path.rpartition("/")[0]
            if error.status != 500 or not above:
                raise
            self._json("GET", _PROXY, params={"path": above})
            raise Refused(
                "ArtifactMissing",
                f"{self._uri} lists the folder above and fails on {path} itself (HTTP 500), as on a link that leads "
                "nowhere: remove it there, or log the model again",
            ) from error

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

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        def attempt() -> bytes:
            with self._ask(method, self._uri + path, stream=True, **options) as answer:
                return bytes(answer.raw.read(_JSON_LIMIT, decode_content=True))

        found = _document(self._retried(attempt))
        if found is None:
            raise Refused("RegistryUnreachable", f"what answers at {self._uri} is not an MLflow server")
        return found

    def _retried(self, attempt: Callable[[], Got]) -> Got:
        for pause in (*_PAUSES, None):
            try:
                return attempt()
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if pause is None:
                    raise _Unreachable(self._uri, error) from error
            time.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

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
        told, path = said[:200].decode(errors="replace"), unquote(urlsplit(url).path)
        if status in (401, 403):
            raise Refused("RegistryUnauthorized", f"{self._uri} answers HTTP {status}: {told}")
        if "error_code" not in (_document(said) or {}):  # also a proxy's 404: never to be read as "does not exist"
            raise Refused("RegistryUnreachable", f"what answers at {self._uri} is not MLflow: HTTP {status}, {told}")
        advice = ". MLflow takes no # in a name and undoes what % stands for: rename the file" * bool(
            re.search("[#%]", path)
        )
        raise Refused("ArtifactMissing", f"{self._uri} answers HTTP {status} to {path}: {told}{advice}")


class _Unreachable(Refused):
    """No answer, or a server's error, again and again."""

    def __init__(self, uri: str, error: Exception) -> None:
        super().__init__("RegistryUnreachable", f"no answer from the registry at {uri}: {error}")
        answer = getattr(error, "response", None)
        self.status = answer.status_code if answer is not None else 0


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
