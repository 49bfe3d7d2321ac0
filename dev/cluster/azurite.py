"""Azurite, the Azure Blob store of tests: packages of Node.js, pinned with checksums, and a script that starts it.

To pin another: change `modules/azurite/package.json`, then `npm install --package-lock-only
--omit-lockfile-registry-resolved` beside it, so that no registry's address is in the list.
"""

import hashlib
import re
import shutil
import subprocess

from paths import BIN, BUILD, MODULES, write
from say import Trouble, step

NAME = "azurite"
NODE = 18  # the oldest that its packages run on
_PINS = ("package.json", "package-lock.json")
_START = """#!/bin/sh
exec node {main} --skipApiVersionCheck --disableTelemetry "$@"
"""


def ensure() -> None:
    """Install it, if it is not there yet or its pin has changed."""
    pins = [MODULES / NAME / name for name in _PINS]
    pin = hashlib.sha256(b"".join(path.read_bytes() for path in pins) + _START.encode()).hexdigest()
    stamp, there = BUILD / "stamp" / NAME, BUILD / NAME
    if (BIN / NAME).is_file() and stamp.is_file() and stamp.read_text() == pin:
        return
    _check()
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    for path in pins:
        shutil.copy(path, there)
    with step("installing Azurite"):
        command = ["npm", "ci", "--ignore-scripts", "--no-bin-links", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=there, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Trouble(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
    main = there / "node_modules" / NAME / "dist" / "src" / "blob" / "main.js"
    write(BIN / NAME, _START.format(main=main), 0o755)
    write(stamp, pin)


def _check() -> None:
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Trouble(f"{program} is missing, which Azurite needs; as root: apt-get install nodejs npm")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v([0-9]+)", told)
    if not version or int(version[1]) < NODE:
        raise Trouble(f"Azurite needs Node.js {NODE} or later, and {shutil.which('node')} is {told.strip() or 'none'}")
