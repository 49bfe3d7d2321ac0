"""Where an import may read: from its registry's own server, and what its ModelRegistry allows."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from slipway.api.locations import location
from slipway.api.modelregistry import ModelRegistry
from slipway.core import lifecycle, sources

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
    Case("bucket", "no import may read there", "--serve-artifacts", "s3://bucket/m"),
    Case("azure", "nothing reads it", "--serve-artifacts", "wasbs://c@a.blob.core.windows.net/m"),
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
    entry = replace(ENTRY, location=case.location, via=case.via)
    said = sources.objection(entry, registry(**ONLY_FRAUD), case.namespace)
    assert case.says in said and bool(said) == bool(case.says), case.because


def test_files_out_of_bounds_are_refused_before_anything_is_imported() -> None:
    decision = lifecycle.decide(version_seen(version(1), model(), entry=replace(ENTRY, location="s3://bucket/m")))
    said = {one["type"]: (one["status"], one["reason"]) for one in decision.status["conditions"]}
    assert said["Resolved"] == ("False", "ArtifactForbidden")
    assert said["Stalled"] == ("True", "ArtifactForbidden")
    assert decision.acts == ()


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3://bucket", "s3://bucket/a/../b", "s3://bucket/a/%2e%2e/b", "s3://b/x?y", "s3://b/x#y", "s3://a b/c",
     "mlflow-artifacts:/1/%25252e%25252e/m", "mlflow-artifacts:/a//b", "s3://user@bucket/m", "s3://bücket/m"],
)  # fmt: skip
def test_an_address_of_which_there_is_doubt_is_none(uri: str) -> None:
    assert location(uri) is None
