"""The story: a version goes into production; then MLflow's labels decide: a bad one is refused, a better one takes
over, and MLflow disappears."""

import json
import shlex
import time
from dataclasses import dataclass, field
from typing import Any

import yaml

from . import install, manifests
from .console import Console, expect
from .install import Images, Story
from .kube import Kube, Object
from .load import Plan
from .manifests import MLFLOW, MODEL, MODELS, SYSTEM
from .progress import Progress, condition, told
from .registry import SECONDS as LABELS_SECONDS
from .registry import Registry
from .traffic import Entrance, Load

READY_SECONDS = 180
TAKEN_OVER_SECONDS = 30  # within which no answer may come from the old version any more …
SETTLED_SECONDS = 3  # … for at least this long
LOAD_ROWS = 5  # of a request of the load client
ERROR_TOLERANCE = 1e-5  # relative; the judge and the training add up in another order
PODS = f"slipway.dev/model={MODEL},slipway.dev/track"  # the serving pods, all versions


@dataclass
class Play:
    """What the scenes share; `happened` says for each step, by its name, what came of it."""

    kube: Kube
    console: Console
    images: Images
    story: Story
    progress: Progress
    happened: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        """The registered model, in MLflow."""
        return Registry(self.kube, self.console, self.story.model_name)

    def apply(self, file: str, *objects: Object) -> None:
        """Write a file as a person would, show it, and `kubectl apply` it."""
        path = install.cache() / "demo" / "manifests" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
        self.console.say(f"kubectl apply -f {path}")
        self.console.block(path.read_text())
        self.kube.apply_file(path)

    def ready(self, version: int) -> Object:
        """Wait until a version serves and everything about it is true."""

        def serves(found: Object) -> bool:
            fresh = found["status"].get("observedGeneration") == found["metadata"]["generation"]
            return (
                fresh and condition(found, "Ready").get("status") == "True" and found["status"].get("serving") is True
            )

        return self.progress.until(
            name(version), "is Ready and serves", READY_SECONDS, lambda one: "status" in one and serves(one)
        )


def name(version: int) -> str:
    """Of the ModelVersion."""
    return f"{MODEL}-v{version}"


def reset(kube: Kube, console: Console) -> None:
    """Begin anew: no models in the cluster; what MLflow knows stays."""
    console.say(f"waiting until namespace {MODELS} is empty (at most 120 s)")
    kube.run("kubectl", "delete", "namespace", MODELS, "--ignore-not-found", "--wait=false")
    # What is left serves nobody: without this, each pod takes the time in which a rollout would drain it.
    kube.run("kubectl", "delete", "pods", "--all", "-n", MODELS, "--grace-period=1", "--wait=false")
    kube.run("kubectl", "wait", "--for=delete", f"namespace/{MODELS}", "--timeout=120s", timeout=130)
    # Imports run beside the operator, and their Jobs outlive the namespace.
    kube.run("kubectl", "delete", "jobs", "-n", SYSTEM, "-l", f"slipway.dev/owner-namespace={MODELS}")
    kube.apply(manifests.namespace(MODELS, models="true"))
    if certificates := install.host_certificates():
        kube.apply(manifests.authorities(MODELS, certificates))


def promote_first(play: Play) -> str:
    """The good version goes into production; returns the URL that it is served at."""
    story = play.story
    play.registry.forget(story.bad, story.better)
    play.apply("registry.yaml", manifests.model_registry())
    play.apply("model.yaml", manifests.registered_model(story.model_name, **story.data))
    play.apply(f"version-{story.good}.yaml", manifests.model_version(story.good))
    found = play.ready(story.good)
    url = found["status"].get("url") or (play.kube.get("registeredmodel", MODELS, MODEL) or {})["status"].get("url")
    expect(bool(url), f"{name(story.good)} is Ready, but no status.url says where it is served")
    play.registry.serves(story.good)
    return str(url)


