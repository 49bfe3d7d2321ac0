"""One namespace of a test: apply, wait, look, and say everything there is to say when a wait was in vain."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dev.demo.console import Broken
from dev.demo.kube import Kube, Object
from dev.demo.manifests import SYSTEM
from dev.demo.progress import condition

POLL_SECONDS = 0.5
API = "slipway.dev/v1alpha1"
AS_OPERATOR = (f"--as=system:serviceaccount:{SYSTEM}:slipway", "--as-group=system:masters")  # who may write a status
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
SETTLED = ("Fine", "Stuck")


def poll(what: str, seconds: float, check: Callable[[], Any], otherwise: Callable[[], str] = str) -> Any:
    """The first true answer; AssertionError with what `otherwise` tells if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{otherwise()}"
        time.sleep(POLL_SECONDS)
    return answer


@dataclass(frozen=True)
class Place:
    """A namespace."""

    kube: Kube
    namespace: str

    def apply(self, *objects: Object) -> None:
        """Make them so, here unless they say where."""
        here = [one | {"metadata": {"namespace": self.namespace, **one["metadata"]}} for one in objects]
        self.kube.apply(*here)

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints."""
        return self.kube.run("kubectl", "-n", self.namespace, *arguments)

    def get(self, kind: str, name: str) -> Object:
        """One object; {} if there is none."""
        return self.kube.get(kind, self.namespace, name) or {}

    def every(self, kinds: str, **labels: str) -> list[Object]:
        """Objects, by labels such as `model="flights"`."""
        prefix = "slipway.dev/"
        return self.kube.list(
            kinds, self.namespace, ",".join(f"{prefix}{key}={value}" for key, value in labels.items())
        )

    def version(self, name: str) -> Object:
        """A ModelVersion."""
        return self.get("modelversion.slipway.dev", name)

    def model(self, name: str) -> Object:
        """A RegisteredModel."""
        return self.get("registeredmodel.slipway.dev", name)

    def ledger(self, name: str) -> Object:
        """What a model's ledger holds; {} if there is none."""
        return dict(self.get("modelledger.slipway.dev", name).get("spec", {}))

    def champion(self, model: str) -> int | None:
        """The version that has the traffic."""
        number = self.model(model).get("status", {}).get("champion", {}).get("version")
        return int(number) if number is not None else None

    def jobs(self, model: str, version: int, purpose: str = "validate") -> list[str]:
        """Names of the Jobs of a version; imports run beside the operator."""
        if purpose == "import":
            labels = (
                f"slipway.dev/model={model},slipway.dev/version={version},slipway.dev/owner-namespace={self.namespace}"
            )
            return [one["metadata"]["name"] for one in self.kube.list("jobs", SYSTEM, labels)]
        return [one["metadata"]["name"] for one in self.every("jobs", model=model, version=str(version))]

    def serving_pods(self, model: str, version: int | None = None) -> list[Object]:
        """Pods that serve a model and are not on their way out."""
        chosen = {"model": model, "track": "production"} | ({"version": str(version)} if version else {})
        return [one for one in self.every("pods", **chosen) if not one["metadata"].get("deletionTimestamp")]

    def until(self, name: str, kind: str, status: str, reason: str, seconds: float) -> Object:
        """The ModelVersion once a condition of it is so, for its present generation."""

        def so() -> Object | None:
            found = self.version(name)
            one = condition(found, kind) if found else {}
            return found if (one.get("status"), one.get("reason")) == (status, reason) and fresh(found) else None

        return dict(poll(f"{name} has {kind}={status} {reason}", seconds, so, self.told))

    def until_serving(self, name: str, seconds: float = 120) -> Object:
        """The ModelVersion once it has the traffic and everything about it is true."""
        return self.until(name, "Ready", "True", "Serving", seconds)

    def told(self) -> str:
        """All that helps to understand why something did not happen."""
        lines = [f"--- {self.namespace}"]
        for one in self.every("registeredmodels.slipway.dev,modelversions.slipway.dev"):
            lines += [f"{one['kind']} {one['metadata']['name']} {json.dumps(one['spec'])[:300]}"]
            for entry in one.get("status", {}).get("conditions", []):
                lines += [f"    {entry['type']}={entry['status']} {entry['reason']}: {entry.get('message', '')[:400]}"]
        for arguments in (
            ["get", "pods,jobs,deployments", "-n", self.namespace, "-o", "wide"],
            ["get", "events", "-n", self.namespace, "--sort-by=.lastTimestamp"],
            ["get", "pods", "-n", SYSTEM],
            ["logs", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "--prefix", "--tail=25"],
        ):
            try:
                lines += self.kube.run("kubectl", *arguments).splitlines()[-40:]
            except Broken as broken:
                lines += [str(broken)]
        return "\n".join(lines)

    def annotate(self, kind: str, name: str, **annotations: str) -> None:
        """Set annotations such as `rollback="1"`."""
        self.kubectl("annotate", kind, name, "--overwrite", *(f"slipway.dev/{k}={v}" for k, v in annotations.items()))


def fresh(found: Object) -> bool:
    """Whether the status speaks of the object as it is now."""
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


def model_version(model: str, version: int, stage: str = "Production", **spec: Any) -> Object:
    """A ModelVersion."""
    return {
        "apiVersion": API,
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-v{version}"},
        "spec": {"model": model, "version": version, "stage": stage, **spec},
    }


def registered_model(name: str, **spec: Any) -> Object:
    """A RegisteredModel."""
    return {"apiVersion": API, "kind": "RegisteredModel", "metadata": {"name": name}, "spec": spec}


def model_registry(name: str, uri: str) -> Object:
    """A ModelRegistry for its own namespace."""
    return {
        "apiVersion": API,
        "kind": "ModelRegistry",
        "metadata": {"name": name},
        "spec": {"backend": {"mlflow": {"uri": uri}}},
    }


def namespace(name: str) -> Object:
    """A namespace of models that admits only pods which keep to the restricted profile."""
    labels = RESTRICTED | {"slipway.dev/models": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
