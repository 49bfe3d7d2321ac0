"""Every way to be refused that can be brought about: the cause is real, the reason is its own, nothing serves."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from dev.demo.kube import Object
from dev.demo.manifests import MLFLOW
from dev.demo.progress import condition

from .conftest import World, places_of
from .making import METRIC
from .place import Place, model_registry, model_version, poll

WRONG = "sha256:" + "0" * 64
SECONDS = 180  # for all of them together: they run at the same time
Policy = Callable[[World], Object]


@dataclass(frozen=True)
class Case:
    """One version, and why it is refused."""

    name: str
    because: str
    kind: str  # of the condition that does not hold
    reason: str
    says: tuple[str, ...]  # what a person needs to read
    role: str = "good"
    policy: Policy = lambda world: world.policy()
    spec: Mapping[str, Any] | None = None  # of the version, beyond the ordinary
    where: str = "here"  # or: foreign (not allowed), full (of quota), narrow (by LimitRange)
    registry: str = ""  # a ModelRegistry beside it instead of the one that all share
    version: int = 1
    status: str = "False"
    attempts: int | None = 1  # of the validation; None where it never came so far
    stuck: bool = True


def data(**changed: str) -> Policy:
    """The usual policy with other data."""

    def policy(world: World) -> Object:
        usual = world.policy()
        return usual | {"data": usual["data"] | changed}

    return policy


CASES = [
    Case(
        "worse", "its error is beyond the threshold", "Validated", "GateFailed",
        (f"{METRIC} is", "must be at most 8"), role="worse",
    ),
    Case(
        "no-metric", "a gate asks for what MLflow does not compute", "Validated", "MetricNotComputed",
        ("mean_banana_error", "mean_absolute_error"), policy=lambda world: world.policy(metric="mean_banana_error"),
    ),
    Case(
        "no-column", "the file has no target", "Validated", "DataColumnMissing",
        ("'minutes'", "distance, hour"), policy=lambda world: world.policy("untargeted.parquet"),
    ),
    Case(
        "no-rows", "nothing can be measured on nothing", "Validated", "DataEmpty",
        ("no rows",), policy=lambda world: world.policy("empty.parquet"),
    ),
    Case(
        "gaps", "three rows have no truth", "Validated", "DataInvalid",
        ("3 rows", "'minutes'"), policy=lambda world: world.policy("gaps.parquet"),
    ),
    Case(
        "data-changed", "the data is not what was pinned", "Imported", "DigestMismatch",
        ("the data has the digest", WRONG), policy=data(digest=WRONG), attempts=None,
    ),
    Case(
        "model-changed", "the model is not what was reviewed", "Imported", "DigestMismatch",
        ("the model's files have the digest", WRONG), spec={"digest": WRONG}, attempts=None,
    ),
    Case(
        "no-data", "the registry has no such file", "Imported", "DataUnreadable",
        ("absent.parquet",), attempts=None,
        policy=lambda world: data(
            uri=world.made.data["holdout.parquet"].uri.replace("holdout", "absent")
        )(world),
    ),
    Case(
        "only-here", "its class is only in its author's checkout", "Validated", "ModelDoesNotLoad",
        ("score-candidate", "No module named 'tests'"), role="only-here",
    ),
    Case(
        "raises", "its code fails on the data", "Validated", "PredictionFailed",
        ("score-candidate", "the column 'season' is needed"), role="raises",
    ),
    Case(
        "nan", "its predictions are no numbers", "Validated", "PredictionsInvalid",
        ("the prediction of row 0 is no finite number",), role="answers_nan",
    ),
    Case(
        "leaves", "it ends well and has predicted nothing", "Validated", "PredictionsInvalid",
        ("predictions.json", "No such file"), role="leaves",
    ),
    Case(
        "memory", "it needs more than its pool gives", "Validated", "OutOfMemory",
        ("'score-candidate' exceeded its memory limit",), role="eats_memory",
        policy=lambda world: world.policy(pool={"name": "small"}),
    ),
    Case(
        "sleeps", "it takes longer than it may", "Validated", "DeadlineExceeded",
        ("longer than 40 s",), role="sleeps", policy=lambda world: world.policy(timeout="40s"),
    ),
    Case(
        "outdated", "it was made with a package that the image does not have", "Validated",
        "EnvironmentNotReproducible", ("scikit-learn==0.1 wanted", "present"), role="outdated",
    ),
    Case(
        "no-pool", "the platform team knows no such pool", "Validated", "PoolNotFound",
        ("'moon'", "cpu"), policy=lambda world: world.policy(pool={"name": "moon"}), attempts=None,
    ),
    Case(
        "nowhere", "no node belongs to its pool", "Validated", "Unschedulable", ("node", "Gave up after 5 s"),
        policy=lambda world: world.policy(pool={"name": "nowhere"}, pendingTimeout="5s"), attempts=3,
    ),
    Case(
        "full", "the namespace's quota lets no pod in", "Validated", "QuotaExceeded", ("exceeded quota", "no-pods"),
        where="full", policy=lambda world: world.policy(pendingTimeout="5s"), attempts=3,
    ),
    Case(
        "narrow", "the namespace's limits let no such pod in", "Validated", "AdmissionDenied",
        ("maximum memory usage per Pod",), where="narrow", policy=lambda world: world.policy(pendingTimeout="5s"),
    ),
    Case(
        "no-version", "it was never registered", "Resolved", "VersionNotFound", ("7",), version=7, attempts=None,
    ),
    Case(
        "no-registry", "there is no such ModelRegistry", "Resolved", "RegistryNotFound", ("nobody",),
        registry="nobody", attempts=None,
    ),
    Case(
        "foreign", "its namespace is not among those that the registry serves", "Resolved", "RegistryNotAllowed",
        (f"{MLFLOW}/mlflow",), where="foreign", attempts=None,
    ),
    Case(
        "dead", "nobody listens where the registry should be; absence is not proven by that", "Resolved",
        "RegistryUnreachable", ("127.0.0.1:9",), registry="dead", status="Unknown", attempts=None, stuck=False,
    ),
    Case(
        "guarded", "the registry asks for a credential", "Resolved", "RegistryUnauthorized", ("401",),
        registry="guarded", attempts=None,
    ),
]  # fmt: skip
CHEAT = Case(
    "cheats", "it claims a verdict wherever one is written, and looks for credentials", "Validated", "GateFailed",
    (f"{METRIC} is", "must be at most 8"), role="cheats",
)  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """Where each case came to rest."""

    world: World
    places: Mapping[str, Place]

    def place(self, case: Case) -> Place:
        """The namespace of a case."""
        return self.places[case.where]

    def settled(self, case: Case) -> Object:
        """The version, once it has come to rest; a failure tells why it has not."""
        place, name = self.place(case), f"{case.name}-v{case.version}"

        def rests() -> Object | None:
            found = place.version(name)
            one = condition(found, case.kind)
            right = (one.get("status"), one.get("reason")) == (case.status, case.reason)
            stalled = condition(found, "Stalled").get("status") == "True"
            return found if stalled or (right and not case.stuck) else None

        return dict(poll(f"{name} is refused: {case.because}", SECONDS, rests, place.told))


@pytest.fixture(scope="module")
def refused(world: World) -> Iterator[Refused]:
    """All cases, applied at once."""
    with places_of(world.kube) as make:
        places = {
            "here": make("refused"),
            "full": make("full"),
            "narrow": make("narrow"),
            "foreign": make("foreign", False),
        }
        places["full"].apply(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "no-pods"},
                "spec": {"hard": {"pods": "0"}},
            }
        )
        narrow = {"limits": [{"type": "Pod", "max": {"memory": "1Mi"}}]}
        places["narrow"].apply(
            {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"}, "spec": narrow}
        )
        places["here"].apply(
            *guard(world.images.runner), model_registry("guarded", f"http://guard.{places['here'].namespace}.svc:5000")
        )
        places["here"].apply(model_registry("dead", "http://127.0.0.1:9"))
        objects: dict[str, list[Object]] = {where: [] for where in places}
        for case in [*CASES, CHEAT]:
            spec: dict[str, Any] = {"validation": case.policy(world)}
            if case.registry:
                spec["source"] = {"registryRef": {"name": case.registry}}
            objects[case.where].append(world.declared(places[case.where], case.name, case.role, **spec))
            objects[case.where].append(model_version(case.name, case.version, **(case.spec or {})))
        for where, declared in objects.items():
            places[where].apply(*declared)
        yield Refused(world, places)


def guard(image: str) -> list[Object]:
    """A server that lets nobody in."""
    program = """
