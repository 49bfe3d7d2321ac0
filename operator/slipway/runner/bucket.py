"""Reads the files of a model version from a bucket that its ModelRegistry names, as untrusted input.

What is the same whichever store it is: patience, bounds, and what follows from a refusal. The credential is that of
the bucket alone, and never a role or an identity that the node happens to have.
"""

from pathlib import Path
from typing import NoReturn

import requests
import urllib3

from slipway.api import tasks
from slipway.api.locations import AZURE, Location, location

from .bucket_client import Busy, Client, Page, Said
from .mlflow_files import Remote
from .outcome import Refused
from .part import Part
from .patience import Patience
from .pod import Pod
from .tree import FILES_LIMIT, safe_path

_PAGES_LIMIT = 10_000  # of a list: a store may give fewer than the thousand that are usual
_ADVICE = {
    "RegistryUnauthorized": ": correct the Secret of the root in artifactRoots, and let it list and read that folder",
    "ArtifactForbidden": ": correct endpoint and region of the root in artifactRoots",
}


class Bucket:
    """A folder of a bucket; every failure is a Refused: RegistryUnreachable, RegistryUnauthorized, ArtifactMissing."""

    def __init__(self, source: str, how: tasks.Bucket, pod: Pod) -> None:
        place = location(source)
        if place is None:
            raise Refused("ArtifactForbidden", f"{source[:200]} is no folder of a bucket")
        self.root, self._client = place.path, _client(place, how, pod)
        self._who = f"the {self._client.noun} of {source}"
        passing = (*self._client.passing, Busy, requests.RequestException, urllib3.exceptions.HTTPError)
        self._patience = Patience(self._who, pod.registry_patience_seconds, passing)

    def files(self, root: str) -> tuple[Remote, ...]:
        """Every file below a root, with paths relative to it; nothing is downloaded."""
        found: list[Remote] = []
        token = ""
        for _ in range(_PAGES_LIMIT):
            page = self._patience.tried(lambda: self._page(f"{root}/", token))  # noqa: B023 - called at once
            for entry in page.objects:
                path = entry.path.removeprefix(f"{root}/")
                if path and not path.endswith("/"):  # what stands for a folder in a console
                    found.append(Remote(safe_path(path), entry.size))
            if len(found) > FILES_LIMIT:
                raise Refused("ArtifactTooLarge", f"the version has more than {FILES_LIMIT} files")
            if not page.following:
                return tuple(found)
            if page.following == token:
                break
            token = page.following
        raise Refused("RegistryUnreachable", f"{self._who} lists its files without an end")

    def download(self, path: str, to: Path, max_bytes: int, size: int | None) -> int:
        """Stream one object to disk; its size, which is the one that was listed."""
        part = Part(to, max_bytes, size)
        return self._patience.tried(lambda: self._fetch(path, part))

    def _page(self, prefix: str, token: str) -> Page:
        try:
            return self._client.page(prefix, token)
        except Said as said:
            self._refuse(said)

    def _fetch(self, key: str, part: Part) -> int:
        try:
            body = self._client.content(key, part.rest)
        except Said as said:
            if said.status in (412, 416):
                part.forget()
                raise Busy(f"{key} was changed meanwhile") from said
            self._refuse(said)
        part.take(body, self._patience.advanced)
        return part.whole()

    def _refuse(self, said: Said) -> NoReturn:
        busy = said.status >= 500 or said.status in (408, 429)
        reason = "" if busy else self._client.reason(said)
        if not reason:
            raise Busy(str(said)) from said
        raise Refused(reason, f"{self._who} says: {said}{_ADVICE.get(reason, '')}") from said


def _client(place: Location, how: tasks.Bucket, pod: Pod) -> Client:
    """Its library is loaded where it is needed, and only there: that takes a second."""
    if place.scheme in AZURE:
        from .bucket_azure import Azure  # noqa: PLC0415

        return Azure(place, how, pod)
    if place.scheme in ("s3", "gs"):
        from .bucket_s3 import S3  # noqa: PLC0415

        return S3(place, how, pod)
    raise Refused("ArtifactForbidden", f"{str(place)[:200]} is no folder of a bucket")
