"""Resolves requirements/*.in into requirements/*.txt with hashes; the three agree on every version they share."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
UV = ROOT / ".venv" / "bin" / "uv"
_OPTIONS = (
    *("--quiet", "--generate-hashes", "--python-version", "3.11", "--no-header"),
    # No machine's address or folder may end up in the files.
    *("--no-emit-index-url", "--no-emit-find-links"),
    # 300 MB that only training on several GPUs needs; xgboost imports without it.
    *("--no-emit-package", "nvidia-nccl-cu12"),
)


def main() -> int:
    upgrade = ("--upgrade",) if "--upgrade" in sys.argv else ()
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    for name, constraints in (("dev", ()), ("operator", ("-c", "dev.txt")), ("runner", ("-c", "dev.txt"))):
        command = [UV, "pip", "compile", *_OPTIONS, *upgrade, *constraints, "-o", f"{name}.txt", f"{name}.in"]
        subprocess.run(command, cwd=FOLDER, env=environment, check=True)
        print(f"slipway: requirements/{name}.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
