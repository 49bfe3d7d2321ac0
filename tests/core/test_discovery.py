"""Discovery: which registered models get objects, by which name, and why the others get none."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import TypeAdapter
from slipway.api.base import ENDINGS, ModelName
from slipway.api.modelregistry import ModelRegistry
from slipway.core import discovery, promotion
from slipway.core.decision import Create, Ref, Refusal
from slipway.core.discovery import Around, Present
from slipway.core.registry import Labels
from slipway.core.snapshot import Labelled
from slipway.resources import naming

from tests.worlds import model, model_seen, version

ALL = {"namespace": "models", "models": ["*"]}
PLACE = "platform/mlflow"
ALLOWED = {"selector": {"matchLabels": {"team": "a"}}}
TEAM_A = {"team": "a"}


def registry(discovers: dict[str, Any] | None = None, **spec: Any) -> ModelRegistry:
    """A ModelRegistry of the platform team, with discovery in another namespace unless something else is said."""
    meta = {"name": "mlflow", "namespace": "platform", "generation": 1}
    found = {"backend": {"mlflow": {"uri": "http://mlflow:5000"}}, "allowedNamespaces": ALLOWED, **spec}
    return ModelRegistry.model_validate({"metadata": meta, "spec": found | {"discovery": discovers or ALL}})


def present(name: str, registered: str | None = None, made: bool = False, namespace: str = "models") -> Present:
    return Present(namespace, name, name if registered is None else registered, made)


@dataclass(frozen=True)
class Name:
    """A registered model, and the name of its object."""

    registered: str
    because: str
    want: str


NAMES = [
    Name("flights", "it is one already", "flights"),
    Name("Flight Air Time", "a Service's name has no capitals and no spaces", "flight-air-time"),
    Name("fraud_detection.v2", "nor underscores and dots", "fraud-detection-v2-model"),
    Name("  -- flights --  ", "it begins with a letter and ends with one or a digit", "flights"),
    Name("Prévision Été", "an accent is dropped, the letter stays", "prevision-ete"),
    Name("Straße", "as does what is written otherwise", "strasse"),
    Name("3d-shapes", "it begins with a letter", "model-3d-shapes"),
    Name("2026", "it begins with a letter", "model-2026"),
    Name("flights-v2", "versions are named so", "flights-v2-model"),
    Name("flights staging", "Services of Slipway are named so", "flights-staging-model"),
    Name("m" * 40, "40 characters are what a Service leaves room for", "m" * 40),
    Name("m" * 41, "what is cut off is told apart by a hash", f"{'m' * 29}-{naming.short_hash('m' * 41)}"),
    Name("航班", "letters that nothing stands for are told apart by a hash", f"model-{naming.short_hash('航班')}"),
    Name("航班 eu", "also where some are left", f"eu-{naming.short_hash('航班 eu')}"),
    Name("!?", "marks are no letters", "model"),
]  # fmt: skip


@pytest.mark.parametrize("case", NAMES, ids=lambda case: case.registered)
def test_the_name_of_a_model_is_one_that_kubernetes_takes(case: Name) -> None:
    assert naming.model(case.registered) == case.want, case.because


@pytest.mark.parametrize("case", NAMES, ids=lambda case: case.registered)
def test_every_name_is_one_of_a_model_and_of_its_versions(case: Name) -> None:
    name = TypeAdapter(ModelName).validate_python(naming.model(case.registered))
    assert not re.search(ENDINGS[0], name)


@dataclass(frozen=True)
class Found:
    """Whether a registered model is one that discovery is about."""

    name: str
    because: str
    want: bool
    stages: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    discovers: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


FOUND = [
    Found("stage", "a version is in Production", True, stages=("Production",)),
    Found("alias", "a version has the alias of Staging", True, aliases=("challenger",)),
    Found("archived", "nobody asks for what is out of use", False, stages=("Archived",)),
    Found("other alias", "an alias of somebody's own means nothing", False, aliases=("best",)),
    Found("other stage", "only Production was chosen", False, stages=("Staging",), discovers={"stages": ["Production"]}),
    Found("pattern", "its name matches", True, stages=("Staging",), discovers={"models": ["x-*", "pat*"]}),
    Found("no pattern", "its name does not", False, stages=("Staging",), discovers={"models": ["x-*"]}),
    Found("other mapping", "the registry's own labels count", True, aliases=("live",),
          spec={"stages": {"Production": {"alias": "live"}}}),
    Found("no stages", "a side of the mapping that is off is no label", False, stages=("Production",),
          spec={"stages": {"Production": {"alias": "live"}}}),
    Found("allowed", "the namespace may use it", True, stages=("Staging",),
          spec={"allowedNamespaces": {**ALLOWED, "models": ["all*"]}}),
    Found("forbidden", "the namespace may not use it", False, stages=("Staging",),
          spec={"allowedNamespaces": {**ALLOWED, "models": ["all*"]}}),
    Found("own", "the registry's own namespace may use all", True, stages=("Staging",),
          discovers={"namespace": "platform"}, spec={"allowedNamespaces": {**ALLOWED, "models": ["all*"]}}),
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)
def test_discovery_is_about_labelled_models_by_their_names(case: Found) -> None:
    asked = registry(ALL | case.discovers, **case.spec)
    listed = [Labelled(case.name, frozenset(case.stages), frozenset(case.aliases))]
    assert (discovery.found(asked, listed) == (case.name,)) is case.want, case.because


def test_without_discovery_nothing_is_found_and_nothing_is_told() -> None:
    off = ModelRegistry.model_validate(registry().wire() | {"spec": registry().spec.wire() | {"discovery": None}})
    assert discovery.found(off, [Labelled("a", frozenset({"Production"}), frozenset())]) == ()
    assert discovery.decide(off, (), Around()) == discovery.Discovered()


@dataclass(frozen=True)
class Case:
    """What is found and what is there, and what is made of it."""

    name: str
    because: str
    found: tuple[str, ...]
    there: tuple[Present, ...]
    makes: dict[str, str]  # registered models by the name of the RegisteredModel
    reason: str = "ModelsDiscovered"
    says: tuple[str, ...] = ()
    limit: int = 100


CASES = [
    Case("new", "nobody has declared it", ("Flights", "trains"), (), {"flights": "Flights", "trains": "trains"}),
    Case("made", "it is there", ("Flights",), (present("flights", "Flights", made=True),), {},
         says=("1 registered models", "1 were made in the namespace models, 0 are declared")),
    Case("declared", "Git has declared it by a name of its own", ("Flights",), (present("planes", "Flights"),), {},
         says=("0 were made", "1 are declared")),
    Case("declared elsewhere", "one RegisteredModel is enough", ("Flights",),
         (present("planes", "Flights", namespace="air"),), {}),
    Case("two of one name", "neither has more of a right to it", ("Flights", "flights", "trains"), (),
         {"trains": "trains"}, "NamesCollide", ('"Flights" and "flights" would all be flights',)),
    Case("three of one name", "all are named", ("A b", "a-b", "a_b"), (), {}, "NamesCollide",
         ('"A b", "a-b" and "a_b" would all be a-b',)),
    Case("one of two declared", "the other may have the name", ("Flights", "flights"), (present("planes", "Flights"),),
         {"flights": "flights"}),
    Case("name taken", "the name is that of another model", ("Flights",), (present("flights", "flights"),), {},
         "NamesCollide", ('"Flights" would be flights, which is the RegisteredModel of "flights"',)),
    Case("name taken by another registry", "it is not this registry's", ("Flights",), (present("flights", ""),), {},
         "NamesCollide", ("the RegisteredModel of another registry",)),
    Case("name taken elsewhere", "names belong to a namespace", ("Flights",),
         (present("flights", "flights", namespace="air"),), {"flights": "Flights"}),
    Case("limit", "no more than that", ("a", "b", "c"), (), {"a": "a", "b": "b"}, "DiscoveryLimited",
         ("1 more registered models have labels; spec.discovery.limit is 2.",), limit=2),
    Case("limit reached", "what was made before counts", ("a", "b"), (present("old", made=True),), {"a": "a"},
         "DiscoveryLimited", limit=2),
    Case("limit lowered", "nothing is deleted", ("a",), (present("a", made=True), present("b", made=True)), {},
         limit=1),
    Case("label lost", "nothing is deleted, and people are told", (), (present("a", made=True),), {},
         says=('1 that were made have such labels no longer, and stay: "a".',)),
    Case("an empty registry", "nothing is deleted", (), (present("a"), present("b", made=True)), {}),
]  # fmt: skip


def made(decided: discovery.Discovered) -> dict[str, str]:
    return {act.manifest["metadata"]["name"]: act.manifest["spec"]["source"]["name"] for act in decided.acts}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_discovery_makes_what_is_absent(case: Case) -> None:
    decided = discovery.decide(registry(ALL | {"limit": case.limit}), case.found, Around(case.there, TEAM_A))
    assert decided.verdict is not None
    assert (made(decided), str(decided.verdict.reason)) == (case.makes, case.reason), case.because
    assert all(words in decided.verdict.message for words in case.says), decided.verdict.message
    assert decided.made == sum(one.made for one in case.there)


def test_what_is_made_says_where_it_is_registered_and_nothing_else() -> None:
    (act,) = discovery.decide(registry(), ("Flights",), Around((), TEAM_A)).acts
    assert act.manifest == {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "RegisteredModel",
        "metadata": {"name": "flights", "namespace": "models", "annotations": {"slipway.dev/discovered": PLACE}},
        "spec": {"source": {"registryRef": {"name": "mlflow", "namespace": "platform"}, "name": "Flights"}},
    }


def test_a_thousand_models_are_made_in_several_passes_and_what_is_refused_holds_up_nobody() -> None:
    found = tuple(f"m{number:03}" for number in range(100))
    ref = Ref("slipway.dev/v1alpha1", "RegisteredModel", "models", "m000")
    refusal = Refusal(ref, "QuotaExceeded", "RegisteredModel m000: exceeded quota")
    decided = discovery.decide(registry(), found, Around((), TEAM_A, refusals={ref: refusal}))
    assert (len(decided.acts), "m000" in made(decided)) == (discovery.AT_ONCE, False)
    assert decided.verdict is not None
    assert (decided.verdict.reason, "exceeded quota" in decided.verdict.message) == ("QuotaExceeded", True)


@pytest.mark.parametrize(
    ("around", "says"),
    [
        (Around((), {"team": "b"}), "spec.allowedNamespaces does not select the namespace models"),
        (Around((), TEAM_A, served=False), "lacks the label slipway.dev/models=true"),
    ],
    ids=["not allowed", "not served"],
)
def test_nothing_is_made_where_nobody_allows_it(around: Around, says: str) -> None:
    decided = discovery.decide(registry(), ("Flights",), around)
    assert (decided.acts, decided.verdict and decided.verdict.reason) == ((), "DiscoveryNotAllowed")
    assert decided.verdict is not None and says in decided.verdict.message


def test_the_registrys_own_namespace_needs_no_leave() -> None:
    decided = discovery.decide(registry(ALL | {"namespace": "platform"}, allowedNamespaces=None), ("a",), Around())
    assert made(decided) == {"a": "a"}


def test_while_nobody_knows_what_the_registry_has_nothing_is_made() -> None:
    decided = discovery.decide(registry(), None, Around((), TEAM_A))
    assert (decided.acts, decided.verdict and decided.verdict.status) == ((), "Unknown")


LABELS = {
    1: Labels("Production", (), {}),
    2: Labels("Production", (), {}),
    3: Labels("None", ("champion",), {}),
    4: Labels("Staging", (), {}),
    5: Labels("Archived", (), {}),
    6: Labels("None", ("best",), {}),
}


@pytest.mark.parametrize(
    ("discovers", "because", "want"),
    [
        ({}, "the highest of each stage, and who has its alias", {2, 3, 4}),
        ({"stages": ["Staging"]}, "only Staging was chosen", {4}),
        ({"namespace": "elsewhere"}, "discovery is about another namespace", set()),
        ({"models": ["x-*"]}, "discovery is about other models", set()),
    ],
)
def test_the_versions_of_a_model_that_have_a_label_are_to_be_seen(
    discovers: dict[str, Any], because: str, want: set[int]
) -> None:
    seen = model_seen((), of=model(), labels=LABELS, registry=registry(ALL | {"namespace": "ml"} | discovers))
    assert discovery.versions(seen) == want, because


def test_they_are_made_without_a_stage_unless_somebody_declared_them() -> None:
    seen = model_seen(
        (version(3, "Staging"),),
        of=model(),
        labels=LABELS,
        registry=registry(ALL | {"namespace": "ml"}),
    )
    acts = [one.manifest for one in promotion.decide(seen).acts if isinstance(one, Create)]
    assert [one["spec"] for one in acts] == [{"model": "flights", "version": number} for number in (4, 2)]
    assert all(one["metadata"]["ownerReferences"][0]["kind"] == "RegisteredModel" for one in acts)
    assert all(one["metadata"]["annotations"] == {"slipway.dev/discovered": "true"} for one in acts)