def compare(play: Play, way: Entrance) -> str:
    """What the Service says equals what the model itself says, digit for digit."""
    story = play.story
    answered = play.kube.wait(
        "an answer of the Service", 30, lambda: way.version(story.request, story.answers(story.good))
    )
    rows = len(story.predictions[str(story.good)])
    body, _ = story.sample(2)
    play.console.say(f"{rows} predictions of version {answered} equal the model's own to the last digit; ask yourself:")
    host = f"-H {shlex.quote(f'Host: {way.host}')} " if way.direct else ""
    play.console.block(
        f"curl -s {host}-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))} {way.url}"
    )
    return f"{rows} predictions equal to the last digit"


def plan(play: Play, way: Entrance) -> Plan:
    """The load: only the good and the better version's predictions are right; the refused one's never are."""
    request, answers = play.story.sample(LOAD_ROWS, play.story.good, play.story.better)
    url = way.url if way.direct else way.inside
    return Plan(url=url, request=request, answers=answers, host=way.host)


def follow(play: Play) -> str:
    """From here on, whoever moves a label in MLflow asks for a promotion."""
    story = play.story
    play.apply("model.yaml", manifests.registered_model(story.model_name, **story.data, by_labels=True))
    play.console.say(f"waiting until Slipway has read the labels as they are (at most {LABELS_SECONDS} s)")

    def follows() -> bool:
        ledger = play.kube.get("modelledger", MODELS, MODEL) or {}
        return bool(ledger.get("spec", {}).get("following"))

    play.kube.wait("the model's ledger to follow MLflow", LABELS_SECONDS, follows)
    _serving(play, story.good)
    return f"version {story.good} serves on; what is moved from now on is a request"


def refuse(play: Play, load: Load) -> str:
    """The bad version is refused with both numbers, while the good one goes on serving; its stage goes back."""
    story = play.story
    play.kube.wait("the first answers to the load", 30, lambda: load.tally["requests"] >= 20 or not load.running)
    play.registry.move(f'client.transition_model_version_stage(name, "{story.bad}", "Production")')

    def judged(found: Object) -> bool:
        # ValidationRunning and the like are steps on the way; a refusal comes with the gates' results.
        return condition(found, "Validated").get("reason") == "GateFailed"

    found = play.progress.until(name(story.bad), "was judged by the gate", READY_SECONDS, judged)
    gates = found["status"].get("validation", {}).get("gates", [])
    failed = [gate for gate in gates if gate["result"] == "Failed"]
    expect(len(failed) > 0, f"{name(story.bad)} is refused, but status.validation.gates names no failed gate: {gates}")
    _numbers(story, failed[0])
    play.console.say(f"gate {failed[0]['name']}: {failed[0].get('message', '')}")
    expect(
        condition(found, "Ready").get("status") != "True", f"{name(story.bad)} is refused, but {told(found, 'Ready')}"
    )
    expect(not found["status"].get("serving"), f"{name(story.bad)} is refused, but its status says that it serves")
    _serving(play, story.good)
    stage = play.registry.took_back(story.bad, because=failed[0]["metric"])
    tally = _unharmed(load)
    only = set(tally["answers"]) == {str(story.good)}
    expect(only, f"only version {story.good} should have answered, but these did: {tally['answers']}")
    numbers = f"error {failed[0]['candidate']:.2f} against {failed[0]['champion']:.2f}"
    return f"{numbers}: refused, moved back to stage {stage}; {_count(tally)}"


