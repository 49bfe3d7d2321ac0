"""The OCI layout that holds every image built here, by digest: images of one layer are written, all are loaded."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodes
from layout import NODES, Node
from paths import IMAGES, write
from say import Trouble

_MEDIA = "application/vnd.oci.image"
_NAME = "io.containerd.image.name"
_REFERENCE = "org.opencontainers.image.ref.name"
_LAYOUT = '{"imageLayoutVersion": "1.0.0"}'


OCI = IMAGES / "oci"
_BLOBS = OCI / "blobs" / "sha256"
_INDEX = OCI / "index.json"


def _entries() -> list[dict[str, Any]]:
    return json.loads(_INDEX.read_text())["manifests"] if _INDEX.is_file() else []


def _entry(image: str) -> dict[str, Any] | None:
    return next((one for one in _entries() if one.get("annotations", {}).get(_REFERENCE) == image), None)


def present(image: str) -> bool:
    return _entry(image) is not None


def digest(image: str) -> str:
    """Of the image's manifest."""
    entry = _entry(image)
    if not entry:
        raise Trouble(f"{image} was not built")
    return str(entry["digest"])


def _blob_path(named: str) -> Path:
    return _BLOBS / named.removeprefix("sha256:")


def _blobs(manifest: str) -> list[str]:
    """The digests that an image consists of, its manifest's included."""
    content = json.loads(_blob_path(manifest).read_text())
    return [manifest, content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]


def _known_layers() -> dict[str, dict[str, Any]]:
    """What the layers that are here are called uncompressed -> their descriptor."""
    known = {}
    for entry in _entries():
        manifest = json.loads(_blob_path(entry["digest"]).read_text())
        names = json.loads(_blob_path(manifest["config"]["digest"]).read_text())["rootfs"]["diff_ids"]
        for name, layer in zip(names, manifest["layers"], strict=True):
            path = _blob_path(layer["digest"])
            if path.is_file() and path.stat().st_size == layer["size"] > 0:
                known[name] = layer
    return known


@contextmanager
def receiving(image: str) -> Iterator[None]:
    """While buildah pushes an image into the layout, spare it the layers that are here.

    buildah knows its layers by their uncompressed name and would compress a gigabyte again for every change
    of a line. It skips what the layout has, so an empty file stands for each known layer, and the manifest
    names the compressed one afterwards.
    """
    _BLOBS.mkdir(parents=True, exist_ok=True)
    known = _known_layers()
    stand_ins = [path for name in known if not (path := _blob_path(name)).exists()]
    for path in stand_ins:
        path.touch()
    yield
    manifest = json.loads(_blob_path(digest(image)).read_text())
    manifest["layers"] = [known.get(layer["digest"], layer) for layer in manifest["layers"]]
    _enter(image, manifest)
    prune()


def prune() -> None:
    """Remove the blobs of images that were replaced."""
    used = {blob for entry in _entries() for blob in _blobs(entry["digest"])}
    for path in _BLOBS.iterdir():
        if f"sha256:{path.name}" not in used:
            path.unlink()


def write_single(image: str, files: Iterable[tuple[str, bytes, int]], config: dict[str, Any]) -> None:
    """Write an image of one layer from scratch: (path, content, mode) each, without a container engine."""
    _BLOBS.mkdir(parents=True, exist_ok=True)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for path, content, mode in files:
            entry = tarfile.TarInfo(path)
            entry.mode = mode
            if path.endswith("/"):
                entry.type = tarfile.DIRTYPE
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    layer_blob = _blob(layer.getvalue(), f"{_MEDIA}.layer.v1.tar")
    document = {
        "architecture": _architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]},
    }
    config_blob = _blob(json.dumps(document).encode(), f"{_MEDIA}.config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": config_blob,
        "layers": [layer_blob],
    }
    _enter(image, manifest)


def _enter(image: str, manifest: dict[str, Any]) -> None:
    """Write an image's manifest and name it in the index."""
    entry = _blob(json.dumps(manifest).encode(), f"{_MEDIA}.manifest.v1+json")
    entry["annotations"] = {_REFERENCE: image}
    # buildah leaves what it replaced in the index, without a name.
    others = [one for one in _entries() if one.get("annotations", {}).get(_REFERENCE, image) != image]
    write(OCI / "oci-layout", _LAYOUT)
    write(_INDEX, json.dumps({"schemaVersion": 2, "manifests": [*others, entry]}))


def _blob(content: bytes, media_type: str) -> dict[str, Any]:
    name = hashlib.sha256(content).hexdigest()
    draft = OCI / f"{name}.draft"
    draft.write_bytes(content)
    draft.replace(_BLOBS / name)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}


def _architecture() -> str:
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def missing_on(image: str) -> list[Node]:
    """The nodes that have not this very image."""
    wanted = digest(image)

    def has(node: Node) -> bool:
        listed = nodes.ctr(node, "images", "ls", f"name=={image}").stdout.splitlines()[1:]
        return any(line.split()[0] == image and line.split()[2] == wanted for line in listed)

    with ThreadPoolExecutor(len(NODES)) as pool:
        return [node for node, found in zip(NODES, pool.map(has, NODES), strict=True) if not found]


def load(image: str) -> None:
    """Load an image into the nodes that lack it."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(lambda node: _load(node, image), missing_on(image)))


def _load(node: Node, image: str) -> None:
    known = set(nodes.ctr(node, "content", "ls", "-q").stdout.split())
    # Only what the node lacks is sent: after a change of code that is one small layer of a big image.
    # Through a pipe: the archive never exists as a file.
    command = nodes.ctr_command(node, "images", "import", "-")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin
        try:
            with process.stdin, tarfile.open(fileobj=process.stdin, mode="w|") as archive:
                _add(archive, "oci-layout", _LAYOUT)
                entry = {**(_entry(image) or {}), "annotations": {_NAME: image}}
                _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}))
                for blob in _blobs(entry["digest"]):
                    if blob not in known:
                        archive.add(_blob_path(blob), f"blobs/sha256/{_blob_path(blob).name}")
        except BrokenPipeError:
            pass
        said = process.stdout.read().decode() if process.stdout else ""
    if process.returncode:
        raise Trouble(f"loading {image} into {node.name} failed:\n{said[-1000:]}")


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def load_archive(path: Path) -> None:
    """Load an image archive, of Docker's or OCI's form, into every node."""

    def into(node: Node) -> None:
        done = nodes.ctr(node, "images", "import", str(path.resolve()))
        if done.returncode:
            raise Trouble(f"loading {path} into {node.name} failed:\n{done.stderr[-1000:]}")

    with ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(into, NODES))
