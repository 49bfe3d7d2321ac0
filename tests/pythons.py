"""Other minor versions of Python: an interpreter of this machine with the runner's requirements, as an image has them."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "runner.txt"
UV = Path(sys.executable).with_name("uv")


def image_of(minor: str) -> Path:
    """The interpreter of a virtual environment like that of the image of this Python; without one, the test is skipped.

    SLIPWAY_PYTHON_3_13 names one of 3.13; pyenv's and uv's are found by themselves.
    """
    interpreter = next((one for one in _candidates(minor) if _is(one, minor)), None)
    if interpreter is None:
        pytest.skip(f"there is no Python {minor}: `uv python install {minor}`, or name one by {_variable(minor)}")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + str(interpreter).encode()).hexdigest()[:10]
    place = Path(os.environ.get("SLIPWAY_CACHE") or Path(caches, "slipway")) / "pythons" / f"{minor}-{key}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([UV, "venv", "-q", "--python", interpreter, place], check=True)
        install = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", REQUIREMENTS)
        subprocess.run([UV, "pip", "install", "-q", "--python", python, *install], check=True)
        (place / "complete").touch()
    return python


def _candidates(minor: str) -> Iterator[str]:
    yield os.environ.get(_variable(minor), "")
    yield shutil.which(f"python{minor}") or ""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{minor}.*/bin/python")))
    command = [UV, "python", "find", "--managed-python", minor]
    yield subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _variable(minor: str) -> str:
    return f"SLIPWAY_PYTHON_{minor.replace('.', '_')}"


def _is(interpreter: str, minor: str) -> bool:
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    if not interpreter:
        return False
    found = subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=False)
    return found.stdout.strip() == minor
