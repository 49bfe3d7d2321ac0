"""What Argo CD makes of an object, by the health checks of docs/gitops.md in the Lua that it has."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime

from tests.pages import ROOT, Block, blocks

GITOPS = ROOT / "docs" / "gitops.md"


def documents() -> list[tuple[Block, dict[str, Any]]]:
    """The manifests of the page, each with the block that it is in."""
    manifests = [block for block in blocks(GITOPS) if block.language == "yaml"]
    return [(block, one) for block in manifests for one in yaml.safe_load_all(block.text)]


@cache
def scripts() -> dict[str, str]:
    """The health checks, by kind."""
    prefix = "resource.customizations.health.slipway.dev_"
    (found,) = (one["data"] for _, one in documents() if one["metadata"]["name"] == "argocd-cm")
    return {key.removeprefix(prefix): script for key, script in found.items() if key.startswith(prefix)}


def health(found: Mapping[str, Any]) -> tuple[str, str]:
    """Health and message of an object of ours."""
    lua = LuaRuntime(register_eval=False)
    lua.globals().obj = lua.table_from(found, recursive=True)
    answer = lua.execute(scripts()[found["kind"]])
    return str(answer.status), str(answer.message)
