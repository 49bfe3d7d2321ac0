"""The import of a large model from a real MLflow into a real artifact store, against the same by hand.

By hand means: `mlflow artifacts download`, then one tar of what came, hashed and pushed by curl. Both sides read the
same files from the same server and write to a store of the same kind that is empty.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from slipway.api.tasks import VARIABLE, ImportTask
from slipway.runner.store import MODELS, StoreClient, tag

from bench.figures import Found, figure
from dev.demo.console import Console
from tests.mlflow_server import MLflowServer, running_mlflow
from tests.runner.pods import OPERATOR, StoreOnDisk, artifact_store

RATIO, MEMORY_MIB, SILENCE_SECONDS = 1.2, 300, 15
FILES = 5
SAMPLE_SECONDS = 0.05
MLMODEL = b"flavors:\n  python_function: {}\nmlflow_version: 3.17.2\n"
# The program's last line, in a folder of its own in place of a pod's root.
IMPORT = """
from pathlib import Path
from slipway.runner.import_ import main
from slipway.runner.pod import Pod
main(Pod(Path({root!r}), Path({root!r}, "termination-log")))
"""
BY_HAND = """
set -eu
"$PYTHON" -m mlflow artifacts download --artifact-uri "$ARTIFACTS" --dst-path model >&2
pack() { tar --create --sort=name --mtime=@0 --directory model .; }
digest=sha256:$(pack | sha256sum | cut -d " " -f 1)
upload=$(curl -fsS -o /dev/null -X POST -w "%{header_json}" "$STORE/by-hand/blobs/uploads/" |
  "$PYTHON" -c "import json, sys; print(json.load(sys.stdin)['location'][0])")
pack | curl -fsS -T - -H "Content-Type: application/octet-stream" "$upload&digest=$digest"
"""


@dataclass(frozen=True)
class Amounts:
    """How much is imported, and how often."""

    megabytes: int = 5000
    rounds: int = 3


@dataclass(frozen=True)
class Ran:
    """A program that has ended well: its time, the most memory that it held, when each line of its log came."""

    seconds: float
    memory_mib: float  # resident, without what the kernel keeps of files that were read or written
    log: tuple[tuple[float, str], ...]

    @property
    def silence_seconds(self) -> float:
        """The longest that it said nothing."""
        moments = [0.0, *(moment for moment, _ in self.log), self.seconds]
        return max(after - before for before, after in itertools.pairwise(moments))


def measure(amounts: Amounts, programs: Path) -> Found:
    """All figures of one run; everything that was started has ended afterwards, and nothing is left on the disk."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        _room(folder, amounts)
        console = Console(steps=2)
        with running_mlflow(folder / "mlflow") as mlflow:
            with console.step(f"a model of {amounts.megabytes} MB in MLflow"):
                source, artifacts = _log(mlflow, amounts.megabytes * 10**6)
            with console.step(f"imported by Slipway and by hand, {amounts.rounds} times in turns"):
                return _compare(mlflow, source, artifacts, programs, amounts, console)


def _room(folder: Path, amounts: Amounts) -> None:
    """The model, what was downloaded of it, and the store."""
    needed, free = 3.2 * amounts.megabytes * 1e6, shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"no room in {folder.parent}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} are needed; "
                         "set TMPDIR to a larger disk, or --megabytes to less")  # fmt: skip


