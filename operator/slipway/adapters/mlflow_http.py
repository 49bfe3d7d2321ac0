"""Speaks HTTP with an MLflow server: each answer becomes a reply that can be used, or one of our errors."""

import asyncio
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from .. import __version__
from .errors import AdapterError, Rejected, Unauthorized, Unreachable
from .mlflow_answers import Answers, Faltered, Patience, Reply, basic, label
from .ports import Connection

T = TypeVar("T")
PAGES_LIMIT = 10_000  # of one list
Observe = Callable[[str, str, float], None]  # operation, result, seconds

API = "api/2.0/mlflow"
DOCUMENT_LIMIT_BYTES = 8 * 2**20
LARGE_BYTES = 2**20  # an answer that is decoded beside the event loop
BEGINNING_BYTES = 4096  # that are kept of an answer that is larger than it may be
# Shorter than the 5 s after which uvicorn closes an idle connection: a POST never meets one that is closing.
KEEPALIVE_SECONDS = 2.0


@dataclass(frozen=True)
class Request:
    """One call; `operation` is what metrics count, `purpose` completes "refused to …"."""

    operation: str
    purpose: str
    path: str
    method: str = "GET"
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    document: Mapping[str, object] | None = None
    content: bytes | None = field(default=None, repr=False)
    limit_bytes: int = DOCUMENT_LIMIT_BYTES


