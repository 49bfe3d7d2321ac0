"""Every field of a ModelRegistry needs the verb `configure`, every field of a RegisteredModel `promote`: one by one.

What a label in the registry may do hangs on all of them. The tables follow the types.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fields import MODEL, OF_MODEL, OF_REGISTRY, REGISTRY, change

from .asking import binding, in_force, patch, served, tried
from .conftest import Kubectl
from .control_plane import until

WRITER, PLATFORM, PROMOTER = "writer", "platform", "promoter"  # one without a verb, and one with each
WRITES = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "writes"},
    "rules": [
        {"apiGroups": ["slipway.dev"], "resources": ["registeredmodels", "modelregistries"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},  # those that a model names
    ],
}


@pytest.fixture(scope="module")
def fields(guarded: Kubectl) -> Kubectl:
    """A namespace with a registry, a model, and people who may patch them."""
    kubectl = served(guarded, "fields")
    rights = [WRITES, *(binding("writes", who, "Role") for who in (WRITER, PLATFORM, PROMOTER))]
    verbs = [binding("slipway-platform", PLATFORM), binding("slipway-promoter", PROMOTER)]
    kubectl.must("apply", "--server-side", "--filename=-", stdin=[*rights, *verbs, REGISTRY, MODEL])
    for what, who in (("mreg/mlflow", PLATFORM), ("rmodel/flights", PROMOTER)):
        action = patch(what, spec={"suspend": True})
        in_force(kubectl, WRITER, action)
        until("the verb has arrived", lambda who=who, action=action: not tried(kubectl, who, action).code, 30)
    return kubectl


@pytest.mark.parametrize(
    ("what", "verb", "who", "table"),
    [("mreg/mlflow", "configure", PLATFORM, OF_REGISTRY), ("rmodel/flights", "promote", PROMOTER, OF_MODEL)],
)
def test_each_field_needs_the_verb(fields: Kubectl, what: str, verb: str, who: str, table: dict[str, Any]) -> None:
    asked = [patch(what, spec=change(path, value)) for path, value in table.items()]
    with ThreadPoolExecutor(4) as pool:
        refusals = list(pool.map(lambda action: tried(fields, WRITER, action).err, asked))
        errors = list(pool.map(lambda action: tried(fields, who, action).err, asked))
    open_to_all = [path for path, said in zip(table, refusals, strict=True) if f"needs the verb {verb}" not in said]
    assert not open_to_all, refusals
    assert not any(errors), "whoever has the verb may change it"
