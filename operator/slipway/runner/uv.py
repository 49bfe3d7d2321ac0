"""uv, as the step uses it that rebuilds an environment: it resolves and unpacks wheels, and builds and runs nothing.

It reads no settings but ours, and asks only the platform's indexes: each package comes from the first that has it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway.api.tasks import INDEX, Index

from .outcome import Refused, say
from .pod import Pod

SECONDS = 1800  # for one command: what takes longer is stuck
# What uv says of an index that gave no answer, or let nobody in: that tells nothing of the packages.
_SILENT = re.compile(
    r"error sending request|HTTP status server error|HTTP status client error \((?:401|403|407|408|429)"
    r"|timed out|Request failed after|connection (?:closed|reset)|unexpected end of|Failed to (?:download|fetch)",
    re.IGNORECASE,
)
_CLOSED = re.compile(r"hint: (An index [^\n]*(?:could not be queried|returned a \d+ )[^\n]*)")
_OTHER_BYTES = re.compile(r"Hash mismatch for `([^`]+)`")
_BECAUSE = re.compile(r"Because (.*?),? we can conclude that your requirements are unsatisfiable")
_ELSEWHERE = re.compile(r"hint: (Wheels are available [^\n]*)")
_WARNING = re.compile(r"^warning: (.*)$", re.MULTILINE)
_MESSAGE = 1000


@dataclass(frozen=True)
class Asked:
    """What uv is asked to lock, in lines of requirements files."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()  # of whatever asks for these packages
    left_out: tuple[str, ...] = ()


class Uv:
    """uv in a folder of its own, for as long as a step runs."""

    def __init__(self, indexes: tuple[Index, ...], proxy: str | None, folder: Path, pod: Pod) -> None:
        self._indexes, self._proxy, self._folder, self._pod = indexes, proxy, folder, pod

    def lock(self, asked: Asked) -> tuple[str, tuple[str, ...]]:
        """Every package with its version and hashes, as a requirements file; and what uv warned of."""
        requirements, locked = self._file("asked.txt", asked.requirements), self._folder / "locked.txt"
        locked.unlink(missing_ok=True)  # uv would prefer its versions
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(locked)]
        files = {"--constraints": asked.constraints, "--overrides": asked.instead, "--excludes": asked.left_out}
        for option, lines in files.items():
            if lines:
                options += [option, str(self._file(f"{option.removeprefix('--')}.txt", lines))]
        said = self._run("pip", "compile", str(requirements), *options)
        return locked.read_text(), tuple(_WARNING.findall(said))

    def unpack(self, lock: str, target: Path) -> None:
        """The locked wheels, each of the hash that its lock names, in one folder."""
        locked = self._file("lock.txt", lock.splitlines())
        self._run("pip", "install", "--no-deps", "--require-hashes", "--target", str(target), "-r", str(locked))

    def _run(self, *words: str) -> str:
        uv = Path(sys.executable).with_name("uv")
        common = ["--no-config", "--no-progress", "--color", "never", "--cache-dir", str(self._folder / "cache")]
        command = [str(uv), *common, *words, "--no-build", "--python", sys.executable, *self._asked()]
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Refused("IndexUnreachable", f"uv {words[1]} took longer than {SECONDS} s") from error
        for line in done.stderr.splitlines():
            say(f"uv: {line}")
        if done.returncode:
            raise refusal(done.stderr)
        return done.stderr

    def _asked(self) -> Iterator[str]:
        *before, last = self._indexes
        for one in before:
            yield from ("--index", f"{one.name}={one.url}")
        yield from ("--default-index", f"{last.name}={last.url}")

    def _environment(self) -> dict[str, str]:
        kept = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE")
        found = {name: os.environ[name] for name in kept if name in os.environ}
        for one in self._indexes:
            for name in ("username", "password"):
                if value := self._pod.secret(INDEX, f"{one.name}.{name}"):
                    found[f"UV_INDEX_{one.name.upper().replace('-', '_')}_{name.upper()}"] = value
        if self._proxy:
            found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self._proxy)
        return found

    def _file(self, name: str, lines: tuple[str, ...] | list[str]) -> Path:
        file = self._folder / name
        file.write_text("\n".join(lines) + "\n")
        return file


def refusal(said: str) -> Refused:
    """Why uv failed, by what it wrote: an index that does not answer, other bytes, or packages that cannot be had."""
    text = " ".join(said.replace("\u2502", " ").split())
    if other := _OTHER_BYTES.search(text):
        return Refused("IndexRejected", f"an index served another file than {other[1]}'s lock names")
    if closed := _CLOSED.search(said):
        return Refused("IndexUnreachable", closed[1][:_MESSAGE])
    if found := _BECAUSE.search(text):
        words = [found[1].rstrip(","), *_ELSEWHERE.findall(said)]
        return Refused("EnvironmentNotReproducible", ". ".join(words)[:_MESSAGE])
    if _SILENT.search(text):
        causes = [line.strip().removeprefix("cause: ") for line in said.splitlines() if "cause: " in line]
        return Refused("IndexUnreachable", f"no answer from a package index: {'; '.join(causes) or text}"[:_MESSAGE])
    return Refused("EnvironmentNotReproducible", text.partition("error: ")[2][:_MESSAGE] or text[-_MESSAGE:])
