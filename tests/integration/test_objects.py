"""What Slipway makes and believes, on a real API server: nobody but the operator and the control plane writes it."""

import subprocess
from typing import Any

import pytest
import yaml

from .asking import (
    APPLY,
    DRY,
    GARBAGE,
    NAMESPACES,
    OPERATOR,
    PASSES,
    Case,
    Manifest,
    Words,
    annotate,
    ask,
    binding,
    delete,
    in_force,
    model,
    patch,
    served,
    version,
)
from .conftest import BACKUP, QUEUE, ROOT, Kubectl, programs

# Edith has the built-in role `edit` and makes versions. Olga may do everything in the namespace but by the verbs of
# Slipway. Brian has, beside that, the role slipway-break-glass.
EDITH, OLGA, BRIAN = "edith", "olga", "brian"
SYSTEM = "system:serviceaccount:kube-system"
ANYTHING = "--as-group=system:masters"  # RBAC lets it pass: the policies alone decide
CREATE = ("create", DRY, "--filename=-")

OURS = {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/model": "flights", "slipway.dev/version": "1"}
TRACK = {"slipway.dev/model": "flights", "slipway.dev/version": "1", "slipway.dev/track": "production"}
THEIRS = {"app": "web"}
POD = {"containers": [{"name": "c", "image": "example.com/image", "resources": {"requests": {"cpu": "1"}}}]}
JOB = "flights-v1-validate-0123456789-1"


def thing(api: str, kind: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **rest}


def owned(manifest: Manifest, *owner: str) -> Manifest:
    api, kind, name = owner
    reference = {"apiVersion": api, "kind": kind, "name": name, "uid": "4fe5bb0e-0000-4000-8000-000000000000"}
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def annotated(manifest: Manifest, **annotations: str) -> Manifest:
    found = {f"slipway.dev/{word.replace('_', '-')}": value for word, value in annotations.items()}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": found}}


def template(labels: dict[str, str], **spec: Any) -> Manifest:
    return {"metadata": {"labels": labels}, "spec": {**POD, **spec}}


def workload(kind: str, name: str, labels: dict[str, str], pods: dict[str, str], **spec: Any) -> Manifest:
    chosen = {"selector": {"matchLabels": pods}, "template": template(pods), **spec}
    return thing("apps/v1", kind, name, labels, spec=chosen)


def service(name: str, labels: dict[str, str] | None = None, selector: dict[str, str] | None = None) -> Manifest:
    return thing("v1", "Service", name, labels, spec={"ports": [{"port": 80}], "selector": selector or THEIRS})


def job(name: str, labels: dict[str, str], pods: dict[str, str]) -> Manifest:
    return thing("batch/v1", "Job", name, labels, spec={"template": template(pods, restartPolicy="Never")})


def cron_job(labels: dict[str, str], pods: dict[str, str]) -> Manifest:
    work = {"spec": {"template": template(pods, restartPolicy="Never")}}
    return thing("batch/v1", "CronJob", "tried", labels, spec={"schedule": "0 0 1 1 *", "jobTemplate": work})


def endpoint_slice(labels: dict[str, str]) -> Manifest:
    return thing("discovery.k8s.io/v1", "EndpointSlice", "tried", labels, addressType="IPv4", endpoints=[])


def autoscaler(target: str, labels: dict[str, str] | None = None) -> Manifest:
    chosen = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec = {"scaleTargetRef": chosen, "minReplicas": 1, "maxReplicas": 9}
    return thing("autoscaling/v2", "HorizontalPodAutoscaler", "tried", labels, spec=spec)


def budget(labels: dict[str, str], selector: dict[str, str]) -> Manifest:
    spec = {"minAvailable": 1, "selector": {"matchLabels": selector}}
    return thing("policy/v1", "PodDisruptionBudget", "tried", labels, spec=spec)


def ledger(name: str) -> Manifest:
    return thing("slipway.dev/v1alpha1", "ModelLedger", name, spec={})


def anything(resource: str, labels: dict[str, str]) -> Manifest:
    """An ordinary object of that resource, with these labels."""
    pods = THEIRS
    made = {
        "services": lambda: service("tried", labels),
        "endpoints": lambda: thing("v1", "Endpoints", "tried", labels),
        "pods": lambda: thing("v1", "Pod", "tried", labels, spec=POD),
        "replicationcontrollers": lambda: thing(
            "v1", "ReplicationController", "tried", labels, spec={"selector": pods, "template": template(pods)}
        ),
        "deployments": lambda: workload("Deployment", "tried", labels, pods),
        "replicasets": lambda: workload("ReplicaSet", "tried", labels, pods),
        "statefulsets": lambda: workload("StatefulSet", "tried", labels, pods, serviceName="web"),
        "daemonsets": lambda: workload("DaemonSet", "tried", labels, pods),
        "controllerrevisions": lambda: thing("apps/v1", "ControllerRevision", "tried", labels, revision=1, data={}),
        "jobs": lambda: job("tried", labels, {}),
        "cronjobs": lambda: cron_job(labels, {}),
        "endpointslices": lambda: endpoint_slice(labels),
        "poddisruptionbudgets": lambda: budget(labels, pods),
        "horizontalpodautoscalers": lambda: autoscaler("web", labels),
    }
    return made[resource]()


GUARDED = (
    "services", "endpoints", "pods", "replicationcontrollers", "deployments", "replicasets", "statefulsets",
    "daemonsets", "controllerrevisions", "jobs", "cronjobs", "endpointslices", "poddisruptionbudgets",
    "horizontalpodautoscalers",
)  # fmt: skip
# What makes pods: the labels of its pods count.
MAKERS = (
    workload("Deployment", "tried", {}, TRACK),
    workload("ReplicaSet", "tried", {}, TRACK),
    workload("StatefulSet", "tried", {}, TRACK, serviceName="web"),
    workload("DaemonSet", "tried", {}, TRACK),
    job("tried", {}, TRACK),
    cron_job({}, TRACK),
    thing("v1", "ReplicationController", "tried", spec={"selector": TRACK, "template": template(TRACK)}),
)
OTHERS = {  # guarded, with cases of their own below
    "pods/ephemeralcontainers", "pods/resize", "deployments/scale", "replicasets/scale", "modelversions/status",
    "registeredmodels/status", "modelregistries/status", "modelledgers",
}  # fmt: skip
ELSEWHERE = {"verticalpodautoscalers"}  # not in this API server: it is a third party's kind

THERE = [
    service("flights", OURS, TRACK),
    workload("Deployment", "flights-v1", OURS, TRACK),
    workload("ReplicaSet", "flights-v1-6c8f", TRACK, TRACK),
    thing("apps/v1", "ControllerRevision", "flights-v1-0123456789", OURS, revision=1, data={}),
    job(JOB, OURS, OURS),
    thing("v1", "Pod", f"{JOB}-abcde", OURS, spec=POD),
    thing("v1", "Pod", "flights-v1-6c8f-abcde", TRACK, spec=POD),
    ledger("flights"),
]
ORDINARY = [service("web"), workload("Deployment", "web", THEIRS, THEIRS), thing("v1", "Pod", "web", THEIRS, spec=POD)]
MODELS = [model("flights"), version("flights", 1, "Production"), version("flights", 2, "None")]

BREAK = (
    "To break the glass, annotate it slipway.dev/break-glass=<reason>, with the verb break-glass on "
    "modelledgers.slipway.dev in the namespace guarded"
)
LABEL, OWNER, BELIEVED = "it has a label of Slipway", "it has an owner of Slipway", "it is what the operator believes"


def refused(who: str, deed: str, because: str) -> str:
    """The beginning of the sentence that refuses it."""
    return f"{who} may not {deed}, since {because}: only the operator writes what Slipway makes"


def status(what: str, **found: Any) -> Words:
    return (*patch(what, status=found), "--subresource=status")


def scale(what: str) -> Words:
    return ("scale", what, "--replicas=0", DRY)


CASES = [
    # A user with the built-in role `edit`.
    Case("a Service with labels and history", "what it says would serve", EDITH, CREATE,
         refused(EDITH, "create the Service trains", LABEL) + f". {BREAK}",
         annotated(service("trains", OURS, TRACK), released='{"5": "sha256:eeee"}')),
    Case("a Job of a version", "its log would be the judge's", EDITH, CREATE,
         refused(EDITH, f"create the Job {JOB[:-1]}2", OWNER),
         owned(job(f"{JOB[:-1]}2", {}, {}), "slipway.dev/v1alpha1", "ModelVersion", "flights-v2")),
    Case("a pod of a Job", "its log would be the judge's", EDITH, CREATE,
         refused(EDITH, "create the Pod tried", OWNER), owned(anything("pods", {}), "batch/v1", "Job", JOB)),
    Case("a pod with Slipway's labels", "it would have traffic", EDITH, CREATE,
         refused(EDITH, "create the Pod tried", LABEL), anything("pods", TRACK)),
    Case("a record", "RBAC comes first", EDITH, CREATE,
         'User "edith" cannot create resource "controllerrevisions"', anything("controllerrevisions", OURS)),
    Case("a ledger by the engineer's role", "RBAC comes first", EDITH, CREATE,
         'User "edith" cannot create resource "modelledgers"', ledger("trains")),
    Case("move the traffic", "the Service is the route", EDITH, patch("svc/flights", spec={"selector": THEIRS}),
         refused(EDITH, "change the Service flights", LABEL)),
    Case("hide a Service", "a label that is taken away was there", EDITH,
         patch("svc/flights", metadata={"labels": dict.fromkeys(OURS)}),
         refused(EDITH, "change the Service flights", LABEL)),
    Case("make a pod serve", "it would have traffic", EDITH, patch("pod/web", metadata={"labels": TRACK}),
         refused(EDITH, "change the Pod web", LABEL)),
    Case("another pod template", "the operator chooses it", EDITH,
         patch("deploy/flights-v1", spec={"template": {"spec": {"priorityClassName": "mine"}}}),
         refused(EDITH, "change the Deployment flights-v1", LABEL)),
    Case("scale what serves", "spec.serving says how many", EDITH, scale("deploy/flights-v1"),
         refused(EDITH, "change the scale of the Deployment flights-v1", "its pods serve a model")
         + "; set spec.serving.scaling of the RegisteredModel"),
    Case("scale a ReplicaSet that serves", "it ends serving", EDITH, scale("rs/flights-v1-6c8f"),
         refused(EDITH, "change the scale of the ReplicaSet flights-v1-6c8f", "its pods serve a model")),
    Case("let an autoscaler scale what serves", "the control plane would do it", EDITH, CREATE,
         refused(EDITH, "create the HorizontalPodAutoscaler tried", "it scales a Deployment with the name of a version"),
         autoscaler("flights-v1")),
    Case("keep what serves from being evicted", "a node could not be drained", EDITH, CREATE,
         refused(EDITH, "create the PodDisruptionBudget tried", LABEL), budget({}, TRACK)),
    Case("a Service with a model's name", "without Slipway's labels it is its maker's", EDITH, CREATE, PASSES,
         service("boats")),
    Case("point a Service at what serves", "it reads, and takes nothing away", EDITH, CREATE, PASSES,
         service("mirror", THEIRS, TRACK)),
    Case("delete a pod", "another one comes", EDITH, delete("pod/flights-v1-6c8f-abcde"), PASSES),
    Case("delete a Deployment", "the operator makes it anew", EDITH, delete("deploy/flights-v1"), PASSES),
    Case("delete a Service", "the operator makes it anew", EDITH, delete("svc/flights"), PASSES),
    Case("scale one's own", "it is no model", EDITH, scale("deploy/web"), PASSES),
    Case("change one's own", "it is no model", EDITH, patch("deploy/web", metadata={"labels": {"team": "air"}}),
         PASSES),
    # A user with every right but the verbs.
    *(Case(f"one of {resource}", "Slipway's label is Slipway's", OLGA, CREATE, LABEL, anything(resource, OURS))
      for resource in GUARDED),
    *(Case(f"an ordinary one of {resource}", "it is no model", OLGA, CREATE, PASSES, anything(resource, {}))
      for resource in GUARDED),
    *(Case(f"pods of a {maker['kind']}", "the control plane would make them", OLGA, CREATE, LABEL, maker)
      for maker in MAKERS),
    Case("a ledger", "it says what serves", OLGA, CREATE, refused(OLGA, "create the ModelLedger trains", BELIEVED),
         ledger("trains")),
    Case("another champion", "it says what serves", OLGA, patch("ledger/flights", spec={"since": "2026-01-01"}),
         refused(OLGA, "change the ModelLedger flights", BELIEVED)),
    Case("the end of a ledger", "it says what serves", OLGA, delete("ledger/flights"),
         refused(OLGA, "delete the ModelLedger flights", BELIEVED)),
    Case("evidence by hand", "a status is proof", OLGA, status("mv/flights-v2", serving=True),
         refused(OLGA, "change the status of the ModelVersion flights-v2", BELIEVED)),
    Case("a model's status by hand", "a status is what people read", OLGA, status("rmodel/flights", url="http://x"),
         refused(OLGA, "change the status of the RegisteredModel flights", BELIEVED)),
    Case("a registry's status by hand", "a status is what people read", OLGA, status("mreg/mlflow", version="9"),
         refused(OLGA, "change the status of the ModelRegistry mlflow", BELIEVED)),
    Case("endpoints of a Service", "they would have its traffic", OLGA, CREATE,
         "it would have the traffic of a Service in a namespace of models",
         endpoint_slice({"kubernetes.io/service-name": "flights"})),
    Case("more CPU for a pod", "spec.serving says how much", OLGA,
         ("patch", "pod/flights-v1-6c8f-abcde", DRY, "--subresource=resize",
          '--patch={"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}'),
         refused(OLGA, "change the resize of the Pod flights-v1-6c8f-abcde", LABEL)),
    Case("a reason without the verb", "anybody can write a reason", OLGA, CREATE, LABEL,
         annotated(anything("services", OURS), break_glass="the operator is down")),
    # Break-glass: the reason on the object, and the verb.
    Case("the verb without a reason", "nobody would know why", BRIAN, CREATE, LABEL, anything("services", OURS)),
    Case("the verb and a blank reason", "nobody would know why", BRIAN, CREATE, LABEL,
         annotated(anything("services", OURS), break_glass=" ")),
    Case("the verb and a reason", "that is what the verb is for", BRIAN, CREATE, PASSES,
         annotated(anything("services", OURS), break_glass="the operator is down")),
    Case("give the reason", "it is how it begins", BRIAN, annotate("svc/flights", "break-glass=the operator is down"),
         PASSES),
    Case("every right without a reason", "a mistake all the same", "", patch("svc/flights", spec={"selector": THEIRS}),
         "only the operator writes what Slipway makes"),
    # Those who may.
    Case("the operator", "they are its own", OPERATOR, (*APPLY, ANYTHING), PASSES, service("trains", OURS, TRACK)),
    Case("the operator's ledger", "it is its own", OPERATOR, CREATE, PASSES, ledger("trains")),
    Case("the Deployment controller", "it makes what the Deployment says", f"{SYSTEM}:deployment-controller",
         (*CREATE, ANYTHING), PASSES, anything("replicasets", OURS)),
    Case("the ReplicaSet controller", "it makes what the ReplicaSet says", f"{SYSTEM}:replicaset-controller",
         (*CREATE, ANYTHING), PASSES, anything("pods", TRACK)),
    Case("the Job controller", "it makes what the Job says", f"{SYSTEM}:job-controller", (*CREATE, ANYTHING), PASSES,
         owned(anything("pods", OURS), "batch/v1", "Job", JOB)),
    Case("the EndpointSlice controller", "it copies the Service's labels", f"{SYSTEM}:endpointslice-controller",
         (*CREATE, ANYTHING), PASSES, endpoint_slice({**OURS, "kubernetes.io/service-name": "flights"})),
    Case("the autoscaler's controller", "it scales what the operator's autoscaler names",
         f"{SYSTEM}:horizontal-pod-autoscaler", (*scale("deploy/flights-v1"), ANYTHING), PASSES),
    Case("controllers without accounts of their own", "they are all of them", "system:kube-controller-manager",
         (*CREATE, ANYTHING), PASSES, anything("pods", TRACK)),
    Case("a kubelet writes a status", "it is not the policy's", "system:node:n1",
         (*status("pod/flights-v1-6c8f-abcde", phase="Running"), ANYTHING), PASSES),
    Case("the end of a model", "its ledger must not hang", GARBAGE, delete("ledger/flights"), PASSES),
    Case("the end of a namespace", "it must not hang", NAMESPACES, delete("ledger/flights"), PASSES),
    Case("a queue that the chart names", "admission.writers has it", QUEUE,
         (*patch(f"job/{JOB}", spec={"suspend": True}), ANYTHING), PASSES),
    Case("a tool of another name", "admission.writers lacks it", f"{QUEUE}-2",
         (*patch(f"job/{JOB}", spec={"suspend": True}), ANYTHING), LABEL),
    Case("a group that the chart names", "admission.writers has it", "velero",
         (*CREATE, ANYTHING, f"--as-group={BACKUP}"), PASSES, ledger("trains")),
]  # fmt: skip

EVERYTHING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "everything"},
    "rules": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create", "update", "patch", "delete"]},
    ],
}