import http.server
class Guard(http.server.BaseHTTPRequestHandler):
    def refuse(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="mlflow"')
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST = refuse
http.server.ThreadingHTTPServer(("", 5000), Guard).serve_forever()
"""
    return [server("guard", image, ["python", "-c", program], 5000), service("guard", 5000)]


def server(name: str, image: str, command: list[str], port: int, **pod: Any) -> Object:
    """A pod that keeps to the restricted profile."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    } | pod.pop("container", {})
    safe = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"terminationGracePeriodSeconds": 1, "securityContext": safe, "containers": [container], **pod}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def service(name: str, port: int) -> Object:
    """The address of such a pod."""
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reason}-{case.name}")
def test_each_cause_has_its_reason_and_a_message_that_helps(refused: Refused, case: Case) -> None:
    found = refused.settled(case)
    place = refused.place(case)
    one = condition(found, case.kind)
    assert (one.get("status"), one.get("reason")) == (case.status, case.reason), f"{case.because}\n{place.told()}"
    for words in case.says:
        assert words in one["message"], one["message"]
    assert condition(found, "Ready")["reason"] == case.reason
    assert condition(found, "Ready")["status"] == "False"
    assert found["status"].get("serving") is not True
    validation = found["status"].get("validation", {})
    assert validation.get("attempt") == case.attempts, validation
    serving = place.every("deployments,services,controllerrevisions.apps", model=case.name)
    assert serving == [], "nothing is served of what was refused"


