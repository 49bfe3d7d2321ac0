"""Brings the file with the evaluation data into the pod, from wherever it lies."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from slipway.api.tasks import DATA as CLAIM
from slipway.api.tasks import DataSource

from . import tree, web
from .network import network_of
from .outcome import Refused
from .pod import Pod
from .store import DATA, EXTENSION, StoreClient, tag


@dataclass(frozen=True)
class Target:
    """Where the file is written to, and how large it may be."""

    file: Path
    max_bytes: int

    def take(self, chunks: Iterable[bytes]) -> None:
        """Write the content, in place of what an earlier try wrote."""
        written = 0
        with self.file.open("wb") as content:
            for chunk in chunks:
                written += len(chunk)
                if written > self.max_bytes:
                    raise Refused("DataTooLarge", f"the data is larger than {self.max_bytes} bytes")
                content.write(chunk)


def bring(source: DataSource, store: StoreClient, pod: Pod, target: Target) -> str:
    """Write the file, and return its extension."""
    url = urlsplit(source.uri)
    if url.scheme == "store":
        return _from_store(source, store, target)
    if url.scheme in ("http", "https"):
        web.read(source.uri, network_of(source.access), target.take)
    elif url.scheme == "s3":
        from . import s3  # noqa: PLC0415 - 0.3 s for boto3, which only this kind of data costs

        s3.read(source, network_of(source.access), pod, target.take)
    elif url.scheme == "pvc":
        _from_claim(url.path, pod, target)
    else:
        raise Refused("DataUnreadable", f"data cannot be read from {url.scheme}: addresses")
    return PurePosixPath(url.path).suffix


def is_page(source: DataSource) -> bool:
    """Whether the file may be any web page: what it holds is then not repeated in a message."""
    return urlsplit(source.uri).scheme in ("http", "https")


def _from_store(source: DataSource, store: StoreClient, target: Target) -> str:
    if not source.digest:
        raise Refused("DataUnreadable", "data in the artifact store is addressed by its digest, and none is given")
    manifest = store.manifest(DATA, tag(source.digest))
    if manifest is None:
        raise Refused("ArtifactMissing", f"the store has no data {source.digest}")
    layer = manifest["layers"][0]
    store.pull(DATA, layer, lambda stream: target.take(iter(lambda: stream.read(tree.CHUNK), b"")))
    return str((manifest.get("annotations") or {}).get(EXTENSION, ""))


def _from_claim(path: str, pod: Pod, target: Target) -> None:
    top = pod.at(CLAIM).resolve()
    found = (top / path.lstrip("/")).resolve()
    if not found.is_relative_to(top) or not found.is_file():
        raise Refused("DataUnreadable", f"the volume has no file {path}")
    try:
        with found.open("rb") as content:
            target.take(iter(lambda: content.read(tree.CHUNK), b""))
    except OSError as error:
        raise Refused("DataUnreadable", f"{path} on the volume cannot be read: {error.strerror}") from error
