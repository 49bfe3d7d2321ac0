"""A model's files as a value: which names are safe, what their digest is, and the one tar that carries them.

The digest is `sha256:` and the SHA-256 of one line per regular file, in the order of the paths' UTF-8 bytes:

    <path> <size in bytes> <sha256 of the content, hex>\\n

Paths are relative, separated by `/`, and hold no control characters, so that a line has one meaning. Empty folders,
owners, modes and times do not count.
"""

import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .outcome import Refused

CHUNK = 1024 * 1024
FILES_LIMIT = 100_000
PACKAGED_LIMIT = 300_000  # files of an environment: each module has its byte code
_BLOCK = tarfile.BLOCKSIZE
_BUFFER = 64 * 1024  # of a tar's stream, which copies what is left of it at each header


@dataclass(frozen=True)
class File:
    """One regular file of a tree."""

    path: str
    size: int
    sha256: str
    program: bool = False  # of packages: it can be run


def safe_path(path: str) -> str:
    """The path as it is, if it stays inside its folder; UnsafeArtifact otherwise."""
    parts = path.split("/")
    if (
        not path
        or any(part in ("", ".", "..") for part in parts)
        or not path.isprintable()  # also refuses what is not Unicode (surrogates)
        or "\\" in path
        or any(len(part.encode()) > 255 for part in parts)
        or len(path.encode()) > 1024
    ):
        raise Refused("UnsafeArtifact", f"the path {path[:200]!a} is absolute, leaves its folder or is malformed")
    return path


def scan(folder: Path) -> tuple[File, ...]:
    """All files below a folder, sorted; anything but regular files and folders is refused."""
    found = []
    for path in _walk(folder, folder):
        content = folder / path
        size, hexdigest = content.stat().st_size, sha256_of(content)
        found.append(File(path, size, hexdigest))
    return tuple(sorted(found, key=lambda file: file.path.encode()))


def packages(folder: Path) -> tuple[File, ...]:
    """The same of packages: their layer's digest counts, so that none is read; programs among them can be run."""
    found = []
    for path in _walk(folder, folder):
        status = (folder / path).stat()
        found.append(File(path, status.st_size, "", bool(status.st_mode & stat.S_IXUSR)))
    return tuple(sorted(found, key=lambda file: file.path.encode()))


def _walk(folder: Path, top: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = safe_path(os.path.relpath(entry.path, top))
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk(Path(entry.path), top)
            elif stat.S_ISREG(mode):
                yield path
            else:
                raise Refused("UnsafeArtifact", f"{path} is a link or a device: only regular files are taken")


def emptied(folder: Path) -> Path:
    """The folder, there and with nothing in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def digest(files: tuple[File, ...]) -> str:
    """The digest of a tree; see above."""
    lines = (f"{file.path} {file.size} {file.sha256}\n" for file in sorted(files, key=lambda file: file.path.encode()))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def pack(folder: Path, files: tuple[File, ...]) -> Iterator[bytes]:
    """The tree as an uncompressed tar, the same bytes for the same tree: a layer that can be mounted as a volume."""
    by_path = {file.path: file for file in files}
    folders = {"/".join(parts[:end]) for parts in (path.split("/") for path in by_path) for end in range(1, len(parts))}
    for path in sorted({*by_path, *folders}, key=str.encode):
        file = by_path.get(path)
        yield _header(path, file)
        if file is None:
            continue
        with (folder / path).open("rb") as content:
            yield from iter(lambda: content.read(CHUNK), b"")
        yield bytes(-file.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(path: str, file: File | None) -> bytes:
    info = tarfile.TarInfo(path)
    info.mtime = 0
    if file is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = file.size, 0o755 if file.program else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def unpack(
    tar: IO[bytes], folder: Path, max_bytes: int, only: Collection[str] | None = None, programs: bool = False
) -> None:
    """Write the regular files of a tar below an empty folder; refuse whatever is not a plain file or folder.

    With `only`, files of these paths are written, and no other. With `programs`, there may be more files, and some can
    be run.
    """
    ground = _Ground(folder, programs)
    written, limit = 0, 2 * PACKAGED_LIMIT if programs else FILES_LIMIT
    try:
        with tarfile.open(fileobj=tar, mode="r|", bufsize=_BUFFER, encoding="utf-8") as archive:
            for count, member in enumerate(archive):
                if count > limit:
                    raise Refused("UnsafeArtifact", f"the layer holds more than {limit} entries")
                written += member.size
                if written > max_bytes:
                    raise Refused("ArtifactTooLarge", f"the layer unpacks to more than {max_bytes} bytes")
                if only is None or member.name in only:
                    ground.place(archive, member)
    except tarfile.TarError as error:
        raise Refused("DigestMismatch", f"the layer in the store is not a tar of a model: {error}") from error


@dataclass(frozen=True)
class _Ground:
    """Where the files of a tar are written, and the folders that are there."""

    folder: Path
    programs: bool
    made: set[Path] = field(default_factory=set)

    def place(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write one file or folder."""
        # tarfile strips a folder's trailing slash; no link is ever made, so no parent can lead elsewhere.
        target = self.folder / safe_path(member.name)
        if member.type == tarfile.DIRTYPE:
            return self._folder(target)
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            raise Refused("UnsafeArtifact", f"{member.name!a} in the layer is a link or a device")
        self._folder(target.parent)
        content = archive.extractfile(member) or io.BytesIO()
        try:
            with target.open("xb", buffering=0) as file:
                for chunk in iter(lambda: content.read(CHUNK), b""):
                    _write(file, chunk)
                if self.programs and member.mode & stat.S_IXUSR:
                    os.fchmod(file.fileno(), 0o755)
        except FileExistsError as error:
            raise Refused("UnsafeArtifact", f"{member.name!a} is in the layer twice") from error
        return None

    def _folder(self, path: Path) -> None:
        if path not in self.made:
            path.mkdir(parents=True, exist_ok=True)
            self.made.add(path)


def _write(file: io.FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