@pytest.mark.parametrize("case", [one for one in CASES if one.attempts == 1], ids=lambda case: case.name)
def test_a_verdict_takes_one_job(refused: Refused, case: Case) -> None:
    refused.settled(case)
    place = refused.place(case)
    assert len(place.jobs(case.name, case.version, "import")) == 0, "an import that is done is removed"
    # A Job whose pod was never let in is removed when it is given up; the others stay for a person to look at.
    assert len(place.jobs(case.name, case.version)) == (0 if case.name == "narrow" else 1)


def test_a_model_that_cheats_gains_nothing_and_finds_no_credential(refused: Refused) -> None:
    found = refused.settled(CHEAT)
    place = refused.place(CHEAT)
    one, gate = condition(found, "Validated"), found["status"]["validation"]["gates"][0]
    assert one["reason"] == "GateFailed", place.told()
    assert gate["candidate"] == pytest.approx(refused.world.made.errors["cheats"], rel=1e-6), "measured, not claimed"
    job = place.jobs(CHEAT.name, 1)[0]
    log = place.kubectl("logs", f"job/{job}", "-c", "score-candidate")
    told = json.loads(next(line for line in log.splitlines() if line.startswith("cheat ")).removeprefix("cheat "))
    assert {place: files for place, files in told["found"].items() if files} == {}
    assert told["uid"] != 0
    claims = told["claims"]
    assert claims.pop("/dev/termination-log") == "written", "the cheat was carried out"
    assert all(outcome != "written" for path, outcome in claims.items() if not path.startswith("/work/candidate-")), (
        claims
    )
    secrets = [
        name
        for name in told["environment"]
        if any(word in name.upper() for word in ("TOKEN", "SECRET", "PASSW", "KEY"))
    ]
    assert secrets == ["GPG_KEY"] or secrets == [], secrets


def test_a_version_that_a_quota_kept_out_is_judged_when_it_asks_again(refused: Refused) -> None:
    case = next(one for one in CASES if one.name == "full")
    place = refused.place(case)
    refused.settled(case)
    place.kubectl("delete", "resourcequota", "no-pods")
    place.kubectl("patch", "mv", "full-v1", "--type=merge", '-p={"spec": {"stage": "Staging"}}')
    place.annotate("mv", "full-v1", retry="there-is-room-now")
    found = place.until("full-v1", "Validated", "True", "GatesPassed", 90)
    assert found["status"]["lastHandledRetry"] == "there-is-room-now"
    assert found["status"]["validation"]["attempt"] == 1
    assert len(place.jobs("full", 1)) == 1


def test_a_refused_version_that_asks_again_is_judged_again_by_a_job_of_its_own(refused: Refused) -> None:
    case = next(one for one in CASES if one.name == "worse")
    place = refused.place(case)
    refused.settled(case)
    before = place.jobs("worse", 1)
    place.annotate("mv", "worse-v1", retry="look-again")
    poll(
        "it is refused once more",
        90,
        lambda: (
            (found := place.version("worse-v1")["status"]).get("lastHandledRetry") == "look-again"
            and found["validation"]["outcome"] == "Failed"
            and len(place.jobs("worse", 1)) == len(before) + 1
        ),
        place.told,
    )
    assert condition(place.version("worse-v1"), "Validated")["reason"] == "GateFailed"
