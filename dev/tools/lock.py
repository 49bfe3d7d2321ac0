"""Resolves requirements/*.in into requirements/*.txt with hashes; the three agree on every version they share."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
UV = ROOT / ".venv" / "bin" / "uv"
_OTHERS = ("3.13",)  # Pythons of runner images, besides 3.11
_OPTIONS = (
    *("--quiet", "--generate-hashes", "--no-header"),
    # No machine's address or folder may end up in the files.
    *("--no-emit-index-url", "--no-emit-find-links"),
    # 300 MB that only training on several GPUs needs; xgboost imports without it.
    *("--no-emit-package", "nvidia-nccl-cu12"),
)


def main() -> int:
    upgrade = ("--upgrade",) if "--upgrade" in sys.argv else ()
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    for name, constraints in (("dev", ()), ("operator", ("-c", "dev.txt")), ("runner", ("-c", "dev.txt"))):
        options = (*_OPTIONS, "--python-version", "3.11", *upgrade, *constraints)
        command = [UV, "pip", "compile", *options, "-o", f"{name}.txt", f"{name}.in"]
        subprocess.run(command, cwd=FOLDER, env=environment, check=True)
        print(f"slipway: requirements/{name}.txt")
    return int(any(_differs(python, environment) for python in _OTHERS))


def _differs(python: str, environment: dict[str, str]) -> bool:
    """Whether the runner's list is another one for this Python: every image is made of the one for 3.11."""
    options = (*_OPTIONS, "--no-annotate", "--python-version", python, "-c", "runner.txt", "runner.in")
    command = [UV, "pip", "compile", *options]
    done = subprocess.run(command, cwd=FOLDER, env=environment, check=True, capture_output=True, text=True)
    one, two = (_packages(text) for text in (done.stdout, (FOLDER / "runner.txt").read_text()))
    for line in sorted(one ^ two):
        print(f"slipway: requirements/runner.txt does not fit Python {python}: {line}")
    return one != two


def _packages(text: str) -> set[str]:
    """The packages of a list, with their versions."""
    return {line.split(" ")[0] for line in text.splitlines() if line[:1].isalnum()}


if __name__ == "__main__":
    sys.exit(main())
