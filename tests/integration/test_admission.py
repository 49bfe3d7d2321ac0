"""The chart's policies on a real API server: who may promote, command and configure, and what refuses the others."""

import re
from typing import Any

import pytest

from .asking import (
    APPLY,
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
    tried,
    version,
)
from .conftest import ROOT, Kubectl
from .control_plane import until

GATES = [{"name": "error", "metric": {"name": "root_mean_squared_error", "threshold": 12, "greaterIsBetter": False}}]
POLICY = {
    "modelType": "regressor",
    "data": {"uri": "mlflow-artifacts:/1/holdout.parquet", "target": "air_time"},
    "gates": GATES,
}

# Who asks: people with the chart's roles, and one who may write RegisteredModels and ModelRegistries by another role.
ENGINEER, WRITER, PROMOTER, PLATFORM, ADMIN = "engineer", "writer", "promoter", "platform", ""
READER = "reader"  # a promoter who may get every Secret of the namespace


def registry(name: str, **mlflow: Any) -> Manifest:
    server = {"uri": "https://mlflow.example.com", **mlflow}
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": name},
        "spec": {"backend": {"mlflow": server}},
    }


ELSEWHERE = {"backend": {"mlflow": {"uri": "https://collector.example.com"}}}
ALLOWED = {"slipway.dev/allow-deletion": "true"}
APPROVED = f"version=2, digest=sha256:{'a' * 64}, environment=none, until=2026-12-01T00:00:00Z"
THERE = [
    model("flights", validation=POLICY),  # serves flights-v1
    version("flights", 1, "Production"),  # serving
    version("flights", 2, "Staging", {"slipway.dev/approve-2": f"by=admin, {APPROVED}"}),
    version("flights", 3, "Production", validation={"gates": GATES}),  # on its way
    model("trains"),
    version("trains", 1, "None"),  # still the champion: no other took its place
    model("ships", ALLOWED),  # serves ships-v1
    version("ships", 1, "Production", ALLOWED),  # serving
    version("ships", 2, "Production", ALLOWED),
    model("banks", serving={"pod": {"env": [{"name": "KEY", "secretKeyRef": {"name": "bank", "key": "key"}}]}}),
    model("buses", adopt={"deployment": "old-buses", "port": 80}),  # serves what was adopted
    registry("mlflow"),
]
SERVING = ("flights-v1", "trains-v1", "ships-v1")
CHAMPIONS = ("flights", "ships")
STATUS = ("patch", "--subresource=status", "--type=merge", f"--as={OPERATOR}", "--as-group=system:masters")

COLLECTION = ("delete", "--raw", "/apis/slipway.dev/v1alpha1/namespaces/ml/modelversions?dryRun=All")


def stage(name: str, wanted: str) -> Words:
    return patch(f"mv/{name}", spec={"stage": wanted})


def owned(what: str) -> Words:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "4fe5bb0e-0000-4000-8000-000000000000"}
    return patch(what, metadata={"ownerReferences": [owner]})


def command(word: str, value: str) -> Words:
    return annotate("rmodel/flights", f"{word}={value}")


FILES = "sha256:" + "a" * 64


