"""A real MLflow with thousands of registered versions, which can be made to hang."""

import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from tests.mlflow_server import MLflowServer

REQUEST = re.compile(r'"([A-Z]+) ([^ ?"]+)\S* HTTP/[0-9.]+" [0-9]{3}')
NUMBERED = re.compile(r"/(m-)?[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Registered:
    """One version as the registry tells it."""

    name: str
    version: int
    source: str
    stage: str = "None"
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""


def fill(server: MLflowServer, versions: Iterable[Registered]) -> None:
    """The versions are registered: written into its database at once, since by REST it would take half an hour."""
    every = list(versions)
    now = int(time.time() * 1000)
    names = dict.fromkeys(one.name for one in every)
    with sqlite3.connect(server.directory / "mlflow.db", timeout=60) as database:
        database.executemany(
            "INSERT OR IGNORE INTO registered_models (name, creation_time, last_updated_time) VALUES (?, ?, ?)",
            [(name, now, now) for name in names],
        )
        database.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source,"
            " description, status) VALUES (?, ?, ?, ?, ?, ?, ?, 'READY')",
            [(one.name, one.version, now, now, one.stage, one.source, one.description) for one in every],
        )
        database.executemany(
            "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
            [(one.name, one.version, key, value) for one in every for key, value in one.tags.items()],
        )
        database.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)",
            [(one.name, alias, one.version) for one in every for alias in one.aliases],
        )
    database.close()


class Requests:
    """What the registry is asked from now on, as its access log tells."""

    def __init__(self, server: MLflowServer) -> None:
        self._log = server.directory / "server.log"
        self._from = self._log.stat().st_size

    def counted(self) -> Counter[str]:
        """Requests by method and path."""
        with self._log.open(errors="replace") as log:
            log.seek(self._from)
            found = REQUEST.findall(log.read())
        return Counter(f"{method} {NUMBERED.sub('/<id>', path)}" for method, path in found)


@contextmanager
def hanging(server: MLflowServer) -> Iterator[None]:
    """It takes connections and answers nothing, until the end of the block."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    try:
        for process in family:
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in family:
            process.send_signal(signal.SIGCONT)
