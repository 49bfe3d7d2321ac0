"""Reads evaluation data from an S3 store: boto3 signs and understands the answers, the checked client carries them."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import requests
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ParamValidationError, SSLError

from slipway.api.tasks import AWS_KEYS, DATA_CREDENTIALS, DataSource

from . import tree
from .network import Network, session
from .outcome import Refused
from .pod import Pod
from .web import DISTRUST, TIMEOUT


def read(source: DataSource, network: Network, pod: Pod, take: Callable[[Iterator[bytes]], None]) -> None:
    """Hand the object's content to `take`."""
    key_id, key_secret = (pod.secret(DATA_CREDENTIALS, name) for name in AWS_KEYS)
    if pod.at(DATA_CREDENTIALS).is_dir() and not (key_id and key_secret):
        raise Refused("DataUnreadable", f"the Secret for {source.uri} has not both {' and '.join(AWS_KEYS)}")
    url = urlsplit(source.uri)
    try:
        with session(network) as carrier:
            client = _client(source.endpoint, key_id, key_secret)
            client.meta.events.register("before-send.s3", lambda request, **_: _carried(carrier, request))
            body = client.get_object(Bucket=url.netloc, Key=url.path.lstrip("/"))["Body"]
            take(body.iter_chunks(tree.CHUNK))
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        reason = "DataUnreachable" if status >= 500 else "DataUnreadable"
        raise Refused(reason, f"{source.uri} cannot be read: {error}") from error
    except SSLError as error:
        raise Refused("DataUnreachable", f"{source.uri} cannot be read: {error}. {DISTRUST}") from error
    except (ParamValidationError, ValueError) as error:  # a bucket or an endpoint that can be none
        raise Refused("DataUnreadable", f"{source.uri} cannot be read: {error}") from error
    except BotoCoreError as error:
        raise Refused("DataUnreachable", f"no answer for {source.uri}: {error}") from error


def _client(endpoint: str | None, key_id: str, key_secret: str) -> Any:
    config: dict[str, Any] = {"retries": {"total_max_attempts": 3}}
    if not key_id:
        config["signature_version"] = UNSIGNED  # a public bucket; never a role that the node happens to have
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",  # a store in another one says so, and is asked again
        aws_access_key_id=key_id or None,
        aws_secret_access_key=key_secret or None,
        config=Config(**config),
    )


def _carried(carrier: requests.Session, request: AWSPreparedRequest) -> AWSResponse:
    """The answer to a request of boto3, which then sends nothing itself."""
    carrier.headers.clear()  # what is not signed is not sent
    try:
        answer = carrier.request(
            request.method, request.url, headers=dict(request.headers.items()), stream=True, timeout=TIMEOUT,
            allow_redirects=False,
        )  # fmt: skip
    except requests.exceptions.SSLError as error:
        raise SSLError(endpoint_url=request.url, error=error) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise EndpointConnectionError(endpoint_url=request.url, error=error) from error
    return AWSResponse(request.url, answer.status_code, answer.headers, answer.raw)
