"""From a pydantic type to a structural OpenAPI schema: no references, no nulls, nothing without words or bounds."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

# What a structural schema may carry, in the order in which it is written.
KEYWORDS = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "anyOf",
    "items",
    "additionalProperties",
    "properties",
)
_BOUND = {"string": "maxLength", "array": "maxItems"}


class Incomplete(Exception):
    """A type lacks something that its schema must say; the message names the field."""


def structural(kind: type[BaseModel], path: str, *, defaults: bool) -> Schema:
    """The schema of a type, where `path` is the field that it becomes.

    Without `defaults` the server fills in nothing: a status must not say what nobody has written.
    """
    raw = kind.model_json_schema(by_alias=True)
    found = _Structure(raw.get("$defs", {}), defaults).of(raw, path)
    problems = list(_incomplete(found, path))
    if problems:
        raise Incomplete("\n".join(problems))
    return found


class _Structure:
    """Rewrites what pydantic emits, with the definitions that its references point to."""

    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self.definitions = definitions
        self.defaults = defaults

    def of(self, raw: Schema, path: str) -> Schema:
        """The structural form of one schema and of all below it."""
        node = self._flat(raw)
        if "const" in node:
            node["enum"] = [node.pop("const")]
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if exclusive in node:
                node[bound] = node.pop(exclusive)
                node[exclusive] = True
        if "properties" in node:
            node["properties"] = {name: self.of(one, f"{path}.{name}") for name, one in node["properties"].items()}
        if "items" in node:
            node["items"] = self.of(node["items"], f"{path}[]")
        if isinstance(node.get("additionalProperties"), dict):
            node["additionalProperties"] = self.of(node["additionalProperties"], f"{path}{{}}")
            _bound_keys(node)
        else:
            node.pop("additionalProperties", None)
        self._settle_default(node)
        if not node.get("properties"):
            node.pop("properties", None)  # the API server drops an empty one: who compares would see a difference
        unknown = sorted(node.keys() - set(KEYWORDS))
        if unknown:
            raise Incomplete(f"{path}: a structural schema has no {', '.join(unknown)}")
        return {keyword: node[keyword] for keyword in KEYWORDS if keyword in node}

    def _flat(self, raw: Schema) -> Schema:
        """One level without `$ref`, `anyOf` null and titles; what stands outside wins over what is referred to."""
        node = {key: value for key, value in raw.items() if key not in ("title", "$defs")}
        if "$ref" in node:
            target = self.definitions[node.pop("$ref").rsplit("/", 1)[1]]
            return {**self._flat(target), **node}
        if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
            given = [one for one in node.pop("anyOf") if one != {"type": "null"}]
            if len(given) == 1:
                return {**self._flat(given[0]), **node}
            raise Incomplete(f"a field is one of several types, which a schema cannot say: {given}")
        return node

    def _settle_default(self, node: Schema) -> None:
        if "default" not in node:
            return
        default = _least(node["default"], node)
        if not self.defaults or default is None or default in ("", []):
            del node["default"]
        else:
            node["default"] = default


def _least(default: Any, node: Schema) -> Any:
    """A default without what the defaults below it fill in anyway."""
    if not isinstance(default, dict) or "properties" not in node:
        return default
    required = node.get("required", ())
    kept = {}
    for name, given in default.items():
        child = node["properties"][name]
        value = _least(given, child)
        if value is None or value in ("", []) or (name not in required and value == child.get("default")):
            continue
        kept[name] = value
    return kept


def _bound_keys(node: Schema) -> None:
    """Bounds on a map's keys, as rules: a structural schema has no `propertyNames`."""
    names = node.pop("propertyNames", {})
    rules = list(node.get("x-kubernetes-validations", ()))
    if "maxLength" in names:
        most = names["maxLength"]
        rules.append(
            {"rule": f"self.all(key, key.size() <= {most})", "message": f"a key has at most {most} characters"}
        )
    if rules:
        node["x-kubernetes-validations"] = rules


def _incomplete(node: Schema, path: str) -> Iterator[str]:
    """What is missing, field by field."""
    if not node.get("description") and not path.endswith(("[]", "{}")):
        yield f"{path}: no description; give its Field one, or its type a docstring"
    bound = _BOUND.get(node.get("type", "string"))  # integer-or-string has no type
    if bound and bound not in node and "enum" not in node:
        yield f"{path}: no {bound}, without which CEL rules cost too much"
    if "additionalProperties" in node and "maxProperties" not in node:
        yield f"{path}: no maxProperties, without which CEL rules cost too much"
    for name, child in node.get("properties", {}).items():
        yield from _incomplete(child, f"{path}.{name}")
    if "items" in node:
        yield from _incomplete(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from _incomplete(node["additionalProperties"], f"{path}{{}}")
