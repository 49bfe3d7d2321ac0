"""The chart's admission policies on a real API server: who may do what, and the sentence that refuses the others."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import CRDS, ROOT, Answer, Kubectl, programs
from .control_plane import ControlPlane, until

Manifest = dict[str, Any]
Words = tuple[str, ...]
PASSES = ""
DRY = "--dry-run=server"  # every policy judges it as it would the real thing
GATES = [{"name": "error", "metric": {"name": "root_mean_squared_error", "threshold": 12, "greaterIsBetter": False}}]
POLICY = {
    "modelType": "regressor",
    "data": {"uri": "mlflow-artifacts:/1/holdout.parquet", "target": "air_time"},
    "gates": GATES,
}

# Who asks. The first three are people with the chart's roles; one of them may write RegisteredModels by another role.
ENGINEER, WRITER, PROMOTER, ADMIN = "engineer", "writer", "promoter", ""
OPERATOR = "system:serviceaccount:slipway-system:slipway"
NAMESPACES = "system:serviceaccount:kube-system:namespace-controller"
GARBAGE = "system:serviceaccount:kube-system:generic-garbage-collector"


@dataclass(frozen=True)
class Case:
    """What somebody tries, and the deed or the sentence that is refused; PASSES if nothing is."""

    name: str
    because: str
    who: str
    action: Words
    want: str
    stdin: Manifest | None = None


def version(model: str, number: int, stage: str, annotations: dict[str, str] | None = None, **spec: Any) -> Manifest:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-v{number}", "annotations": annotations or {}},
        "spec": {"model": model, "version": number, "stage": stage, **spec},
    }


def model(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Manifest:
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "RegisteredModel",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": spec,
    }


ALLOWED = {"slipway.dev/allow-deletion": "true"}
THERE = [
    model("flights", validation=POLICY),  # serves flights-v1
    version("flights", 1, "Production"),  # serving
    version("flights", 2, "Staging"),
    version("flights", 3, "Production", validation={"gates": GATES}),  # on its way
    model("trains"),
    version("trains", 1, "None"),  # still the champion: no other took its place
    model("ships", ALLOWED),  # serves ships-v1
    version("ships", 1, "Production", ALLOWED),  # serving
    version("ships", 2, "Production", ALLOWED),
]
SERVING = ("flights-v1", "trains-v1", "ships-v1")
CHAMPIONS = ("flights", "ships")

APPLY = ("apply", "--server-side", DRY, "--filename=-")
COLLECTION = ("delete", "--raw", "/apis/slipway.dev/v1alpha1/namespaces/ml/modelversions?dryRun=All")


def patch(what: str, **change: Any) -> Words:
    return ("patch", *what.split("/"), DRY, "--type=merge", f"--patch={json.dumps(change)}")


def stage(name: str, wanted: str) -> Words:
    return patch(f"mv/{name}", spec={"stage": wanted})


def annotate(what: str, word: str) -> Words:
    return ("annotate", *what.split("/"), DRY, "--overwrite", f"slipway.dev/{word}")


def delete(what: str) -> Words:
    return ("delete", *what.split("/"), DRY)


def owned(what: str) -> Words:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "4fe5bb0e-0000-4000-8000-000000000000"}
    return patch(what, metadata={"ownerReferences": [owner]})


def deed(who: str, words: str) -> str:
    """The sentence that refuses it."""
    return (
        f"{who} may not {words}: that needs the verb promote on modelversions.slipway.dev in the namespace ml, "
        "which the role slipway-promoter grants"
    )


KEPT_VERSION = (
    "flights-v1 has the traffic of flights: release another version or set its stage to Archived first; to delete it "
    "all the same, annotate it slipway.dev/allow-deletion=true"
)
KEPT_MODEL = (
    "flights is serving, and its pods go with it: archive its versions first; to delete it all the same, annotate it "
    "slipway.dev/allow-deletion=true"
)
ROLE = 'User "engineer" cannot patch resource "registeredmodels"'
FORBIDDEN = "Error from server (Forbidden)"

# What needs the verb: tried by somebody who lacks it, and who has every other right, and by somebody who has it.
GUARDED = [
    ("create in Production", "it is a request for the traffic", ENGINEER, APPLY, "put flights-v4 into Production",
     version("flights", 4, "Production")),
    ("enter Production", "it is a request for the traffic", ENGINEER, stage("flights-v2", "Production"),
     "put flights-v2 into Production", None),
    ("leave Production", "it may end serving", ENGINEER, stage("flights-v1", "Archived"),
     "take flights-v1 out of Production", None),
    ("drop the gates of a version in Production", "it is released without them", ENGINEER,
     patch("mv/flights-v3", spec={"validation": {"gates": []}}), "change flights-v3 while it is in Production", None),
    ("pin a version in Production", "it is another artifact, or none", ENGINEER,
     patch("mv/flights-v3", spec={"digest": "sha256:" + "a" * 64}), "change flights-v3 while it is in Production",
     None),
    ("retry in Production", "a version that was rolled back comes up again", ENGINEER,
     annotate("mv/flights-v3", "retry=1"), "retry flights-v3 while it is in Production", None),
    ("archive a champion that left Production", "it ends serving", ENGINEER, stage("trains-v1", "Archived"),
     "change trains-v1 while it is serving", None),
    ("delete in Production", "it leaves Production", ENGINEER, delete("mv/flights-v3"),
     "delete flights-v3, which is in Production", None),
    ("choose the owner of a version in Production", "the owner's end is the version's", ENGINEER,
     owned("mv/flights-v3"), "give flights-v3 another owner while it is in Production", None),
    ("allow a deletion", "the next to ask may delete", ENGINEER, annotate("mv/flights-v1", "allow-deletion=true"),
     "say whether flights-v1 may be deleted", None),
    ("create with a deletion allowed", "it would hold once it serves", ENGINEER, APPLY,
     "say whether flights-v4 may be deleted", version("flights", 4, "None", ALLOWED)),
    ("empty the gates of a model", "anything would pass", WRITER,
     patch("rmodel/flights", spec={"validation": {"gates": []}}), "change the spec of the RegisteredModel flights",
     None),
    ("suspend a model", "nothing would be repaired or rolled back", WRITER,
     patch("rmodel/flights", spec={"suspend": True}), "change the spec of the RegisteredModel flights", None),
    ("roll back", "it moves the traffic", WRITER, annotate("rmodel/flights", "rollback=1"), "roll flights back", None),
    ("refresh", "it restarts serving pods", WRITER, annotate("rmodel/flights", "refresh=1"),
     "refresh the serving pods of flights", None),
    ("declare a model", "its gates hold from then on", WRITER, APPLY, "declare the RegisteredModel planes",
     model("planes")),
    ("declare a model as if the operator had", "the operator is known by its name, not by its mark", WRITER, APPLY,
     "declare the RegisteredModel planes", model("planes", {"slipway.dev/implicit": "true"})),
    ("delete a model that is not serving", "its gates go with it", WRITER, delete("rmodel/trains"),
     "delete the RegisteredModel trains", None),
    ("choose the owner of a model", "the owner's end is the model's", WRITER, owned("rmodel/flights"),
     "give the RegisteredModel flights another owner", None),
]  # fmt: skip

CASES = [
    *(Case(name, because, who, action, deed(who, words), stdin) for name, because, who, action, words, stdin in GUARDED),
    *(Case(f"{name} with the verb", "that is what the verb is for", PROMOTER, action, PASSES, stdin)
      for name, _, _, action, _, stdin in GUARDED),
    Case("create in Staging", "proving a version is an engineer's work", ENGINEER, APPLY, PASSES,
         version("flights", 4, "Staging")),
    Case("change in Staging", "proving a version is an engineer's work", ENGINEER,
         patch("mv/flights-v2", spec={"validation": {"gates": GATES}}), PASSES),
    Case("retry in Staging", "proving a version is an engineer's work", ENGINEER,
         annotate("mv/flights-v2", "retry=1"), PASSES),
    Case("delete in Staging", "nobody depends on it", ENGINEER, delete("mv/flights-v2"), PASSES),
    Case("label in Production", "labels mean nothing to Slipway", ENGINEER,
         patch("mv/flights-v1", metadata={"labels": {"team": "air"}}), PASSES),
    Case("apply again what is there", "nothing changes", ENGINEER, APPLY, PASSES, version("flights", 1, "Production")),
    Case("annotate a model", "other annotations are free", WRITER, patch("rmodel/flights", metadata={"annotations":
         {"team": "air"}}), PASSES),
    Case("roll back by the engineer's role", "RBAC comes first", ENGINEER, annotate("rmodel/flights", "rollback=1"),
         ROLE),
    Case("empty gates by the engineer's role", "RBAC comes first", ENGINEER,
         patch("rmodel/flights", spec={"validation": {"gates": []}}), ROLE),
    Case("delete what serves", "a mistake", ENGINEER, delete("mv/flights-v1"), KEPT_VERSION),
    Case("delete what serves with the verb", "a mistake all the same", PROMOTER, delete("mv/flights-v1"), KEPT_VERSION),
    Case("delete what serves with every right", "a mistake all the same", ADMIN, delete("mv/flights-v1"), KEPT_VERSION),
    Case("delete a model that serves", "its pods go with it", PROMOTER, delete("rmodel/flights"), KEPT_MODEL),
    Case("delete all versions at once", "one of them is serving", ADMIN, COLLECTION, "has the traffic of"),
    Case("delete what serves, allowed", "somebody with the verb said so", ENGINEER, delete("mv/ships-v1"), PASSES),
    Case("delete in Production, allowed", "somebody with the verb said so", ENGINEER, delete("mv/ships-v2"), PASSES),
    Case("delete a model that serves, allowed", "somebody with the verb said so", WRITER, delete("rmodel/ships"),
         PASSES),
    Case("the end of a namespace", "it must not hang", NAMESPACES, COLLECTION, PASSES),
    Case("the end of a namespace, one by one", "it must not hang", NAMESPACES, delete("rmodel/flights"), PASSES),
    Case("the end of an owner", "it must not hang", GARBAGE, delete("mv/flights-v1"), PASSES),
    Case("the operator makes an implicit model", "it has no verb, and needs none", OPERATOR, APPLY, PASSES,
         model("planes", {"slipway.dev/implicit": "true"})),
    Case("the operator marks a model that was declared meanwhile", "it changes no field", OPERATOR,
         (*APPLY, "--field-manager=slipway", "--force-conflicts"), PASSES,
         model("flights", {"slipway.dev/implicit": "true"})),
    Case("the operator declares a model", "it answers for nothing", OPERATOR, APPLY,
         deed(OPERATOR, "declare the RegisteredModel planes"), model("planes")),
    Case("the operator empties gates", "a stolen token does not, either", OPERATOR,
         patch("rmodel/flights", spec={"validation": {"gates": []}}),
         deed(OPERATOR, "change the spec of the RegisteredModel flights")),
    Case("the operator writes a status", "the policies are about what people ask for", OPERATOR,
         (*APPLY, "--field-manager=slipway", "--subresource=status", "--force-conflicts"), PASSES,
         {**version("flights", 1, "Production"), "status": {"serving": False}}),
    Case("an administrator rolls back", "every right is this one, too", ADMIN, annotate("rmodel/flights", "rollback=1"),
         PASSES),
]  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    found = ControlPlane(programs(), tmp_path_factory.mktemp("plane"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


def binding(role: str, who: str, kind: str = "ClusterRole") -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{who}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": who, "apiGroup": "rbac.authorization.k8s.io"}],
    }


WRITES_MODELS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "writes-models"},
    "rules": [
        {
            "apiGroups": ["slipway.dev"],
            "resources": ["registeredmodels"],
            "verbs": ["create", "update", "patch", "delete"],
        }
    ],
}


def installed(plane: ControlPlane, *values: str) -> Kubectl:
    """kubectl in the namespace ml of a control plane where the chart is installed; nothing waits for its pods."""
    chart: list[str | Path] = [plane.programs / "helm", "install", "slipway", ROOT / "charts" / "slipway"]
    place = ["--kubeconfig", plane.kubeconfig, "--namespace", "slipway-system", "--create-namespace"]
    subprocess.run(
        [*chart, *place, "--set=clusterName=test", *values], check=True, capture_output=True, text=True, timeout=60
    )
    kubectl = Kubectl(str(plane.programs / "kubectl"), str(plane.kubeconfig), "c")
    kubectl.must("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    return kubectl


@pytest.fixture(scope="module")
def ml(plane: ControlPlane) -> Kubectl:
    """The namespace with people, models and versions, once the policies are in force."""
    system = installed(plane)
    system.must("create", "namespace", "ml")
    kubectl = system.within("ml")
    people = [binding("slipway-ml-engineer", who) for who in (ENGINEER, WRITER, PROMOTER)]
    rights = [WRITES_MODELS, binding("writes-models", WRITER, "Role"), binding("slipway-promoter", PROMOTER)]
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[*people, *rights, *THERE])
    for name in SERVING:
        kubectl.must("patch", "mv", name, "--subresource=status", "--type=merge", '--patch={"status":{"serving":true}}')
    champion = '--patch={"status":{"champion":{"version":1}}}'
    for name in CHAMPIONS:
        kubectl.must("patch", "rmodel", name, "--subresource=status", "--type=merge", champion)
    for who, action in (
        (ENGINEER, stage("flights-v2", "Production")),
        (WRITER, annotate("rmodel/flights", "refresh=1")),
    ):
        until("the policies are in force", lambda who=who, action=action: tried(kubectl, who, action).code, 30)
    return kubectl


def tried(kubectl: Kubectl, who: str, action: Words, stdin: Manifest | None = None) -> Answer:
    return kubectl.ask(*action, *([f"--as={who}"] if who else []), stdin=stdin)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_who_may(ml: Kubectl, case: Case) -> None:
    answer = tried(ml, case.who, case.action, case.stdin)
    if case.want == PASSES:
        assert answer.code == 0, f"{case.because}, yet: {answer.err}"
    else:
        assert answer.code != 0, f"it passed, although: {case.because}"
        assert case.want in answer.err
        assert FORBIDDEN in answer.err


def test_what_somebody_with_the_verb_has_allowed_others_can_delete(ml: Kubectl) -> None:
    ml.must("apply", "--server-side", "--filename=-", stdin=version("boats", 1, "Production"))
    ml.must("patch", "mv", "boats-v1", "--subresource=status", "--type=merge", '--patch={"status":{"serving":true}}')
    removal = ("delete", "mv", "boats-v1", f"--as={ENGINEER}")
    assert "boats-v1 has the traffic of boats" in ml.ask(*removal).err
    ml.must("annotate", "mv", "boats-v1", "slipway.dev/allow-deletion=true", f"--as={PROMOTER}")
    ml.must(*removal)
    assert "NotFound" in ml.ask("get", "mv", "boats-v1").err


def test_every_deed_that_needs_the_verb_has_a_case() -> None:
    told = (ROOT / "charts" / "slipway" / "templates" / "admission.yaml").read_text()
    deeds = re.findall(r"'([a-zA-Z ]+ )' \+ (?:o|oldO)bject\.metadata", told)
    assert len(deeds) > 10
    assert not [deed for deed in deeds if not any(words.startswith(deed) for _, _, _, _, words, _ in GUARDED)]
