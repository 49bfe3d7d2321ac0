"""Runs the operator under cProfile, its threads too: `python bench/profiled.py FILE`."""

import cProfile
import pstats
import runpy
import sys
import threading
from pathlib import Path

profiles: list[cProfile.Profile] = []
run = threading.Thread.run


def profiled(thread: threading.Thread) -> None:
    """A thread's whole life in a profile of its own."""
    profile = cProfile.Profile()
    profiles.append(profile)
    profile.runcall(run, thread)


def main(file: str) -> None:
    """Until the operator ends; then all profiles are one file."""
    sys.argv = ["slipway"]
    threading.Thread.run = profiled  # type: ignore[method-assign]
    profile = cProfile.Profile()
    try:
        profile.runcall(runpy.run_module, "slipway", run_name="__main__", alter_sys=True)
    finally:
        found = pstats.Stats(profile)
        for one in profiles:
            try:
                found.add(one)
            except TypeError:  # a thread that did nothing
                continue
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        found.dump_stats(file)


if __name__ == "__main__":
    main(sys.argv[1])
