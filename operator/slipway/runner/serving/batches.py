"""Answers requests together that come while others are being answered: one prediction for the rows of all of them.

Nobody waits for company: what has come while the last batch was predicted is the next one. It is for models whose
predictions of many rows cost little more than those of one, such as forests; and only where each row's answer is, byte
for byte, the one that it gets alone. Linear algebra gives other last bits for other numbers of rows, for one.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy

from .fast import INLINE_SECONDS, LATELY, FastWay
from .native import NotNative
from .rows import Table

Threaded = Callable[
    [Callable[[Sequence[Table]], "list[bytes | None]"], Sequence[Table]], Awaitable["list[bytes | None]"]
]


def together(way: FastWay, tables: Sequence[Table]) -> "list[bytes | None]":
    """The answer to each table, from one prediction; None: that is for MLflow to give."""
    joined = numpy.concatenate(tables)
    found = way.values(numpy.asfortranarray(joined) if way.columns.names else joined)
    if found is None or len(found) != len(joined):
        return [None] * len(tables)
    answers: list[bytes | None] = []
    start = 0
    for table in tables:
        rows = found[start : start + len(table)]
        answers.append(json.dumps({"predictions": rows}).encode())
        start += len(table)
    return answers


def prove(way: FastWay, bodies: Iterable[bytes]) -> None:
    """NotNative if one of these bodies is answered otherwise among the others than alone."""
    read = [(body, table) for body in bodies if (table := way.columns.read(body)) is not None]
    for (body, _), answer in zip(read, together(way, [table for _, table in read]) if read else (), strict=True):
        if answer != way.answer(body):
            raise NotNative(f"among others it answers otherwise than alone to {body[:200].decode(errors='replace')}")


@dataclass
class Batches:
    """What waits for its turn, and how long one took lately."""

    way: FastWay
    max_rows: int  # of one prediction; a request with more of them is one by itself
    threaded: Threaded
    _waiting: "list[tuple[Table, asyncio.Future[bytes | None]]]" = field(default_factory=list, init=False)
    _work: "asyncio.Task[None] | None" = field(default=None, init=False)
    _seconds: float = field(default=0.0, init=False)

    async def take(self, body: bytes) -> bytes | None:
        """The answer to a body of JSON; None if it is for MLflow to give."""
        table = self.way.columns.read(body)
        if table is None:
            return None
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((table, answer))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._until_none_waits())  # after all that has come has been read
        return await answer

    async def _until_none_waits(self) -> None:
        while batch := self._next():
            tables, began = [table for table, _ in batch], time.perf_counter()
            answers: list[bytes | None] = [None] * len(tables)
            with contextlib.suppress(Exception):  # then each of them is answered MLflow's way
                is_short = self._seconds <= INLINE_SECONDS
                answers = self._together(tables) if is_short else await self.threaded(self._together, tables)
            self._seconds += (time.perf_counter() - began - self._seconds) / LATELY
            for (_, waits), answer in zip(batch, answers, strict=True):
                if not waits.done():  # whoever asked may have gone
                    waits.set_result(answer)
            await asyncio.sleep(0)  # what has come meanwhile is read

    def _together(self, tables: Sequence[Table]) -> "list[bytes | None]":
        return together(self.way, tables)

    def _next(self) -> "list[tuple[Table, asyncio.Future[bytes | None]]]":
        count, rows = 0, 0
        for table, _ in self._waiting:
            if count and rows + len(table) > self.max_rows:
                break
            count, rows = count + 1, rows + len(table)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch
