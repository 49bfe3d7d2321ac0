"""An API client that writes thousands of objects, and watches for the moment in which one changes."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Object = dict[str, Any]
AT_ONCE = 16
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
SLIPWAY = "/apis/slipway.dev/v1alpha1"


class Api:
    """The API server, as the holder of one token."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def get(self, path: str) -> Object:
        """The object or list at a path."""
        return await self._send("GET", path)

    async def create(self, path: str, body: Object) -> Object:
        """A new object in a collection."""
        return await self._send("POST", path, body)

    async def apply(self, path: str, body: Object, manager: str = "slipway") -> Object:
        """The object after a server-side apply, as the operator applies."""
        return await self._send("PATCH", f"{path}?fieldManager={manager}&force=true", body, APPLY)

    async def merge(self, path: str, body: Object) -> Object:
        """The object after a merge patch, as a person's client sends it."""
        return await self._send("PATCH", path, body, MERGE)

    async def delete(self, path: str) -> None:
        """The object is going."""
        await self._send("DELETE", path)

    async def watch(self, path: str, since: str) -> AsyncIterator[Object]:
        """Events of a collection after a resourceVersion, as they come."""
        glue = "&" if "?" in path else "?"
        query = f"{self._url}{path}{glue}watch=true&resourceVersion={since}"
        async with self._session.get(query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise SystemExit(f"the watch of {path} broke: {event['object'].get('message')}")
                    yield event
        raise SystemExit(f"the watch of {path} ended")

    async def _send(
        self, method: str, path: str, body: Object | None = None, media: str = "application/json"
    ) -> Object:
        content = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": media}
        async with self._session.request(method, self._url + path, data=content, headers=headers) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise SystemExit(f"{method} {path}: HTTP {answer.status}: {text[:600].decode(errors='replace')}")
            found: Object = json.loads(text) if text else {}
            return found


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[Api]:
    """A client for as long as the block lasts."""
    trusting = ssl.create_default_context()  # the certificate is the API server's own, made a moment ago
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=trusting, limit=2 * AT_ONCE)
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield Api(session, url)


async def for_each(items: Iterable[Any], work: Callable[[Any], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Do the work for every item, so many at the same time; the first failure ends it."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
