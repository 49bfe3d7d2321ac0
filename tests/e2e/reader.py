"""Somebody who follows a page: its commands, as they stand, with names and values of the test's own."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.pages import Block, Step, prints, steps

from .place import POLL_SECONDS, Place

BLOCK_SECONDS = 150  # the pages allow their waits ten minutes
SETTLED_SECONDS = 30  # within which a cluster comes to show what a page shows


@dataclass
class Reader:
    """Somebody who follows the pages, and stops where one of them is wrong."""

    place: Place
    folder: Path
    values: Mapping[str, str]
    words: Mapping[str, str]
    block_seconds: int = BLOCK_SECONDS
    exported: dict[str, str] = field(default_factory=dict)
    stopped_at: str = ""

    def follow(self, block: Block) -> None:
        """Do what a block says, unless an earlier one could not be followed."""
        if self.stopped_at:
            pytest.skip(f"it goes on from {self.stopped_at}, which failed")
        self.stopped_at = block.where
        if block.mark == "values":
            self.exported |= {name: self.values[name] for name in block.exports}
        else:
            for step in steps(block):
                self._take(step)
        self.stopped_at = ""

    def _take(self, step: Step) -> None:
        """Run commands until they print what the page shows."""
        deadline = time.monotonic() + SETTLED_SECONDS
        command, shown = self._renamed(step.command), step._replace(printed=tuple(map(self._renamed, step.printed)))
        while not prints(shown, said := self._run(command)):
            missing = "\n".join(shown.printed)
            assert time.monotonic() < deadline, f"the page shows\n{missing}\nand it prints\n{said}"
            time.sleep(POLL_SECONDS)
        print(f"$ {command.strip()}\n{said.rstrip()}")

    def _renamed(self, text: str) -> str:
        """The names that must be this test's own, wherever they stand as a word."""
        return re.sub(rf"(?<![\w-])(?:{'|'.join(self.words)})(?![\w-])", lambda found: self.words[found[0]], text)

    def _run(self, command: str) -> str:
        """In a shell that stops at the first error, and leaves nothing running."""
        shell = ["bash", "-euo", "pipefail", "-c", command]
        environment = {**self.place.kube.environment, **self.exported}
        pipe, merged = subprocess.PIPE, subprocess.STDOUT
        process = subprocess.Popen(
            shell, cwd=self.folder, env=environment, stdout=pipe, stderr=merged, text=True, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=self.block_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            pytest.fail(f"not within {self.block_seconds} s: {command}\n{said}\n{self.place.told()}")
        assert process.returncode == 0, f"{command}\n{said}\n{self.place.told()}"
        return said
