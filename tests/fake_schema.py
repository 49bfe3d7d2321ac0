"""What the schemas of Slipway's own kinds say of an object: the defaults of what is left out, and what cannot be."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from slipway.adapters.errors import Rejected

CRDS = Path(__file__).parents[1] / "crds"
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
}  # fmt: skip
Schema = dict[str, Any]


@cache
def schemas() -> dict[str, Schema]:
    """Schema of spec and status, by kind."""
    found = [yaml.safe_load(path.read_text())["spec"] for path in CRDS.glob("*.yaml")]
    return {one["names"]["kind"]: one["versions"][0]["schema"]["openAPIV3Schema"] for one in found}


def defaulted(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """The object with the defaults of what it leaves out; as it is where no schema is known."""
    schema = schemas().get(kind)
    return _defaulted(schema, found) if schema else found


def _defaulted(schema: Schema, value: Any) -> Any:
    if isinstance(value, list):
        items = schema.get("items", {})
        return [_defaulted(items, one) for one in value] if _has_defaults(items) else value
    if not isinstance(value, dict):
        return value
    result = value
    for key, inner in schema.get("properties", {}).items():
        if key in value:
            if isinstance(value[key], dict | list) and (made := _defaulted(inner, value[key])) is not value[key]:
                result = {**result, key: made}
        elif "default" in inner:
            result = {**result, key: _defaulted(inner, inner["default"])}
    return result


def _has_defaults(schema: Schema) -> bool:
    return "default" in str(schema)


def check_declared(kind: str, name: str, asked: dict[str, Any]) -> None:
    """Rejected where the schema of the kind has no such field, or another type there."""
    schema = schemas().get(kind)
    for part in ("spec", "status") if schema else ():
        if part in asked and schema and (wrong := _undeclared(schema["properties"][part], asked[part], f".{part}")):
            raise Rejected(f"failed to create typed patch object ({name}; Kind={kind}): {wrong}")


def _undeclared(schema: Schema, value: Any, path: str) -> str:
    wanted = TYPES.get(schema.get("type", ""))
    if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
        return f"{path}: expected {schema['type']}, got {value}"
    if isinstance(value, list):
        return next((wrong for one in value if (wrong := _undeclared(schema.get("items", {}), one, path))), "")
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return ""
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    for key, one in value.items():
        inner = properties.get(key, more)
        if inner is None:
            return f"{path}.{key}: field not declared in schema" if properties else ""
        if isinstance(inner, dict) and (wrong := _undeclared(inner, one, f"{path}.{key}")):
            return wrong
    return ""
