"""What the operator's own account may not do, on a real API server, whatever RBAC says: a stolen token is worth less."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .asking import (
    APPLY,
    DRY,
    OPERATOR,
    PASSES,
    Case,
    Manifest,
    Words,
    ask,
    delete,
    in_force,
    model,
    patch,
    served,
    version,
)
from .conftest import QUEUE, ROOT, Kubectl

ANYTHING = "--as-group=system:masters"  # RBAC lets it pass: the policy alone decides
CREATE = ("create", DRY, "--filename=-", ANYTHING)
OURS = {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/model": "flights"}
GOLDEN = ROOT / "tests" / "resources" / "golden"
JOB: Manifest = yaml.safe_load((GOLDEN / "validation_on_a_gpu.yaml").read_text())
DEPLOYMENT: Manifest = yaml.safe_load((GOLDEN / "deployment.yaml").read_text())
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def placed(manifest: Manifest, namespace: str) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def pods(manifest: Manifest, **spec: Any) -> Manifest:
    """The same, with more in the spec of its pods."""
    found: Manifest = json.loads(json.dumps(placed(manifest, "confined")))
    found["spec"]["template"]["spec"] |= spec
    return found


def joined(**container: Any) -> Manifest:
    """A validation with a container of somebody else's."""
    (judge,) = JOB["spec"]["template"]["spec"]["containers"]
    return pods(JOB, containers=[judge, {"name": "mine", "image": "i", "securityContext": RESTRICTED, **container}])


SECRET = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]


def with_env(step: str, manifest: Manifest, **other: Any) -> Manifest:
    """The same, where one of its own containers has a Secret."""
    spec = manifest["spec"]["template"]["spec"]
    return pods(manifest, **{
        kind: [one | (other or {"env": SECRET}) if one["name"] == step else one for one in spec[kind]]
        for kind in ("initContainers", "containers")
    })  # fmt: skip


def thing(api: str, kind: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **rest}


def service(name: str, labels: dict[str, str], **spec: Any) -> Manifest:
    return thing("v1", "Service", name, labels, spec={"ports": [{"port": 80}], "selector": {"app": "web"}, **spec})


def volume(**source: Any) -> list[Manifest]:
    return [*JOB["spec"]["template"]["spec"]["volumes"], {"name": "mine", **source}]


def status(what: str, **found: Any) -> Words:
    return (*patch(what, status=found), "--subresource=status", ANYTHING)


def within(namespace: str, words: Words) -> Words:
    return (*words, "--namespace", namespace)


TOKEN = f"the operator may not give the pods of the Job {JOB['metadata']['name']} a ServiceAccount or its token"
PRIVILEGES = f"the operator may not give the pods of the Job {JOB['metadata']['name']} privileges"
OUTSIDE = "the operator may not write in elsewhere, which lacks the label slipway.dev/models=true"
KUBE = "the operator may not write in kube-system: it stays out of kube-*"
FOREIGN = "which is not its own: it lacks the label app.kubernetes.io/managed-by=slipway"
LEDGER = thing("slipway.dev/v1alpha1", "ModelLedger", "flights", spec={})
TOKEN_VOLUME = {"sources": [{"serviceAccountToken": {"path": "token"}}]}

