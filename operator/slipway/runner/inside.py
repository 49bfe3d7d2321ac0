"""Runs one of our programs in the packages of a folder, and in none of this image: `python -m … inside FOLDER PROGRAM`.

The process replaces itself by an interpreter that knows the standard library and that folder, so that no version of
ours stands beside one of the model's. Programs that run so are one file on the standard library.
"""

import os
import runpy
import site
import sys
from pathlib import Path


def main() -> None:
    """The whole program."""
    folder, program, *arguments = sys.argv[1:]
    if not sys.flags.no_site:
        # Processes that the model starts find its packages, too.
        found = {**os.environ, "PYTHONPATH": folder, "PATH": f"{folder}/bin:{os.environ.get('PATH', '')}"}
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, *sys.argv[1:]], found)  # noqa: S606
    site.addsitedir(folder)  # with its .pth files, as of any place of packages
    site.setquit()
    path = Path(__file__).resolve().parent / program
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    main()
