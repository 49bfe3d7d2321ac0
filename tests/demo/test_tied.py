"""A tied program: it ends with whoever started it, however that ends, and otherwise as it likes."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dev.demo.kube import tied

SECONDS = 20
PARENT = """
import subprocess, sys, time
from dev.demo.kube import tied
child = subprocess.Popen(tied([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]),
                         stdin=subprocess.PIPE)
time.sleep(600)
"""
ROOT = Path(__file__).resolve().parents[2]


def test_it_ends_with_its_parent_even_where_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    _, alive = psutil.wait_procs([child], SECONDS)
    assert not alive


@pytest.mark.parametrize("code", [0, 3])
def test_its_output_and_its_code_are_passed_on(code: int) -> None:
    command = [sys.executable, "-c", f"import sys; print('said'); sys.exit({code})"]
    began = time.monotonic()
    with subprocess.Popen(
        tied(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.read() == "said\n"
        assert process.wait(SECONDS) == code
    assert time.monotonic() - began < SECONDS


def test_it_ends_when_its_input_is_closed() -> None:
    command = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
    with subprocess.Popen(
        tied(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "here\n"
        process.stdin.close()
        assert process.wait(SECONDS) != 0
