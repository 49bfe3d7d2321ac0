"""Progress lines: which step runs, and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Trouble(Exception):
    """Something that the person at the keyboard has to know or do; printed without a traceback."""


def say(text: str) -> None:
    print(f"slipway: {text}", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    started = time.monotonic()
    say(f"{name} ...")
    yield
    say(f"{name}: {time.monotonic() - started:.1f} s")