def approve(who: str, word: str = "approve", **other: str) -> Words:
    """An approval of flights-v2 by somebody."""
    names = {"version": "2", "digest": FILES, "environment": "none", "until": "2026-12-01T00:00:00Z"} | other
    value = f"by={who}, " + ", ".join(f"{name}={said}" for name, said in names.items() if said)
    return annotate("mv/flights-v2", f"{word}={value}")


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
KEPT_ADOPTED = (
    "buses is serving, and its Service goes with it: it has the traffic of an adopted Deployment; to delete it all the "
    "same, annotate it slipway.dev/allow-deletion=true"
)
ROLE = 'User "engineer" cannot patch resource "registeredmodels"'
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
    ("create with a retry", "one that was refused is asked for again by deleting it and making it anew", ENGINEER, APPLY,
     "retry flights-v4 as it is made", version("flights", 4, "None", {"slipway.dev/retry": "1"})),
    ("take an approval back", "it is somebody's word", ENGINEER, patch("mv/flights-v2", metadata={"annotations":
     {"slipway.dev/approve-2": None}}), "approve of flights-v2", None),
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
    ("adopt a Deployment", "it gets the traffic, unproven", WRITER,
     patch("rmodel/flights", spec={"adopt": {"deployment": "mine", "port": 80}}),
     "change the spec of the RegisteredModel flights", None),
    ("roll back to what was adopted", "it moves the traffic", WRITER, command("rollback", "to=adopted"),
     "roll flights back", None),
    ("suspend a model", "nothing would be repaired or rolled back", WRITER,
     patch("rmodel/flights", spec={"suspend": True}), "change the spec of the RegisteredModel flights", None),
    ("roll back", "it moves the traffic", WRITER, annotate("rmodel/flights", "rollback=1"), "roll flights back", None),
    ("roll back to a version", "it moves the traffic", WRITER, command("rollback", "to=2"), "roll flights back", None),
    ("resume", "rollouts begin again", WRITER, command("resume", "1"), "resume the rollouts of flights", None),
    ("refresh", "it restarts serving pods", WRITER, annotate("rmodel/flights", "refresh=1"),
     "refresh the serving pods of flights", None),
    ("declare a model", "its gates hold from then on", WRITER, APPLY, "declare the RegisteredModel planes",
     model("planes")),
    ("declare a model as if the operator had", "the operator is known by its name, not by its mark", WRITER, APPLY,
     "declare the RegisteredModel planes", model("planes", {"slipway.dev/implicit": "true"})),
    ("declare a model as if discovery had", "the mark grants nothing", WRITER, APPLY,
     "declare the RegisteredModel planes", model("planes", {"slipway.dev/discovered": "platform/mlflow"})),
    ("delete a model that is not serving", "its gates go with it", WRITER, delete("rmodel/trains"),
     "delete the RegisteredModel trains", None),
    ("choose the owner of a model", "the owner's end is the model's", WRITER, owned("rmodel/flights"),
     "give the RegisteredModel flights another owner", None),
]  # fmt: skip

UNREADABLE = "cannot be read: write fields such as "
NOT_YOU = "the command names somebody else: it came from promoter; write by=promoter or leave by= out"
COMMANDS = [
    ("rollback", "2026-11-03T02:00:00Z", "a word without fields says enough", PASSES),
    ("rollback", "to=2", "to a version by its number", PASSES),
    ("rollback", "to=adopted, by=promoter", "to the Deployment that served before any version", PASSES),
    ("rollback", "to=adoptedone", "nothing is called so", UNREADABLE),
    ("rollback", "by=promoter", "it is true", PASSES),
    (
        "rollback",
        "to=2, by=promoter, reason=latency, to=3 did not help, by=mallory said so",
        "a reason may hold anything",
        PASSES,
    ),
    ("rollback", "by=promoter,to=2,reason=", "fields come in any order", PASSES),
    ("rollback", "reason=by=mallory", "a reason may hold anything", PASSES),
    ("rollback", "to=2, by=mallory, reason=it was not me", "the record would blame somebody else", NOT_YOU),
    ("rollback", "by=mallory", "the record would blame somebody else", NOT_YOU),
    ("rollback", "to=2, by=promoter, by=mallory", "which is true?", UNREADABLE),
    ("rollback", "to=latest", "versions have numbers", UNREADABLE),
    ("rollback", "to=2, to=3", "which is meant?", UNREADABLE),
    ("rollback", "too=2", "a typo is not silently dropped", UNREADABLE),
    ("rollback", "to=2 reason=slow", "fields are apart by commas", UNREADABLE),
    ("resume", "by=promoter, reason=mended", "it is true", PASSES),
    ("resume", "by=mallory", "the record would blame somebody else", NOT_YOU),
    ("resume", "to=2", "a resume goes nowhere", UNREADABLE),
]


def configure(words: str) -> str:
    """The sentence that refuses to choose where a credential goes."""
    return (
        f"writer may not {words}, to which a credential is sent: that needs the verb configure on "
        "modelregistries.slipway.dev in the namespace ml, which the role slipway-platform grants"
    )


