"""A control group per node, in version 1 (a tree for each controller) or 2 (one tree)."""

import contextlib
import os
import signal
import time
from pathlib import Path

from layout import NODES, Node

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "systemd",
    "unified",
)


def _unified() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def prepare(node: Node) -> None:
    """The kubelet makes no root group of its own, and a cpuset without CPUs and memory takes no process."""
    if _unified():
        available = (_ROOT / "cgroup.controllers").read_text().split()
        (_ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in available))
        (_ROOT / node.cgroup).mkdir(exist_ok=True)
        return
    for tree in _trees():
        group = tree / node.cgroup
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (tree / name).exists():
                (group / name).write_text((tree / name).read_text())


def _trees() -> list[Path]:
    if _unified():
        return [_ROOT]
    # cpu and cpuacct may be two names of one tree.
    return sorted({(_ROOT / name).resolve() for name in _CONTROLLERS if (_ROOT / name).is_dir()})


def _groups() -> list[Path]:
    """Every group of ours, the deepest first."""
    tops = [tree / node.cgroup for tree in _trees() for node in NODES if (tree / node.cgroup).is_dir()]
    found = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def remove(seconds: float = 5.0) -> None:
    """Kill what runs in them (containers outlive their runtime), then remove them."""
    until = time.monotonic() + seconds
    while (groups := _groups()) and time.monotonic() < until:
        for group in groups:
            for pid in _processes(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # it still has processes, which take a moment to end
                group.rmdir()
        time.sleep(0.02)


def _processes(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def left() -> list[str]:
    return [f"control group {group}" for group in _groups()]
