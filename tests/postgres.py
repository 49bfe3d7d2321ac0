"""Starts a PostgreSQL on a free port of this machine, from the programs of Debian's package."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port


@contextmanager
def running_postgres(*databases: str) -> Iterator[str]:
    """Its address, to which the name of a database is put; it holds these, empty, and lets in whoever is here."""
    there, as_whom = _programs(), _nobody()
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        if as_whom:
            shutil.chown(folder, "nobody")
        home, port = Path(folder, "data"), free_port()

        def run(*command: str) -> None:
            with Path(f"{folder}.log").open("ab") as log:  # a pipe would be held open by the server
                program = [there / command[0], *command[1:]]
                subprocess.run(program, cwd=folder, check=True, stdout=log, stderr=log, **as_whom)

        run("initdb", "-D", str(home), "--username=mlflow", "--auth=trust", "--encoding=UTF8", "--no-sync")
        run("pg_ctl", "-D", str(home), "-w", "-o", f"-p {port} -k {folder} -h 127.0.0.1 -F", "start")
        try:
            for name in databases:
                run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", name)
            yield f"postgresql://mlflow@127.0.0.1:{port}/"
        finally:
            run("pg_ctl", "-D", str(home), "-w", "-m", "immediate", "stop")
            Path(f"{folder}.log").unlink()


def _programs() -> Path:
    """Where they are; the test is skipped without."""
    beside = shutil.which("initdb")
    found = [Path(beside).resolve().parent] if beside else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("PostgreSQL is not there; as root: apt-get install postgresql")
    return found[-1]


def _nobody() -> dict[str, Any]:
    """As root it refuses to run."""
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
