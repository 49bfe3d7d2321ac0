"""The packages of a model of 2023, brought by Slipway and by hand, and what they cost a serving pod.

By hand means: uv installs the same lock with byte code, then one tar of it, hashed and pushed by curl. Both sides ask
the same index on 127.0.0.1 and begin with an empty cache; only Slipway resolves, too.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas
from slipway.api.base import Value
from slipway.api.tasks import VARIABLE, EnvironmentTask, FetchTask, Index
from slipway.runner import tree
from slipway.runner.pod import Pod as Inside
from slipway.runner.store import MODELS, TITLE, StoreClient, blob_of, tag
from slipway.runner.uv import Asked, Uv

from bench.figures import Found, figure
from bench.imports import Ran, empty, run
from dev.demo.console import Console
from tests.pasts import OF_2023, trained, wheels
from tests.ports import free_port
from tests.runner.indexes import serving
from tests.runner.pods import OPERATOR, StoreOnDisk, answers, running

RATIO, KNOWN_SECONDS, LATER_SECONDS = 1.3, 2.0, 6.0
# A program's last line, in a folder of its own in place of a pod's root.
PROGRAM = """
from pathlib import Path
from slipway.runner.{program} import main
from slipway.runner.pod import Pod
main(Pod(Path({root!r}), Path({root!r}, "termination-log")))
"""
SERVE = """
from dataclasses import replace
from pathlib import Path
from slipway.runner.pod import Pod
from slipway.runner.serve import main, settings
main(Pod(Path({root!r})), replace(settings(), host="127.0.0.1", port={port}, metrics_port=0))
"""
BY_HAND = """
set -eu
"$UV" venv -q --python "$PYTHON" environment
"$UV" pip sync -q --compile-bytecode --require-hashes --no-build --python environment/bin/python \
  --default-index "$INDEX" --cache-dir cache lock.txt
pack() { tar --create --sort=name --mtime=@0 --directory environment .; }
digest=sha256:$(pack | sha256sum | cut -d " " -f 1)
upload=$(curl -fsS -o /dev/null -X POST -w "%{header_json}" "$STORE/by-hand/blobs/uploads/" |
  "$PYTHON" -c "import json, sys; print(json.load(sys.stdin)['location'][0])")