# What needs the verb of those who answer for registries.
ADDRESSES = [
    ("another address", "the credential would be sent there", patch("mreg/mlflow", spec=ELSEWHERE),
     "change the spec of the ModelRegistry mlflow", None),
    ("another credential", "it is read by the operator", patch("mreg/mlflow", spec={"backend": {"mlflow": {"auth": {
        "bearer": {"secretRef": {"name": "other"}}}}}}), "change the spec of the ModelRegistry mlflow", None),
    ("more namespaces", "they would use the credential", patch("mreg/mlflow", spec={"allowedNamespaces": {"selector": {
        "matchLabels": {"team": "air"}}}}), "change the spec of the ModelRegistry mlflow", None),
    ("other labels", "they are written with the credential", patch("mreg/mlflow", spec={"stages": {"Production": {
        "alias": "best"}}}), "change the spec of the ModelRegistry mlflow", None),
    ("discover models", "objects would be made for them", patch("mreg/mlflow", spec={"discovery": {
        "namespace": "ml", "models": ["*"]}}), "change the spec of the ModelRegistry mlflow", None),
    ("declare a registry", "a credential would be sent there", APPLY, "declare the ModelRegistry mine",
     registry("mine")),
]  # fmt: skip

UNNAMED = "an approval names who gives it and all that it is about: by=promoter, version=2"
APPROVALS = [
    ("by oneself", "it is true", approve("promoter"), PASSES),
    ("in the second place", "four eyes are two approvals", approve("promoter", "approve-2"), PASSES),
    ("by somebody else", "the record would name somebody else", approve("mallory"), "the approval names somebody else"),
    ("by a name that begins alike", "it is another person", approve("promoter2"), "the approval names somebody else"),
    ("of another version", "it would be moved to it", approve("promoter", version="3"), UNNAMED),
    ("of no files", "what is approved of?", approve("promoter", digest=""), UNNAMED),
    ("of no environment", "the same files may run in another", approve("promoter", environment=""), UNNAMED),
    ("for ever", "it would outlive its reason", approve("promoter", until=""), UNNAMED),
    ("for ever, as a word", "it would outlive its reason", approve("promoter", until="never"), UNNAMED),
    (
        "until a day that never comes",
        "it would outlive its reason",
        approve("promoter", until="9999-99-99T99:99:99Z"),
        UNNAMED,
    ),
    ("by two at once", "which is true?", approve("promoter, by=mallory"), UNNAMED),
    ("a word", "what is approved of?", annotate("mv/flights-v2", "approve=yes"), UNNAMED),
]


def naming(*env: Manifest, of: str = "flights") -> Words:
    return patch(f"rmodel/{of}", spec={"serving": {"pod": {"env": list(env)}}})


def from_secret(variable: str, secret: str, key: str = "key") -> Manifest:
    return {"name": variable, "secretKeyRef": {"name": secret, "key": key}}


def unreadable(who: str, secret: str, of: str = "flights") -> str:
    """The sentence that refuses to name a Secret."""
    return (
        f"{who} may not give the Secret {secret} to the code of the model {of}: spec.serving.pod.env names it, and that "
        "needs the verb get on that Secret in the namespace ml"
    )


