"""No field is added without a line in the tables of what admission guards."""

from typing import Any

import pytest
from slipway.api.base import Value
from slipway.api.modelregistry import ModelRegistrySpec
from slipway.api.registeredmodel import RegisteredModelSpec

from tests.fields import OF_MODEL, OF_REGISTRY, leaves


@pytest.mark.parametrize(("kind", "table"), [(ModelRegistrySpec, OF_REGISTRY), (RegisteredModelSpec, OF_MODEL)])
def test_every_field_has_a_line(kind: type[Value], table: dict[str, Any]) -> None:
    """tests/integration/test_fields.py asks the API server about each of them."""
    assert set(leaves(kind)) == table.keys()
