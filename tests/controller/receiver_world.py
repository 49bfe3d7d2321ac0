"""A receiver of webhooks that listens, and requests that are sent to it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from slipway.controller.receiver import Hints, Receiver
from slipway.controller.telemetry import Telemetry
from slipway.core.deliveries import ID, SIGNATURE, TIMESTAMP, signature_of

from tests.ports import free_port

PLACE, SECRET, NOW = ("ml", "mlflow"), "a secret of both of them", 1_772_816_400
NUMBER = "0b0d5f7e-6b7b-4b29-9a55-4ad0a3b4e0f1"
BODY = b'{"entity": "model_version_alias", "action": "created", "data": {"name": "flights", "version": "4"}}'


@dataclass
class Listening:
    """One operator's receiver."""

    acts: bool = True
    leader: str = ""
    now: float = NOW
    hurried: list[tuple[str, str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    heed: Callable[[tuple[str, str], str], None] = lambda _, __: None
    named: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    telemetry: Telemetry = field(default_factory=Telemetry)

    def receiver(self) -> Receiver:
        hints = Hints(lambda: self.acts, self._take, lambda: self.leader)
        secrets = {PLACE: SECRET}
        return Receiver(lambda place: secrets.get(place, ""), hints, self.telemetry, lambda: self.now, lambda: self.now)

    def _take(self, place: tuple[str, str], name: str) -> None:
        self.hurried.append(place)
        self.named.append(name)
        self.came.set()
        self.heed(place, name)

    def count(self, result: str) -> float:
        """Deliveries that ended so."""
        return self.telemetry.registry.get_sample_value("slipway_webhook_deliveries_total", {"result": result}) or 0.0

    async def send(self, request: "Request") -> int:
        """The status that answers; 0 if the connection was broken off."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
                session.request(
                    request.method, f"http://127.0.0.1:{self.port}{request.path}", data=request.body,
                    headers=request.headers(),
                ) as answer,
            ):  # fmt: skip
                assert await answer.read() == b""
                return answer.status
        except aiohttp.ClientError:
            return 0


@dataclass(frozen=True)
class Request:
    """What is sent, and signed with `secret` unless a signature is given."""

    method: str = "POST"
    path: str = "/ml/mlflow"
    body: bytes = BODY
    number: str = NUMBER
    timestamp: int = NOW
    secret: str = SECRET
    signature: str | None = None
    more: dict[str, str] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        signature = self.signature or signature_of(self.secret, self.number, str(self.timestamp), self.body)
        return {ID: self.number, TIMESTAMP: str(self.timestamp), SIGNATURE: signature, **self.more}
