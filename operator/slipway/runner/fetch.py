"""Brings models and data from the store into the pod's volumes, each checked against its digest."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from slipway.api.tasks import CANDIDATE, CHAMPION, CHAMPION_ENVIRONMENT, ENVIRONMENT, FEATURES, TRUTH, FetchTask

from . import environment, tree
from .outcome import Refused, run, say
from .pod import THIS_POD, Pod
from .store import ENVIRONMENTS, MODELS, PYTHON, StoreClient, tag


def fetch(task: FetchTask, pod: Pod) -> None:
    """The whole program; also the init container of a serving pod."""
    store = StoreClient(task.store, pod)
    candidate = _emptied(pod.at(CANDIDATE))
    _model(store, task.candidate_digest, candidate)
    if task.candidate_environment:
        _packages(store, task.candidate_environment, task.candidate_python, _emptied(pod.at(ENVIRONMENT)))
    elif task.check_environment:
        environment.check(candidate, bool(task.refuse_unstated))
    if task.champion_digest:
        _model(store, task.champion_digest, _emptied(pod.at(CHAMPION)))
    if task.champion_environment:
        _packages(store, task.champion_environment, task.champion_python, _emptied(pod.at(CHAMPION_ENVIRONMENT)))
    if task.data:
        from . import data  # noqa: PLC0415 - pandas: a second that a serving pod need not spend

        _emptied(pod.at(FEATURES))
        _emptied(pod.at(TRUTH))
        data.bring(task.data, store, pod)


def _model(store: StoreClient, digest: str, folder: Path) -> None:
    manifest = _manifest(store, MODELS, digest)
    _unpacked(store, manifest["layers"][0], MODELS, folder)
    files = tree.scan(folder)
    found = tree.digest(files)
    if found != digest:
        raise Refused("DigestMismatch", f"the store's files have the digest {found}, but {digest} was expected")
    say(f"{folder.name}: {len(files)} files, {sum(file.size for file in files) / 1e6:.1f} MB, {digest}")


def _packages(store: StoreClient, digest: str, of: str | None, folder: Path) -> None:
    # Their digest is that of the layer, which is compared as it comes: thousands of files need not be read once more.
    began, manifest = time.monotonic(), _manifest(store, ENVIRONMENTS, digest)
    layer, python = manifest["layers"][0], str(manifest.get("annotations", {}).get(PYTHON))
    if layer["digest"] != digest:
        raise Refused("DigestMismatch", f"the store's packages are {layer['digest']}, but {digest} was expected")
    if python != (wanted := of or environment.minor()):
        said = f"its packages are for Python {python}, and the image that it runs in has {wanted}"
        raise Refused("EnvironmentNotReproducible", said)
    _unpacked(store, layer, ENVIRONMENTS, folder)
    say(f"{folder.name}: {layer['size'] / 1e6:.1f} MB, {time.monotonic() - began:.1f} s, {digest}")


def _manifest(store: StoreClient, repository: str, digest: str) -> Mapping[str, Any]:
    manifest = store.manifest(repository, tag(digest))
    if manifest is None:
        raise Refused("ArtifactMissing", f"the artifact store has no {repository.removesuffix('s')} {digest}")
    return manifest


def _unpacked(store: StoreClient, layer: Mapping[str, Any], repository: str, folder: Path) -> None:
    def take(stream: IO[bytes]) -> None:
        tree.unpack(stream, _emptied(folder), max_bytes=layer["size"], programs=repository == ENVIRONMENTS)

    store.pull(repository, layer, take)


def _emptied(folder: Path) -> Path:
    # The folder itself is a mount; what an earlier try of this container left in it goes.
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return folder


def main(pod: Pod = THIS_POD) -> NoReturn:
    """Run the program in its pod."""
    run(fetch, FetchTask, pod)


if __name__ == "__main__":
    main()
