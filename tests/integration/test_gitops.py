"""The manifests of the GitOps page, tried on a real API server with the definitions of Argo CD and Flux."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.argocd import GITOPS, documents
from tests.pages import blocks

from .conftest import Kubectl

DEFINITIONS = Path(__file__).parent / "gitops"


@pytest.fixture(scope="module")
def tools(cluster: Kubectl) -> Kubectl:
    """A cluster that knows what Argo CD and Flux are told."""
    cluster.must("apply", "--server-side", "--filename", str(DEFINITIONS))
    cluster.must("wait", "--for=condition=Established", "--timeout=30s", "--filename", str(DEFINITIONS))
    for one in ("argocd", "slipway-system", "ml"):
        cluster.ask("create", "namespace", one)  # another test may have made it
    return cluster


@pytest.mark.parametrize(
    "manifest", [pytest.param(one, id=f"{block.where}: {one['kind']}") for block, one in documents()]
)
def test_the_api_server_takes(manifest: dict[str, Any], tools: Kubectl) -> None:
    answer = tools.ask("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=manifest)
    assert (answer.code, answer.err) == (0, ""), answer.err


def test_the_health_checks_are_added_to_what_argo_cd_is_told_already(tools: Kubectl, tmp_path: Path) -> None:
    block, manifest = next((block, one) for block, one in documents() if one["metadata"]["name"] == "argocd-cm")
    argocd = tools.within("argocd")
    argocd.must("create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
    (tmp_path / "argocd-health.yaml").write_text(block.text)
    (command,) = (one.text for one in blocks(GITOPS) if "argocd-health.yaml" in one.text and one.language == "sh")
    _, *words = shlex.split(command.replace("argocd-health.yaml", str(tmp_path / "argocd-health.yaml")))
    argocd.must(*words)
    assert argocd.object("configmap", "argocd-cm")["data"] == manifest["data"] | {"url": "https://argocd.example.com"}


def test_it_refuses_a_field_that_does_not_exist(tools: Kubectl) -> None:
    """Or the test above would say nothing."""
    for _, manifest in documents():
        if manifest["kind"] in ("Application", "HelmRelease", "Kustomization", "GitRepository"):
            wrong = manifest | {"spec": manifest["spec"] | {"misspelt": True}}
            answer = tools.ask("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=wrong)
            assert 'unknown field "spec.misspelt"' in answer.err
