"""The pages that people read, and the commands in them.

What a fenced block says after its language decides what becomes of it:

    ```sh                   commands, run as they are
    ```console              commands after `$ `, run, and what they print: `…` is anything, ages and fractions may differ
    ```sh values            what the reader fills in; a test exports values of its own under the same names
    ```sh not-run="why"     not run
    ```yaml chart           values of the chart, which a test renders; other YAML is manifests, complete
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Whose commands tests/e2e/test_docs_commands.py runs, in the order in which somebody follows them.
FOLLOWED = (
    "docs/getting-started.md",
    "README.md",
    "docs/concepts.md",
    "docs/troubleshooting.md",
    "docs/runbooks.md",
    "docs/operating.md",
    "docs/events.md",
)
# Those that tests/e2e/test_adoption.py follows, under load.
ALONE = ("docs/adoption.md",)
SHELL = ("sh", "console")
FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r'not-run="[^"]{10,}"')
HEREDOC = re.compile(r"<<EOF\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)
AGE = re.compile(r"\d+[smhd](?:\d+[smhd])?")
FRACTION = re.compile(r"\d+\.\d+")


class Block(NamedTuple):
    """A fenced block of a page, or a whole example."""

    page: str
    number: int
    language: str
    mark: str
    text: str

    @property
    def where(self) -> str:
        """For a person."""
        return f"{self.page}, block {self.number}" if self.number else self.page

    @property
    def is_run(self) -> bool:
        """Whether its commands are for a test to run."""
        return self.language in SHELL and not self.mark

    @property
    def exports(self) -> dict[str, str]:
        """The variables that it sets."""
        words = shlex.split(self.text, comments=True)
        return dict(word.split("=", 1) for word in words if word != "export")


class Step(NamedTuple):
    """Commands, and the lines that they print at least."""

    command: str
    printed: tuple[str, ...]


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    for number, (language, mark, text) in enumerate(FENCE.findall(page.read_text()), start=1):
        yield Block(name(page), number, language, mark, text)


def every_block() -> Iterator[Block]:
    """Those of all pages."""
    for page in PAGES:
        yield from blocks(page)


def steps(block: Block) -> list[Step]:
    """What is run, one after the other."""
    if block.language != "console":
        return [Step(block.text, ())]
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        found.append(Step(command, tuple(line for line in printed if line.strip())))
    return found


def prints(step: Step, said: str) -> bool:
    """Whether each line that the page shows is among those that were printed, but for what differs from run to run."""
    lines = said.splitlines()
    return all(any(re.fullmatch(_pattern(shown), line.strip()) for line in lines) for shown in step.printed)


def _pattern(shown: str) -> str:
    return r"\s+".join(_word(word) for word in shown.split())


def _word(word: str) -> str:
    for kind in (AGE, FRACTION):
        if kind.fullmatch(word):
            return kind.pattern
    return ".*".join(re.escape(part) for part in word.split("…"))
