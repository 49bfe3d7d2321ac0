"""A container of Azure Blob Storage, or of a data lake, which answers the same protocol.

Azure's library signs, lists and knows how an object is addressed; the bytes come as they do from MLflow, since the
library holds megabytes of them back until it has the whole of a part.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobProperties, ContainerClient, ContainerSasPermissions, generate_container_sas

from slipway.api import tasks
from slipway.api.locations import Location

from .bucket_client import Busy, Page, Said
from .mlflow_files import Remote
from .outcome import Refused
from .part import CHUNK, Body, Rest
from .pod import Pod

_CODE = "x-ms-error-code"  # Azure's own word is in this header: a proxy, too, answers 404
_MISSING = ("BlobNotFound", "ContainerNotFound")
_NOT_PUBLIC = ("ResourceNotFound", "PublicAccessNotPermitted")  # what who shows no credential is told
_NO_LIST = "what answers is no list of Azure's"
_SIGNED_FOR = timedelta(hours=1)  # begins to count with each request
_TIMEOUT = (5, 30)  # seconds to connect, to wait for the next byte


class Azure:
    """A container, with its own credential or as a public one."""

    noun = "container"
    passing: tuple[type[Exception], ...] = (AzureError,)

    def __init__(self, place: Location, how: tasks.Bucket, pod: Pod) -> None:
        self._name, _, host = place.authority.partition("@")
        self._account = host.partition(".")[0]
        self._key, self._token = _credential(self._account, pod)
        self._url = f"{(how.endpoint or '').rstrip('/')}/{self._name}"
        self._session = requests.Session()

    def page(self, prefix: str, token: str) -> Page:
        """A page of the list."""
        with self._container() as container:
            pages = container.list_blobs(
                name_starts_with=prefix,
                include=["metadata"],
                raw_response_hook=lambda answer: _check(answer.http_response),
            ).by_page(token or None)
            try:
                found = list(next(pages))
            except (AttributeError, TypeError, ValueError) as error:  # the library takes whatever answers for Azure
                raise Busy(_NO_LIST) from error
        if getattr(pages, "service_endpoint", None) is None:
            raise Busy(_NO_LIST)
        objects = tuple(Remote(blob.name, blob.size) for blob in found if not _is_folder(blob))
        return Page(objects, pages.continuation_token or "")

    def content(self, key: str, rest: Rest | None) -> Body:
        """An object, or its rest."""
        container = self._container()
        url, headers = container.get_blob_client(key).url, {"x-ms-version": container.api_version}
        headers |= {"Accept-Encoding": "identity"}
        if rest is not None:
            headers |= {"Range": f"bytes={rest.start}-", "If-Match": rest.tag}
        answer = self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False)
        if not answer.ok:
            answer.close()
        _check(answer)
        return Body(answer.status_code == 206, answer.headers, _chunks(answer))

    def reason(self, said: Said) -> str:
        """The reason of a refusal."""
        if said.status in (401, 403) or (said.code in _NOT_PUBLIC and not (self._key or self._token)):
            return "RegistryUnauthorized"
        if said.status == 400 and said.code:
            return "ArtifactForbidden"
        return "ArtifactMissing" if said.code in _MISSING else ""

    def _container(self) -> ContainerClient:
        return ContainerClient.from_container_url(
            f"{self._url}?{self._signature()}",
            retry_total=0,
            permit_redirects=False,
            connection_timeout=_TIMEOUT[0],
            read_timeout=_TIMEOUT[1],
        )

    def _signature(self) -> str:
        """What an address ends with to be let in: of an account's key, as much as this folder's import needs."""
        if not self._key:
            return self._token
        may, until = ContainerSasPermissions(read=True, list=True), datetime.now(UTC) + _SIGNED_FOR
        return str(generate_container_sas(self._account, self._name, self._key, permission=may, expiry=until))


def _credential(account: str, pod: Pod) -> tuple[str, str]:
    """The account's key and the shared access signature that the Secret has, each "" where it has none."""
    connection, key, token = (pod.secret(tasks.CREDENTIALS, name) for name in tasks.AZURE_KEYS)
    if connection:
        # The endpoint is the root's: a Secret says who asks, and not where.
        parts = dict(part.partition("=")[::2] for part in connection.split(";"))
        key, token = parts.get("AccountKey", ""), parts.get("SharedAccessSignature", "")
        if parts.get("AccountName", account) != account:
            raise _unusable(f"the connection string is of another account than {account}")
        if not (key or token):
            raise _unusable("the connection string has neither AccountKey nor SharedAccessSignature")
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise _unusable(f"the key of {account} is no base64, as Azure's keys are") from None
    return key, token.lstrip("?")


def _unusable(why: str) -> Refused:
    return Refused("RegistryUnauthorized", f"{why}: correct the Secret of the root in artifactRoots")


def _is_folder(blob: BlobProperties) -> bool:
    """Whether it stands for a folder: a data lake lists those, too, with nothing in them."""
    return (blob.metadata or {}).get("hdi_isfolder") == "true"


def _check(answer: Any) -> None:
    """Raise what a response of either library says, unless that is what was asked for."""
    if answer.status_code >= 300:
        code = answer.headers.get(_CODE, "")
        raise Said(answer.status_code, code, f"HTTP {answer.status_code} {code} {answer.reason or ''}".strip())


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """The bytes as they are stored, whatever encoding somebody has noted beside them."""
    with answer:
        yield from answer.raw.stream(CHUNK, decode_content=False)
