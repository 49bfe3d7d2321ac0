"""Sends CloudEvents to the target of a team: signed, over a connection that the rules for addresses allow.

CloudEvents over HTTP in structured mode (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/
http-protocol-binding.md); headers and signature are those of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import asyncio
import base64
import binascii
import hmac
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .. import __version__
from ..api.addresses import Addresses, Denied, Resolve
from .errors import Rejected, Unreachable

SECRET = "secret"  # noqa: S105  the file that holds it
PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
TRY_SECONDS = 10.0
AWAY = {408, 425, 429, 502, 503, 504}  # whoever answers so tells of himself, not of the event
LONGEST_AFTER_SECONDS = 300.0


class Away(Unreachable):
    """Nobody takes events there now; `after_seconds` is what the target asked for, if anything."""

    def __init__(self, said: str, after_seconds: float = 0.0) -> None:
        super().__init__(said)
        self.after_seconds = after_seconds


class Stumbled(Unreachable):
    """It answered with an error of its own: perhaps another event fares better."""


def _resolved(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


def _seconds() -> int:
    return int(time.time())


@dataclass(frozen=True)
class Sender:
    """The way to one target. What it says in errors names the host, never the path of the URL or a secret."""

    url: str
    folder: Path  # with the file `secret`, read for each event: a rotated one is used at once
    addresses: Addresses
    resolve: Resolve = _resolved
    now: Callable[[], int] = _seconds  # Unix time
    tls: ssl.SSLContext | bool = field(default=True, repr=False)
    seconds: float = TRY_SECONDS

    async def send(self, event_id: str, body: bytes) -> None:
        """One try. Away or Stumbled: try again later; Rejected: there is no use in it."""
        host = URL(self.url).host or ""
        try:
            async with asyncio.timeout(self.seconds):
                await self._try(host, event_id, body)
        except TimeoutError:
            raise Away(f"{host} did not answer within {self.seconds:g} seconds") from None
        except Denied as denied:
            raise Rejected(f"nothing is sent to {denied}. The value events.allowedHosts can allow the host") from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise Away(f"{host} cannot be reached: {_said(error)}") from None

    async def _try(self, host: str, event_id: str, body: bytes) -> None:
        if self.url.startswith("http:") and not self.addresses.lists(host):
            raise Rejected(f"{host} is spoken to by https only. The value events.allowedHosts can allow the host")
        found = await asyncio.to_thread(self.addresses.of, host, self.resolve)
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": f"slipway/{__version__}",
            **signed(self._keys(), event_id, self.now(), body),
        }
        connector = aiohttp.TCPConnector(resolver=_Known(found), use_dns_cache=False, force_close=True, ssl=self.tls)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(self.url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            _judge(host, answer.status, answer.headers.get("Retry-After", ""))

    def _keys(self) -> list[bytes]:
        try:
            with (self.folder / SECRET).open("rb") as file:
                return keys(file.read(4096).decode("ascii"))
        except (OSError, UnicodeError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise Away(f"the Secret of the target has no usable key `{SECRET}`: {why}") from None


class _Known(AbstractResolver):
    """The addresses that were checked, and no others."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def keys(text: str) -> list[bytes]:
    """The keys in a Secret's text, one or, while it is rotated, several; ValueError says what is wrong with one."""
    found = []
    for number, word in enumerate(text.split(), start=1):
        try:
            key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"word {number} is not `{PREFIX}` and base64") from None
        if not LEAST_BYTES <= len(key) <= MOST_BYTES:
            raise ValueError(f"word {number} has {len(key)} bytes; {LEAST_BYTES} to {MOST_BYTES} are good")
        found.append(key)
    if not found:
        raise ValueError("it is empty")
    return found


def signed(secrets: list[bytes], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks; each key signs, so that a receiver may know the old one or the new one."""
    content = f"{event_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }


def _judge(host: str, status: int, after: str) -> None:
    """What an answer means; nothing but the number is believed, or shown to anybody."""
    if 200 <= status < 300:
        return
    if status in AWAY:
        raise Away(f"{host} answers {status}", min(float(after), LONGEST_AFTER_SECONDS) if after.isdecimal() else 0.0)
    if status >= 500:
        raise Stumbled(f"{host} answers {status}")
    if 300 <= status < 400:
        raise Rejected(f"{host} answers {status}, a redirect, and none is followed: give the final URL")
    raise Rejected(f"{host} answers {status}")


def _said(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate is not trusted"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
