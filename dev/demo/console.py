"""What the demo prints: steps with their times, what is being waited for, and a table at the end."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


class Broken(Exception):
    """An expectation of the demo does not hold; the message is the sentence that a person reads."""


def expect(holds: bool, otherwise: str) -> None:
    """End the demo with this sentence unless the expectation holds."""
    if not holds:
        raise Broken(otherwise)


@dataclass
class Console:
    """Prints lines with the time since the start, and remembers how long each step took."""

    steps: int
    began: float = field(default_factory=time.monotonic)
    took: list[tuple[str, float]] = field(default_factory=list)
    _bold: bool = field(default_factory=sys.stdout.isatty)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step of the story; counted, timed, and listed in the table."""
        started = time.monotonic()
        title = f"{len(self.took) + 1}/{self.steps}  {name}"
        print(f"\n\033[1m{title}\033[0m" if self._bold else f"\n{title}", flush=True)
        yield
        self.took.append((name, time.monotonic() - started))
        self.say(f"done in {self.took[-1][1]:.1f} s")

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def block(self, text: str) -> None:
        """Text to be read or copied as it is."""
        print("".join(f"            {line}\n" for line in text.rstrip().splitlines()), end="", flush=True)

    def summary(self, happened: Sequence[tuple[str, str]]) -> None:
        """What happened in each step, with its duration."""
        width = max(len(name) for name, _ in self.took)
        print(f"\n{'step':<{width}}  seconds  what happened")
        print(f"{'-' * width}  -------  {'-' * 40}")
        told = dict(happened)
        for name, seconds in self.took:
            print(f"{name:<{width}}  {seconds:7.1f}  {told.get(name, '')}")
        print(f"{'together':<{width}}  {time.monotonic() - self.began:7.1f}", flush=True)