PLAIN = {"name": "REGION", "value": "eu-1"}
HIDDEN = {"name": "REGION", "value": "eu-1", "validation": {"secretKeyRef": {"name": "bank", "key": "test"}}}
ALLOWED_SECRETS = [f"openai-{number}" for number in range(17)]
# What a variable comes from: the promoter may get the Secrets openai-*, the reader all of them, and bank is another's.
SECRETS = [
    ("a variable of a text", "it is no secret", PROMOTER, naming(PLAIN), PASSES, None),
    ("a Secret that one may get", "one has its value already", PROMOTER, naming(from_secret("KEY", "openai-0")), PASSES,
     None),
    ("a Secret that one may not get", "the code of the model would tell it", PROMOTER,
     naming(from_secret("KEY", "openai-0"), from_secret("OTHER", "bank")), unreadable(PROMOTER, "bank"), None),
    ("a Secret that is not there, and that one may not get", "it may come", PROMOTER,
     naming(from_secret("KEY", "later")), unreadable(PROMOTER, "later"), None),
    ("a Secret for the scoring steps", "their code is anybody's", PROMOTER, naming(HIDDEN), unreadable(PROMOTER, "bank"),
     None),
    ("a model that is declared with a Secret", "it is the same", PROMOTER, APPLY, unreadable(PROMOTER, "bank", "planes"),
     model("planes", serving={"pod": {"env": [from_secret("KEY", "bank")]}})),
    ("another key of a Secret", "it was not given before", PROMOTER, naming(from_secret("KEY", "bank", "other"), of="banks"),
     unreadable(PROMOTER, "bank", "banks"), None),
    ("a variable more beside a Secret", "what is there stays as it was", PROMOTER,
     naming(PLAIN, from_secret("KEY", "bank"), of="banks"), PASSES, None),
    ("something else of a model with a Secret", "what is there stays as it was", PROMOTER,
     patch("rmodel/banks", spec={"serving": {"scaling": {"fixed": {"replicas": 2}}}}), PASSES, None),
    ("a Secret that is taken away", "nothing is given", PROMOTER, naming(of="banks"), PASSES, None),
    ("any Secret, by who may get all", "one has its value already", READER, naming(from_secret("KEY", "bank")), PASSES,
     None),
    ("as many Secrets as are looked at", "each is a question", PROMOTER,
     naming(*(from_secret(f"KEY_{n}", name) for n, name in enumerate(ALLOWED_SECRETS[:16]))), PASSES, None),
    ("the last of so many Secrets", "each is looked at", PROMOTER,
     naming(*(from_secret(f"KEY_{n}", name) for n, name in enumerate([*ALLOWED_SECRETS[:15], "bank"]))),
     unreadable(PROMOTER, "bank"), None),
    ("more Secrets than are looked at", "nothing passes unseen", PROMOTER,
     naming(*(from_secret(f"KEY_{n}", name) for n, name in enumerate(ALLOWED_SECRETS))),
     "this change of spec.serving.pod.env names 17 Secrets, and at most 16 can be looked at in one: make it in two",
     None),
    ("the same Secret for serving and scoring", "it is one question", PROMOTER, naming(
        *(from_secret(f"KEY_{n}", name) | {"validation": {"secretKeyRef": {"name": name, "key": "test"}}}
          for n, name in enumerate(ALLOWED_SECRETS[:16]))), PASSES, None),
    ("a Secret without the verb promote", "both are needed", WRITER, naming(from_secret("KEY", "openai-0")),
     deed(WRITER, "change the spec of the RegisteredModel flights"), None),
]  # fmt: skip

CASES = [
    Case("approve without the verb", "it is consent to a promotion", ENGINEER, approve("engineer"),
         deed(ENGINEER, "approve of flights-v2")),
    *(Case(f"approve {name}", because, PROMOTER, action, want) for name, because, action, want in APPROVALS),
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
    Case("delete a model that serves what it adopted", "its Service goes with it", PROMOTER, delete("rmodel/buses"),
         KEPT_ADOPTED),
    Case("delete all versions at once", "one of them is serving", ADMIN, COLLECTION, "has the traffic of"),
    Case("delete what serves, allowed", "somebody with the verb said so", ENGINEER, delete("mv/ships-v1"), PASSES),
    Case("delete in Production, allowed", "somebody with the verb said so", ENGINEER, delete("mv/ships-v2"), PASSES),
    Case("delete a model that serves, allowed", "somebody with the verb said so", WRITER, delete("rmodel/ships"),
         PASSES),
    *(Case(name, because, who, action, want, stdin) for name, because, who, action, want, stdin in SECRETS),
    Case("the end of a namespace", "it must not hang", NAMESPACES, COLLECTION, PASSES),
    Case("the end of a namespace, one by one", "it must not hang", NAMESPACES, delete("rmodel/flights"), PASSES),
    Case("the end of an owner", "it must not hang", GARBAGE, delete("mv/flights-v1"), PASSES),
    Case("the operator makes an implicit model", "it has no verb, and needs none", OPERATOR, APPLY, PASSES,
         model("planes", {"slipway.dev/implicit": "true"})),
    Case("the operator makes what discovery finds", "it asks for nothing", OPERATOR, APPLY, PASSES,
         model("planes", {"slipway.dev/discovered": "platform/mlflow"}, source={"name": "Planes"})),
    Case("the operator lets labels promote", "discovery never does that by itself", OPERATOR, APPLY,
         deed(OPERATOR, "declare the RegisteredModel planes"),
         model("planes", {"slipway.dev/discovered": "platform/mlflow"}, promotion={"source": "Registry"})),
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
    *(Case(f"{word} {value}", because, PROMOTER, command(word, value), want) for word, value, because, want in COMMANDS),
    *(Case(name, because, WRITER, action, configure(words), stdin) for name, because, action, words, stdin in ADDRESSES),
    *(Case(f"{name} with the verb", "that is what the verb is for", PLATFORM, action, PASSES, stdin)
      for name, _, action, _, stdin in ADDRESSES),
    Case("label a registry", "labels mean nothing to Slipway", WRITER,
         patch("mreg/mlflow", metadata={"labels": {"team": "air"}}), PASSES),
    Case("delete a registry", "no credential goes anywhere by that", WRITER, delete("mreg/mlflow"), PASSES),
    Case("an administrator rolls back", "every right is this one, too", ADMIN, annotate("rmodel/flights", "rollback=1"),
         PASSES),
]  # fmt: skip