def _log(mlflow: MLflowServer, size: int) -> tuple[str, str]:
    """A model of random bytes: its source, and the URI of its artifacts."""
    run = mlflow.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    made = mlflow.post("logged-models", experiment_id="0", name="large", source_run_id=run)["model"]["info"]
    mlflow.upload(made["artifact_uri"], "MLmodel", MLMODEL)
    for number in range(FILES):
        with mlflow.file(made["artifact_uri"], f"weights-{number}.bin").open("wb") as file:
            for rest in range(size // FILES, 0, -(2**20)):
                file.write(os.urandom(min(rest, 2**20)))
            file.flush()
            os.fsync(file.fileno())  # the disk is not busy with it while others are measured
    return f"models:/{made['model_id']}", made["artifact_uri"]


def _compare(
    mlflow: MLflowServer, source: str, artifacts: str, programs: Path, amounts: Amounts, console: Console
) -> Found:
    ours, theirs, found = list[Ran](), list[Ran](), Found()
    for number in range(1, amounts.rounds + 1):
        with empty(mlflow.directory.parent, programs) as (store, place):
            ours.append(_by_slipway(mlflow, source, store, place))
        with empty(mlflow.directory.parent, programs) as (store, place):
            theirs.append(_by_hand(mlflow, artifacts, store, place))
        console.say(f"round {number}: Slipway {ours[-1].seconds:.1f} s, by hand {theirs[-1].seconds:.1f} s")
    ratios = [mine.seconds / other.seconds for mine, other in zip(ours, theirs, strict=True)]
    found.details |= {"log of the first import": ours[0].log}
    found.figures += [
        figure("import by Slipway", [one.seconds for one in ours], " s"),
        figure("the same by hand", [one.seconds for one in theirs], " s"),
        figure("time of an import, by Slipway against by hand", ratios, "", RATIO),
        figure("memory of an import", [one.memory_mib for one in ours], " MiB", MEMORY_MIB),
        figure("memory by hand, of the largest program", [one.memory_mib for one in theirs], " MiB"),
        figure("files without a line of progress while it runs", [_untold(one) for one in ours], "", 0),
        figure("longest time without a line", [one.silence_seconds for one in ours], " s", SILENCE_SECONDS),
    ]
    return found


@contextmanager
def empty(folder: Path, programs: Path) -> Iterator[tuple[StoreOnDisk, Path]]:
    """A store and a folder to work in, both empty, and gone afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place, files = Path(name, "work"), Path(name, "store")
        place.mkdir()
        files.mkdir()
        os.sync()
        with artifact_store(programs / "registry", files) as store:
            yield store, place


def _by_slipway(mlflow: MLflowServer, source: str, store: StoreOnDisk, place: Path) -> Ran:
    task = ImportTask(registry_uri=mlflow.uri, source=source, model_name="large", version=1, store=store.store)
    command = [sys.executable, "-c", IMPORT.format(root=str(place))]
    ran = run(command, place, {"PYTHONPATH": str(OPERATOR), VARIABLE: json.dumps(task.wire())})
    digest = json.loads((place / "termination-log").read_text())["digest"]
    if StoreClient(store.store).manifest(MODELS, tag(digest)) is None:
        raise SystemExit(f"nothing in the store is called {digest}, though the import ended well")
    return ran


def _by_hand(mlflow: MLflowServer, artifacts: str, store: StoreOnDisk, place: Path) -> Ran:
    variables = {"MLFLOW_TRACKING_URI": mlflow.uri, "ARTIFACTS": artifacts, "PYTHON": sys.executable}
    variables |= {"STORE": f"{store.store.url}/v2", "MLFLOW_DISABLE_TELEMETRY": "true"}
    ran = run(["bash", "-o", "pipefail", "-c", BY_HAND], place, variables)
    pushed = sum(one.stat().st_size for one in store.folder.rglob("data"))
    wanted = sum(one.stat().st_size for one in (place / "model").rglob("*") if one.is_file())
    if not wanted or pushed < wanted:
        raise SystemExit(f"only {pushed} of {wanted} bytes came into the store by hand")
    return ran


def run(command: list[str], place: Path, variables: Mapping[str, str]) -> Ran:
    """Run it to its end, and look at its processes meanwhile; SystemExit with its log if it fails."""
    began, log, most = time.monotonic(), list[tuple[float, str]](), 0.0
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | dict(variables)
    with subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True) as process:

        def read() -> None:
            for line in process.stderr or ():
                log.append((round(time.monotonic() - began, 2), line.rstrip()))

        reader = threading.Thread(target=read)
        reader.start()
        while process.poll() is None:
            most = max(most, _peak_mib(process.pid))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.monotonic() - began
        reader.join()
    if process.returncode:
        said = "\n".join(line for _, line in log[-20:])
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{said}")
    return Ran(seconds, most, tuple(log))


def _peak_mib(pid: int) -> float:
    """The most that one of its processes has held, as the kernel tells it; 0 once they are gone."""
    found = 0.0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for one in family:
            status = Path(f"/proc/{one.pid}/status").read_text()
            held = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
            found = max([found, *(int(kib) / 1024 for kib in held)])
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        pass  # one of them has just ended
    return found


def _untold(ran: Ran) -> int:
    """Files, MLmodel among them, that no line told of before the program had ended."""
    told = {line.split()[0] for moment, line in ran.log if " files, " in line and moment < ran.seconds}
    return FILES + 1 - len(told)


def conditions(amounts: Amounts) -> dict[str, Any]:
    """What the figures hold for."""
    return {"megabytes": amounts.megabytes, "files": FILES, "rounds": amounts.rounds, "cores": os.cpu_count()}
