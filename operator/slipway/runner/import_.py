"""Copies a version's files from the registry into the artifact store, and computes its digest. Runs no model code."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NoReturn, Protocol

from slipway.api.tasks import DATA_BYTES, IMPORT, ImportResult, ImportTask, Problem

from . import tree
from .bucket import Bucket
from .mlflow_files import MLflow, Remote
from .outcome import Refused, run, say
from .pod import THIS_POD, Pod
from .store import DATA, EXTENSION, MODELS, TITLE, Blob, StoreClient, blob_of, tag

TOLD_BYTES = 500_000_000  # some seconds


def import_version(task: ImportTask, pod: Pod) -> ImportResult:
    """The whole program: download, check, push. Data that cannot be had does not undo the model's import."""
    mlflow, store = MLflow(task.registry_uri, pod, task.registry_access), StoreClient(task.store, pod)
    scratch = pod.at(IMPORT)
    if task.source is None:
        return ImportResult(data_digest=_data(mlflow, store, task, tree.emptied(scratch / "data")))
    place = _place(mlflow, task, task.source, pod)
    files = _model(place, task, task.source, tree.emptied(scratch / "model"))
    digest = tree.digest(files)
    _same("the model's files have", digest, task.expected_digest)
    _push_model(store, scratch / "model", files, digest)
    result = ImportResult(digest=digest, size_bytes=sum(file.size for file in files))
    if not task.data_uri:
        return result
    try:
        data_digest = _data(mlflow, store, task, tree.emptied(scratch / "data"))
    except Refused as refused:
        say(f"the data was not imported: {refused.reason}: {refused}")
        problem = Problem.model_construct(reason=refused.reason, message=str(refused))  # bounded as it ends
        return result.model_copy(update={"data_problem": problem})
    return result.model_copy(update={"data_digest": data_digest})


class Files(Protocol):
    """Where the files of a version lie."""

    def files(self, root: str) -> tuple[Remote, ...]:
        """What lies there, by path and size."""
        ...

    def download(self, path: str, to: Path, max_bytes: int, size: int | None) -> int:
        """One of them is on disk."""
        ...


def _place(mlflow: MLflow, task: ImportTask, source: str, pod: Pod) -> tuple[Files, str]:
    if task.bucket is None:
        return mlflow, mlflow.root(source)
    bucket = Bucket(source, task.bucket, pod)
    return bucket, bucket.root


def _model(place: tuple[Files, str], task: ImportTask, source: str, folder: Path) -> tuple[tree.File, ...]:
    files, root = place
    listed = files.files(root)
    if not any(remote.path == "MLmodel" for remote in listed):
        raise Refused("ArtifactMissing", f"{source} holds no MLmodel file")
    announced = sum(remote.size or 0 for remote in listed)
    if announced > task.max_bytes:
        raise Refused("ArtifactTooLarge", f"{source} is {announced} bytes; at most {task.max_bytes} are allowed")
    _download(place, listed, folder, task.max_bytes)
    found = "sha256:" + tree.sha256_of(folder / "MLmodel")
    _same("the MLmodel file has", found, task.mlmodel_digest)
    return tree.scan(folder)


def _download(place: tuple[Files, str], listed: tuple[Remote, ...], folder: Path, max_bytes: int) -> None:
    files, root = place
    folders = {str(above) for remote in listed for above in PurePosixPath(remote.path).parents}
    if both := folders & {remote.path for remote in listed}:
        raise Refused("UnsafeArtifact", f"{min(both)} is listed both as a file and as a folder")
    began, written = time.monotonic(), 0
    for count, remote in enumerate(listed, start=1):
        target = folder / remote.path
        target.parent.mkdir(parents=True, exist_ok=True)
        written += files.download(f"{root}/{remote.path}", target, max_bytes - written, remote.size)
        say(f"{count}/{len(listed)} files, {written / 1e6:.1f} MB, {time.monotonic() - began:.0f} s: {remote.path}")


def _push_model(store: StoreClient, folder: Path, files: tuple[tree.File, ...], digest: str) -> None:
    began = time.monotonic()
    layer = blob_of(told("hashed", lambda: tree.pack(folder, files)))
    layer = replace(layer, chunks=told("sent to the store", lambda: tree.pack(folder, files)))
    notes = {TITLE: "model.tar", "dev.slipway.digest": digest}
    if store.push(MODELS, tag(digest), layer, notes, image=True):
        return say(f"{digest} is in the store already")
    return say(f"pushed {digest}: {layer.size / 1e6:.1f} MB, {time.monotonic() - began:.0f} s")


def told(what: str, chunks: Callable[[], Iterator[bytes]], every: int = TOLD_BYTES) -> Callable[[], Iterator[bytes]]:
    """The same chunks; a line in the log whenever so many bytes more have gone by."""

    def telling() -> Iterator[bytes]:
        done = 0
        for chunk in chunks():
            yield chunk
            done += len(chunk)
            if done % every < len(chunk):
                say(f"{done / 1e6:.1f} MB {what}")

    return telling


def _data(mlflow: MLflow, store: StoreClient, task: ImportTask, folder: Path) -> str:
    uri = task.data_uri or ""
    name, file = PurePosixPath(uri).name, folder / "data"
    try:
        path = mlflow.root(uri)
        size = mlflow.size(path)
        if size is not None and size > DATA_BYTES:
            raise Refused("ArtifactTooLarge", f"it is listed with {size} bytes")
        mlflow.download(path, file, DATA_BYTES, size)
    except Refused as refused:
        if refused.reason == "ArtifactTooLarge":
            raise Refused("DataTooLarge", f"the data at {uri} is larger than {DATA_BYTES} bytes") from refused
        if refused.reason != "ArtifactMissing":
            raise
        raise Refused("DataUnreadable", f"the registry has no evaluation data at {uri}: {refused}") from refused
    digest = "sha256:" + tree.sha256_of(file)
    _same("the data has", digest, task.data_digest)
    content = Blob(lambda: _read(file), file.stat().st_size, digest)
    notes = {TITLE: name, EXTENSION: PurePosixPath(name).suffix}
    store.push(DATA, tag(digest), content, notes, image=False)
    say(f"the data is in the store: {digest}")
    return digest


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield from iter(lambda: content.read(tree.CHUNK), b"")


def _same(what: str, found: str, wanted: str | None) -> None:
    if wanted and found != wanted:
        raise Refused("DigestMismatch", f"{what} the digest {found}, but {wanted} was expected")


def main(pod: Pod = THIS_POD) -> NoReturn:
    """Run the program in its pod."""
    run(import_version, ImportTask, pod)


if __name__ == "__main__":
    main()