CASES = [
    Case("a Service in kube-system", "nobody asks for a model there", OPERATOR, within("kube-system", CREATE), KUBE,
         service("flights", OURS)),
    Case("a Service where nobody opted in", "nobody asks for a model there", OPERATOR, within("elsewhere", CREATE),
         OUTSIDE, service("flights", OURS)),
    Case("a Deployment where nobody opted in", "nobody asks for a model there", OPERATOR, within("elsewhere", CREATE),
         OUTSIDE, placed(DEPLOYMENT, "elsewhere")),
    Case("a Job where nobody opted in", "nobody asks for a model there", OPERATOR, within("elsewhere", CREATE), OUTSIDE,
         placed(JOB, "elsewhere")),
    Case("a ledger where nobody opted in", "nobody asks for a model there", OPERATOR, within("elsewhere", CREATE),
         OUTSIDE, LEDGER),
    Case("a status where nobody opted in", "nobody asks for a model there", OPERATOR,
         within("elsewhere", status("mv/flights-v1", serving=True)), OUTSIDE),
    Case("an implicit model where nobody opted in", "nobody asks for a model there", OPERATOR,
         within("elsewhere", CREATE), OUTSIDE, model("flights", {"slipway.dev/implicit": "true"})),
    Case("the end of a Service where nobody opted in", "it may be anybody's", OPERATOR,
         within("elsewhere", (*delete("svc/web"), ANYTHING)), OUTSIDE),
    Case("a registry's status where nobody opted in", "registries lie anywhere", OPERATOR,
         within("elsewhere", status("mreg/mlflow", version="3")), PASSES),
    Case("somebody's Service", "its traffic would be taken", OPERATOR,
         (*patch("svc/web", spec={"selector": {"app": "mine"}}), ANYTHING),
         f"the operator may not write the Service web, {FOREIGN}"),
    Case("make somebody's Service its own", "its traffic would be taken", OPERATOR,
         (*patch("svc/web", metadata={"labels": OURS}), ANYTHING),
         f"the operator may not write the Service web, {FOREIGN}"),
    Case("the end of somebody's Service", "it is not the operator's", OPERATOR, (*delete("svc/web"), ANYTHING),
         f"the operator may not write the Service web, {FOREIGN}"),
    Case("scale somebody's Deployment", "it is not the operator's", OPERATOR,
         ("scale", "deploy/web", "--replicas=0", DRY, ANYTHING), FOREIGN),
    Case("scale its own", "that is how many pods serve", OPERATOR,
         ("scale", f"deploy/{DEPLOYMENT['metadata']['name']}", "--replicas=2", DRY, ANYTHING), PASSES),
    Case("a Service without its label", "nobody would see whose it is", OPERATOR, CREATE, FOREIGN, service("tried", {})),
    Case("a Service on a node's port", "the model would be outside", OPERATOR, CREATE,
         "the operator may not give the Service tried an address outside the cluster",
         service("tried", OURS, type="NodePort")),
    Case("a Service with an outer address", "it takes the traffic of others", OPERATOR, CREATE,
         "the operator may not give the Service tried an address outside the cluster",
         service("tried", OURS, externalIPs=["203.0.113.1"])),
    Case("pods with a ServiceAccount", "they would have its rights", OPERATOR, CREATE, TOKEN,
         pods(JOB, serviceAccountName="admin")),
    Case("pods with a token", "they would have its rights", OPERATOR, CREATE, TOKEN,
         pods(JOB, automountServiceAccountToken=True)),
    Case("a token as a volume", "they would have its rights", OPERATOR, CREATE, "a volume that no pod of Slipway has",
         pods(JOB, volumes=volume(projected=TOKEN_VOLUME))),
    Case("the node's files", "the node's kubelet can be impersonated", OPERATOR, CREATE,
         "a volume that no pod of Slipway has", pods(JOB, volumes=volume(hostPath={"path": "/"}))),
    Case("a Secret in serving pods", "none needs it", OPERATOR, CREATE, "a volume that no pod of Slipway has",
         pods(DEPLOYMENT, volumes=[*DEPLOYMENT["spec"]["template"]["spec"]["volumes"],
                                   {"name": "mine", "secret": {"secretName": "s"}}])),
    Case("the node's network", "the node's addresses are trusted", OPERATOR, CREATE, "a namespace of the host",
         pods(JOB, hostNetwork=True, hostUsers=True)),
    Case("root", "a hole in the kernel is enough", OPERATOR, CREATE, "as root",
         pods(JOB, securityContext={"runAsNonRoot": False, "runAsUser": 0})),
    Case("a privileged container", "it is the node", OPERATOR, CREATE, PRIVILEGES,
         joined(securityContext={"privileged": True})),
    Case("a container that may escalate", "it may become root", OPERATOR, CREATE, PRIVILEGES,
         joined(securityContext={})),
    Case("a container with capabilities", "it may do what root may", OPERATOR, CREATE, PRIVILEGES,
         joined(securityContext={**RESTRICTED, "capabilities": {"add": ["NET_ADMIN"]}})),
    Case("a root container", "a hole in the kernel is enough", OPERATOR, CREATE, PRIVILEGES,
         joined(securityContext={**RESTRICTED, "runAsUser": 0})),
    Case("a Secret as a variable", "only the model's code has one", OPERATOR, CREATE, "a Secret as a variable",
         joined(env=SECRET)),
    *(Case(f"a Secret as a variable of {step}", "it runs no code of the model", OPERATOR, CREATE, "a Secret as a variable",
           with_env(step, *manifest)) for step, *manifest in (("fetch", JOB), ("judge", JOB), ("fetch", DEPLOYMENT))),
    *(Case(f"all of a Secret as variables of {step}", "nobody named them", OPERATOR, CREATE, "a Secret as a variable",
           with_env(step, manifest, envFrom=[{"secretRef": {"name": "s"}}]))
      for step, manifest in (("score-candidate", JOB), ("serve", DEPLOYMENT))),
    Case("all of a Secret as variables", "no pod of Slipway has one", OPERATOR, CREATE, "a Secret as a variable",
         joined(envFrom=[{"secretRef": {"name": "s"}}])),
    Case("a version without a stage", "a label in the registry asks for it, or discovery found it", OPERATOR, CREATE,
         PASSES, version("flights", 7, "None")),
    Case("a version with a stage", "no label becomes a stage", OPERATOR, CREATE,
         "the operator may not say in which stage the ModelVersion flights-v7 should be",
         version("flights", 7, "Staging")),
    Case("another stage for a version", "no label becomes a stage", OPERATOR,
         (*patch("mv/flights-v6", spec={"stage": "Staging"}), ANYTHING),
         "the operator may not say in which stage the ModelVersion flights-v6 should be"),
    Case("somebody else's pods", "the policy is the operator's", QUEUE, CREATE, PASSES,
         pods(JOB, serviceAccountName="admin")),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(guarded: Kubectl) -> Kubectl:
    """A namespace that opted in, with something of the operator's and something of others, and one that did not."""
    kubectl = served(guarded, "confined")
    guarded.must("create", "namespace", "elsewhere")
    by = ("apply", "--server-side", "--filename=-", "--field-manager=slipway", f"--as={QUEUE}", ANYTHING)
    web = {**DEPLOYMENT["spec"], "selector": {"matchLabels": {"app": "web"}}}
    web["template"] = {**web["template"], "metadata": {"labels": {"app": "web"}}}
    others = [service("web", {}), thing("apps/v1", "Deployment", "web", {}, spec=web)]
    kubectl.must(*by, stdin=[*others, placed(DEPLOYMENT, "confined"), version("flights", 6, "None")])
    registry = {"backend": {"mlflow": {"uri": "https://mlflow.example.com"}}}
    secret = thing("v1", "Secret", "others", {}, stringData={"password": "hush-hush"})
    mlflow = thing("slipway.dev/v1alpha1", "ModelRegistry", "mlflow", spec=registry)
    guarded.within("elsewhere").must(*by, stdin=[service("web", {}), version("flights", 1, "None"), mlflow])
    guarded.within("slipway-system").must(*by, stdin=secret)
    forged = service("tried", {})
    in_force(kubectl, OPERATOR, CREATE, forged)
    return kubectl


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_what_the_operator_may(place: Kubectl, case: Case) -> None:
    ask(place, case)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_everything_that_slipway_makes_passes(place: Kubectl, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if not isinstance(manifest, dict):
            continue  # a part of a pod, which its Deployment has
        namespace = manifest["metadata"]["namespace"]
        here = placed(manifest, namespace if namespace == "slipway-system" else "confined")
        words = (*APPLY, "--field-manager=slipway", "--force-conflicts", f"--as={OPERATOR}", ANYTHING)
        place.within(here["metadata"]["namespace"]).must(*words, stdin=here)


def test_a_secret_that_is_not_its_own_is_not_shown_by_a_patch_that_changes_nothing(place: Kubectl) -> None:
    path = "/api/v1/namespaces/slipway-system/secrets/others"
    beside = place.within("slipway-system")
    words = ("patch", "secret", "others", "--type=merge", "--patch={}", "--output=json", f"--as={OPERATOR}", ANYTHING)
    for answer in (beside.ask(*words), beside.ask("delete", "--raw", path, f"--as={OPERATOR}", ANYTHING)):
        assert "which is not its own" in answer.err
        assert "password" not in answer.out
    assert beside.object("secret", "others")


def test_a_model_where_nobody_looks_gets_a_warning(place: Kubectl) -> None:
    beside = place.within("elsewhere")
    answer = beside.ask(*APPLY, stdin=version("trains", 1, "None"))
    assert answer.code == 0
    assert "Slipway does nothing in the namespace elsewhere: it lacks the label slipway.dev/models=true" in answer.err
    assert "Slipway does nothing" not in place.ask(*APPLY, stdin=version("trains", 1, "None")).err
