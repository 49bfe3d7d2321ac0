"""Azurite, the Azure Blob store of tests: packages of Node.js, pinned with checksums, and a script that starts it.

To pin another: change `modules/azurite/package.json`, then `npm install --package-lock-only
--omit-lockfile-registry-resolved` beside it, and take `funding`, `deprecated` and `license` out: the list has
versions and checksums, and no address. A test holds it to that.
"""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from paths import BIN, BUILD, MODULES, write
from say import Trouble, step

NAME = "azurite"
FOLDER = BUILD / NAME
_MAIN = f"node_modules/{NAME}/dist/src/blob/main.js"
# Any version of the protocol; nobody is told of its use; and an account is named by the path, whatever the host is.
OPTIONS = ("--skipApiVersionCheck", "--disableTelemetry", "--disableProductStyleUrl")
NODE = 18  # the oldest that its packages run on
_PINS = ("package.json", "package-lock.json")
_START = f"""#!/bin/sh
exec node {FOLDER / _MAIN} {" ".join(OPTIONS)} "$@"
"""


def ensure() -> None:
    """Install it, if it is not there yet or its pin has changed."""
    pins = [MODULES / NAME / name for name in _PINS]
    pin = hashlib.sha256(b"".join(path.read_bytes() for path in pins) + _START.encode()).hexdigest()
    stamp = BUILD / "stamp" / NAME
    if (BIN / NAME).is_file() and stamp.is_file() and stamp.read_text() == pin:
        return
    _check()
    FOLDER.mkdir(parents=True, exist_ok=True)  # npm empties it
    for path in pins:
        shutil.copy(path, FOLDER)
    with step("installing Azurite"):
        command = ["npm", "ci", "--ignore-scripts", "--no-bin-links", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Trouble(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
    write(BIN / NAME, _START, 0o755)
    write(stamp, pin)


def image() -> tuple[list[tuple[str, bytes, int]], list[str]]:
    """The files of an image that runs it with this machine's Node.js, and how it starts."""
    node = Path(shutil.which("node") or "").resolve()
    linked = subprocess.run(["ldd", node], capture_output=True, text=True, check=True).stdout
    programs = [node, *map(Path, re.findall(r"(/\S+) \(0x", linked))]
    files = [(str(path).lstrip("/"), path.read_bytes(), 0o755) for path in programs]
    modules = [path for path in sorted((FOLDER / "node_modules").rglob("*")) if path.is_file()]
    files += [(f"{NAME}/{path.relative_to(FOLDER)}", path.read_bytes(), 0o644) for path in modules]
    return files, [str(node), f"/{NAME}/{_MAIN}", *OPTIONS]


def _check() -> None:
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Trouble(f"{program} is missing, which Azurite needs; as root: apt-get install nodejs npm")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v([0-9]+)", told)
    if not version or int(version[1]) < NODE:
        raise Trouble(f"Azurite needs Node.js {NODE} or later, and {shutil.which('node')} is {told.strip() or 'none'}")
