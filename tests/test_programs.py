"""The pins of the local cluster's programs."""

import re
from pathlib import Path

import pytest

MODULES = Path(__file__).parents[1] / "dev" / "cluster" / "modules"
WITH_KUBERNETES = ("etcd", "containerd", "coredns", "helm", "distribution")
# Modules of which much is compiled.
HEAVY = re.compile(
    r"k8s\.io/(api|apimachinery|client-go|apiserver|klog/v2|kube-openapi)$"
    r"|sigs\.k8s\.io/(kustomize/.*|structured-merge-diff/.*)$"
    r"|google\.golang\.org/(grpc|protobuf)$"
    r"|golang\.org/x/(net|sys|crypto|text)$"
    r"|go\.opentelemetry\.io/otel(/.*)?$"
    r"|github\.com/prometheus/(client_golang|common|procfs)$"
)


def pins(module: str) -> dict[str, str]:
    """Versions by module path."""
    return dict(re.findall(r"^\s*(?:require )?(\S+) (v\S+)", (MODULES / module / "go.mod").read_text(), re.MULTILINE))


@pytest.mark.parametrize("module", WITH_KUBERNETES)
def test_what_a_program_shares_with_kubernetes_is_compiled_once(module: str) -> None:
    kubernetes = pins("kubernetes")
    shared = {path: version for path, version in pins(module).items() if HEAVY.match(path) and path in kubernetes}
    assert shared, "nothing is shared: are the go.mod files still read?"
    assert {path: (version, kubernetes[path]) for path, version in shared.items() if version != kubernetes[path]} == {}
