"""The artifact store: what import and fetch need of an OCI registry (distribution-spec 1.1), streamed.

Plain `requests` rather than the `oras` package: oras reads a blob into memory to push it (or needs the tar on disk),
sets no timeouts, and packs folders into a tar that differs from run to run. `oras pull` reads what is pushed here.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from slipway.api.tasks import PUSH, Store

from .outcome import Refused, say
from .pod import THIS_POD, Pod

MODELS, DATA, ENVIRONMENTS = "models", "data", "environments"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_FILE = "application/octet-stream"
TITLE = "org.opencontainers.image.title"
PYTHON = "dev.slipway.python"  # minor version that packages are for
EXTENSION = "dev.slipway.data.extension"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
_TIMEOUT = (3, 8)  # seconds to connect, to wait for the next byte
_ATTEMPTS = 12

Got = TypeVar("Got")
_REFUSED = {
    401: ("StoreUnauthorized", "does not know the password"),
    403: ("StoreUnauthorized", "does not let this user in"),
    405: ("StoreReadOnly", "takes nothing: it is read-only"),
}
_PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class Blob:
    """Re-readable content with its size and digest."""

    chunks: Callable[[], Iterator[bytes]]  # not `read`: requests would take it for a file
    size: int
    digest: str

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks()

    def __len__(self) -> int:  # requests sends a Content-Length instead of chunks
        return self.size


def blob_of(chunks: Callable[[], Iterator[bytes]]) -> Blob:
    """Read the content once, to know its size and digest."""
    size, sha256 = 0, hashlib.sha256()
    for chunk in chunks():
        size += len(chunk)
        sha256.update(chunk)
    return Blob(chunks, size, f"sha256:{sha256.hexdigest()}")


def tag(digest: str) -> str:
    """Where content of this digest lies in its repository."""
    return digest.replace(":", "-")


class _Password:
    """The password of the import, for the store's own address and for no other that an answer may name."""

    def __init__(self, url: str, pod: Pod) -> None:
        known = f"{pod.secret(PUSH, 'username')}:{pod.secret(PUSH, 'password')}"
        self._header = f"Basic {base64.b64encode(known.encode()).decode()}"
        self._origin = _origin(url)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if _origin(request.url or "") == self._origin:
            request.headers["Authorization"] = self._header
        return request


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


