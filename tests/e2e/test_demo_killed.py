"""The demo dies in its middle: what it started ends with it, and the next run tells the whole story.

SLIPWAY_DEMO_SEED repeats a run: the test's name says which seed it had.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from dev.demo import install, program, traffic
from dev.demo.kube import Kube
from dev.demo.manifests import MLFLOW, MLFLOW_PORT, MODELS
from dev.demo.tracking import CONTENT, ROLE
from dev.demo.train import MODEL_NAME
from tests.sides import drawn

from .place import poll

_, _, TRAINING, _, _, _, TAKING_OVER, *_ = program.STEPS
# When it may die: in which step, and after which words of it. The second step is under load.
MOMENTS = (
    (TRAINING, "waiting for the training"),
    (TRAINING, "trial 1 of"),
    (TRAINING, "trial 5 of"),
    (TAKING_OVER, "waiting until"),
    (TAKING_OVER, "ValidationRunning"),
    (TAKING_OVER, "RolloutProgressing"),
    (TAKING_OVER, "waiting until only"),
)
FURTHER_SECONDS = 1.5  # at most; what follows those words takes longer
SEED = drawn("SLIPWAY_DEMO_SEED")
START_SECONDS, RUN_SECONDS, END_SECONDS = 400, 600, 10


@dataclass(frozen=True)
class Demo:
    """A demo at work, in a session of its own, which everything that it starts belongs to."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    def of(self, step: str) -> str:
        """What it printed since it came to this step."""
        return self.said().partition(f"  {step}\n")[2]

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def left(self) -> list[str]:
        """What of it still runs."""
        found = []
        for one in psutil.process_iter(["cmdline", "status"]):
            with suppress(ProcessLookupError):
                if os.getsid(one.pid) == self.process.pid and one.info["status"] != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(one.info["cmdline"] or [])[:200])
        return found


@contextmanager
def demo(log: Path) -> Iterator[Demo]:
    """A demo that has begun."""
    command = [sys.executable, str(install.REPOSITORY / "dev" / "demo")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield Demo(process, log)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def registered() -> Iterator[tuple[MlflowClient, list[ModelVersion]]]:
    """MLflow, and what demos have registered there so far, in their order."""
    with install.cluster().forwarded(MLFLOW, "mlflow", MLFLOW_PORT) as url:
        assert traffic.connects("127.0.0.1", int(url.rsplit(":", 1)[1]), seconds=30)
        client = MlflowClient(url)
        found = client.search_model_versions(f"name = '{MODEL_NAME}'")
        yield client, sorted(found, key=lambda one: int(one.version))


def forget_better() -> None:
    """The better version is none any more, so that the next demo has something to train and to register."""
    server = install.cluster().get("deployment", MLFLOW, "mlflow") or {}
    if server.get("status", {}).get("readyReplicas"):
        with registered() as (client, versions):
            for one in versions:
                if one.tags.get(ROLE) == "better":
                    client.delete_model_version(one.name, one.version)


@pytest.mark.long
@pytest.mark.parametrize("seed", [SEED], ids=[f"seed-{SEED}"])
def test_a_demo_that_is_killed_in_its_middle_is_simply_run_again(nodes: None, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    step, words = chance.choice(MOMENTS)
    if step == TRAINING:
        forget_better()
    with demo(tmp_path / "killed.log") as first:
        poll(f"'{words}' in '{step}'", START_SECONDS, lambda: words in first.of(step) or first.ended, first.said)
        kill(first, step, chance.uniform(0, FURTHER_SECONDS))
        print(f"killed in '{step}', after: {first.said().splitlines()[-1]}")
        poll("nothing of it runs any more", END_SECONDS, lambda: not first.left(), lambda: "\n".join(first.left()))
        poll("no load is offered any more", END_SECONDS, lambda: not load_pods(install.cluster()))
        with program.alone():
            pass  # nobody holds the lock
    with demo(tmp_path / "again.log") as second:
        assert second.process.wait(RUN_SECONDS) == 0, second.said()
        assert "\ntogether " in second.said()
        assert not second.left()
    with registered() as (_, versions):
        parts = [(one.tags[ROLE], one.tags[CONTENT]) for one in versions]
    assert len(parts) == len(set(parts)), "no version is registered twice"


def kill(one: Demo, step: str, seconds: float) -> None:
    """In so many seconds, or when the next step begins; what it started is not killed."""
    until, after = time.monotonic() + seconds, program.STEPS[program.STEPS.index(step) + 1]
    poll("its end", seconds + 1, lambda: time.monotonic() > until or after in one.said())
    assert not one.ended, one.said()
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait()


def load_pods(kube: Kube) -> list[str]:
    """Load clients in pods, where the Service is out of reach from here."""
    found = kube.list("pods", MODELS, "app.kubernetes.io/name=load")
    return [one["metadata"]["name"] for one in found if one["status"].get("phase") in ("Pending", "Running")]
