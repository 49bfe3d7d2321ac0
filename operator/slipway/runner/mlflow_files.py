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
from urllib.parse import quote, urlsplit

import requests

from slipway.api.tasks import CREDENTIALS

from .outcome import Refused
from .pod import Pod
from .tree import CHUNK, FILES_LIMIT, safe_path

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_TIMEOUT = (5, 30)  # seconds to connect, to wait for the next byte
_PAUSES = (0.5, 1.0, 2.0)
_DEPTH_LIMIT = 32
_JSON_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True)
class Remote:
    """A file as the server lists it; its size is what the server claims."""

    path: str
    size: int | None


class MLflow:
    """One MLflow server; every failure is a Refused: RegistryUnreachable, RegistryUnauthorized, ArtifactMissing."""

    def __init__(self, uri: str, pod: Pod) -> None:
        self._uri = uri.rstrip("/")
        authority = pod.at(CREDENTIALS) / "ca.crt"
        self._verify: bool | str = str(authority) if authority.is_file() else True
        self._session = requests.Session()
        token, username = pod.secret(CREDENTIALS, "token"), pod.secret(CREDENTIALS, "username")
        if username:
            self._session.auth = (username, pod.secret(CREDENTIALS, "password"))
        elif token:
            self._session.headers["Authorization"] = f"Bearer {token}"

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
        for pause in (*_PAUSES, None):
            try:
                return self._download_once(url, to, max_bytes)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if pause is None:
                    raise self._unreachable(error) from error
            time.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

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
        listed = self._json("GET", _PROXY, params={"path": f"{root}/{below}".rstrip("/")}).get("files", [])
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
        for pause in (*_PAUSES, None):
            try:
                with self._ask(method, self._uri + path, stream=True, **options) as answer:
                    body = answer.raw.read(_JSON_LIMIT, decode_content=True)
                    break
            except (requests.RequestException, OSError) as error:
                if pause is None:
                    raise self._unreachable(error) from error
            time.sleep(pause)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refused("RegistryUnreachable", f"what answers at {self._uri} is not an MLflow server")
        return found

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        # A redirect could lead the credential, or what is taken for a model, elsewhere.
        answer = self._session.request(
            method, url, timeout=_TIMEOUT, verify=self._verify, allow_redirects=False, **options
        )
        status = answer.status_code
        if status >= 500 or status == 429:
            raise requests.ConnectionError(f"HTTP {status}")
        said = "" if status < 400 else answer.raw.read(200, decode_content=True).decode(errors="replace")
        if status in (401, 403):
            raise Refused("RegistryUnauthorized", f"{self._uri} answers HTTP {status}: {said}")
        if 300 <= status < 400:
            raise Refused("RegistryUnreachable", f"{self._uri} redirects; use the address that it redirects to")
        if status >= 400:
            raise Refused("ArtifactMissing", f"{self._uri} answers HTTP {status} to {urlsplit(url).path}: {said}")
        return answer

    def _unreachable(self, error: Exception) -> Refused:
        return Refused("RegistryUnreachable", f"no answer from the registry at {self._uri}: {error}")


def _proxied(location: str) -> str:
    scheme, _, path = location.partition(":")
    if scheme != "mlflow-artifacts" or path.startswith("//"):
        raise Refused(
            "UnsafeArtifact",
            f"the files lie at {location[:200]}; only those behind the registry's own artifact proxy "
            "(mlflow-artifacts:/…) are taken",
        )
    return safe_path(path.strip("/"))


def _text(found: Any, *keys: str) -> str:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, str):
        raise Refused("RegistryUnreachable", f"the registry's answer has no {'.'.join(keys)}")
    return found
