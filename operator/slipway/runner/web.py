"""Reads evaluation data from a web server."""

import time
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

import requests

from . import tree
from .network import Network, session
from .outcome import Refused

DISTRUST = "The certificate of its authority belongs into the ConfigMap that the chart's caBundle names."
TIMEOUT = (5, 20)  # seconds to connect, to wait for the next byte
_PAUSES = (0.5, 1.0, 2.0)
_REDIRECTS = 3


def read(uri: str, network: Network, take: Callable[[Iterator[bytes]], None]) -> None:
    """Hand the content to `take`; after a broken connection, hand it over anew."""
    with session(network) as client:
        for pause in (*_PAUSES, None):
            try:
                with _answer(client, uri) as answer:
                    if answer.status_code < 500 and answer.status_code != 429:
                        if answer.status_code != 200:
                            raise Refused("DataUnreadable", f"{uri} answers HTTP {answer.status_code}")
                        return take(answer.iter_content(tree.CHUNK))
                    error: Exception = requests.HTTPError(f"HTTP {answer.status_code}")
            except requests.exceptions.SSLError as failed:
                raise Refused("DataUnreachable", f"{uri} cannot be read: {failed}. {DISTRUST}") from failed
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as failed:
                error = failed
            except requests.RequestException as failed:
                raise Refused("DataUnreadable", f"{uri} cannot be read: {failed}") from failed
            if pause is None:
                raise Refused("DataUnreachable", f"no answer from {uri}: {error}") from error
            time.sleep(pause)
    return None


def _answer(client: requests.Session, uri: str) -> requests.Response:
    """The answer after its redirects; each of them is a request of its own, with the same checks."""
    place = uri
    for _ in range(_REDIRECTS + 1):
        answer = client.get(place, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if not answer.is_redirect:
            return answer
        answer.close()
        before, place = place, urljoin(place, answer.headers["location"])
        scheme = urlsplit(place).scheme
        if scheme not in ("http", "https") or (scheme == "http" and urlsplit(before).scheme == "https"):
            raise Refused("DataUnreadable", f"{uri} redirects away from https or http, which is not followed")
    raise Refused("DataUnreadable", f"{uri} redirects more than {_REDIRECTS} times")
