"""Reads the files of a model version from a bucket that its ModelRegistry names, over S3 and as untrusted input.

Google Cloud Storage speaks the same with HMAC keys. The credential is that of the bucket alone, and never a role that
the node happens to have.
"""

from pathlib import Path
from typing import Any, NoReturn

import boto3
import requests
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from slipway.api import tasks
from slipway.api.locations import location

from .mlflow_files import Remote
from .outcome import Refused
from .part import CHUNK, Body, Part
from .patience import Patience
from .pod import Pod
from .tree import FILES_LIMIT, safe_path

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_MISSING = ("NoSuchKey", "NoSuchBucket")  # S3's own words: a proxy, too, answers 404
_PAGES_LIMIT = 10_000  # of a list: a store may give fewer than the thousand that S3 gives
_TIMEOUT = (5, 30)  # seconds to connect, to wait for the next byte


class Bucket:
    """A folder of a bucket; every failure is a Refused: RegistryUnreachable, RegistryUnauthorized, ArtifactMissing."""

    def __init__(self, source: str, how: tasks.Bucket, pod: Pod) -> None:
        place = location(source)
        if place is None or place.scheme not in ("s3", "gs"):
            raise Refused("ArtifactForbidden", f"{source[:200]} is no folder of a bucket")
        self._source, self._name, self.root = source, place.authority, place.path
        self._client = _client(how, *(pod.secret(tasks.CREDENTIALS, name) for name in _KEYS))
        passing = (BotoCoreError, ResponseParserError, requests.RequestException, urllib3.exceptions.HTTPError, _Busy)
        self._patience = Patience(f"the bucket of {source}", pod.registry_patience_seconds, passing)

    def files(self, root: str) -> tuple[Remote, ...]:
        """Every file below a root, with paths relative to it; nothing is downloaded."""
        found: list[Remote] = []
        token: dict[str, str] = {}
        for _ in range(_PAGES_LIMIT):
            page = self._patience.tried(lambda: self._page(f"{root}/", token))  # noqa: B023 - called at once
            for entry in page.get("Contents", []):
                path = str(entry["Key"]).removeprefix(f"{root}/")
                if path and not path.endswith("/"):  # what stands for a folder in a console
                    found.append(Remote(safe_path(path), int(entry["Size"])))
            if len(found) > FILES_LIMIT:
                raise Refused("ArtifactTooLarge", f"the version has more than {FILES_LIMIT} files")
            before, following = token, page.get("NextContinuationToken")
            if not following:
                return tuple(found)
            token = {"ContinuationToken": following}
            if token == before:
                break
        raise Refused("RegistryUnreachable", f"the bucket of {self._source} lists its files without an end")

    def download(self, path: str, to: Path, max_bytes: int, size: int | None) -> int:
        """Stream one object to disk; its size, which is the one that was listed."""
        part = Part(to, max_bytes, size)
        return self._patience.tried(lambda: self._fetch(path, part))

    def _page(self, prefix: str, token: dict[str, str]) -> dict[str, Any]:
        try:
            page = dict(self._client.list_objects_v2(Bucket=self._name, Prefix=prefix, **token))
        except ClientError as error:
            self._refuse(error)
        if "IsTruncated" not in page and "Name" not in page:
            raise _Busy("what answers is no list of S3's")
        return page

    def _fetch(self, key: str, part: Part) -> int:
        rest = part.rest
        asked = {} if rest is None else {"Range": f"bytes={rest.start}-", "IfMatch": rest.tag}
        try:
            answer = self._client.get_object(Bucket=self._name, Key=key, **asked)
        except ClientError as error:
            if _status(error) in (412, 416):
                part.forget()
                raise requests.ConnectionError(f"{key} was changed meanwhile") from error
            self._refuse(error)
        headers = {"ETag": answer.get("ETag", ""), "Content-Range": answer.get("ContentRange", "")}
        body = Body(rest is not None and "ContentRange" in answer, headers, answer["Body"].iter_chunks(CHUNK))
        part.take(body, self._patience.advanced)
        return part.whole()

    def _refuse(self, error: ClientError) -> NoReturn:
        status = _status(error)
        if status >= 500 or status in (408, 429):
            raise _Busy(str(error)) from error
        if status in (401, 403):
            advice = "correct the Secret of the root in artifactRoots, and let it list and read that folder"
            raise Refused("RegistryUnauthorized", f"the bucket of {self._source} says: {error}: {advice}") from error
        if status in (301, 307, 400):  # another region, a name that no bucket has
            advice = "correct region and endpoint of the root in artifactRoots"
            raise Refused("ArtifactForbidden", f"{self._source} cannot be read: {error}: {advice}") from error
        if error.response.get("Error", {}).get("Code") not in _MISSING:
            raise _Busy(str(error)) from error
        raise Refused("ArtifactMissing", f"{self._source} cannot be read: {error}") from error


class _Busy(Exception):
    """The store asks to be asked again, or something else answers in its place."""


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _client(how: tasks.Bucket, key_id: str, key_secret: str) -> Any:
    config: dict[str, Any] = {
        "retries": {"total_max_attempts": 1},
        "connect_timeout": _TIMEOUT[0],
        "read_timeout": _TIMEOUT[1],
        # Stores other than AWS do not know its newer checksums; sizes and digests are compared anyway.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if not (key_id and key_secret):
        config["signature_version"] = UNSIGNED
    return boto3.client(
        "s3",
        endpoint_url=how.endpoint,
        region_name=how.region,
        aws_access_key_id=key_id or None,
        aws_secret_access_key=key_secret or None,
        config=Config(**config),
    )
