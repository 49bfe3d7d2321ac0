"""Runs the operator under cProfile, its threads too, by CPU time: `python -P bench/profiled.py FILE`."""

import cProfile
import pstats
import sys
import threading
import time
from pathlib import Path

profiles: list[cProfile.Profile] = []
run = threading.Thread.run


def profiled(thread: threading.Thread) -> None:
    """A thread's whole life in a profile of its own; one that has not ended cannot be read from another thread."""
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(run, thread)
    finally:
        profiles.append(profile)


def main(file: str) -> int:
    """Until the operator ends; then all profiles are one file. What is imported is no part of them."""
    import asyncio  # noqa: PLC0415

    import slipway.__main__  # noqa: PLC0415
    import slipway.controller.watch  # noqa: PLC0415 - brings kopf

    threading.Thread.run = profiled  # type: ignore[method-assign]
    profile = cProfile.Profile(time.thread_time)
    try:
        return int(profile.runcall(asyncio.run, slipway.__main__.main()))
    finally:
        found = pstats.Stats(profile)
        for one in profiles:
            one.create_stats()
            if one.stats:  # type: ignore[attr-defined] - a thread that did nothing has none
                found.add(one)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        found.dump_stats(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
