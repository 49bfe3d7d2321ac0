"""The operator dies again and again while versions are promoted: nothing is made twice, nothing unproven serves.

Eight times at random, and thirty times in `make test-long`. SLIPWAY_KILLS_SEED repeats a run: each test's name says
which seed it had.
"""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dev.demo.manifests import SYSTEM
from dev.demo.progress import condition
from tests.sides import drawn

from . import audit
from .audit import Write
from .conftest import World, places_of
from .place import Place, model_version, poll
from .rest import acting

MODEL = "minutes"
ROLES = {1: "fair", 2: "worse", 3: "good", 4: "fine", 5: "better"}
REFUSED = 2
SERVED = [number for number in ROLES if number != REFUSED]
KILLS = {"eight": (1, 0), "thirty": (2, 2)}  # on each leg of five versions' three, in turns
# Most die young: a new operator does all the work that waits at once, an old one waits.
USUAL_SECONDS, OLDEST_SECONDS = 2.0, 6.0
SEED = drawn("SLIPWAY_KILLS_SEED")
USER = f"system:serviceaccount:{SYSTEM}:slipway"
VERSION, NOBODY = "slipway.dev/version", "none"


@dataclass(frozen=True)
class Ordeal:
    """Every version asked for Production, one after the other, and the operator was killed all the time."""

    world: World
    place: Place
    registered: str
    tally: dict[str, Any]
    writes: list[Write]

    def of(self, resource: str) -> list[Write]:
        """Writes of one kind, in the order in which they were made."""
        return [write for write in self.writes if write.resource == resource]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(each, id=f"{total}-seed-{SEED}", marks=pytest.mark.long if total == "thirty" else ())
        for total, each in KILLS.items()
    ],
)
def ordeal(world: World, request: pytest.FixtureRequest) -> Iterator[Ordeal]:
    file = audit.log()
    if file is None:
        pytest.skip("this cluster's audit log is not within reach: only the local cluster's is")
    with places_of(world.kube) as make, ExitStack() as stack:
        place = make("kills")
        registered = world.model(place, MODEL, *ROLES.values(), rollout={"keepWarm": "5s"})
        turns = itertools.cycle(request.param)
        killer, load = Killer(place, file, random.Random(SEED)), None
        for number in ROLES:
            place.apply(model_version(MODEL, number))
            for what, begun in LEGS.items():
                poll(f"version {number} {what}", 180, lambda n=number, begun=begun: begun(place, n), place.told)
                for _ in range(next(turns)):
                    killer.kill(number, what)
            poll(f"version {number} has come to rest", 120, lambda n=number: at_rest(place, n), place.told)
            if load is None:
                way = stack.enter_context(world.entrance(place, MODEL))
                load = stack.enter_context(world.load(way, world.made.answers(**{f"v{n}": ROLES[n] for n in SERVED})))
        assert load is not None
        place.kube.rollout(SYSTEM, "slipway", 60)  # the last one may live, and has its word
        poll("the old pods are retired", 60, lambda: not deployments(place) - {f"{MODEL}-v{SERVED[-1]}"}, place.told)
        tally = load.stop()
        writes = audit.writes(file, place.namespace)
        assert writes, "the audit log tells no objects: an earlier release started this cluster; `make down cluster`"
        yield Ordeal(world, place, registered, tally, writes)


def at_rest(place: Place, number: int) -> bool:
    """It serves or is refused, and nothing more is to be done about it."""
    found = place.version(f"{MODEL}-v{number}")
    refused = condition(found, "Stalled").get("status") == "True"
    return refused or condition(found, "Ready").get("reason") == "Serving"


def judged(place: Place, number: int) -> bool:
    """Its validation has ended."""
    return condition(place.version(f"{MODEL}-v{number}"), "Validated").get("status") == "True" or at_rest(place, number)


def settled(place: Place, number: int) -> bool:
    """It has the traffic, or gets none."""
    service = place.get("service", MODEL)
    return bool(service and service["spec"]["selector"][VERSION] == str(number)) or at_rest(place, number)


LEGS: dict[str, Callable[[Place, int], bool]] = {
    "is asked for": lambda place, number: bool(place.version(f"{MODEL}-v{number}")),
    "is judged": judged,
    "is released or refused": settled,
}


@dataclass(frozen=True)
class Killer:
    """Ends operators without a chance to say goodbye, at moments that a seed decides."""

    place: Place
    file: Path
    chance: random.Random

    def kill(self, number: int, leg: str) -> None:
        """One operator dies: at a random age, or right behind a random one of its first writes, since between two
        writes is where something could be forgotten or done again."""
        pid, pod = poll("the process of the operator that acts", 60, self._process, self.place.told)
        if self.chance.random() < 0.5:
            age = self.chance.triangular(0, OLDEST_SECONDS, USUAL_SECONDS)
            time.sleep(age)  # the moment is a time and nothing else: there is nothing to wait for
            moment = f"{age:.1f} s old"
        else:
            count = self.chance.randint(1, 6)
            wrote = audit.await_writes(self.file, USER, self.place.namespace, count, OLDEST_SECONDS)
            moment = f"behind write {len(wrote)} of its life, to {wrote[-1]}" if wrote else "idle"
        # A pod that is only deleted would be asked to end, and finish its passes.
        os.kill(pid, signal.SIGKILL)
        print(f"{datetime.now(UTC):%H:%M:%S.%f} killed {moment}, after version {number} {leg}")
        # Sometimes the other one takes over at once, and sometimes the container comes back before its pod is gone. A
        # container that ended is started again later and later; a pod that is gone is replaced at once.
        kubectl = ("kubectl", "-n", SYSTEM, "delete", "--ignore-not-found")
        self.place.kube.run(*kubectl, "lease", "slipway")
        self.place.kube.run(*kubectl, "pod", pod, "--grace-period=0", "--force")

    def _process(self) -> tuple[int, str] | None:
        """The process of the operator that acts on this machine, which is every node of the local cluster; its pod."""
        pod, uid = acting(self.place.kube)
        if not pod or not self.place.kube.get("pod", SYSTEM, pod):
            return None  # it was killed before and came back for a moment, while its pod was on the way out
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                program, group = (entry / "cmdline").read_bytes().split(b"\0"), (entry / "cgroup").read_text()
                if program[1:3] == [b"-m", b"slipway"] and uid and f"/pod{uid}/" in group:
                    return int(entry.name), pod
        return None


