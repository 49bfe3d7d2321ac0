"""Says what changes in the status of Slipway's objects while the demo waits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .console import Broken, Console
from .kube import Kube, Object
from .manifests import MODELS

POLL_SECONDS = 0.7
SUMMARIES = ("Ready", "Reconciling", "Stalled")


def condition(found: Object, kind: str) -> dict[str, str]:
    """One condition of an object; empty where it was never judged."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def told(found: Object, kind: str) -> str:
    """A condition as one line."""
    one = condition(found, kind)
    if not one:
        return f"{kind} not judged yet"
    return f"{kind}={one['status']} {one.get('reason', '')}: {one.get('message', '')}".rstrip(": ")


@dataclass
class Progress:
    """Polls the ModelVersions of the namespace and prints each condition when it changes."""

    kube: Kube
    console: Console
    _said: dict[tuple[str, str], str] = field(default_factory=dict)

    def look(self) -> dict[str, Object]:
        """The ModelVersions by name; prints what is new about them."""
        found = {one["metadata"]["name"]: one for one in self.kube.list("modelversions.slipway.dev", MODELS)}
        for name, one in found.items():
            said: set[str] = set()
            # Ready and what follows from it repeat what another condition says: those come last, and only if new.
            entries = one.get("status", {}).get("conditions", [])
            for entry in sorted(entries, key=lambda entry: entry["type"] in SUMMARIES):
                why = f"{entry.get('reason', '')}: {entry.get('message', '')}"
                if entry["type"] in SUMMARIES and (why in said or entry["type"] != "Ready"):
                    continue
                said.add(why)
                line = told(one, entry["type"])
                if self._said.get((name, entry["type"])) != line:
                    self._said[name, entry["type"]] = line
                    self.console.say(f"{name}  {line.splitlines()[0][:200]}")
        return found

    def until(self, name: str, what: str, seconds: float, holds: Callable[[Object], bool]) -> Object:
        """Wait until it holds of that ModelVersion; Broken with its conditions when time is up."""
        self.console.say(f"waiting until {name} {what} (at most {seconds:.0f} s)")
        ends = time.monotonic() + seconds
        while True:
            found = self.look().get(name, {})
            if found and holds(found):
                return found
            stuck = condition(found, "Stalled").get("status") == "True"
            if stuck or time.monotonic() > ends:
                kinds = [entry["type"] for entry in found.get("status", {}).get("conditions", [])]
                state = "; ".join(told(found, kind) for kind in kinds) or "no condition was ever set"
                raise Broken(f"it was expected that {name} {what} within {seconds:.0f} s, but: {state}")
            time.sleep(POLL_SECONDS)
