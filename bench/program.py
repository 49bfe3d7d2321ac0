"""Runs the measurements, prints them, writes them down, and fails where a bound does not hold."""

import argparse
import json
import os
import platform
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import environments, footprint, imports, labels, promotion, scale, serving, validation
from bench.cluster import reader
from bench.figures import Figure, figure
from bench.simulation import build
from bench.world import Sizes
from dev.demo import install, manifests
from dev.demo.console import Console

RESULTS = Path(__file__).parent / "results" / "local"


def main() -> int:
    """0 if every bound holds, 1 if one does not."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started here ends, too
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    RESULTS.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    if options.which in ("promotion", "all"):
        figures += _promotions(options, stamp)
    if options.which in ("scale", "all"):
        figures += _scale(options, stamp)
    if options.which in ("labels", "all"):
        figures += _labels(options, stamp)
    if options.which in ("import", "all"):
        figures += _imports(options, stamp)
    if options.which in ("environments", "all"):
        figures += _environments(stamp)
    if options.which in ("serving", "all"):
        figures += _serving(options, stamp)
    if options.which in ("validation", "all"):
        figures += _validation(options, stamp)
    print()
    for one in figures:
        print(one)
    return 0 if all(one.holds for one in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parts = ("all", "promotion", "scale", "labels", "import", "environments", "serving", "validation")
    parser.add_argument("which", nargs="?", choices=parts, default="all")
    parser.add_argument("--promotions", type=int, default=3, help="promotions on each side (default: 3)")
    parser.add_argument("--idle-minutes", type=float, default=10.0, help="how long the operator rests (default: 10)")
    away = labels.Amounts().away_minutes
    text = f"how long the registry is away, for labels (default: {away:g})"
    parser.add_argument("--away-minutes", type=float, default=away, help=text)
    large = imports.Amounts()
    text = f"size of the model, for import (default: {large.megabytes})"
    parser.add_argument("--megabytes", type=int, default=large.megabytes, help=text)
    text = f"imports on each side (default: {large.rounds})"
    parser.add_argument("--imports", type=int, default=large.rounds, help=text)
    asked = serving.Amounts()
    text = f"how long each server is asked, for serving (default: {asked.seconds:g})"
    parser.add_argument("--serving-seconds", type=float, default=asked.seconds, help=text)
    judged = validation.Amounts()
    text = f"rows that are judged, for validation (default: {judged.rows})"
    parser.add_argument("--rows", type=int, default=judged.rows, help=text)
    usual = Sizes()
    for name, text in {
        "models": "models that serve", "versions": "versions of each", "fresh": "new models of a round",
        "rounds": "runs of what is cheap", "rest_minutes": "how long they rest",
    }.items():  # fmt: skip
        default = getattr(usual, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default: {default:g})")
    return parser.parse_args()


def _promotions(options: argparse.Namespace, stamp: str) -> list[Figure]:
    console, kube = Console(steps=3), install.cluster()
    with console.step("Slipway, MLflow and a registered model"):
        images = install.Images()
        install.install_slipway(kube, console, images)
        install.deploy_mlflow(kube, console, images)
        story = install.train_versions(kube, console)
        kube.apply(manifests.model_registry())
    with console.step(f"{options.promotions} promotions by Slipway and by hand, in turns"), reader(kube) as api:
        rounds = promotion.compare(promotion.Stage(kube, api, story), console, options.promotions)
    with console.step(f"the operator at rest for {options.idle_minutes:g} minutes"), reader(kube) as api:
        memory = footprint.at_rest(api, console, options.idle_minutes * 60)
    found = summary(rounds, memory)
    _write(f"{stamp}.json", json.dumps(found, indent=2))
    return [
        figure("time to the first prediction, by Slipway against by hand", found["ratio"], "", 1.2),
        figure("operator's writes per promotion", [one.writes for one in rounds], "", 12),
        figure("operator's memory at rest", found["memory_mib"], " MiB", 120),
    ]


def _scale(options: argparse.Namespace, stamp: str) -> list[Figure]:
    sizes = Sizes(options.models, options.versions, options.fresh, options.rounds, options.rest_minutes)
    found = scale.measure(sizes, RESULTS / f"{stamp}-logs")
    told = {"when": time.strftime("%Y-%m-%d"), "conditions": scale.conditions(sizes), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-scale.json", json.dumps(told, indent=2))
    _write(f"{stamp}-profile.txt", found.profile)
    return found.figures


def _labels(options: argparse.Namespace, stamp: str) -> list[Figure]:
    found = labels.measure(labels.Amounts(away_minutes=options.away_minutes))
    told = {"when": time.strftime("%Y-%m-%d"), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-labels.json", json.dumps(told, indent=2))
    return found.figures


def _imports(options: argparse.Namespace, stamp: str) -> list[Figure]:
    amounts = imports.Amounts(options.megabytes, options.imports)
    found = imports.measure(amounts, build("registry"))
    told = {"when": time.strftime("%Y-%m-%d"), "conditions": imports.conditions(amounts), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-import.json", json.dumps(told, indent=2))
    return found.figures


def _environments(stamp: str) -> list[Figure]:
    found = environments.measure(environments.Amounts(), build("registry"))
    told = {"when": time.strftime("%Y-%m-%d"), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-environments.json", json.dumps(told, indent=2))
    return found.figures


def _serving(options: argparse.Namespace, stamp: str) -> list[Figure]:
    found = serving.measure(serving.Amounts(options.serving_seconds))
    told = {"when": time.strftime("%Y-%m-%d"), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-serving.json", json.dumps(told, indent=2))
    return found.figures


def _validation(options: argparse.Namespace, stamp: str) -> list[Figure]:
    found = validation.measure(validation.Amounts(options.rows))
    told = {"when": time.strftime("%Y-%m-%d"), "details": found.details}
    told["figures"] = {one.what: one.told() for one in found.figures}
    _write(f"{stamp}-validation.json", json.dumps(told, indent=2))
    return found.figures


def _write(name: str, text: str) -> None:
    (RESULTS / name).write_text(text + "\n")
    print(f"\n{RESULTS / name}", flush=True)


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
        "memory_mib": round(memory_mib, 1),
    }