@pytest.fixture(scope="module")
def place(guarded: Kubectl) -> Kubectl:
    """A namespace that opted in, with people, a model that serves, and what is nobody's business."""
    kubectl = served(guarded, "guarded")
    # `edit` is the sum of these; no controller adds them up here.
    edit = [binding(f"system:aggregate-to-{role}", EDITH) for role in ("edit", "view")]
    rights = [binding("everything", who, "Role") for who in (OLGA, BRIAN)]
    people = [EVERYTHING, *edit, *rights, binding("slipway-ml-engineer", EDITH), binding("slipway-break-glass", BRIAN)]
    registry = {"backend": {"mlflow": {"uri": "https://mlflow.example.com"}}}
    models = [*MODELS, thing("slipway.dev/v1alpha1", "ModelRegistry", "mlflow", spec=registry)]
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[*people, *models, *ORDINARY])
    kubectl.must("apply", "--server-side", "--filename=-", f"--as={QUEUE}", ANYTHING, stdin=THERE)
    forged = anything("services", OURS)
    in_force(kubectl, EDITH, CREATE, forged)
    return kubectl


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_who_writes(place: Kubectl, case: Case) -> None:
    ask(place, case)


def test_every_guarded_resource_is_tried() -> None:
    chart = [
        str(programs() / "helm"),
        "template",
        "slipway",
        str(ROOT / "charts" / "slipway"),
        "--set=clusterName=test",
    ]
    said = subprocess.run([*chart, "--kube-version", "1.31.0"], check=True, capture_output=True, text=True).stdout
    policies = {
        one["metadata"]["name"]: one
        for one in yaml.safe_load_all(said)
        if one and one["kind"] == "ValidatingAdmissionPolicy"
    }
    rules = policies["slipway-objects"]["spec"]["matchConstraints"]["resourceRules"]
    assert {name for rule in rules for name in rule["resources"]} == {*GUARDED, *OTHERS, *ELSEWHERE}


