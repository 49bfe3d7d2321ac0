"""What the operator weighs: its memory at rest, and its writes as the API server's audit log counts them."""

import json
import re
import time
from collections import Counter

from bench.cluster import Reader
from dev.demo import install, manifests
from dev.demo.console import Console

WRITES = {"create", "update", "patch", "delete"}
APART = {"events", "leases"}  # telling people, and saying that one lives
METRIC = re.compile(r"^process_resident_memory_bytes ([0-9.e+]+)$", re.MULTILINE)


class Audit:
    """The audit log of the local cluster, from now on."""

    def __init__(self) -> None:
        self._file = install.cache() / "cluster" / "log" / "audit.log"
        self._from = self._file.stat().st_size

    def writes_of(self, user: str, namespaces: tuple[str, ...]) -> dict[str, int]:
        """Writes of a user in these namespaces since this was made, by verb and resource, without Events and Leases."""
        size = self._file.stat().st_size
        if size < self._from:
            raise SystemExit("the audit log was rotated during the measurement: run it again")
        found: Counter[str] = Counter()
        with self._file.open() as log:
            log.seek(self._from)
            for line in log:
                if not line.endswith("\n"):
                    break
                event = json.loads(line)
                ref = event.get("objectRef", {})
                if event["user"].get("username") != user or event["verb"] not in WRITES:
                    continue
                if ref.get("resource") in APART or ref.get("namespace") not in namespaces:
                    continue
                found[
                    "/".join(part for part in (event["verb"], ref.get("resource"), ref.get("subresource")) if part)
                ] += 1
        return dict(found)


def at_rest(api: Reader, console: Console, seconds: float) -> float:
    """Resident memory (MiB) of the operator's process after so many seconds of rest, as its own metric tells."""
    before = _memory(api)
    console.say(f"{before:.1f} MiB at first; waiting {seconds / 60:.0f} minutes, over one relist")
    time.sleep(seconds)
    after = _memory(api)
    console.say(f"{after:.1f} MiB")
    return max(before, after)


def _memory(api: Reader) -> float:
    path = f"/api/v1/namespaces/{manifests.SYSTEM}/services/slipway:http/proxy/metrics"
    found = METRIC.search(api.text(path))
    if not found:
        raise SystemExit(f"{path} tells no process_resident_memory_bytes")
    return float(found.group(1)) / 2**20
