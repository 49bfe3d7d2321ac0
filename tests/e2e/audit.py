"""What was written to the cluster, in the order in which etcd took it, as the API server's audit log tells."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dev.demo import install
from dev.demo.kube import Object


@dataclass(frozen=True)
class Write:
    """One write that was carried out."""

    at: float  # Unix time at which it was done
    resource: str  # such as jobs, or jobs/status
    after: Object  # the object as the write left it

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.after["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What tells the object from another one of the same name."""
        return str(self.after["metadata"]["uid"])

    @property
    def revision(self) -> int:
        """etcd counts the writes of the whole cluster in one row."""
        return int(self.after["metadata"]["resourceVersion"])

    def label(self, word: str) -> str:
        """One of Slipway's labels."""
        return str((self.after["metadata"].get("labels") or {}).get(f"slipway.dev/{word}", ""))

    def holds(self, condition: str) -> bool:
        """Whether a condition of the object is true."""
        found = self.after.get("status", {}).get("conditions", [])
        return any(one["type"] == condition and one["status"] == "True" for one in found)


def log() -> Path | None:
    """The audit log; None where the cluster is not the local one, which alone writes one here."""
    kind = json.loads((install.cache() / "cluster.json").read_text())["kind"]
    return install.cache() / "cluster" / "log" / "audit.log" if kind == "local" else None


def await_writes(file: Path, user: str, namespace: str, count: int, seconds: float) -> list[str]:
    """Return as soon as a user's next so many writes about a namespace are carried out, or time is up: their paths."""
    deadline, line, found = time.monotonic() + seconds, "", list[str]()
    with file.open() as lines:
        lines.seek(0, os.SEEK_END)
        while len(found) < count and time.monotonic() < deadline:
            line += lines.readline()
            if not line.endswith("\n"):
                time.sleep(0.001)  # at once means before the user goes on
                continue
            event, concerns, line = json.loads(line), f'"{namespace}"' in line, ""
            if concerns and event["user"].get("username") == user and event["verb"] in ("create", "patch", "delete"):
                found.append(str(event["requestURI"]).partition("?")[0])
    return found


def writes(file: Path, namespace: str) -> list[Write]:
    """Every write that the log tells with its object, of what is in the namespace or labelled with its name."""
    return sorted(_told(file, namespace), key=lambda write: write.revision)


def _told(file: Path, namespace: str) -> Iterator[Write]:
    for part in sorted(file.parent.glob(f"{file.stem}*{file.suffix}")):  # what was rotated away comes first
        with part.open() as lines:
            for line in lines:
                if f'"{namespace}"' not in line or not line.endswith("\n"):
                    continue
                event = json.loads(line)
                after = event.get("responseObject", {})
                if event["responseStatus"]["code"] >= 300 or "resourceVersion" not in after.get("metadata", {}):
                    continue
                of = event["objectRef"]
                resource = "/".join(part for part in (of["resource"], of.get("subresource")) if part)
                yield Write(datetime.fromisoformat(event["stageTimestamp"]).timestamp(), resource, after)
