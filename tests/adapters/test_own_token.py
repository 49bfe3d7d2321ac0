"""The operator's own token: shown to a registry only where the API server itself does not take it."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.adapters.own_token import TokenUnusable, own_token


def token(audience: object) -> str:
    """A token for somebody, as far as it is read."""
    parts = ({"alg": "RS256"}, {"aud": audience, "sub": "system:serviceaccount:slipway-system:slipway"})
    said = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts]
    return ".".join([*said, "signature"])


OURS = token(["https://kubernetes.default.svc.cluster.local", "k3s"])


@dataclass(frozen=True)
class Case:
    """What is mounted, and what is said of it; "" where it may be shown."""

    name: str
    because: str
    found: str | None
    want: str


CASES = [
    Case("another audience", "only the proxy takes it", token(["https://mlflow.example.com"]), ""),
    Case("a text", "an audience may be one word", token("mlflow"), ""),
    Case("none", "the chart mounts none by itself", None, "has no token"),
    Case("of the API server", "whoever gets it could act as the operator", OURS, "takes tokens for the audience"),
    Case("for both", "whoever gets it could act as the operator", token(["mlflow", "k3s"]), "the audience k3s"),
    Case("no token", "a file of somebody else's", "hello", "names no audience"),
    Case("for nobody", "everybody may take it", token([]), "names no audience"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_which_token_is_shown(case: Case, tmp_path: Path) -> None:
    mounted, of_the_api_server = tmp_path / "token", tmp_path / "api"
    of_the_api_server.write_text(OURS)
    if case.found is not None:
        mounted.write_text(case.found + "\n")
    if not case.want:
        assert own_token(mounted, of_the_api_server) == case.found, case.because
        return
    with pytest.raises(TokenUnusable, match=case.want):
        own_token(mounted, of_the_api_server)
