"""The store's volume: where the CNCF distribution registry keeps manifests, tags and blobs.

This layout has been the same since the registry's version 2.0; the tests run against the real program.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = "/var/lib/registry"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 digest, and nothing besides."""
    return _DIGEST.fullmatch(text) is not None


class Volume:
    """One volume; names of repositories and tags must have been checked by the caller."""

    def __init__(self, root: Path) -> None:
        self._top = root / "docker" / "registry" / "v2"

    def manifest(self, repository: str, reference: str) -> str | None:
        """The digest of the manifest under a tag or a digest, None if the repository has none."""
        if not is_digest(reference):
            return _linked(self._tags(repository) / reference / "current" / "link")
        return _linked(self._revisions(repository) / _hex(reference) / "link")

    def holds(self, repository: str, digest: str) -> bool:
        """Whether a blob belongs to the repository."""
        return _linked(self._of(repository) / "_layers" / "sha256" / _hex(digest) / "link") == digest

    def blob(self, digest: str) -> Path:
        """The file with the content of this digest."""
        return self._top / "blobs" / "sha256" / _hex(digest)[:2] / _hex(digest) / "data"

    def repository(self, name: str) -> bool:
        """Whether anything was ever pushed there."""
        return self._revisions(name).is_dir()

    def tags(self, repository: str) -> Iterator[tuple[str, str]]:
        """Each tag, with the digest of its manifest."""
        for folder in _folders(self._tags(repository)):
            if digest := _linked(folder / "current" / "link"):
                yield folder.name, digest

    def untagged(self, repository: str) -> set[str]:
        """The manifests that no tag leads to."""
        tagged = {digest for _, digest in self.tags(repository)}
        every = {f"sha256:{folder.name}" for folder in _folders(self._revisions(repository))}
        return every - tagged

    def written(self, repository: str, tag: str, digest: str) -> float:
        """When this tag or its manifest was pushed last, in seconds since 1970."""
        links = (self._tags(repository) / tag / "current", self._revisions(repository) / _hex(digest))
        return max((folder / "link").stat().st_mtime for folder in links if (folder / "link").exists())

    def remove_tag(self, repository: str, tag: str) -> None:
        """Forget a tag; its manifest is then untagged."""
        shutil.rmtree(self._tags(repository) / tag)

    def remove_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest; `registry garbage-collect` then removes the blobs that none names."""
        shutil.rmtree(self._revisions(repository) / _hex(digest))

    def _of(self, repository: str) -> Path:
        return self._top / "repositories" / repository

    def _tags(self, repository: str) -> Path:
        return self._of(repository) / "_manifests" / "tags"

    def _revisions(self, repository: str) -> Path:
        return self._of(repository) / "_manifests" / "revisions" / "sha256"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _linked(file: Path) -> str | None:
    try:
        found = file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if is_digest(found) else None


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []
