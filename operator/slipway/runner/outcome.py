"""How a program begins and ends: its task, its log without secrets, and its termination message."""

import contextlib
import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

from slipway.api.base import Value
from slipway.api.tasks import AUTHORITIES, VARIABLE, EnvironmentResult, ImportResult, Problem

from .pod import Pod

MESSAGE_BYTES = 1500  # with JSON's escapes this stays below the kubelet's 4,096

Task = TypeVar("Task", bound=Value)

# What stands before the @ of an address on Azure is a container, unless it has a colon.
_USERINFO = re.compile(r"(?<!wasbs:)(?<!abfss:)//[^/@\s]+@|//[^/@:\s]*:[^/@\s]*@")
_SIGNATURE = re.compile(r"(?<=[?&]sig=)[^&\s'\")]+")  # of an address on Azure, whatever its path ends with
_QUERY = re.compile(r"(?<=[\w/])\?[^\s'\")]+")  # of a presigned URL


class Refused(Exception):
    """An expected way to fail: becomes the Problem in the termination message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def say(line: str) -> None:
    """Write a line to the pod's log."""
    print(line, file=sys.stderr, flush=True)


def run(program: Callable[[Task, Pod], Value | None], kind: type[Task], pod: Pod) -> NoReturn:
    """Run a program on its task and end the process: 0 with its result, 1 with a Problem."""
    first = pod.secrets()

    def secrets() -> tuple[str, ...]:  # they may have been renewed meanwhile
        return (*first, *pod.secrets())

    with contextlib.redirect_stderr(_Scrubbed(sys.stderr, secrets)):
        ending = _fit(_ending(program, kind, pod), secrets())
        if isinstance(ending, Problem):
            say(ending.message)
        if ending is not None:
            _write_termination_message(ending, pod)
    sys.exit(1 if isinstance(ending, Problem) else 0)


def _ending(program: Callable[[Task, Pod], Value | None], kind: type[Task], pod: Pod) -> Value | None:
    try:
        trust(pod.at(AUTHORITIES) / "ca.crt")
        return program(kind.model_validate_json(os.environ[VARIABLE]), pod)
    except Refused as refused:
        reason, message = refused.reason, str(refused)
    except Exception as error:  # noqa: BLE001 - the last line of defence of a process: every end has a reason
        say(traceback.format_exc())
        reason, message = "InternalError", f"{type(error).__name__}: {error}"
    return Problem.model_construct(reason=reason, message=message)  # bounded once its secrets are out


def _fit(ending: Value | None, secrets: tuple[str, ...]) -> Value | None:
    """The ending as a termination message may tell it: no secret in its words, and not too many of them."""
    if isinstance(ending, Problem):
        return Problem(reason=ending.reason, message=bounded(scrubbed(ending.message, secrets)))
    if isinstance(ending, ImportResult) and ending.data_problem is not None:
        return ending.model_copy(update={"data_problem": _fit(ending.data_problem, secrets)})
    if isinstance(ending, EnvironmentResult):
        return ending.model_copy(update={"notes": scrubbed(ending.notes, secrets)})
    return ending


def trust(certificates: Path) -> None:
    """Trust these authorities in addition to the public ones, in every client of this process."""
    if not certificates.is_file():
        return
    bundle = trusted(certificates.read_text())
    for client in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        os.environ[client] = bundle


def trusted(certificates: str) -> str:
    """A file with these authorities beside those that this process trusts."""
    from requests.certs import where  # noqa: PLC0415 - 0.1 s that only private authorities cost

    there = Path(os.environ.get("REQUESTS_CA_BUNDLE") or where()).read_text()
    with tempfile.NamedTemporaryFile("w", prefix="trusted-", suffix=".pem", delete=False) as bundle:
        bundle.write(f"{there}\n{certificates}")
    return bundle.name


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """The text without these secrets, and without user info and query strings of URLs."""
    for value in secrets:
        text = text.replace(value, "***")
    return _QUERY.sub("?***", _SIGNATURE.sub("***", _USERINFO.sub("//***@", text)))


class _Scrubbed(io.TextIOBase):
    """A log that leaves out secrets, whoever writes to it."""

    def __init__(self, log: TextIO, secrets: Callable[[], tuple[str, ...]]) -> None:
        self._log, self._secrets = log, secrets

    def write(self, text: str) -> int:
        self._log.write(scrubbed(text, self._secrets()))
        return len(text)

    def flush(self) -> None:
        self._log.flush()


def bounded(message: str, limit: int = MESSAGE_BYTES) -> str:
    """As much of the text as fits into so many bytes, with blanks for what cannot be shown."""
    readable = "".join(char if char.isprintable() else " " for char in message)
    return readable.encode(errors="replace")[:limit].decode(errors="ignore")


def _write_termination_message(value: Value, pod: Pod) -> None:
    try:
        pod.termination_log.write_text(value.model_dump_json(by_alias=True, exclude_none=True))
    except OSError as error:
        say(f"the termination message could not be written: {error}")
