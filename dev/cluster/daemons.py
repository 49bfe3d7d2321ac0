"""Starts programs in the background and stops exactly those: by pid file, and only while the pid is that program."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from paths import BIN, STATE
from say import Trouble

LOGS = STATE / "log"
PIDS = STATE / "pid"
_SWEPT = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_SWEPT += ("containerd", "containerd-shim-runc-v2", "coredns")


def start(name: str, program: str, *arguments: str) -> None:
    """Start one of our programs as `name`, in the state folder, detached from this terminal."""
    LOGS.mkdir(parents=True, exist_ok=True)
    PIDS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    if log.exists():
        log.replace(LOGS / f"{name}.previous.log")
    # Proxies are for the outside: every address these programs talk to is on this machine.
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment["PATH"] = f"{BIN}:{environment.get('PATH', '')}:/usr/sbin:/sbin"
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(BIN / program), *arguments],
            cwd=STATE,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )
    (PIDS / name).write_text(f"{process.pid} {program} {_started(process.pid)}")


def running(name: str) -> bool:
    return _pid(name) is not None


def names() -> list[str]:
    return sorted(path.name for path in PIDS.iterdir()) if PIDS.is_dir() else []


def check(name: str) -> None:
    """Say why a program that should run does not."""
    if not running(name):
        log = LOGS / f"{name}.log"
        raise Trouble(f"{name} ended at once:\n{_tail(log)}\nlog: {log}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""


def stop(*wanted: str, seconds: float = 5.0) -> None:
    """End these by name; what has not ended in time is killed."""
    pids = {name: pid for name in wanted if (pid := _pid(name)) is not None}
    for pid in pids.values():
        _signal(pid, signal.SIGTERM)
    _await(lambda: not any(_pid(name) for name in pids), seconds)
    for name in pids:
        if (pid := _pid(name)) is not None:
            _signal(pid, signal.SIGKILL)
    _await(lambda: not any(_pid(name) for name in pids), 2)
    for name in wanted:
        (PIDS / name).unlink(missing_ok=True)


def strays() -> dict[int, str]:
    """Programs of this cluster without a pid file: shims, and what a kill of `up` left between fork and pid file."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            program = str((entry / "exe").readlink()).removesuffix(" (deleted)")
            folder = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
        except OSError:  # it ended, or is another user's
            continue
        ours = Path(program).parent == BIN and Path(program).name in _SWEPT
        if ours and Path(folder).is_relative_to(STATE):
            found[int(entry.name)] = Path(program).name
    return found


def sweep() -> None:
    for pid in strays():
        _signal(pid, signal.SIGKILL)
    _await(lambda: not strays(), 3)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _await(done, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.05)


def _started(pid: int) -> str:
    """When the process began, in clock ticks since boot: with the pid it names one process for ever.

    Field 22 of stat; the second field, the name in parentheses, may itself hold spaces.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if fields[0] in "ZX" else fields[19]


def _pid(name: str) -> int | None:
    try:
        pid, _, started = (PIDS / name).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _started(int(pid)) == started != "gone" else None
