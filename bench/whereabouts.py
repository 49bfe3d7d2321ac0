"""Where a profiled program's CPU time went: by package, by function, and by what called what."""

import pstats
import re
from collections import defaultdict
from io import StringIO
from pathlib import Path

PACKAGE = re.compile(r".*(?:site-packages|lib/python[0-9.]+|operator)/([a-zA-Z_0-9]+)(?:/([a-z_0-9]+))?")
Function = tuple[str, int, str]


def told(file: Path) -> str:
    """As text: packages, functions that took most themselves, ours, and who asks for what is known to be dear."""
    text = StringIO()
    stats = pstats.Stats(str(file), stream=text)
    total = float(stats.total_tt)  # type: ignore[attr-defined]
    text.write(f"{total:.2f} s of CPU, slowed down by the profiler; what a built-in takes is its caller's.\n\n")
    for package, seconds in sorted(by_package(stats).items(), key=lambda one: -one[1])[:24]:
        text.write(f"{seconds:8.2f} s {seconds / total:5.0%}  {package}\n")
    stats.sort_stats("tottime").print_stats(40)
    stats.sort_stats("cumulative").print_stats("operator/slipway", 60)
    stats.print_callers("deepcopy|getproxies_environment|raw_decode|iterencode|model_validate")
    return text.getvalue()


def by_package(stats: pstats.Stats) -> dict[str, float]:
    """Seconds by package; of our own, by folder."""
    found: dict[str, float] = defaultdict(float)
    for (file, _, _), (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if file not in ("~", "<string>") or not callers:
            found[_package(file)] += own
            continue
        for (caller, _, _), (_, _, seconds, _) in callers.items():
            found[_package(caller)] += seconds
    return dict(found)


def _package(file: str) -> str:
    match = PACKAGE.search(file)
    if match is None:
        return "built-in" if file == "~" else file
    return f"slipway.{match[2]}" if match[1] == "slipway" else match[1]
