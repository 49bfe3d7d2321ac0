"""The CRDs on a real API server: every rule refuses with its sentence, and what is documented is accepted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import CRDS, ROOT, Kubectl

Manifest = dict[str, Any]
ACCEPTED = ""
DIGEST = "sha256:" + "a" * 64
DATA = {"uri": "mlflow-artifacts:/1/holdout.parquet", "target": "air_time"}
METRIC = {"name": "root_mean_squared_error", "threshold": 12, "greaterIsBetter": False}


@dataclass(frozen=True)
class Case:
    """One manifest, and the words in which it is refused; ACCEPTED if it is not."""

    name: str
    because: str
    manifest: Manifest
    want: str


@dataclass(frozen=True)
class Change:
    """An object that is there, what is applied over it, and the words in which that is refused."""

    name: str
    because: str
    before: Manifest
    after: Manifest
    want: str


def made(kind: str, name: str, spec: Any = None) -> Manifest:
    """A manifest; without a spec it has none."""
    found: Manifest = {"apiVersion": "slipway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    return found if spec is None else {**found, "spec": spec}


def version(name: str = "flights-v3", **changes: Any) -> Manifest:
    return made("ModelVersion", name, {"model": "flights", "version": 3, **changes})


def model(name: str = "flights", **spec: Any) -> Manifest:
    return made("RegisteredModel", name, spec)


def validation(**fields: Any) -> Manifest:
    return model(validation=fields)


def variables(*env: Manifest) -> Manifest:
    return model(serving={"pod": {"env": list(env)}})


KEY = {"name": "openai", "key": "api-key"}


def scoring(**bounds: Any) -> Manifest:
    return model(serving={"runtime": {"scoring": bounds}})


def gate(**metric: Any) -> Manifest:
    wanted = {"name": "error", "metric": {"name": "f1_score", "greaterIsBetter": True, **metric}}
    return validation(data=DATA, modelType="regressor", gates=[wanted])


def registry(**spec: Any) -> Manifest:
    return made("ModelRegistry", "mlflow", {"backend": {"mlflow": {"uri": "https://mlflow.example.com"}}, **spec})


def mlflow(**fields: Any) -> Manifest:
    return registry(backend={"mlflow": {"uri": "https://mlflow.example.com", **fields}})


NAME_RULE = (
    "metadata.name: Invalid value: the name must be <model>-v<version>, such as flights-v3 for version 3 of the model "
    "flights"
)
SERVICE_RULE = (
    "metadata.name: Invalid value: the name becomes the Service's: at most 40 lower-case letters, digits and '-', "
    "beginning with a letter"
)
ENDING_RULE = "a model's name does not end in -staging, -preview or -v<number>: Services and versions are named so"
ENDINGS = [
    ("flights-staging", ENDING_RULE),
    ("flights-preview", ENDING_RULE),
    ("flights-v2", ENDING_RULE),
    ("flights-v", ACCEPTED),
    ("v2", ACCEPTED),
    ("flights-v2-eu", ACCEPTED),
    ("staging", ACCEPTED),
]
SCORING = {"maxConcurrency": 128, "maxQueue": 0, "requestTimeout": "60s", "maxBodySize": "64Mi", "gracePeriod": "15s"}
QUANTITY = {"limits": {"memory": "2 GB"}}

VERSIONS = [
    Case("simple", "a model, a number and a stage are a whole ModelVersion", version(stage="Production"), ACCEPTED),
    Case("stage absent", "without a stage nothing is asked for", version(), ACCEPTED),
    Case("longest name", "40 characters are what a Service leaves room for",
         version("m" * 40 + "-v3", model="m" * 40), ACCEPTED),
    Case("other version", "the name says what the spec says", version(version=4), NAME_RULE),
    Case("other model", "the name says what the spec says", version(model="trains"), NAME_RULE),
    Case("leading zero", "one version has one name", version("flights-v03"), NAME_RULE),
    Case("no version in the name", "one version has one name", version("flights"), NAME_RULE),
    *(Case(f"model {name}", "Services and versions are named so", version(f"{name}-v3", model=name), wanted)
      for name, wanted in ENDINGS),
    Case("model too long", "it names the Service",
         version("m" * 41 + "-v3", model="m" * 41), "spec.model: Too long: may not be more than 40 bytes"),
    Case("model in capitals", "it names the Service", version("flights-v3", model="Flights"),
         "spec.model: Invalid value: \"Flights\": spec.model in body should match '^[a-z]([a-z0-9-]*[a-z0-9])?$'"),
    Case("version 0", "MLflow counts from 1", version("flights-v0", version=0),
         "spec.version: Invalid value: 0: spec.version in body should be greater than or equal to 1"),
    Case("unknown stage", "there are four", version(stage="Live"),
         'spec.stage: Unsupported value: "Live": supported values: "None", "Staging", "Production", "Archived"'),
    Case("misspelt field", "a typo is not silently dropped", version(stagee="Production"),
         ".spec.stagee: field not declared in schema"),
    Case("short digest", "half a digest pins nothing", version(digest="sha256:9f2c"),
         "spec.digest in body should be at least 71 chars long"),
    Case("no spec", "nothing to act on", made("ModelVersion", "flights-v3"), "spec: Required value"),
    Case("a megabyte of annotation", "an object stays small",
         {**version(), "metadata": {"name": "flights-v3", "annotations": {"description": "x" * 1_000_000}}},
         "metadata.annotations: Too long: may not be more than 262144 bytes"),
    Case("gate twice", "gates are merged by name",
         version(validation={"gates": [{"name": "a", "metric": METRIC}] * 2}),
         '.spec.validation.gates: duplicate entries for key [name="a"]'),
    Case("33 gates", "the list is bounded",
         version(validation={"gates": [{"name": f"g{n}", "metric": METRIC} for n in range(33)]}),
         "spec.validation.gates: Too many: 33: must have at most 32 items"),
]  # fmt: skip

MODELS = [
    Case("empty spec", "everything has a default", model(), ACCEPTED),
    Case("no spec", "everything has a default", made("RegisteredModel", "flights"), ACCEPTED),
    Case("name too long", "it becomes the Service's", model("m" * 41), SERVICE_RULE),
    Case("name with a dot", "it becomes the Service's", model("flights.eu"), SERVICE_RULE),
    *(Case(name, "Services and versions are named so", model(name), wanted) for name, wanted in ENDINGS),
    Case("no runtime", "a union needs a member", model(serving={"runtime": {}}),
         "spec.serving.runtime: Invalid value: give exactly one of 'scoring'"),
    Case("no scaling", "a union needs a member", model(serving={"scaling": {}}),
         "spec.serving.scaling: Invalid value: give exactly one of 'fixed'"),
    Case("no strategy", "a union needs a member", model(rollout={"strategy": {}}),
         "spec.rollout.strategy: Invalid value: give exactly one of 'rolling'"),
    Case("gate of no kind", "a union needs a member",
         validation(data=DATA, modelType="regressor", gates=[{"name": "error"}]),
         "spec.validation.gates[0]: Invalid value: give exactly one of 'metric'"),
    Case("gate without a bound", "it would pass anything", gate(),
         "spec.validation.gates[0].metric: Invalid value: give at least one of 'threshold', 'minAbsoluteChange' or "
         "'minRelativeChange'"),
    Case("gate with a bound", "one is enough", gate(minRelativeChange=0.01), ACCEPTED),
    Case("change of 0", "it asks for nothing", gate(minAbsoluteChange=0),
         "minAbsoluteChange in body should be greater than 0"),
    Case("negative change", "the sign is in greaterIsBetter", gate(minRelativeChange=-0.01),
         "minRelativeChange in body should be greater than 0"),
    Case("gates without data", "there is nothing to measure on",
         validation(gates=[{"name": "error", "metric": METRIC}]),
         "spec.validation: Invalid value: gates need 'data' to be judged on"),
    Case("data without modelType", "it decides which metrics there are", validation(data=DATA),
         "spec.validation: Invalid value: 'data' needs 'modelType': regressor or classifier"),
    Case("two ways to name a target", "one of them would be ignored",
         validation(modelType="regressor", data={**DATA, "targets": ["a", "b"]}),
         "spec.validation.data: Invalid value: give exactly one of 'target' or 'targets'"),
    Case("no target", "there is nothing to compare with", validation(modelType="regressor", data={"uri": DATA["uri"]}),
         "spec.validation.data: Invalid value: give exactly one of 'target' or 'targets'"),
    Case("positive label of a regressor", "it has no classes",
         validation(modelType="regressor", data=DATA, positiveLabel="1"),
         "spec.validation: Invalid value: 'positiveLabel' is for the modelType classifier"),
    Case("probabilities of a regressor", "it has no classes",
         validation(modelType="regressor", data=DATA, outputs={"probabilities": [{"label": "1"}]}),
         "spec.validation: Invalid value: 'outputs.probabilities' is for a classifier with one 'data.target'"),
    Case("unknown modelType", "MLflow has two", validation(data=DATA, modelType="ranker"),
         'spec.validation.modelType: Unsupported value: "ranker": supported values: "regressor", "classifier"'),
    Case("secret for a web address", "it would be ignored",
         validation(modelType="regressor", data={**DATA, "secretRef": {"name": "s3"}}),
         "spec.validation.data: Invalid value: secretRef is read for s3:// data only; remove it"),
    Case("endpoint for a web address", "it would be ignored",
         validation(modelType="regressor", data={**DATA, "endpoint": "https://s3.example.com"}),
         "spec.validation.data: Invalid value: endpoint is read for s3:// data only; remove it"),
    Case("data of another form", "parquet and CSV are read",
         validation(modelType="regressor", data={**DATA, "uri": "s3://datasets/holdout.json"}),
         "spec.validation.data.uri in body should match"),
    Case("duration in words", "h, m and s", validation(timeout="10 minutes"),
         "spec.validation.timeout: Invalid value: \"10 minutes\": spec.validation.timeout in body should match "
         "'^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$'"),
    Case("duration without a unit", "30 of what?", model(rollout={"keepWarm": "30"}),
         'spec.rollout.keepWarm: Invalid value: "30"'),
    Case("no replicas", "a served model has a pod", model(serving={"scaling": {"fixed": {"replicas": 0}}}),
         "replicas in body should be greater than or equal to 1"),
    Case("bounds of a pod", "each may be set", scoring(maxConcurrency=4, maxQueue=16, requestTimeout="5s",
         maxBodySize="1Gi", gracePeriod="30s"), ACCEPTED),
    Case("no place", "a pod works on something", scoring(maxConcurrency=0),
         "maxConcurrency in body should be greater than or equal to 1"),
    Case("a request for ever", "a pod has to end", scoring(requestTimeout="2h"),
         "spec.serving.runtime.scoring: Invalid value: requestTimeout must be between 1s and 1h"),
    Case("no grace", "clients learn to go elsewhere in it", scoring(gracePeriod="0s"),
         "spec.serving.runtime.scoring: Invalid value: gracePeriod must be between 1s and 10m"),
    Case("a body of terabytes", "bodies are in memory", scoring(maxBodySize="1Ti"),
         "spec.serving.runtime.scoring.maxBodySize in body should match '^([1-9][0-9]{0,2}Mi|1Gi)$'"),
    Case("bad quantity", "as in a container", model(serving={"resources": QUANTITY}),
         'spec.serving.resources.limits.memory: Invalid value: "2 GB"'),
    Case("quantity as a number", "as in a container", model(serving={"resources": {"limits": {"cpu": 2}}}), ACCEPTED),
    Case("resource name too long", "names of resources are bounded",
         model(serving={"resources": {"requests": {"c" * 129: 1}}}),
         "spec.serving.resources.requests: Invalid value: a key has at most 128 characters"),
    Case("Slipway's own label", "the Service selects by it",
         model(serving={"pod": {"labels": {"slipway.dev/track": "production"}}}),
         "spec.serving.pod.labels: Invalid value: labels under slipway.dev/ and app.kubernetes.io/ are Slipway's own"),
    Case("bad label", "the pod would be refused later", model(serving={"pod": {"labels": {"team": "air traffic"}}}),
         'spec.serving.pod.labels.team: Invalid value: "air traffic"'),
    Case("variables", "of a text or a Secret, and what a validation has instead", variables(
         {"name": "REGION", "value": "", "validation": {"value": "test"}}, {"name": "MODE", "value": "$(REGION)"},
         {"name": "API_KEY", "secretKeyRef": KEY, "validation": {"secretKeyRef": KEY}}), ACCEPTED),
    Case("as many variables as there may be", "their rules cost little", variables(
         *({"name": f"V{n}_{'x' * 120}", "value": "x" * 4096, "validation": {"value": "x" * 4096}} for n in range(32))),
         ACCEPTED),
    Case("variable of nothing", "it has no value", variables({"name": "API_KEY"}),
         "spec.serving.pod.env[0]: Invalid value: give exactly one of 'value' or 'secretKeyRef'"),
    Case("variable of two values", "which counts?", variables({"name": "API_KEY", "value": "x", "secretKeyRef": KEY}),
         "spec.serving.pod.env[0]: Invalid value: give exactly one of 'value' or 'secretKeyRef'"),
    Case("variable of nothing in a validation", "left out, the scoring steps do not have it",
         variables({"name": "API_KEY", "value": "x", "validation": {}}),
         "spec.serving.pod.env[0].validation: Invalid value: give exactly one of 'value' or 'secretKeyRef'"),
    *(Case(f"variable {name}", "the process is started with it", variables({"name": name, "value": "x"}),
           "spec.serving.pod.env[0]: Invalid value: SLIPWAY_*, PYTHON*, LD_*, PATH, HOME and TMPDIR are what Slipway "
           "starts the process with: give the variable another name")
      for name in ("SLIPWAY_TASK", "PYTHONPATH", "LD_PRELOAD", "PATH", "HOME", "TMPDIR")),
    *(Case(f"variable {name}", "nobody else has it", variables({"name": name, "value": "x"}), ACCEPTED)
      for name in ("HOMEPAGE", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS", "_PATH")),
    Case("variable twice", "which counts?", variables({"name": "A", "value": "x"}, {"name": "A", "value": "y"}),
         '.spec.serving.pod.env: duplicate entries for key [name="A"]'),
    Case("variable without a name", "a shell could not say it", variables({"name": "API-KEY", "value": "x"}),
         'spec.serving.pod.env[0].name: Invalid value: "API-KEY"'),
    Case("a megabyte of name", "an object stays small", model(source={"name": "x" * 1_000_000}),
         "spec.source.name: Too long: may not be more than 256 bytes"),
    Case("a megabyte of description", "there is no such field to fill", model(description="x" * 1_000_000),
         ".spec.description: field not declared in schema"),
]  # fmt: skip

REGISTRIES = [
    Case("simple", "a URI is enough", registry(), ACCEPTED),
    Case("no backend", "a union needs a member", registry(backend={}),
         "spec.backend: Invalid value: give exactly one of 'mlflow'"),
    Case("no spec", "nothing to reach", made("ModelRegistry", "mlflow"), "spec: Required value"),
    Case("auth of no kind", "a union needs a member", mlflow(auth={}),
         "spec.backend.mlflow.auth: Invalid value: give exactly one of 'basic' or 'bearer' or 'serviceAccountToken'"),
    Case("auth of two kinds", "which would be used?",
         mlflow(auth={kind: {"secretRef": {"name": "s"}} for kind in ("basic", "bearer")}),
         "spec.backend.mlflow.auth: Invalid value: give exactly one of 'basic' or 'bearer' or 'serviceAccountToken'"),
    Case("the operator's own token", "there is nothing to say of it", mlflow(auth={"serviceAccountToken": {}}), ACCEPTED),
    Case("that token to a Service", "it stays in the cluster",
         mlflow(uri="http://mlflow.platform.svc:5000/tracking", auth={"serviceAccountToken": {}}), ACCEPTED),
    Case("that token in plain text", "whoever listens would have it",
         mlflow(uri="http://mlflow.example.com/a.svc", auth={"serviceAccountToken": {}}),
         "a serviceAccountToken needs a uri of https, or a Service of the cluster (<name>.<namespace>.svc)"),
    Case("that token to a name that looks like a Service", "it could be anybody's",
         mlflow(uri="http://mlflow.svc.example.com", auth={"serviceAccountToken": {}}),
         "a serviceAccountToken needs a uri of https"),
    Case("client certificate without TLS", "it would be shown to nobody",
         mlflow(uri="http://mlflow.example.com", clientCertificate={"secretRef": {"name": "ours"}}),
         "a clientCertificate needs a uri of https"),
    Case("credential in a proxy", "it would be readable by all", mlflow(proxy="http://me:secret@proxy:3128"),
         "spec.backend.mlflow.proxy in body should match"),
    Case("no time to connect", "nobody would be reached", mlflow(timeouts={"connect": "0s"}),
         "connect must be between 1s and 1m"),
    Case("an hour for an answer", "everything else would wait for it", mlflow(timeouts={"answer": "1h"}),
         "answer must be between 1s and 10m"),
    Case("credential in the URI", "it would be readable by all", mlflow(uri="https://me:secret@mlflow.example.com"),
         "spec.backend.mlflow.uri in body should match"),
    Case("a window that ends before it starts", "it would never open",
         registry(promotion={"windows": [{"days": ["Monday"], "start": "16:00", "end": "09:00"}]}),
         "start must come before end, on the same day"),
    Case("one alias for Staging and Production", "each would be taken for the other",
         registry(stages={"Staging": {"alias": "best"}, "Production": {"alias": "best"}}),
         "Staging and Production must not have the same alias"),
    Case("one stage for Staging and Production", "each would be taken for the other",
         registry(stages={"Staging": {"stage": "Staging"}, "Production": {"stage": "Staging"}}),
         "Staging and Production must not have the same stage"),
    Case("one alias for Staging and Archived", "each would be taken for the other",
         registry(stages={"Staging": {"alias": "best"}, "Archived": {"alias": "best"}}),
         "Staging and Archived must not have the same alias"),
    Case("one stage for Staging and Archived", "each would be taken for the other",
         registry(stages={"Staging": {"stage": "Staging"}, "Archived": {"stage": "Staging"}}),
         "Staging and Archived must not have the same stage"),
    Case("one alias for Production and Archived", "each would be taken for the other",
         registry(stages={"Production": {"alias": "best"}, "Archived": {"alias": "best"}}),
         "Production and Archived must not have the same alias"),
    Case("one stage for Production and Archived", "each would be taken for the other",
         registry(stages={"Production": {"stage": "Staging"}, "Archived": {"stage": "Staging"}}),
         "Production and Archived must not have the same stage"),
    Case("alias latest", "MLflow refuses it", registry(stages={"Production": {"alias": "latest"}}),
         "spec.stages.Production.alias: Invalid value: \"latest\": 'latest' and 'v<number>' are reserved by MLflow; "
         "choose another alias"),
    Case("alias Latest", "MLflow refuses it in any case", registry(stages={"Production": {"alias": "Latest"}}),
         "spec.stages.Production.alias: Invalid value: \"Latest\": 'latest' and 'v<number>' are reserved by MLflow"),
    Case("alias V3", "MLflow refuses it in any case", registry(stages={"Production": {"alias": "V3"}}),
         "spec.stages.Production.alias: Invalid value: \"V3\": 'latest' and 'v<number>' are reserved by MLflow"),
    Case("alias latest-good", "only the word alone is reserved",
         registry(stages={"Production": {"alias": "latest-good"}}), ACCEPTED),
    Case("no label for Production", "nothing could ask for it", registry(stages={"Production": {}}),
         "Production needs a stage or an alias: nothing else could ask for it, or show what serves"),
    Case("the stage None for Production", "no stage is no label", registry(stages={"Production": {"stage": "None"}}),
         "Production needs a stage or an alias: nothing else could ask for it, or show what serves"),
    Case("alias v3", "MLflow refuses it", registry(stages={"Staging": {"alias": "v3"}}),
         "spec.stages.Staging.alias: Invalid value: \"v3\": 'latest' and 'v<number>' are reserved by MLflow"),
    Case("alias vnext", "only v and a number is reserved", registry(stages={"Staging": {"alias": "vnext"}}), ACCEPTED),
    Case("interval in words", "h, m and s", registry(sync={"interval": "often"}),
         'spec.sync.interval: Invalid value: "often"'),
    Case("interval without pause", "a registry is not asked in a loop", registry(sync={"interval": "1s"}),
         "spec.sync: Invalid value: interval must be at least 5s"),
    Case("selector of nothing", "it would select every namespace",
         registry(allowedNamespaces={"selector": {"matchLabels": {}}}),
         "spec.allowedNamespaces.selector.matchLabels in body should have at least 1 properties"),
    Case("names of models", "`*` stands for any characters",
         registry(allowedNamespaces={"selector": {"matchLabels": {"a": "b"}}, "models": ["fraud-*", "Flight [air] time"]}),
         ACCEPTED),
    Case("name of no model", "it would allow nothing", registry(
         allowedNamespaces={"selector": {"matchLabels": {"a": "b"}}, "models": [""]}),
         "spec.allowedNamespaces.models[0] in body should be at least 1 chars long"),
    Case("discovery", "a namespace and names are enough",
         registry(discovery={"namespace": "models", "models": ["*"]}), ACCEPTED),
    Case("discovery in kube-system", "Slipway stays out of it",
         registry(discovery={"namespace": "kube-system", "models": ["*"]}),
         "spec.discovery: Invalid value: Slipway stays out of kube-*: name another namespace"),
    Case("discovery of no models", "it would find nothing", registry(discovery={"namespace": "models", "models": []}),
         "spec.discovery.models in body should have at least 1 items"),
    Case("discovery of unnamed models", "whoever means all says so", registry(discovery={"namespace": "models"}),
         "spec.discovery.models: Required value"),
    Case("discovery of what is archived", "nobody asks for it",
         registry(discovery={"namespace": "models", "models": ["*"], "stages": ["Archived"]}),
         'spec.discovery.stages[0]: Unsupported value: "Archived": supported values: "Staging", "Production"'),
    Case("discovery of one stage twice", "a set has it once",
         registry(discovery={"namespace": "models", "models": ["*"], "stages": ["Staging", "Staging"]}),
         '.spec.discovery.stages: duplicate entries for key [="Staging"]'),
    Case("discovery without a limit", "a thousand are the most",
         registry(discovery={"namespace": "models", "models": ["*"], "limit": 1001}),
         "spec.discovery.limit in body should be less than or equal to 1000"),
]  # fmt: skip

RELEASE = {"version": 1, "digest": DIGEST, "record": "0123456789", "since": "2026-01-01T00:00:00Z"}
OLD = {"deployment": "old-flights", "selector": {"app": "old-flights"}, "port": 5001}
LEDGERS = [
    Case("nothing serves", "so it begins", made("ModelLedger", "flights", {}), ACCEPTED),
    Case("champion that was released", "it can be made again",
         made("ModelLedger", "flights", {"champion": 1, "released": [RELEASE]}), ACCEPTED),
    Case("champion that was never released", "nobody knows what it is",
         made("ModelLedger", "flights", {"champion": 2, "released": [RELEASE]}),
         "spec: Invalid value: the champion must be among the released versions"),
    Case("adopted", "it has the traffic", made("ModelLedger", "flights", {"adopted": OLD | {"serving": True}}), ACCEPTED),
    Case("adopted before a champion", "it may be returned to",
         made("ModelLedger", "flights", {"adopted": OLD, "champion": 1, "released": [RELEASE]}), ACCEPTED),
    Case("adopted by a label that is too long", "the API server would not store it on a pod",
         made("ModelLedger", "flights", {"adopted": OLD | {"selector": {"l" * 318: "x"}}}),
         "spec.adopted.selector: Invalid value: a key has at most 317 characters"),
    Case("adopted beside a champion", "who has the traffic?",
         made("ModelLedger", "flights", {"adopted": OLD | {"serving": True}, "champion": 1, "released": [RELEASE]}),
         "spec: Invalid value: a version and an adopted Deployment do not have the traffic at once"),
    Case("adopted by an endless label", "no label is as long as that",
         made("ModelLedger", "flights", {"adopted": OLD | {"selector": {"a" * 318: "b"}}}),
         "spec.adopted.selector: Invalid value: a key has at most 317 characters"),
]  # fmt: skip

CHANGES = [
    Change("stage", "that is what it is for", version(stage="Staging"), version(stage="Production"), ACCEPTED),
    Change("digest added", "a review may come later", version(), version(digest=DIGEST), ACCEPTED),
    Change("digest changed", "it pins what was reviewed", version(digest=DIGEST),
           version(digest="sha256:" + "b" * 64),
           "spec: Invalid value: digest cannot be changed once it is set: it pins what was reviewed"),
    Change("digest removed", "it pins what was reviewed", version(digest=DIGEST), version(),
           "spec: Invalid value: digest cannot be changed once it is set: it pins what was reviewed"),
    Change("version", "one object, one version", version(), version(version=4),
           "spec.version: Invalid value: 4: cannot be changed: delete the object and apply it anew"),
    Change("model", "one object, one version", version(), version(model="trains"),
           'spec.model: Invalid value: "trains": cannot be changed: delete the object and apply it anew'),
]  # fmt: skip

CASES = [*VERSIONS, *MODELS, *REGISTRIES, *LEDGERS]
DRY = ("apply", "--server-side", "--dry-run=server", "--filename=-")


def judge(code: int, err: str, want: str, because: str) -> None:
    if want == ACCEPTED:
        assert code == 0, f"{because}, yet: {err[:2000]}"
    else:
        assert code != 0, f"accepted, although {because}"
        assert want in err, f"refused, but in other words: {err[:2000]}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_create(crds: Kubectl, case: Case) -> None:
    answer = crds.within("default").ask(*DRY, stdin=case.manifest)
    judge(answer.code, answer.err, case.want, case.because)


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name.replace(" ", "-"))
def test_change(kubectl: Kubectl, case: Change) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin=case.before)
    answer = kubectl.ask("apply", "--server-side", "--filename=-", stdin=case.after)
    judge(answer.code, answer.err, case.want, case.because)


@pytest.mark.parametrize("file", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_rule_has_a_case(file: Path) -> None:
    wanted = [case.want for case in CASES] + [change.want for change in CHANGES]
    untried = [
        message for message in messages(yaml.safe_load(file.read_text())) if not any(message in w for w in wanted)
    ]
    assert not untried


def messages(node: Any) -> list[str]:
    """The sentences of all rules in a CRD."""
    if isinstance(node, list):
        return [found for one in node for found in messages(one)]
    if not isinstance(node, dict):
        return []
    own = [rule["message"] for rule in node.get("x-kubernetes-validations", ()) if isinstance(rule, dict)]
    return own + [found for one in node.values() for found in messages(one)]


def documents(file: Path, namespace: str) -> list[Manifest]:
    """The objects of a file, moved into one namespace."""
    found = [one for one in yaml.safe_load_all(file.read_text()) if one]
    return [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in found]


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.stem)
def test_examples(kubectl: Kubectl, file: Path) -> None:
    objects = documents(file, kubectl.namespace)
    assert objects
    kubectl.must(*DRY, stdin=objects)
    kubectl.must("apply", "--dry-run=server", "--filename=-", stdin=objects)  # without server-side apply, too


def test_defaults(kubectl: Kubectl) -> None:
    kubectl.must(
        "apply", "--server-side", "--filename=-", stdin=[made("RegisteredModel", "flights"), registry(), version()]
    )
    assert kubectl.object("rmodel", "flights")["spec"] == {
        "suspend": False,
        "source": {},
        "validation": {"timeout": "30m", "pendingTimeout": "10m"},
        "serving": {"runtime": {"scoring": SCORING}, "scaling": {"fixed": {"replicas": 1}}},
        "rollout": {"strategy": {"rolling": {}}, "keepWarm": "1h", "historyLimit": 5},
        "promotion": {"source": "Cluster", "onRefusal": "Revert", "onDrift": "Report"},
    }
    spec = kubectl.object("mreg", "mlflow")["spec"]
    assert spec["stages"] == {
        "Staging": {"stage": "Staging", "alias": "challenger"},
        "Production": {"stage": "Production", "alias": "champion"},
        "Archived": {"stage": "Archived"},
    }
    assert spec["sync"] == {"interval": "30s"}
    assert kubectl.object("mv", "flights-v3")["spec"] == {"model": "flights", "version": 3, "stage": "None"}


@pytest.mark.parametrize("kind", ["mreg/mlflow", "rmodel/flights", "mv/flights-v3"])
def test_what_nobody_has_looked_at_yet_says_so_to_tools_that_wait_for_it(kubectl: Kubectl, kind: str) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[registry(), model(), version()])
    status = kubectl.object(kind)["status"]
    assert status["observedGeneration"] == -1, "kstatus takes an object without one for ready"
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Ready", "Unknown", "Pending")
    ]


def condition(kind: str, status: str = "True", reason: str = "GatesPassed", message: str = "fine") -> Manifest:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def status(name: str, manager: str, found: Manifest) -> tuple[tuple[str, ...], Manifest]:
    """An apply of a status, as the arguments and the input of kubectl."""
    words = ("apply", "--server-side", "--subresource=status", f"--field-manager={manager}", "--filename=-")
    return words, {**version(name), "status": found}


def test_status_is_written_through_its_subresource_only(kubectl: Kubectl) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin={**version(), "status": {"serving": True}})
    assert "serving" not in kubectl.object("mv", "flights-v3")["status"]

    words, body = status("flights-v3", "slipway", {"serving": True})
    body["spec"]["stage"] = "Production"
    kubectl.must(*words, stdin=body)
    found = kubectl.object("mv", "flights-v3")
    assert found["status"]["serving"] is True
    assert found["spec"]["stage"] == "None"
    assert found["metadata"]["generation"] == 1


def test_conditions_of_two_writers_are_merged_by_type(kubectl: Kubectl) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin=version())
    for manager, kind in (("one", "Validated"), ("two", "Released"), ("one", "Validated")):
        words, body = status("flights-v3", manager, {"conditions": [condition(kind)]})
        kubectl.must(*words, stdin=body)
    kinds = [one["type"] for one in kubectl.object("mv", "flights-v3")["status"]["conditions"]]
    assert sorted(kinds) == ["Ready", "Released", "Validated"], "Ready is the CRD's own"

    words, body = status("flights-v3", "one", {"conditions": []})
    kubectl.must(*words, stdin=body)
    kinds = [one["type"] for one in kubectl.object("mv", "flights-v3")["status"]["conditions"]]
    assert kinds == ["Ready", "Released"]


def test_columns_tell_the_story(kubectl: Kubectl) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[model(), registry(), version(stage="Production")])
    ready = [condition("Ready", "False", "GateFailed", "error: 13.1 is over 12")]
    for name, found in (
        ("mv/flights-v3", {"stage": "Production", "serving": True, "conditions": ready}),
        (
            "rmodel/flights",
            {"champion": {"version": 2, "ready": "2/2"}, "candidate": {"version": 3}, "url": "http://flights"},
        ),
        ("mreg/mlflow", {"version": "3.17.2", "conditions": ready}),
    ):
        kubectl.must("patch", name, "--subresource=status", "--type=merge", "--patch", json.dumps({"status": found}))

    header, row = kubectl.must("get", "mv").splitlines()
    assert header.split() == ["NAME", "MODEL", "VERSION", "STAGE", "SERVING", "READY", "REASON", "AGE"]
    assert row.split()[:-1] == ["flights-v3", "flights", "3", "Production", "true", "False", "GateFailed"]
    assert "error: 13.1 is over 12" in kubectl.must("get", "mv", "--output=wide")

    header, row = kubectl.must("get", "rmodel").splitlines()
    assert header.split() == ["NAME", "SERVING", "SINCE", "PODS", "CANDIDATE", "READY", "REASON", "ROLLBACK", "URL"]
    assert row.split() == ["flights", "2", "2/2", "3", "Unknown", "Pending", "http://flights"]

    release = {"version": 2, "digest": "sha256:" + "a" * 64, "record": "0", "since": "2026-03-06T17:00:00Z"}
    shift = {"to": release | {"version": 3}, "weight": 20, "step": 1, "since": "2026-03-06T17:00:00Z"}
    hold = {"by": "eve", "at": "2026-03-06T17:00:00Z"}
    spec = {"champion": 2, "since": "2026-03-06T17:00:00Z", "released": [release], "shift": shift, "hold": hold}
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[made("ModelLedger", "flights", spec)])
    header, row = kubectl.must("get", "ledger").splitlines()
    assert header.split() == ["NAME", "CHAMPION", "SINCE", "TO", "WEIGHT", "STEP", "ROLLBACK", "HELD-BY"]
    assert [row.split()[column] for column in (0, 1, 3, 4, 5, 6)] == ["flights", "2", "3", "20", "1", "eve"]

    header, row = kubectl.must("get", "mreg").splitlines()
    assert header.split() == ["NAME", "URI", "MLFLOW", "MODELS", "DISCOVERED", "DRIFTED", "READY", "REASON"]
    assert row.split() == ["mlflow", "https://mlflow.example.com", "3.17.2", "False", "GateFailed"]


def test_one_category_lists_all_kinds(kubectl: Kubectl) -> None:
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[model(), registry(), version()])
    names = kubectl.must("get", "slipway", "--output=name").split()
    assert sorted(names) == sorted(
        f"{kind}.slipway.dev/{name}"
        for kind, name in (("modelregistry", "mlflow"), ("registeredmodel", "flights"), ("modelversion", "flights-v3"))
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("mv.spec.stage", "The stage that it should be in"),
        ("rmodel.spec.validation.gates.metric.threshold", "at least (or at most) this good"),
        ("mreg.spec.backend.mlflow.auth.basic.secretRef", "labelled"),
    ],
)
def test_explain(crds: Kubectl, field: str, words: str) -> None:
    assert words in crds.must("explain", field)


@pytest.mark.parametrize("name", CRDS)
def test_the_server_finds_nothing_to_say_about_the_schema(crds: Kubectl, name: str) -> None:
    found = {one["type"]: one["status"] for one in crds.object("crd", name)["status"]["conditions"]}
    assert found == {"NamesAccepted": "True", "Established": "True"}  # a NonStructuralSchema would be a third
