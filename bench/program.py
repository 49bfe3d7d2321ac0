"""Runs the measurements, prints them, writes them down, and fails where a bound does not hold."""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import footprint, promotion
from bench.cluster import reader
from dev.demo import install, manifests
from dev.demo.console import Console

RESULTS = Path(__file__).parent / "results" / "local"


@dataclass(frozen=True)
class Bound:
    """A figure and what it may be at most."""

    what: str
    value: float
    at_most: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return self.value <= self.at_most

    def __str__(self) -> str:
        """One line of the report."""
        word = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.what}: {self.value:.2f}{self.unit}, at most {self.at_most:g}{self.unit}: {word}"


def main() -> int:
    """0 if every bound holds, 1 if one does not."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="promotions on each side (default: 3)")
    parser.add_argument("--idle-minutes", type=float, default=10.0, help="how long the operator rests (default: 10)")
    options = parser.parse_args()
    console, kube = Console(steps=3), install.cluster()
    with console.step("Slipway, MLflow and a registered model"):
        images = install.Images()
        install.install_slipway(kube, console, images)
        install.deploy_mlflow(kube, console, images)
        story = install.train_versions(kube, console)
        kube.apply(manifests.model_registry())
    with console.step(f"{options.rounds} promotions by Slipway and by hand, in turns"), reader(kube) as api:
        rounds = promotion.compare(promotion.Stage(kube, api, story), console, options.rounds)
    with console.step(f"the operator at rest for {options.idle_minutes:g} minutes"), reader(kube) as api:
        memory = footprint.at_rest(api, console, options.idle_minutes * 60)
    found = summary(rounds, memory)
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    (RESULTS / f"{stamp}.json").write_text(json.dumps(found, indent=2) + "\n")
    bounds = [
        Bound("time to the first prediction, by Slipway against by hand", found["ratio"], 1.2, ""),
        Bound("operator's writes per promotion", found["writes_per_promotion"], 15, ""),
        Bound("operator's memory at rest", found["memory_mib"], 120, " MiB"),
    ]
    print("\n" + json.dumps(found, indent=2) + "\n")
    for bound in bounds:
        print(bound)
    return 0 if all(bound.holds for bound in bounds) else 1


def summary(rounds: list[promotion.Round], memory_mib: float) -> dict[str, Any]:
    """The figures with their conditions."""
    by_slipway = sorted(one.slipway_seconds for one in rounds)
    by_hand = sorted(one.by_hand_seconds for one in rounds)
    middle = len(rounds) // 2
    return {
        "when": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rounds": [one.told() for one in rounds],
        "slipway_seconds": by_slipway[middle],
        "by_hand_seconds": by_hand[middle],
        "ratio": round(by_slipway[middle] / by_hand[middle], 3),
        "writes_per_promotion": max(one.writes for one in rounds),
        "memory_mib": round(memory_mib, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