class StoreClient:
    """One OCI registry; every failure is a Refused: StoreUnreachable, StoreUnauthorized, StoreReadOnly, StoreRejected.

    A tag only finds. Whoever pulls compares what came with the digest that it was told, in any case.
    """

    def __init__(self, store: Store, pod: Pod = THIS_POD) -> None:
        self._base = f"{store.url.rstrip('/')}/v2/{store.repository.strip('/')}"
        self._url = store.url
        self._session = requests.Session()
        if pod.secret(PUSH, "password"):
            self._session.auth = _Password(store.url, pod)
        self._patience_seconds = pod.store_patience_seconds
        self._progress = time.monotonic()

    def manifest(self, repository: str, reference: str) -> dict[str, Any] | None:
        """The manifest under a tag, None if the store has none."""
        content = self._manifest(repository, reference)
        if content is None:
            return None
        try:
            found = json.loads(content)
            (layer,) = found["layers"]
            layer.update(digest=str(layer["digest"]), size=int(layer["size"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = f"{self._base}/{repository}/manifests/{reference}"
            raise Refused("StoreRejected", f"{where} is not a manifest that Slipway pushed") from error
        return dict(found)

    def _manifest(self, repository: str, reference: str) -> bytes | None:
        url = f"{self._base}/{repository}/manifests/{reference}"
        answer = self._retried(lambda: self._ask("GET", url, headers={"Accept": _MANIFEST}))
        return None if answer.status_code == 404 else answer.content

    def pull(self, repository: str, layer: Mapping[str, Any], take: Callable[[IO[bytes]], Got]) -> Got:
        """Hand a layer to `take` as a stream, checking its digest; `take` starts anew when the stream broke."""
        url = f"{self._base}/{repository}/blobs/{layer['digest']}"

        def attempt() -> Got:
            with self._ask("GET", url, stream=True) as answer:
                if answer.status_code == 404:
                    raise Refused("ArtifactMissing", f"the store has no blob {layer['digest']} in {repository}")
                stream = _Checked(answer.iter_content(1024 * 1024), self._advanced)
                got = take(stream)  # type: ignore[arg-type]  # it reads, which is all that is asked of it
                stream.finish(layer["digest"])
                return got

        return self._retried(attempt)

    def push(self, repository: str, name: str, content: Blob, annotations: Mapping[str, str], image: bool) -> bool:
        """Put content under a tag: as an image of one layer, or as a plain file. Whether it was there already.

        Something is written in any case: a store that is read-only for a collection lets no import end meanwhile.
        """
        config = _config(content, image)
        self._upload(repository, config)
        self._upload(repository, content)
        body = _described(config, content, annotations, image)
        there = self._manifest(repository, name) == body
        # The same under the same tag is written by its digest, which a store with immutable tags takes, too.
        reference = f"sha256:{hashlib.sha256(body).hexdigest()}" if there else name
        url = f"{self._base}/{repository}/manifests/{reference}"
        self._retried(lambda: self._ask("PUT", url, data=body, headers={"Content-Type": _MANIFEST}))
        return there

    def name(self, repository: str, reference: str, more: str) -> None:
        """Put one more tag on what lies under another."""
        body = self._manifest(repository, reference)
        if body is None:
            raise Refused("ArtifactMissing", f"the store has no {reference} in {repository}")
        url = f"{self._base}/{repository}/manifests/{more}"
        self._retried(lambda: self._ask("PUT", url, data=body, headers={"Content-Type": _MANIFEST}))

    def _upload(self, repository: str, content: Blob) -> None:
        blobs = f"{self._base}/{repository}/blobs"
        if self._retried(lambda: self._ask("HEAD", f"{blobs}/{content.digest}")).ok:
            return

        def attempt() -> None:
            where = self._ask("POST", f"{blobs}/uploads/")
            if not where.headers.get("Location"):
                raise Refused("StoreRejected", f"the store at {self._url} began no upload (HTTP {where.status_code})")
            target = urljoin(f"{blobs}/uploads/", where.headers["Location"])
            target += ("&" if "?" in target else "?") + f"digest={content.digest}"
            self._ask("PUT", target, data=content, headers={"Content-Type": LAYER_FILE})

        self._retried(attempt)

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        answer = self._session.request(method, url, timeout=_TIMEOUT, **options)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise requests.ConnectionError(f"HTTP {answer.status_code}")
        if reason := _REFUSED.get(answer.status_code):
            raise Refused(reason[0], f"the store at {self._url} {reason[1]} (HTTP {answer.status_code} to {method})")
        if answer.status_code >= 400 and not (answer.status_code == 404 and method in ("GET", "HEAD")):
            raise Refused("StoreRejected", f"the store at {self._url} refused {method}: HTTP {answer.status_code}")
        self._advanced()
        return answer

    def _advanced(self) -> None:
        self._progress = time.monotonic()

    def _retried(self, attempt: Callable[[], Got]) -> Got:
        self._advanced()
        pause = 0.25
        for left in reversed(range(_ATTEMPTS)):
            try:
                return attempt()
            except _PASSING as error:
                if left == 0 or time.monotonic() + pause - self._progress > self._patience_seconds:
                    raise Refused(
                        "StoreUnreachable", f"no answer from the artifact store at {self._url}: {error}"
                    ) from error
                say(f"the store at {self._url} does not answer, again in {pause} s: {error}")
            time.sleep(pause)
            pause = min(pause * 2, 4)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _config(content: Blob, image: bool) -> Blob:
    # A model's layer is the root of an image, so that a node can mount it; its platform is never looked at.
    found: dict[str, Any] = {}
    if image:
        found = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [content.digest]},
        }
    data = json.dumps(found, sort_keys=True).encode()
    return blob_of(lambda: iter([data]))


def _described(config: Blob, content: Blob, annotations: Mapping[str, str], image: bool) -> bytes:
    """The manifest, the same bytes for the same content."""
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {
            "mediaType": _IMAGE_CONFIG if image else _EMPTY_CONFIG,
            "digest": config.digest,
            "size": config.size,
        },
        "layers": [
            {
                "mediaType": LAYER_TAR if image else LAYER_FILE,
                "digest": content.digest,
                "size": content.size,
                "annotations": {TITLE: annotations[TITLE]},
            }
        ],
        "annotations": dict(annotations),
    }
    if not image:
        manifest["artifactType"] = "application/vnd.slipway.data.v1"
    return json.dumps(manifest, sort_keys=True).encode()


class _Checked:
    """A readable stream over chunks that knows the digest of what went through."""

    def __init__(self, chunks: Iterator[bytes], advanced: Callable[[], None]) -> None:
        self._chunks, self._advanced = chunks, advanced
        self._sha256, self._chunk, self._at = hashlib.sha256(), b"", 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; b"" at the end."""
        parts, wanted = list[bytes](), size
        while wanted:
            if self._at == len(self._chunk) and not self._next():
                break
            end = len(self._chunk) if size < 0 else min(self._at + wanted, len(self._chunk))
            parts.append(self._chunk[self._at : end])  # what is left stays where it is: many small reads copy little
            wanted -= end - self._at if size >= 0 else 0
            self._at = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next(self) -> bool:
        """Whether there is a chunk more."""
        chunk = next(self._chunks, None)
        while chunk == b"":
            chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._advanced()
        self._sha256.update(chunk)
        self._chunk, self._at = chunk, 0
        return True

    def finish(self, digest: str) -> None:
        """Read on to the end and compare."""
        while self.read(1024 * 1024):
            pass
        found = f"sha256:{self._sha256.hexdigest()}"
        if found != digest:
            raise Refused("DigestMismatch", f"the store sent {found} where {digest} was asked for")
