"""Asking the API server as somebody: what is tried, by whom, and the answer that is expected."""

import json
from dataclasses import dataclass
from typing import Any

from .conftest import Answer, Kubectl
from .control_plane import until

Manifest = dict[str, Any]
Words = tuple[str, ...]
PASSES = ""
DRY = "--dry-run=server"  # every policy judges it as it would the real thing

OPERATOR = "system:serviceaccount:slipway-system:slipway"
NAMESPACES = "system:serviceaccount:kube-system:namespace-controller"
GARBAGE = "system:serviceaccount:kube-system:generic-garbage-collector"


FORBIDDEN = "Error from server (Forbidden)"

APPLY = ("apply", "--server-side", DRY, "--filename=-")


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


def patch(what: str, **change: Any) -> Words:
    return ("patch", *what.split("/"), DRY, "--type=merge", f"--patch={json.dumps(change)}")


def annotate(what: str, word: str) -> Words:
    return ("annotate", *what.split("/"), DRY, "--overwrite", f"slipway.dev/{word}")


def delete(what: str) -> Words:
    return ("delete", *what.split("/"), DRY)


def binding(role: str, who: str, kind: str = "ClusterRole") -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{who}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": who, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def tried(kubectl: Kubectl, who: str, action: Words, stdin: Manifest | None = None) -> Answer:
    return kubectl.ask(*action, *([f"--as={who}"] if who else []), stdin=stdin)


def in_force(kubectl: Kubectl, who: str, action: Words, stdin: Manifest | None = None) -> None:
    """A policy refuses this by now: a right that has not arrived yet refuses it, too, and says nothing of policies."""
    until("a policy refuses", lambda: "ValidatingAdmissionPolicy" in tried(kubectl, who, action, stdin).err, 30)


def served(system: Kubectl, name: str) -> Kubectl:
    """kubectl in a new namespace that opted in."""
    labels = {"slipway.dev/models": "true"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    system.must("create", "--filename=-", stdin=made)
    return system.within(name)


def ask(kubectl: Kubectl, case: Case) -> None:
    """It is tried, and answered as the case wants."""
    answer = tried(kubectl, case.who, case.action, case.stdin)
    if case.want == PASSES:
        assert answer.code == 0, f"{case.because}, yet: {answer.err}"
    else:
        assert answer.code != 0, f"it passed, although: {case.because}"
        assert case.want in answer.err
        assert FORBIDDEN in answer.err
