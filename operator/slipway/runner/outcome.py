"""How an in-pod program begins and ends: its task, its folders, and its last words in the termination message."""

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from slipway.api.base import Value
from slipway.api.tasks import AUTHORITIES, CREDENTIALS, DATA_CREDENTIALS, PUSH, VARIABLE, Problem

ROOT = "SLIPWAY_ROOT"  # tests put the pod's fixed folders below it
TERMINATION_LOG = "SLIPWAY_TERMINATION_LOG"
MESSAGE_BYTES = 1500  # with JSON's escapes this stays below the kubelet's 4,096

Task = TypeVar("Task", bound=Value)

_USERINFO = re.compile(r"//[^/@\s]+@")
_QUERY = re.compile(r"(?<=[\w/])\?[^\s'\")]+")  # of a presigned URL


class Refused(Exception):
    """An expected way to fail: becomes the Problem in the termination message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def at(folder: str) -> Path:
    """One of the pod's fixed folders."""
    return Path(os.environ.get(ROOT, "/")) / folder.lstrip("/")


def say(line: str) -> None:
    """A line for whoever reads the pod's log."""
    print(_without_secrets(line), file=sys.stderr, flush=True)


def secret(folder: str, name: str) -> str:
    """One file of a mounted Secret, "" if it is not there."""
    path = at(folder) / name
    return path.read_text().strip() if path.is_file() else ""


def run(program: Callable[[Task], Value | None], kind: type[Task]) -> NoReturn:
    """Run a program on its task and end the process: 0 with its result, 1 with a Problem."""
    try:
        trust(at(AUTHORITIES) / "ca.crt")
        result = program(kind.model_validate_json(os.environ[VARIABLE]))
    except Refused as refused:
        _end(refused.reason, str(refused))
    except Exception as error:  # noqa: BLE001 - the last line of defence of a process: every end has a reason
        say(traceback.format_exc())
        _end("InternalError", f"{type(error).__name__}: {error}")
    if result is not None:
        _last_words(result)
    sys.exit(0)


def trust(certificates: Path) -> None:
    """Every client in this process believes these authorities, beside the public ones; if they are there at all."""
    if not certificates.is_file():
        return
    from requests.certs import where  # noqa: PLC0415 - 0.1 s that only private authorities cost

    with tempfile.NamedTemporaryFile("w", prefix="trusted-", suffix=".pem", delete=False) as everybody:
        everybody.write(f"{Path(where()).read_text()}\n{certificates.read_text()}")
    for client in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        os.environ[client] = everybody.name


def _end(reason: str, message: str) -> NoReturn:
    readable = "".join(char if char.isprintable() else " " for char in _without_secrets(message))
    bounded = readable.encode(errors="replace")[:MESSAGE_BYTES].decode(errors="ignore")
    _last_words(Problem(reason=reason, message=bounded))
    print(bounded, file=sys.stderr, flush=True)
    sys.exit(1)


def _last_words(value: Value) -> None:
    try:
        Path(os.environ.get(TERMINATION_LOG, "/dev/termination-log")).write_text(
            value.model_dump_json(by_alias=True, exclude_none=True)
        )
    except OSError as error:
        print(f"the termination message could not be written: {error}", file=sys.stderr)


def _without_secrets(text: str) -> str:
    for folder in (CREDENTIALS, DATA_CREDENTIALS, PUSH):
        for name in ("password", "token", "AWS_SECRET_ACCESS_KEY"):
            value = secret(folder, name)
            if value:
                text = text.replace(value, "***")
    return _QUERY.sub("?***", _USERINFO.sub("//***@", text))
