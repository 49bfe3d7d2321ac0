"""Where the local cluster keeps what it builds and runs: everything outside the repository, below one folder."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = Path(__file__).resolve().parent / "modules"


def _cache() -> Path:
    if named := os.environ.get("SLIPWAY_CACHE"):
        return Path(named).resolve()
    return (Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway").resolve()


CACHE = _cache()
BIN = CACHE / "bin"
BUILD = CACHE / "build"  # stamps and logs of builds, the Go that was installed, half-built programs
IMAGES = CACHE / "images"  # buildah's storage, image archives and layouts
STATE = CACHE / "cluster"  # of the running cluster: keys, etcd, nodes, volumes, logs, pid files
LOCK = CACHE / "lock"
CHOICE = CACHE / "cluster.json"
KUBECONFIG = CACHE / "admin.kubeconfig"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write by renaming: a process killed half-way leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)
