"""Makes .venv from requirements/dev.txt, by hash; does nothing where it is current."""

import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
STAMP = VENV / ".requirements"


def main() -> int:
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return 0
    started = time.monotonic()
    print("slipway: making .venv ...", flush=True)
    if sys.version_info[:2] != (3, 11):
        print(f"slipway: Python 3.11 is needed, this is {sys.version.split()[0]}; name one: make PYTHON=...")
        return 1
    if not (VENV / "bin" / "pip").exists():
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        if subprocess.run(make, check=False).returncode and not (_install_venv() and not subprocess.call(make)):
            return 1
    # uv does in seconds what pip does in a minute; it comes from the same pinned list.
    block = re.search(r"^uv==.*\n(?: .*\n)*", REQUIREMENTS.read_text(), re.MULTILINE)
    assert block, "dev.txt pins no uv"
    first = VENV / "uv.txt"
    first.write_text(block[0])
    options = ("--quiet", "--require-hashes", "--no-deps", "--disable-pip-version-check")
    subprocess.run([VENV / "bin" / "pip", "install", *options, "--requirement", first], check=True)
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--system-certs", "--python", VENV / "bin" / "python"]
    subprocess.run([VENV / "bin" / "uv", *sync, REQUIREMENTS], check=True)
    STAMP.write_text(wanted)
    print(f"slipway: making .venv: {time.monotonic() - started:.1f} s")
    return 0


def _install_venv() -> bool:
    """A Debian's Python comes without what a virtual environment needs."""
    print("slipway: this Python makes no virtual environments; installing python3-venv (root) ...", flush=True)
    if not shutil.which("apt-get"):
        return False
    done = subprocess.run(["apt-get", "install", "--yes", "--quiet", "python3-venv"], check=False)
    if done.returncode:
        print("slipway: as root: apt-get install python3-venv")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
