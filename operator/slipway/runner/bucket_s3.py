"""A bucket of S3, or of a store that speaks its protocol: Google Cloud Storage does, with HMAC keys."""

from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from slipway.api import tasks
from slipway.api.locations import Location

from .bucket_client import Busy, Page, Said
from .mlflow_files import Remote
from .part import CHUNK, Body, Rest
from .pod import Pod

_MISSING = ("NoSuchKey", "NoSuchBucket")  # S3's own words: a proxy, too, answers 404
_TIMEOUT = (5, 30)  # seconds to connect, to wait for the next byte


class S3:
    """A bucket, with its own keys or as a public one."""

    noun = "bucket"
    passing: tuple[type[Exception], ...] = (BotoCoreError, ResponseParserError)

    def __init__(self, place: Location, how: tasks.Bucket, pod: Pod) -> None:
        self._name = place.authority
        self._client = _client(how, *(pod.secret(tasks.CREDENTIALS, name) for name in tasks.AWS_KEYS))

    def page(self, prefix: str, token: str) -> Page:
        """A page of the list."""
        more = {"ContinuationToken": token} if token else {}
        page = self._ask("list_objects_v2", Prefix=prefix, **more)
        if "IsTruncated" not in page and "Name" not in page:
            raise Busy("what answers is no list of S3's")
        objects = tuple(Remote(str(entry["Key"]), int(entry["Size"])) for entry in page.get("Contents", []))
        return Page(objects, page.get("NextContinuationToken", ""))

    def content(self, key: str, rest: Rest | None) -> Body:
        """An object, or its rest."""
        asked = {} if rest is None else {"Range": f"bytes={rest.start}-", "IfMatch": rest.tag}
        answer = self._ask("get_object", Key=key, **asked)
        headers = {"ETag": answer.get("ETag", ""), "Content-Range": answer.get("ContentRange", "")}
        return Body(rest is not None and "ContentRange" in answer, headers, answer["Body"].iter_chunks(CHUNK))

    def reason(self, said: Said) -> str:
        """The reason of a refusal."""
        if said.status in (401, 403):
            return "RegistryUnauthorized"
        if said.status in (301, 307, 400):  # another region, a name that no bucket has
            return "ArtifactForbidden"
        return "ArtifactMissing" if said.code in _MISSING else ""

    def _ask(self, operation: str, **asked: str) -> dict[str, Any]:
        try:
            return dict(getattr(self._client, operation)(Bucket=self._name, **asked))
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise Said(status, str(error.response.get("Error", {}).get("Code")), str(error)) from error


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