def test_a_container_that_joins_a_pod_is_refused(place: Kubectl) -> None:
    pod = place.object("pod", f"{JOB}-abcde")
    pod["spec"]["ephemeralContainers"] = [{"name": "mine", "image": "example.com/image"}]
    path = f"/api/v1/namespaces/guarded/pods/{JOB}-abcde/ephemeralcontainers?dryRun=All"
    answer = place.ask("replace", "--raw", path, "--filename=-", f"--as={OLGA}", stdin=pod)
    assert refused(OLGA, f"change the ephemeralcontainers of the Pod {JOB}-abcde", LABEL) in answer.err


@pytest.mark.parametrize("way", ["exec", "attach"])
def test_a_pod_that_proves_is_entered_by_those_with_the_verb_only(place: Kubectl, way: str) -> None:
    def entered(who: str, pod: str) -> str:
        return place.ask(way, pod, f"--as={who}", *(("--", "true") if way == "exec" else ())).err

    what = f"edith may not enter the pod {JOB}-abcde, which proves or imports a version"
    assert f"{what}: that needs the verb break-glass" in entered(EDITH, f"{JOB}-abcde")
    for who, pod in ((BRIAN, f"{JOB}-abcde"), (EDITH, "web"), (EDITH, "flights-v1-6c8f-abcde")):
        said = entered(who, pod)  # it fails later: there is no node
        assert said and "ValidatingAdmissionPolicy" not in said