class Pages:
    """The tokens of one list's pages; `Rejected` where a server gives them without an end."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._seen: set[str] = set()

    def next(self, token: str) -> str:
        """The token, "" after the last page, unless it came before."""
        if token in self._seen or len(self._seen) >= PAGES_LIMIT:
            raise Rejected(f"what answers at {self._where} gives the pages of a list without an end")
        if token:
            self._seen.add(token)
        return token


@contextmanager
def in_memory(text: str) -> Iterator[str]:
    """The path of a file that is on no disk, for a library that reads secrets from files only (Linux)."""
    descriptor = os.memfd_create("slipway", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class Client:
    """A pool of connections to one MLflow server; opened by the first call, given back by `close`."""

    def __init__(self, connection: Connection, observe: Observe, patience: Patience) -> None:
        self._connection = connection
        self._observe = observe
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._running = 0
        self._closed = False
        self._answers = Answers(connection, patience)
        self.where = self._answers.where

    async def document(self, request: Request) -> dict[str, Any]:
        """The JSON object that answers `request`."""
        return await self._observed(request, self._read_document)

    async def content(self, request: Request) -> bytes:
        """The bytes that answer `request`, at most its `limit_bytes`; `TooLarge` when there are more."""
        return await self._observed(request, self._read_content)

    def member(self, answer: dict[str, Any], key: str) -> dict[str, Any]:
        """The object that an answer must have under `key`; `Rejected` where it has none."""
        value = answer.get(key)
        if not isinstance(value, dict):
            raise Rejected(f'what answers at {self.where} is not the MLflow REST API: JSON without "{key}"')
        return value

    async def version(self) -> str:
        """MLflow's version, "unknown" where a proxy hides it. GET version, which is open to all on some servers."""
        request = Request("version", "tell its version", "version", limit_bytes=1024)
        try:
            text = (await self.content(request)).decode("utf-8", "replace").strip()
        except Rejected:
            return "unknown"
        return text if re.fullmatch(r"[0-9]+\.[0-9][\w.+-]{0,40}", text) else "unknown"

    async def is_before(self, major: int) -> bool:
        """Whether MLflow itself says that it is older. What its 404 says, any proxy's could."""
        said = (await self.version()).partition(".")[0]
        return said.isdigit() and int(said) < major

    async def close(self) -> None:
        """No connection is left once the running calls have ended; a later call has one of its own."""
        self._closed = True
        if not self._running:
            await self._give_back()

    async def _give_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _observed(self, request: Request, read: Callable[[Reply], T]) -> T:
        started = time.monotonic()
        result = "cancelled"
        self._running += 1
        try:
            reply = await self._answer(request)
            large = len(reply.body) > LARGE_BYTES
            value = await asyncio.to_thread(read, reply) if large else read(reply)
            result = "ok"
            return value
        except AdapterError as error:
            result = label(error)
            raise
        finally:
            self._running -= 1
            self._observe(request.operation, result, time.monotonic() - started)
            if self._closed and not self._running:
                await self._give_back()

    async def _answer(self, request: Request) -> Reply:
        """A 2xx reply. Only a GET is tried twice: whether a write arrived cannot be known."""
        total = self._patience.total_seconds
        try:
            async with asyncio.timeout(total):
                if request.method == "GET":
                    try:
                        return await self._exchange(request)
                    except Faltered:
                        pass
                    await asyncio.sleep(self._patience.pause_seconds * random.uniform(0.5, 1.5))
                return await self._exchange(request)
        except TimeoutError:
            raise Unreachable(f"the MLflow at {self.where} did not answer within {total:g} seconds") from None

    async def _exchange(self, request: Request) -> Reply:
        session = self._open()
        try:
            async with session.request(
                request.method,
                self._url(request),
                json=request.document,
                data=request.content,
                proxy=self._connection.proxy or None,
                allow_redirects=False,  # a redirect would carry the credential, or turn a POST into a GET
            ) as response:
                reply = Reply(
                    status=response.status,
                    content_type=response.content_type if "Content-Type" in response.headers else "",
                    body=await self._body(response, request),
                    location=response.headers.get("Location", ""),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._answers.broken(error) from None
        if 200 <= reply.status < 300:
            return reply
        raise self._answers.refusal(request.operation, request.method, request.purpose, reply)

    async def _body(self, response: aiohttp.ClientResponse, request: Request) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > request.limit_bytes:
                raise self._answers.too_large(request.purpose, request.limit_bytes, bytes(body[:BEGINNING_BYTES]))
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=KEEPALIVE_SECONDS, ssl=self._tls()),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect_seconds),
                headers={"User-Agent": f"slipway/{__version__}", "Accept-Encoding": "identity"} | self._credential(),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        """Trust in the system's authorities and those of the connection, and its own certificate."""
        connection = self._connection
        if not connection.uri.lower().startswith("https:"):
            return True
        context = ssl.create_default_context()
        if connection.ca_certificates:
            try:
                context.load_verify_locations(cadata=connection.ca_certificates)
            except (ssl.SSLError, ValueError):
                raise self._answers.error(
                    Rejected, f"the caBundle for {self.where} holds no readable PEM certificate"
                ) from None
        if connection.certificate:
            try:
                with in_memory(f"{connection.certificate}\n{connection.key}") as path:
                    context.load_cert_chain(path, password="")
            except (ssl.SSLError, ValueError, OSError):
                raise self._answers.error(
                    Unauthorized,
                    f"the client certificate for {self.where} cannot be used: tls.crt and tls.key must be PEM, belong "
                    "together, and need no password",
                ) from None
        return context

    def _credential(self) -> dict[str, str]:
        connection = self._connection
        token = connection.token.strip()  # a Secret made from a file ends with a newline
        if token:
            if not re.fullmatch(r"[!-~]+", token):
                raise self._answers.error(
                    Unauthorized, f"the token for {self.where} holds characters that no bearer token may have"
                )
            return {"Authorization": f"Bearer {token}"}
        if connection.username:
            return {"Authorization": f"Basic {basic(connection)}"}
        return {}

    def _url(self, request: Request) -> URL:
        base = URL(self._connection.uri)
        if base.scheme not in ("http", "https") or not base.host or base.user is not None or base.password is not None:
            raise self._answers.error(
                Rejected, f"{self.where} is no URI of an MLflow server: http or https, a host, and no credential in it"
            )
        # Segment by segment, so that a `?`, `#` or `%` in a path stays one.
        segments = [segment for segment in request.path.split("/") if segment]
        return base.with_query(None).with_fragment(None).joinpath(*segments).with_query(dict(request.query))

    def _read_document(self, reply: Reply) -> dict[str, Any]:
        document = reply.document()
        if document is None:
            raise self._answers.not_mlflow(reply)
        return document

    def _read_content(self, reply: Reply) -> bytes:
        # MLflow sends artifacts as attachments of other types, and its bare version as text/html.
        if reply.content_type == "text/html" and reply.body.lstrip().startswith(b"<"):
            raise self._answers.not_mlflow(reply)
        return reply.body
