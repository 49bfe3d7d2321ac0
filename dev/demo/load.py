"""A load client that proves that nothing was lost: many connections, never a retry, every answer checked.

As a program (this file alone is enough) it reads a plan as one line of JSON, prints its tally as one
line of JSON every half second, and ends when its input is closed or the plan's time is up.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

REPORT_SECONDS = 0.5
FAILURES_KEPT = 20


@dataclass(frozen=True)
class Plan:
    """What to ask, how often, and which answers are right."""

    url: str  # of the scoring endpoint
    request: Mapping[str, Any]  # the JSON body
    answers: Mapping[str, Sequence[float]]  # by version: the only predictions that are right
    connections: int = 8  # every second one is kept open, the others are opened anew for each request
    requests_per_second: float = 20.0  # of all connections together
    seconds: float = 600.0
    most_requests: int = 100_000
    timeout_seconds: float = 10.0
    host: str = ""  # Host header, where the URL is an address


@dataclass
class Tally:
    """What came of it so far."""

    requests: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)  # the first ones, in words
    answers: dict[str, int] = field(default_factory=dict)  # by version
    first_at: dict[str, float] = field(default_factory=dict)  # by version: Unix time of its first answer
    last_at: dict[str, float] = field(default_factory=dict)  # by version: Unix time of its last answer
    durations: list[float] = field(default_factory=list)  # seconds, of the right answers

    def right(self, version: str, seconds: float) -> None:
        """One answer that equals that version's predictions."""
        self.requests += 1
        self.answers[version] = self.answers.get(version, 0) + 1
        self.first_at.setdefault(version, time.time())
        self.last_at[version] = time.time()
        self.durations.append(seconds)

    def wrong(self, what: str) -> None:
        """One request without a right answer."""
        self.requests += 1
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(what)

    def report(self) -> dict[str, Any]:
        """The tally as JSON, with percentiles of the durations in place of each one."""
        ordered = sorted(self.durations) or [0.0]
        percentiles = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 99)}
        told = asdict(self) | {"seconds": percentiles | {"slowest": ordered[-1]}}
        del told["durations"]
        return told


class Wrong(Exception):
    """An answer that is none of the known versions'."""


def version_of(answers: Mapping[str, Sequence[float]], status: int, body: bytes, named: str | None) -> str:
    """The version whose predictions these are, to the last digit; Wrong where there is none."""
    if status != 200:
        raise Wrong(f"status {status}: {body[:200]!r}")
    try:
        predictions = json.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong(f"not an answer: {body[:200]!r}") from error
    if named is not None and named in answers:
        if predictions != list(answers[named]):
            raise Wrong(f"it says that it is version {named}, but these are not its predictions: {body[:200]!r}")
        return named
    found = next((version for version, right in answers.items() if predictions == list(right)), None)
    if found is None or named is not None:
        raise Wrong(f"no known version (it calls itself {named}): {body[:200]!r}")
    return found


async def offer(plan: Plan, stop: asyncio.Event, tally: Tally) -> None:
    """Ask until stopped or until the plan's bounds are reached."""
    ends = time.monotonic() + plan.seconds
    workers = [_connection(plan, index, ends, stop, tally) for index in range(plan.connections)]
    await asyncio.gather(*workers)


async def _connection(plan: Plan, index: int, ends: float, stop: asyncio.Event, tally: Tally) -> None:
    """One client: a connection of its own, kept or opened anew each time."""
    pause = plan.connections / plan.requests_per_second
    due = time.monotonic() + pause * index / plan.connections
    connector = aiohttp.TCPConnector(limit=1, force_close=index % 2 == 1)
    timeout = aiohttp.ClientTimeout(total=plan.timeout_seconds)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while not stop.is_set() and due < ends and tally.requests < plan.most_requests:
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
                return
            except TimeoutError:
                pass
            await _ask(session, plan, tally, kept=index % 2 == 0)
            due = max(due + pause, time.monotonic())


async def _ask(session: aiohttp.ClientSession, plan: Plan, tally: Tally, kept: bool) -> None:
    """One request; whatever is not the right answer counts as failed."""
    began = time.monotonic()
    headers = {"Host": plan.host} if plan.host else {}
    try:
        # aiohttp repeats nothing here: it does so for idempotent methods only, and this is a POST.
        async with session.post(plan.url, json=plan.request, headers=headers) as response:
            body = await response.read()
            version = version_of(plan.answers, response.status, body, response.headers.get("slipway-version"))
        tally.right(version, time.monotonic() - began)
    except (aiohttp.ClientError, OSError, TimeoutError, Wrong) as error:
        connection = "kept" if kept else "new"
        tally.wrong(f"{time.strftime('%H:%M:%S')} {connection} connection: {type(error).__name__}: {error}")


async def _input() -> asyncio.StreamReader:
    """The program's standard input, read without a thread that would outlive the work."""
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _program() -> None:
    """Offer the load that the first line of the input describes."""
    reader = await _input()
    plan = Plan(**json.loads(await reader.readline()))
    stop, tally = asyncio.Event(), Tally()
    closed = asyncio.create_task(reader.read())
    closed.add_done_callback(lambda _: stop.set())
    work = asyncio.create_task(offer(plan, stop, tally))
    while not work.done():
        await asyncio.wait([work], timeout=REPORT_SECONDS)
        print(json.dumps(tally.report()), flush=True)
    await work


if __name__ == "__main__":
    asyncio.run(_program())