pack | curl -fsS -T - -H "Content-Type: application/octet-stream" "$upload&digest=$digest"
"""


@dataclass(frozen=True)
class Amounts:
    """How often each is measured."""

    rounds: int = 3


@dataclass(frozen=True)
class Bench:
    """What both sides begin with."""

    folder: Path
    programs: Path
    index: str
    models: dict[str, Path]  # of 2023, of today
    lock: str


def measure(amounts: Amounts, programs: Path) -> Found:
    """All figures of one run; nothing that was started is left."""
    console, found = Console(steps=3), Found()
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name, serving(wheels(OF_2023)) as index:
        folder = Path(name)
        with console.step("a model of 2023 and one of today"):
            models = _models(folder)
            (folder / "uv").mkdir()
            asked = (Index(name="bench", url=index.url),)
            lock, _ = Uv(asked, None, folder / "uv", Inside(folder)).lock(Asked(OF_2023.requirements))
        bench = Bench(folder, programs, index.url, models, lock)
        with console.step(f"its packages brought by Slipway and by hand, {amounts.rounds} times in turns"):
            _brought(bench, amounts, console, found)
        with console.step(f"pods with and without them, {amounts.rounds} times in turns"):
            _started(bench, amounts, console, found)
    found.details |= {"packages": lock.count("\n    --hash"), "cores": os.cpu_count()}
    return found


def _models(folder: Path) -> dict[str, Path]:
    import mlflow.sklearn  # noqa: PLC0415 - seconds
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    chance = numpy.random.default_rng(7)
    rows = pandas.DataFrame(chance.random((300, 3)), columns=["distance", "hour", "minutes"])
    (folder / "past").mkdir()
    past = trained(OF_2023, rows, folder / "past").folder
    columns = rows[["distance", "hour"]]
    today = make_pipeline(StandardScaler(), RandomForestRegressor(20, random_state=1)).fit(columns, rows["minutes"])
    options = {"pip_requirements": ["mlflow"], "serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(today, folder / "today", input_example=columns[:2], **options)
    return {"past": past, "today": folder / "today"}


def _brought(bench: Bench, amounts: Amounts, console: Console, found: Found) -> None:
    ours, theirs, known, sizes = list[Ran](), list[Ran](), list[Ran](), list[float]()
    for number in range(1, amounts.rounds + 1):
        with empty(bench.folder, bench.programs) as (store, place):
            first = _pushed(store, bench.models["past"])
            ours.append(_program("rebuild", _task(bench, store, first), place))
            sizes.append(json.loads((place / "termination-log").read_text())["sizeBytes"] / 1e6)
            (bench.models["past"] / "another").write_text(f"{number}")  # another model, with the same requirements
            known.append(_program("rebuild", _task(bench, store, _pushed(store, bench.models["past"])), place))
        with empty(bench.folder, bench.programs) as (store, place):
            (place / "lock.txt").write_text(bench.lock)
            variables = {"UV": str(Path(sys.executable).with_name("uv")), "PYTHON": sys.executable}
            variables |= {"INDEX": bench.index, "STORE": f"{store.store.url}/v2"}
            theirs.append(run(["bash", "-o", "pipefail", "-c", BY_HAND], place, variables))
        console.say(f"round {number}: Slipway {ours[-1].seconds:.1f} s, by hand {theirs[-1].seconds:.1f} s")
    ratios = [mine.seconds / other.seconds for mine, other in zip(ours, theirs, strict=True)]
    found.details |= {"log of the first": ours[0].log}
    found.figures += [
        figure("size of the packages", sizes[:1], " MB"),
        figure("packages brought by Slipway", [one.seconds for one in ours], " s"),
        figure("the same by hand", [one.seconds for one in theirs], " s"),
        figure("time of packages, by Slipway against by hand", ratios, "", RATIO),
        figure("memory of the step", [one.memory_mib for one in ours], " MiB"),
        figure("packages of the next version with the same requirements", [one.seconds for one in known], " s",
               KNOWN_SECONDS),
    ]  # fmt: skip


def _started(bench: Bench, amounts: Amounts, console: Console, found: Found) -> None:
    later = list[float]()
    with empty(bench.folder, bench.programs) as (store, place):
        digests = {name: _pushed(store, folder) for name, folder in bench.models.items()}
        _program("rebuild", _task(bench, store, digests["past"]), place)
        packages = json.loads((place / "termination-log").read_text())["digest"]
        for number in range(1, amounts.rounds + 1):
            usual = _until_ready(bench, store, digests["today"], None)
            own = _until_ready(bench, store, digests["past"], packages)
            later.append(own - usual)
            console.say(f"round {number}: {usual:.1f} s with the image's packages, {own:.1f} s with its own")
    found.figures.append(figure("a pod with packages of its own is ready later by", later, " s", LATER_SECONDS))


def _until_ready(bench: Bench, store: StoreOnDisk, digest: str, packages: str | None) -> float:
    """Seconds of a pod's two programs, until it answers."""
    with _place(bench) as place:
        began = time.monotonic()
        task = FetchTask(
            store=store.store, candidate_digest=digest, candidate_environment=packages, check_environment=False
        )
        _program("fetch", task, place)
        port = free_port()
        environment = {**os.environ, "PYTHONPATH": str(OPERATOR)} | (
            {"SLIPWAY_ENVIRONMENT": packages} if packages else {}
        )
        command = [sys.executable, "-c", SERVE.format(root=str(place), port=port)]
        with running(command, place / "log", lambda: answers(f"http://127.0.0.1:{port}/ping"), environment, place):
            return time.monotonic() - began


@contextmanager
def _place(bench: Bench) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir=bench.folder))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _program(program: str, task: Value, place: Path) -> Ran:
    command = [sys.executable, "-c", PROGRAM.format(program=program, root=str(place))]
    return run(command, place, {"PYTHONPATH": str(OPERATOR), VARIABLE: json.dumps(task.wire())})


def _task(bench: Bench, store: StoreOnDisk, digest: str) -> EnvironmentTask:
    indexes = (Index(name="bench", url=bench.index),)
    return EnvironmentTask(digest=digest, indexes=indexes, max_bytes=2**33, store=store.store)


def _pushed(store: StoreOnDisk, folder: Path) -> str:
    files = tree.scan(folder)
    digest = tree.digest(files)
    layer = blob_of(lambda: tree.pack(folder, files))
    StoreClient(store.store).push(MODELS, tag(digest), layer, {TITLE: "model.tar"}, image=True)
    return digest
