"""Where an import may read: from its registry's own server, and what its ModelRegistry allows."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from slipway.api.locations import location
from slipway.api.modelregistry import ModelRegistry
from slipway.api.tasks import Bucket, ImportTask
from slipway.core import imports, lifecycle, sources
from slipway.core.decision import Apply

from tests.core.test_lifecycle import after, conditions, of_family
from tests.worlds import ENTRY, REGISTRY, model, version, version_seen

OWN = REGISTRY.metadata.namespace


def registry(**spec: Any) -> ModelRegistry:
    return ModelRegistry.model_validate({**REGISTRY.wire(), "spec": {**REGISTRY.spec.wire(), **spec}})


ONLY_FRAUD = {"allowedNamespaces": {"selector": {"matchLabels": {"team": "air"}}, "models": ["fraud-*"]}}


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    says: str  # "" where nothing is said
    location: str = ENTRY.location
    via: tuple[str, ...] = ()
    namespace: str = "air"


CASES = [
    Case("proxied", "the server hands it out", ""),
    Case("elsewhere", "the credential goes to one server", "artifactHosts", "mlflow-artifacts://other:5000/1/m"),
    Case("disk", "only the server has that disk", "on a disk that only", "/mlruns/1/m"),
    Case("file", "likewise", "on a disk that only", "file:///mlruns/1/m"),
    Case("bucket", "no import may read there", "artifactRoots", "s3://bucket/m"),
    Case("container", "likewise", "artifactRoots", "wasbs://models@team.blob.core.windows.net/m"),
    Case("data lake", "likewise", "artifactRoots", "abfss://models@team.dfs.core.windows.net/m"),
    Case(
        "without TLS", "MLflow's client has none", "s3, gs, wasbs, abfss", "wasb://models@team.blob.core.windows.net/m"
    ),
    Case("unknown", "nothing reads it", "s3, gs, wasbs, abfss only: let MLflow hand", "dbfs:/m"),
    Case("copy of an allowed model", "its name is allowed", "", via=("fraud-eu",)),
    Case(
        "copy of another model", "a copy is a way around the list", 'the registered model "salaries"', via=("salaries",)
    ),
    Case("through another model", "each hop counts", '"salaries"', via=("fraud-eu", "salaries")),
    Case("through nobody knows what", "it could be any", "original was deleted", via=("fraud-eu", "")),
    Case("beside the registry", "its own namespace uses all of it", "", via=("salaries",), namespace=OWN),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_where_files_may_be_read_from(case: Case) -> None:
    said = sources.objection(case.location, case.via, registry(**ONLY_FRAUD), case.namespace, "fraud-eu")
    assert case.says in said and bool(said) == bool(case.says), case.because


WASBS, ABFSS = "wasbs://models@team.blob.core.windows.net", "abfss://models@team.dfs.core.windows.net"
ROOTS = [
    {"prefix": "s3://models/air", "secretRef": {"name": "air"}, "endpoint": "https://s3.example", "region": "eu-1"},
    {"prefix": "s3://models/air/deep/", "secretRef": {"name": "deep"}},
    {"prefix": "gs://whole-bucket"},
    {"prefix": "s3://models/air/secret", "models": ["fraud-*"]},
    {"prefix": f"{WASBS}/air", "secretRef": {"name": "azure"}},
    {"prefix": f"{ABFSS}/air/secret%20plans/", "models": ["fraud-*"]},
    {"prefix": f"{WASBS}/dev", "endpoint": "http://azurite:10000/team"},
]
ROOTED = registry(backend={"mlflow": {"uri": "http://mlflow:5000", "artifactRoots": ROOTS}})


@pytest.mark.parametrize(
    ("where", "root"),
    [
        ("s3://models/air", "s3://models/air"),
        ("s3://models/air/m 1", "s3://models/air"),
        ("s3://models/air/deep/m", "s3://models/air/deep/"),
        ("s3://models/air/deeper/m", "s3://models/air"),
        ("gs://whole-bucket/m", "gs://whole-bucket"),
        ("s3://models/air/secret/m", "s3://models/air/secret"),
        ("s3://models/airx/m", ""),
        ("s3://models/AIR/m", ""),
        ("s3://models/air/../secrets", ""),
        ("s3://models/air/%2e%2e/secrets", ""),
        ("s3://models/air/%252e%252e/secrets", ""),
        ("s3://models/secrets", ""),
        ("s3://modelsx/air/m", ""),
        ("s3://whole-bucket/m", ""),
        ("gs://models/air/m", ""),
        ("S3://models/air?versionId=1", ""),
        ("s3://user@models/air/m", ""),
        (f"{WASBS}/air/m 1", f"{WASBS}/air"),
        (f"{ABFSS}/air/m", f"{WASBS}/air"),
        (f"{ABFSS}/air/secret%20plans/m", f"{ABFSS}/air/secret%20plans/"),
        (f"{ABFSS}/air/secret plans/m", f"{ABFSS}/air/secret%20plans/"),
        (f"{WASBS}/air/secret plans/m", f"{ABFSS}/air/secret%20plans/"),
        (f"{WASBS}/air/secret%20plans/m", f"{WASBS}/air"),
        (f"{ABFSS}/air%2Fsecret%20plans/m", f"{ABFSS}/air/secret%20plans/"),
        (f"{ABFSS}/air/%2e%2e/m", ""),
        (f"{WASBS}/airx/m", ""),
        (f"{WASBS}/m", ""),
        ("wasbs://other@team.blob.core.windows.net/air/m", ""),
        ("wasbs://models@other.blob.core.windows.net/air/m", ""),
        ("wasbs://models@team.blob.core.windows.net.example/air/m", ""),
        ("wasbs://models@team.blob.core.windows.net:443/air/m", ""),
        ("wasbs://models@evil.example@team.blob.core.windows.net/air/m", ""),
        ("wasbs://models:key@team.blob.core.windows.net/air/m", ""),
        ("wasbs://models@TEAM.blob.core.windows.net/air/m", ""),
        ("wasb://models@team.blob.core.windows.net/air/m", ""),
        ("abfs://models@team.dfs.core.windows.net/air/m", ""),
        ("s3://models@team.blob.core.windows.net/air/m", ""),
    ],
)
def test_a_root_covers_what_lies_in_it_and_nothing_else(where: str, root: str) -> None:
    found = sources.root_of(where, ROOTED)
    assert (found.prefix if found else "") == root
    assert bool(sources.out_of_bounds(where, ROOTED, "fraud-eu")) == (not root)


def test_the_deepest_root_says_whose_files_may_lie_there() -> None:
    where = "s3://models/air/secret/m"
    said = sources.out_of_bounds(where, ROOTED, "flights")
    assert "s3://models/air/secret, which is for the registered models fraud-* and not for " in said
    assert '"flights"' in said and "artifactRoots" in said
    assert sources.out_of_bounds("s3://models/air/m", ROOTED, "flights") == ""


def test_a_model_does_not_get_the_files_of_others_by_naming_their_folder() -> None:
    entry = replace(ENTRY, location="s3://models/air/secret/m")
    decision = lifecycle.decide(version_seen(version(1), model(), entry=entry, registry=ROOTED))
    assert conditions(decision)["Resolved"] == ("False", "ArtifactForbidden") and decision.acts == ()


def test_a_root_that_becomes_one_of_others_stops_the_imports_that_need_it() -> None:
    entry = replace(ENTRY, location="s3://models/air/m")
    seen = version_seen(version(1), model(), entry=entry, registry=ROOTED)
    later = after(seen, lifecycle.decide(seen))
    others = [{"prefix": "s3://models/air", "models": ["fraud-*"]}]
    now = registry(backend={"mlflow": {"uri": "http://mlflow:5000", "artifactRoots": others}})
    decision = lifecycle.decide(of_family(later, registry=now))
    assert conditions(decision)["Imported"] == ("False", "ArtifactForbidden") and decision.acts == ()


def test_data_of_a_run_is_not_brought_to_who_may_read_some_models_only() -> None:
    """Neither beside the files nor by an import of its own, once the files are there."""
    policy = {"validation": {"data": {"uri": "runs:/0a1b2c/holdout.parquet", "target": "y"}}}
    elsewhere = registry(**ONLY_FRAUD)
    elsewhere = elsewhere.model_copy(update={"metadata": elsewhere.metadata.model_copy(update={"namespace": "other"})})
    seen = version_seen(version(1), model(policy), registry=elsewhere)
    decision = lifecycle.decide(seen)
    (made,) = [one.manifest for one in decision.acts if isinstance(one, Apply)]
    task = ImportTask.model_validate_json(made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    assert task.source and task.data_uri is None
    step = imports.data_step(after(seen, decision))
    assert step is not None and step.verdict.reason == "ArtifactForbidden" and step.acts == ()
    allowed = imports.data_step(after(seen, decision, registry=REGISTRY))
    assert allowed is not None and allowed.verdict.reason == "ImportRunning" and allowed.acts


@pytest.mark.parametrize(
    ("spec", "namespace", "refused"),
    [({}, "air", False), (ONLY_FRAUD, "air", True), (ONLY_FRAUD, OWN, False)],
    ids=["all models", "some models", "beside the registry"],
)
def test_who_may_read_some_models_only_takes_no_data_from_runs(
    spec: dict[str, Any], namespace: str, refused: bool
) -> None:
    said = sources.runs_forbidden(registry(**spec), namespace)
    assert ("keep the data at an s3:// or https:// address" in said) == refused == bool(said)


def test_a_bucket_is_read_as_its_root_says() -> None:
    entry = replace(ENTRY, location="s3://models/air/m", mlmodel_digest=None)
    seen = version_seen(version(1), model(), entry=entry, registry=ROOTED)
    (made,) = [one.manifest for one in lifecycle.decide(seen).acts if isinstance(one, Apply)]
    task = ImportTask.model_validate_json(made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    assert (task.source, task.mlmodel_digest) == ("s3://models/air/m", None)
    assert task.bucket == Bucket(endpoint="https://s3.example", region="eu-1")


@pytest.mark.parametrize(
    ("where", "endpoint"),
    [
        ("gs://whole-bucket/m", "https://storage.googleapis.com"),
        (f"{WASBS}/air/m", "https://team.blob.core.windows.net"),
        (f"{ABFSS}/air/m", "https://team.blob.core.windows.net"),
        (f"{ABFSS}/dev/m", "http://azurite:10000/team"),
    ],
)
def test_a_bucket_is_asked_for_where_its_cloud_has_it_unless_the_root_says_otherwise(where: str, endpoint: str) -> None:
    found = sources.bucket_of(where, ROOTED)
    assert found is not None and found.endpoint == endpoint


def test_a_root_that_is_taken_away_stops_the_imports_that_need_it() -> None:
    entry = replace(ENTRY, location="s3://models/air/m")
    seen = version_seen(version(1), model(), entry=entry, registry=ROOTED)
    later = after(seen, lifecycle.decide(seen))
    decision = lifecycle.decide(of_family(later, registry=REGISTRY))
    said = conditions(decision)
    assert said["Resolved"] == ("True", "Registered") and said["Imported"] == ("False", "ArtifactForbidden")
    assert decision.acts == ()


@pytest.mark.parametrize(("via", "stops"), [(("fraud-eu",), False), (("fraud-eu", "salaries"), True)])
def test_a_model_that_may_be_used_no_longer_stops_the_imports_of_what_was_copied_from_it(
    via: tuple[str, ...], stops: bool
) -> None:
    elsewhere = REGISTRY.model_copy(update={"metadata": REGISTRY.metadata.model_copy(update={"namespace": "other"})})
    seen = version_seen(version(1), model(), entry=replace(ENTRY, via=via), registry=elsewhere)
    later = after(seen, lifecycle.decide(seen))
    spec = elsewhere.spec.model_copy(update={"allowed_namespaces": registry(**ONLY_FRAUD).spec.allowed_namespaces})
    decision = lifecycle.decide(of_family(later, registry=elsewhere.model_copy(update={"spec": spec})))
    assert (conditions(decision)["Imported"][1] == "ArtifactForbidden") == stops
    assert bool(decision.acts) != stops


def test_files_out_of_bounds_are_refused_before_anything_is_imported() -> None:
    decision = lifecycle.decide(version_seen(version(1), model(), entry=replace(ENTRY, location="s3://bucket/m")))
    said = conditions(decision)
    assert said["Resolved"] == ("False", "ArtifactForbidden")
    assert said["Stalled"] == ("True", "ArtifactForbidden")
    assert decision.acts == ()


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3://bucket", "s3://bucket/a/../b", "s3://bucket/a/%2e%2e/b", "s3://b/x?y", "s3://b/x#y", "s3://a b/c",
     "mlflow-artifacts:/1/%25252e%25252e/m", "mlflow-artifacts:/a//b", "s3://user@bucket/m", "s3://bücket/m",
     "wasbs://models/m", "wasbs://models@team/m", "wasbs://@team.blob.core.windows.net/m", f"{WASBS}", f"{WASBS}/a/../b",
     "abfss://models@team.example/m", f"{ABFSS}/%2Fa", f"{ABFSS}/a%2F..%2Fb", f"{ABFSS}/a%252F..%252Fb", f"{ABFSS}/a%00"],
)  # fmt: skip
def test_an_address_of_which_there_is_doubt_is_none(uri: str) -> None:
    assert location(uri) is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        (f"{ABFSS}/my%20models/50%25", "my models/50%"),
        (f"{ABFSS}/my models/what%3F", "my models/what?"),
        (f"{ABFSS}/100%2525", "100%25"),
        (f"{WASBS}/my%20models", "my%20models"),
        ("s3://bucket/my%20models", "my%20models"),
    ],
)
def test_an_address_that_is_written_down_is_the_same_when_it_is_read_again(uri: str, path: str) -> None:
    """MLflow's client undoes percent signs in addresses of data lakes, once."""
    found = location(uri)
    assert found is not None and found.path == path
    assert location(str(found)) == found
