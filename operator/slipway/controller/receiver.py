"""Takes the webhooks of registries, and believes nothing of them but that something has changed.

The one thing here that listens to strangers. A delivery is a hint: whoever signed it right makes the registry be asked
before its interval is over, and nothing else; of which model first, it may say. The operator that acts is told by those
that stand by.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..core.deliveries import ID, SIGNATURE, TIMESTAMP, WINDOW_SECONDS, Delivery, read
from .identity import Place
from .telemetry import Telemetry

log = logging.getLogger("slipway")
BODY_BYTES = 64 * 1024
CONNECTIONS = 64  # open at the same time; each carries one request
CONNECTION_SECONDS = 10.0  # for which it may be open
PASS_ON_SECONDS = 5.0
REMEMBERED = 4096  # deliveries; only genuine ones are
SOURCES = 1024  # addresses whose rate is known
FORWARDED = "X-Slipway-Forwarded"
_NAME = r"/([a-z0-9][a-z0-9.-]{0,252})"
PATH = re.compile(rf"(?:/.*)?{_NAME}{_NAME}")  # a proxy may put a path before it
_HANDLER = {
    "access_log": None, "auto_decompress": False, "lingering_time": 1.0, "keepalive_timeout": CONNECTION_SECONDS,
    "max_line_size": 2048, "max_field_size": 8190, "max_headers": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Hints:
    """Who is told."""

    acts: Callable[[], bool]  # whether this operator does
    heed: Callable[[Place, str], None]  # the registry is asked soon, of this model first
    leader: Callable[[], str]  # where the one that acts takes deliveries, as `10.0.0.7:8081`; "": nobody knows


class Rate:
    """So many in a second, and so many at once."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, source: str, now: float) -> bool:
        """Whether one more may come from there."""
        left, at = self._left.pop(source, (self._at_once, now))
        left = min(self._at_once, left + (now - at) * self._per_second)
        allowed = left >= 1.0
        self._left[source] = (left - allowed, now)
        if len(self._left) > SOURCES:
            self._left.popitem(last=False)
        return allowed


class Receiver:
    """Answers 204 to what it takes, 401 to what is not genuine: also where there is no such registry."""

    def __init__(
        self,
        secret: Callable[[Place], str],
        hints: Hints,
        telemetry: Telemetry,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret, self._hints, self._telemetry = secret, hints, telemetry
        self._now, self._clock = now, clock
        self._rate, self._rate_of_all = Rate(20.0, 60.0), Rate(200.0, 400.0)
        self._taken: OrderedDict[tuple[Place, str], float] = OrderedDict()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, and count how it ended."""
        status, result = await self._judge(request)
        self._telemetry.deliveries.labels(result).inc()
        response = web.Response(status=status, headers={"Server": "slipway"})
        response.force_close()
        return response

    async def _judge(self, request: web.BaseRequest) -> tuple[int, str]:
        now = self._clock()
        if not (self._rate.allows(request.remote or "", now) and self._rate_of_all.allows("", now)):
            return 429, "too-many"
        path = PATH.fullmatch(request.rel_url.raw_path)
        if request.method != "POST" or path is None:
            return 404, "malformed"
        try:
            body = await _body(request)
        except ConnectionError:
            return 400, "malformed"
        if body is None:
            return 413, "too-large"
        delivery = read(request.headers, body)
        if delivery is None:
            return 400, "malformed"
        place = (path[1], path[2])
        if not delivery.is_signed(self._secret(place)):
            return 401, "forged"
        if delivery.is_late(self._now()):
            return 401, "late"
        if self._was_taken(place, delivery.id):
            return 204, "repeated"
        return await self._take(place, delivery, FORWARDED in request.headers)

    async def _take(self, place: Place, delivery: Delivery, forwarded: bool) -> tuple[int, str]:
        """Tell who acts. One that cannot be told is not remembered: the registry tries again."""
        if self._hints.acts():
            self._hints.heed(place, delivery.model)
            status, result = 204, "taken"
        else:
            leader = self._hints.leader()
            status, result = 503, "nobody-acts"
            if leader and not forwarded and await _passed_on(leader, place, delivery):
                status, result = 204, "passed-on"
        if status == 204:
            self._taken[place, delivery.id] = self._now() + 2 * WINDOW_SECONDS
            if len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)
        return status, result

    def _was_taken(self, place: Place, delivery_id: str) -> bool:
        """Whether it came before; what is too old to come again is forgotten."""
        while self._taken and next(iter(self._taken.values())) < self._now():
            self._taken.popitem(last=False)
        return (place, delivery_id) in self._taken

    async def serve(self, port: int) -> web.ServerRunner:
        """A server that answers on all addresses of the pod until its runner is cleaned up."""
        quiet = logging.getLogger("slipway.receiver")
        quiet.addFilter(_is_ours)
        runner = web.ServerRunner(_Server(self, logger=quiet, **_HANDLER))
        await runner.setup()
        await web.TCPSite(runner, port=port, backlog=CONNECTIONS).start()
        return runner


class _Server(web.Server):
    """Few connections, none for long: a client that is slow, or says nothing, takes no other's place for ever."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        super().__init__(handler, **options)

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(CONNECTION_SECONDS, transport.abort)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is one of this program: what strangers send that is no HTTP would fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body; None if it is larger than a delivery may be. ConnectionError if it ends too early."""
    if (request.content_length or 0) > BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)


async def _passed_on(leader: str, place: Place, delivery: Delivery) -> bool:
    """Whether the operator that acts took the delivery; it looks at the signature itself."""
    headers = {ID: delivery.id, TIMESTAMP: delivery.timestamp, SIGNATURE: delivery.signature, FORWARDED: "true"}
    limit = aiohttp.ClientTimeout(total=PASS_ON_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
            session.post(
                f"http://{leader}/{'/'.join(place)}", data=delivery.body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            return answer.status == 204
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.warning("a webhook of %s/%s could not be passed on to %s: %s", *place, leader, type(error).__name__)
        return False