WRITES_MODELS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "writes-models"},
    "rules": [
        {
            "apiGroups": ["slipway.dev"],
            "resources": ["registeredmodels", "modelregistries"],
            "verbs": ["create", "update", "patch", "delete"],
        }
    ],
}


def reads(name: str, who: str, *secrets: str) -> list[Manifest]:
    """A role that lets somebody get these Secrets, or all where none is named, and its binding."""
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    only = {"resourceNames": list(secrets)} if secrets else {}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}}
    return [{**role, "rules": [rule | only]}, binding(name, who, "Role")]


@pytest.fixture(scope="module")
def ml(guarded: Kubectl) -> Kubectl:
    """The namespace with people, models and versions, once the policies are in force."""
    kubectl = served(guarded, "ml")
    people = [binding("slipway-ml-engineer", who) for who in (ENGINEER, WRITER, PROMOTER, READER)]
    more = [binding("slipway-promoter", PROMOTER), binding("slipway-platform", PLATFORM)]
    rights = [WRITES_MODELS, binding("writes-models", WRITER, "Role"), *more]
    rights += [binding("slipway-promoter", READER), *reads("some", PROMOTER, *ALLOWED_SECRETS), *reads("all", READER)]
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[*people, *rights, *THERE])
    for name in SERVING:
        kubectl.must(*STATUS, "mv", name, '--patch={"status":{"serving":true}}')
    champion = '--patch={"status":{"champion":{"version":1}}}'
    for name in CHAMPIONS:
        kubectl.must(*STATUS, "rmodel", name, champion)
    adopted = '--patch={"status":{"adopted":{"deployment":"old-buses","serving":true}}}'
    kubectl.must(*STATUS, "rmodel", "buses", adopted)
    for who, action in (
        (ENGINEER, stage("flights-v2", "Production")),
        (WRITER, annotate("rmodel/flights", "refresh=1")),
        (WRITER, patch("mreg/mlflow", spec=ELSEWHERE)),
    ):
        in_force(kubectl, who, action)
    promotes = stage("flights-v2", "Production")
    until("the verbs have arrived", lambda: not tried(kubectl, PROMOTER, promotes).code, 30)
    return kubectl


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_who_may(ml: Kubectl, case: Case) -> None:
    ask(ml, case)


def test_what_somebody_with_the_verb_has_allowed_others_can_delete(ml: Kubectl) -> None:
    ml.must("apply", "--server-side", "--filename=-", stdin=version("boats", 1, "Production"))
    ml.must(*STATUS, "mv", "boats-v1", '--patch={"status":{"serving":true}}')
    removal = ("delete", "mv", "boats-v1", f"--as={ENGINEER}")
    assert "boats-v1 has the traffic of boats" in ml.ask(*removal).err
    ml.must("annotate", "mv", "boats-v1", "slipway.dev/allow-deletion=true", f"--as={PROMOTER}")
    ml.must(*removal)
    assert "NotFound" in ml.ask("get", "mv", "boats-v1").err


def test_every_deed_that_needs_the_verb_has_a_case() -> None:
    told = (ROOT / "charts" / "slipway" / "templates" / "admission" / "promotion.yaml").read_text()
    deeds = re.findall(r"'([a-zA-Z ]+ )' \+ (?:o|oldO)bject\.metadata", told)
    assert len(deeds) > 10
    assert not [deed for deed in deeds if not any(words.startswith(deed) for _, _, _, _, words, _ in GUARDED)]