def test_evicting_and_binding_stay_free(place: Kubectl) -> None:
    pod = "flights-v1-6c8f-abcde"
    root = f"/api/v1/namespaces/guarded/pods/{pod}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    place.must("create", "--raw", f"{root}/eviction?dryRun=All", "--filename=-", f"--as={EDITH}", stdin=eviction)
    node = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"kind": "Node", "name": "n1"}}
    path = f"{root}/binding?dryRun=All"
    place.must("create", "--raw", path, "--filename=-", "--as=system:kube-scheduler", stdin=node)


def test_the_route_is_set_by_hand_as_the_page_says(place: Kubectl) -> None:
    by = f"--as={BRIAN}"
    choose = ("set", "selector", "service", "flights", "slipway.dev/model=flights,slipway.dev/version=2", by)
    assert refused(BRIAN, "change the Service flights", LABEL) in place.ask(*choose).err
    place.must("annotate", "service", "flights", "slipway.dev/break-glass=the operator is down", by)
    place.must(*choose)
    assert place.object("service", "flights")["spec"]["selector"]["slipway.dev/version"] == "2"
    place.must("annotate", "service", "flights", "slipway.dev/break-glass-", by)
    assert place.ask(*choose).code != 0


def test_breaking_the_glass_takes_a_reason_that_stays_and_the_verb(place: Kubectl) -> None:
    place.must("apply", "--server-side", "--filename=-", f"--as={QUEUE}", ANYTHING, stdin=ledger("boats"))
    assert "delete the ModelLedger boats" in place.ask("delete", "ledger", "boats", f"--as={BRIAN}").err
    reason = "slipway.dev/break-glass=restored from the wrong backup"
    place.must("annotate", "ledger", "boats", reason, f"--as={BRIAN}")
    assert "delete the ModelLedger boats" in place.ask("delete", "ledger", "boats", f"--as={OLGA}").err
    place.must("delete", "ledger", "boats", f"--as={BRIAN}")
