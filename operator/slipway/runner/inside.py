"""Runs a program in the packages of a folder, and in none of this image: `python -m … inside FOLDER PROGRAM …`.

The process replaces itself by the interpreter of a virtual environment that knows the standard library and that folder,
so that no version of ours stands beside one of the model's, in processes that the model starts neither. PROGRAM is a
path, or one of our programs beside this file; those that run so are one file on the standard library.
"""

import os
import sys
import tempfile
import venv
from pathlib import Path


def main() -> None:
    """The whole program."""
    folder, program, *arguments = sys.argv[1:]
    place = Path(tempfile.mkdtemp(prefix="python-"))
    venv.EnvBuilder(symlinks=True).create(place)
    (packages,) = place.glob("lib/python*/site-packages")
    # As for any place of packages, the .pth files there are read.
    (packages / "of-the-model.pth").write_text(f"import site; site.addsitedir({folder!r})\n")
    python = str(place / "bin" / "python")
    path = os.pathsep.join([str(place / "bin"), f"{folder}/bin", os.environ.get("PATH", "")])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    file = str(Path(__file__).resolve().parent / program)
    os.execve(python, [python, "-I", file, *arguments], {**environment, "PATH": path})  # noqa: S606


if __name__ == "__main__":
    main()
