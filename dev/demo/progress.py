"""Says what changes in the status of Slipway's objects while the demo waits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .console import Broken, Console
from .kube import Kube, Object
from .manifests import MODELS

POLL_SECONDS = 0.7


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
            for kind in (entry["type"] for entry in one.get("status", {}).get("conditions", [])):
                line = told(one, kind)
                if self._said.get((name, kind)) != line:
                    self._said[name, kind] = line
                    self.console.say(f"{name}  {line[:220]}")
        return found

    def until(self, name: str, what: str, seconds: float, holds: Callable[[Object], bool]) -> Object:
        """Wait until it holds of that ModelVersion; Broken with its conditions when time is up."""
        self.console.say(f"waiting until {name} {what} (at most {seconds:.0f} s)")
        ends = time.monotonic() + seconds
        while True:
            found = self.look().get(name, {})
            if found and holds(found):
                return found
            if time.monotonic() > ends:
                kinds = [entry["type"] for entry in found.get("status", {}).get("conditions", [])]
                state = "; ".join(told(found, kind) for kind in kinds) or "no condition was ever set"
                raise Broken(f"{name} was expected to be one that {what} within {seconds:.0f} s, but: {state}")
            time.sleep(POLL_SECONDS)