def deployments(place: Place) -> set[str]:
    """Names of the Deployments that are there."""
    return {one["metadata"]["name"] for one in place.every("deployments", model=MODEL)}


def test_no_request_fails_and_each_answer_comes_from_a_version_that_was_proven_by_then(ordeal: Ordeal) -> None:
    tally = ordeal.tally
    assert tally["failed"] == 0, tally
    assert tally["requests"] > 1000
    assert sorted(map(int, tally["answers"])) == SERVED
    proven = {}
    for write in ordeal.of("modelversions/status"):
        if write.holds("Validated"):
            proven.setdefault(str(write.after["spec"]["version"]), write.at)
    assert all(at > proven[number] for number, at in tally["first_at"].items()), (tally["first_at"], proven)


def test_every_import_and_every_validation_was_one_job(ordeal: Ordeal) -> None:
    made: dict[tuple[int, str], set[str]] = {}
    for write in [*ordeal.of("jobs"), *ordeal.of("jobs/status")]:
        made.setdefault((int(write.label("version")), write.label("purpose")), set()).add(write.uid)
    assert {work: len(uids) for work, uids in made.items()} == {
        (number, purpose): 1 for number in ROLES for purpose in ("import", "validate")
    }, made


def test_the_traffic_moved_only_to_a_version_that_was_proven_against_the_champion_of_that_moment(
    ordeal: Ordeal,
) -> None:
    complete: set[str] = set()  # versions whose validation has ended well
    proven: dict[str, str] = {}  # versions that are called validated, and the digest that they were compared with
    digests: dict[str, str] = {}
    moves, champion_digest = [NOBODY], ""
    for write in ordeal.writes:
        if write.resource == "jobs/status" and write.label("purpose") == "validate" and write.holds("Complete"):
            complete.add(write.label("version"))
        elif write.resource == "modelversions/status":
            number = str(write.after["spec"]["version"])
            proven.pop(number, None)
            digests[number] = write.after["status"].get("digest", "")
            if write.holds("Validated"):
                proven[number] = write.after["status"]["validation"].get("championDigest", "")
        elif write.resource == "services" and (chosen := write.after["spec"]["selector"][VERSION]) != moves[-1]:
            assert chosen in complete, f"version {chosen} has the traffic while its validation is at work"
            assert proven.get(chosen) == champion_digest, f"version {chosen} has the traffic unproven: {proven}"
            moves.append(chosen)
            champion_digest = digests[chosen]
    assert moves == [NOBODY, *map(str, SERVED)]


def test_the_refused_version_got_neither_pods_nor_traffic(ordeal: Ordeal) -> None:
    assert condition(ordeal.place.version(f"{MODEL}-v{REFUSED}"), "Validated")["reason"] == "GateFailed"
    assert {write.name for write in ordeal.of("deployments")} == {f"{MODEL}-v{number}" for number in SERVED}
    assert str(REFUSED) not in {write.after["spec"]["selector"][VERSION] for write in ordeal.of("services")}


def test_in_the_end_all_is_as_if_nobody_had_died(ordeal: Ordeal) -> None:
    place, last = ordeal.place, SERVED[-1]
    ready = {number: condition(place.version(f"{MODEL}-v{number}"), "Ready")["reason"] for number in ROLES}
    assert ready == dict.fromkeys(SERVED, "Superseded") | {REFUSED: "GateFailed", last: "Serving"}
    assert place.champion(MODEL) == last
    assert condition(place.model(MODEL), "Ready")["reason"] == "Serving"
    poll("the labels say so", 30, lambda: labels(ordeal) == TOLD, lambda: f"{labels(ordeal)}\n{place.told()}")
    assert deployments(place) == {f"{MODEL}-v{last}"}
    assert len({write.uid for write in ordeal.of("deployments")}) == len(SERVED), "no Deployment was made twice"
    imports = place.kube.list("jobs", SYSTEM, f"slipway.dev/owner-namespace={place.namespace}")
    at_work = [job for job in [*imports, *place.every("jobs", model=MODEL)] if job["status"].get("active")]
    assert not at_work, "nothing works on for nobody"


TOLD = {number: ("Archived", "Replaced", []) for number in SERVED} | {
    REFUSED: ("None", "Refused", []),
    SERVED[-1]: ("Production", "Serving", ["champion"]),
}


def labels(ordeal: Ordeal) -> dict[int, tuple[str, str, list[str]]]:
    """Stage, state tag and aliases of each version in MLflow."""
    found = {}
    for number in ROLES:
        one = ordeal.world.made.client.get_model_version(ordeal.registered, str(number))
        state = one.tags.get(f"slipway.dev/demo/{ordeal.place.namespace}/state", "")
        found[number] = one.current_stage, state.split(" ")[0], list(one.aliases)
    return found
