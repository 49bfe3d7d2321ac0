"""Two operators on a real API server: one acts, the other takes over, and who has lost the Lease writes nothing."""

import json
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .asking import served
from .conftest import Kubectl, programs
from .control_plane import TOKEN, ControlPlane, Operator, until

LEASE_SECONDS, RETRY_SECONDS, HANDOVER_SECONDS = 15, 2.4, 3.0
SLACK_SECONDS = 5.0  # of a busy machine
NAMES = ("anna", "bert")
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata, verbs: [create, update, patch, delete]}]
"""


@dataclass(frozen=True)
class Two:
    """Two operators with users of their own, and the API server's record of who wrote what."""

    plane: ControlPlane
    kubectl: Kubectl
    operators: dict[str, Operator]

    def holder(self) -> str:
        """Whom the Lease names."""
        answer = self.kubectl.within("slipway-system").ask("get", "lease", "slipway", "--output", "json")
        return str(json.loads(answer.out)["spec"]["holderIdentity"]) if answer.code == 0 else ""

    def acting(self) -> str:
        """Who acts, once somebody does."""
        return str(
            until("somebody acts", lambda: self.holder() and self.operators[self.holder()].acts and self.holder())
        )

    def other(self, name: str) -> str:
        """The other one."""
        return next(each for each in NAMES if each != name)

    def apply(self, *numbers: int) -> None:
        """ModelVersions, which an operator must say something about."""
        versions = [
            {
                "apiVersion": "slipway.dev/v1alpha1",
                "kind": "ModelVersion",
                "metadata": {"name": f"flights-v{number}"},
                "spec": {"model": "flights", "version": number, "stage": "Production"},
            }
            for number in numbers
        ]
        self.kubectl.must("apply", "--filename=-", stdin=versions)

    def writes(self, name: str) -> list[tuple[str, str]]:
        """When an operator asked for something to be written, and what; renewals of the Lease aside."""
        found = []
        for line in (self.plane.folder / "audit.log").read_text().splitlines(keepends=True):
            if line.endswith("\n") and (event := json.loads(line))["user"]["username"] == name:
                what = event["objectRef"]
                if what["resource"] != "leases":
                    found.append(
                        (event["requestReceivedTimestamp"], f"{event['verb']} {what['resource']}/{what.get('name')}")
                    )
        return found

    def answered(self, number: int) -> bool:
        """Whether the version has a status."""
        return int(self.kubectl.object("mv", f"flights-v{number}")["status"]["observedGeneration"]) > 0


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("plane")
    found = ControlPlane(programs(), folder, ("--audit-policy-file=policy.yaml", "--audit-log-path=audit.log"))
    (folder / "policy.yaml").write_text(POLICY)
    users = [f"token-of-{name},{name},{name},system:masters\n" for name in NAMES]
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n{''.join(users)}")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def two(plane: ControlPlane, admin: Kubectl, tmp_path: Path) -> Iterator[Two]:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    inside = served(admin, namespace)
    admin.within("slipway-system").must("delete", "lease", "slipway", "--ignore-not-found")
    operators = {name: operator(plane, tmp_path, name) for name in NAMES}
    for one in operators.values():
        one.start(sys.executable)
    yield Two(plane, inside, operators)
    for one in operators.values():
        one.stop()
    admin.must("delete", "namespace", namespace, "--wait=false")


def operator(plane: ControlPlane, folder: Path, name: str) -> Operator:
    """An operator that is a user of its own."""
    place = folder / name
    place.mkdir()
    kubeconfig = place / "kubeconfig"
    kubeconfig.write_text(plane.config(f"token-of-{name}"))
    config: dict[str, Any] = {
        "clusterName": "test",
        "runnerImage": "runner:test",
        "store": {"url": "http://store:5000"},
    }
    return Operator(place, kubeconfig, config, SLIPWAY_IDENTITY=name)


def test_one_acts_and_the_other_is_ready_and_writes_nothing(two: Two) -> None:
    first = two.acting()
    two.apply(1)
    until("it is answered", lambda: two.answered(1))
    standby = two.operators[two.other(first)]
    assert standby.get("readyz") == (200, "ok")
    assert not standby.acts
    assert two.writes(first)
    assert two.writes(two.other(first)) == []


def test_a_standby_takes_over_from_one_that_ends_at_once(two: Two) -> None:
    first = two.acting()
    assert two.operators[first].stop() == 0
    given_back = time.monotonic()
    until("the other acts", lambda: two.operators[two.other(first)].acts)
    assert time.monotonic() - given_back < HANDOVER_SECONDS
    two.apply(1)
    until("it is answered", lambda: two.answered(1))


def test_a_standby_takes_over_from_one_that_was_killed(two: Two) -> None:
    first = two.acting()
    two.operators[first].signal(signal.SIGKILL)
    two.operators[first].ended(10)
    killed = time.monotonic()
    two.apply(1)
    until("it is answered", lambda: two.answered(1))
    took = time.monotonic() - killed
    assert took < LEASE_SECONDS + RETRY_SECONDS + SLACK_SECONDS, f"{took:.1f} s"


def test_one_that_stood_still_ends_when_it_comes_back_and_writes_nothing(two: Two) -> None:
    first = two.acting()
    with ThreadPoolExecutor() as beside:
        applied = beside.submit(two.apply, *range(1, 31))
        until("it is in the middle of it", lambda: len(two.writes(first)) > 3)
        two.operators[first].signal(signal.SIGSTOP)
        applied.result()
    until("the other acts", lambda: two.operators[two.other(first)].acts, LEASE_SECONDS + RETRY_SECONDS + SLACK_SECONDS)
    until("all is answered", lambda: all(two.answered(number) for number in range(1, 31)))
    two.apply(31)  # more that it would want to write about
    until("it is answered", lambda: two.answered(31))
    lease = two.kubectl.within("slipway-system").object("lease", "slipway")["spec"]
    assert (lease["holderIdentity"], lease["leaseTransitions"]) == (two.other(first), 1)
    before = two.writes(first)
    two.operators[first].signal(signal.SIGCONT)
    assert two.operators[first].ended(10) == 1
    assert two.writes(first) == before
    assert max(at for at, _ in before) < lease["acquireTime"]
    assert f"{two.other(first)} acts; this operator stands by" not in two.operators[first].log.read_text()