def take_over(play: Play, load: Load) -> str:
    """The better version replaces the good one under load; no request fails, and the old one falls silent."""
    story = play.story
    old, new = str(story.good), str(story.better)
    play.registry.move(
        f'client.transition_model_version_stage(name, "{new}", "Production")',
        f'client.set_registered_model_alias(name, "champion", "{new}")',
    )
    play.ready(story.better)
    ready_at = time.time()
    play.console.say(f"waiting until only version {new} answers (at most {TAKEN_OVER_SECONDS} s)")

    def settled() -> bool:
        tally = load.tally
        last = max(tally["last_at"].get(old, 0), ready_at if new not in tally["last_at"] else 0)
        return not load.running or tally["last_at"].get(new, 0) - last > SETTLED_SECONDS

    play.kube.wait(f"version {old} to fall silent", TAKEN_OVER_SECONDS, settled)
    _serving(play, story.better)
    tally = _unharmed(load)
    final = load.stop()
    expect(final["failed"] == 0, f"{final['failed']} of {final['requests']} requests failed: {final['failures'][:3]}")
    overlap = max(0.0, tally["last_at"][old] - tally["first_at"][new])
    play.console.say(
        f"{_count(final)}; versions {old} and {new} both answered for {overlap:.1f} s; "
        f"median {final['seconds']['p50'] * 1000:.0f} ms, slowest {final['seconds']['slowest'] * 1000:.0f} ms"
    )
    return f"version {new} serves; {_count(final)}"


def check_registry(play: Play) -> str:
    """MLflow says what is true."""
    story = play.story
    play.registry.serves(story.better, archived=story.good)
    return f"champion -> {story.better} (Production), version {story.good} Archived"


def survive(play: Play, way: Entrance) -> str:
    """Without MLflow, and with every serving pod deleted, the same predictions come back."""
    kube, story = play.kube, play.story
    kube.run("kubectl", "scale", "deployment/mlflow", "-n", MLFLOW, "--replicas=0")
    play.console.say("waiting until MLflow is gone (at most 60 s)")
    kube.wait("MLflow's pod to go", 60, lambda: not kube.list("pods", MLFLOW, "app.kubernetes.io/name=mlflow"))
    before = {pod["metadata"]["uid"] for pod in kube.list("pods", MODELS, PODS)}
    expect(len(before) > 0, f"no serving pod carries the labels {PODS}")
    started = time.monotonic()
    kube.run("kubectl", "delete", "pods", "-n", MODELS, "-l", PODS, "--wait=false")
    play.console.say(f"deleted {len(before)} serving pods; waiting for new ones and a right answer (at most 120 s)")

    def gone() -> bool:
        return not before & {pod["metadata"]["uid"] for pod in kube.list("pods", MODELS, PODS)}

    kube.wait("the deleted pods to go", 60, gone)
    answers = story.answers(story.better)
    kube.wait("the same predictions without MLflow", 120, lambda: way.version(story.request, answers))
    back = time.monotonic() - started
    play.console.say(f"the same predictions, to the last digit, {back:.1f} s after the deletion")
    kube.run("kubectl", "scale", "deployment/mlflow", "-n", MLFLOW, "--replicas=1")
    play.console.say("waiting for MLflow's server (at most 120 s)")
    kube.rollout(MLFLOW, "mlflow", 120)
    return f"same predictions {back:.1f} s after every serving pod was deleted"


def _numbers(story: Story, gate: dict[str, Any]) -> None:
    """The gate's numbers are those that the training measured."""
    for part, version in (("candidate", story.bad), ("champion", story.good)):
        seen, known = gate.get(part), story.errors[version]
        close = isinstance(seen, int | float) and abs(seen - known) <= ERROR_TOLERANCE * known
        expect(close, f"gate {gate['name']} gives the {part} as {seen}, but version {version} has an error of {known}")


def _serving(play: Play, version: int) -> None:
    """The RegisteredModel names this version as the one that serves."""
    found = play.kube.get("registeredmodel", MODELS, MODEL) or {}
    champion = found.get("status", {}).get("champion", {}).get("version")
    expect(champion == version, f"the RegisteredModel's champion should be version {version}, but is {champion}")


def _unharmed(load: Load) -> dict[str, Any]:
    """The tally so far, in which nothing may have failed."""
    tally = load.tally
    expect(tally["failed"] == 0, f"{tally['failed']} of {tally['requests']} requests failed: {tally['failures'][:3]}")
    expect(load.running, "the load client ended before its time")
    return tally


def _count(tally: dict[str, Any]) -> str:
    return f"{tally['requests']} requests, {tally['failed']} failed"
