"""Every way to be refused that can be brought about: its reason is its own, nothing serves, and then there is rest."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dev.demo.kube import Object
from dev.demo.manifests import MLFLOW, SYSTEM
from dev.demo.progress import condition

from .conftest import World, places_of
from .place import Place, model_registry, model_version, poll
from .pods import server, service
from .refusing import BYSTANDER, CASES, CHEAT, CLOSED, LOCKED, Case
from .rest import OPERATOR, REST_SECONDS, rest, restarts

SECONDS = 300  # for all of them together: they run at the same time
STATUS_BYTES = 16 * 1024
PASSWORD = "open-sesame-nobody-may-read-this"


@dataclass(frozen=True)
class Refused:
    """Where each case came to rest."""

    world: World
    places: Mapping[str, Place]
    restarts: Mapping[str, int]  # of the operator, before it saw any of them

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
    with places_of(world.kube) as make, registries_beside_the_operator(world):
        places = {
            "here": make("refused"),
            "full": make("full"),
            "narrow": make("narrow"),
        }
        confine(places)
        links(world)
        guarded = f"http://guard.{places['here'].namespace}.svc:5000"
        places["here"].apply(*guard(world.images.runner), model_registry("guarded", guarded))
        places["here"].apply(model_registry("dead", "http://127.0.0.1:9"))
        world.kube.apply(*locked(guarded))
        restarted = restarts(world.kube)
        objects: dict[str, list[Object]] = {where: [] for where in places}
        for case in [*CASES, CHEAT, BYSTANDER]:
            objects[case.where] += declared(world, places[case.where], case)
        for where, found in objects.items():
            places[where].apply(*found)
        yield Refused(world, places, restarted)


def declared(world: World, place: Place, case: Case) -> list[Object]:
    """The model and the version of a case, registered in MLflow."""
    spec: dict[str, Any] = {"validation": case.policy(world)}
    model = world.declared(place, case.name, case.role, **spec)
    if case.description:
        world.made.client.update_model_version(model["spec"]["source"]["name"], "1", case.description)
    if case.source:
        world.made.client.create_model_version(model["spec"]["source"]["name"], case.source)
    if case.registry:
        namespace, _, name = case.registry.rpartition("/")
        model["spec"]["source"]["registryRef"] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return [model, model_version(case.name, case.version, **(case.spec or {}))]


def confine(places: Mapping[str, Place]) -> None:
    """A namespace that lets no pod in, and one that lets only tiny ones in."""
    none = {"hard": {"pods": "0"}}
    places["full"].apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods"}, "spec": none})
    narrow = {"limits": [{"type": "Pod", "max": {"memory": "1Mi"}}]}
    places["narrow"].apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"}, "spec": narrow})


def links(world: World) -> None:
    """Put links among the files of models, where MLflow's server keeps them."""
    for role, link in {"link-out": "/etc/passwd out", "link-loop": ". loop", "link-broken": "nothing broken"}.items():
        place = ("deployment/mlflow", "-n", MLFLOW, "--", "sh", "-c")
        world.kube.run("kubectl", "exec", *place, f"cd {world.made.folder(role)} && ln -s {link}")


@contextmanager
def registries_beside_the_operator(world: World) -> Iterator[None]:
    """Whatever is made there is removed."""
    try:
        yield
    finally:
        kinds = "modelregistries.slipway.dev,secrets"
        world.kube.run("kubectl", "delete", kinds, LOCKED, CLOSED, "-n", SYSTEM, "--ignore-not-found")


def locked(uri: str) -> list[Object]:
    """A registry for everybody whom the shared one serves, with a password that it does not know."""
    meta = {"name": LOCKED, "namespace": SYSTEM}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta | {"labels": {"slipway.dev/registry": "true"}},
        "stringData": {"username": "importer", "password": PASSWORD},
    }
    registry = model_registry(LOCKED, uri)
    registry["metadata"] = meta
    registry["spec"]["backend"]["mlflow"]["auth"] = {"basic": {"secretRef": {"name": LOCKED}}}
    registry["spec"]["allowedNamespaces"] = {"selector": {"matchLabels": {"slipway.dev/models": "true"}}}
    closed = model_registry(CLOSED, uri)  # for its own namespace only
    closed["metadata"] = {"name": CLOSED, "namespace": SYSTEM}
    return [secret, registry, closed]


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


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reason}-{case.name}")
def test_each_cause_has_its_reason_and_a_message_that_helps(refused: Refused, case: Case) -> None:
    found = refused.settled(case)
    place = refused.place(case)
    one = condition(found, case.kind)
    assert (one.get("status"), one.get("reason")) == (case.status, case.reason), f"{case.because}\n{place.told()}"
    assert len(json.dumps(found["status"])) < STATUS_BYTES
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
    assert len(place.jobs(case.name, case.version, "import")) == 1, "it needs no credential, and stays as well"
    # A Job whose pod was never let in is removed when it is given up; the others stay for a person to look at.
    assert len(place.jobs(case.name, case.version)) == (0 if case.name == "narrow" else 1)


def test_afterwards_the_operator_rests_and_what_serves_is_as_it_was(refused: Refused) -> None:
    for case in [*CASES, CHEAT]:
        refused.settled(case)
    kube, place = refused.world.kube, refused.places["here"]
    work = rest(kube)
    assert work.failed == 0
    # A model looks at its labels once in the interval of its registry, and a version that waits for one twice a minute.
    assert work.passes < len(CASES) * (REST_SECONDS / 10 + 1), work
    print(f"{work.passes:.0f} passes and no write in {REST_SECONDS:.0f} s")
    assert restarts(kube) == refused.restarts
    found = place.until_serving(f"{BYSTANDER.name}-v1", 30)
    assert len(json.dumps(found["status"])) < STATUS_BYTES
    assert place.get("deployment", f"{BYSTANDER.name}-v1")["metadata"]["generation"] == 1, "made once, never changed"
    (pod,) = place.serving_pods(BYSTANDER.name)
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]


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
    assert {path for path, outcome in claims.items() if path.endswith(("judge.py", "_regression.py"))}, "it knew where"
    authorities = ["/etc/slipway/authorities"]  # certificates, where the platform names some: no secret
    own = ["/tmp", "/work/candidate", "/work/candidate-predictions", "/work/features"]
    assert told["mounts"] in (own, authorities + own)
    assert told["truth"] == [], "the target is in no file that it can read"
    assert told["neighbours"] == []
    environment = told["environment"]
    assert set(json.loads(environment.pop("SLIPWAY_TASK"))) == {"model", "features", "predictions"}
    secrets = [
        name for name in environment if any(word in name.upper() for word in ("TOKEN", "SECRET", "PASSW", "KEY", "URI"))
    ]
    assert secrets == ["GPG_KEY"] or secrets == [], secrets


def test_a_password_that_is_wrong_is_shown_nowhere(refused: Refused) -> None:
    case = next(one for one in CASES if one.name == "locked")
    refused.settled(case)
    run, shown = refused.world.kube.run, refused.place(case).kubectl("get", "mv,rmodel,mreg,pods,events", "-o", "yaml")
    shown += run("kubectl", "get", "mreg,jobs,pods,events", "-n", SYSTEM, "-o", "yaml")
    shown += run("kubectl", "logs", "-l", OPERATOR, "-n", SYSTEM, "--tail=-1")
    assert "refused the username and password" in shown
    assert PASSWORD not in shown
    assert base64.b64encode(f"importer:{PASSWORD}".encode()).decode() not in shown


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
