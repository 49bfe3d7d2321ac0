"""What every resource type is built from: frozen values, Kubernetes spelling, bounded scalars."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "slipway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Value(BaseModel):
    """An immutable value; spelled in camelCase outside, in snake_case inside."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, protected_namespaces=(), extra="ignore"
    )

    def wire(self) -> dict[str, Any]:
        """As Kubernetes stores it: camelCase, without what was never set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str], **schema: Any) -> ConfigDict:
    """A model config carrying CEL rules, as (rule, the sentence that a person reads when it is broken)."""
    found: Any = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": found, **schema})


def exactly_one(*members: str) -> tuple[str, str]:
    """The CEL rule of a union: one member is given, and no other."""
    present = ", ".join(f"has(self.{member})" for member in members)
    named = " or ".join(f"'{member}'" for member in members)
    return f"[{present}].filter(given, given).size() == 1", f"give exactly one of {named}"


def between(field: str, least: str, most: str) -> tuple[str, str]:
    """The CEL rule of a duration with bounds."""
    inside = f"duration(self.{field}) >= duration('{least}') && duration(self.{field}) <= duration('{most}')"
    return f"!has(self.{field}) || ({inside})", f"{field} must be between {least} and {most}"


def keyed_by(key: str) -> dict[str, Any]:
    """Schema of a list whose entries are merged by a key (`x-kubernetes-list-type: map`)."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _time(text: str) -> str:
    """The text, if it is a moment that can be reckoned with."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not 1970 <= found.year < 2200:
        raise ValueError("is not a time such as 2026-03-06T17:00:00Z")
    return text


IMMUTABLE = ("self == oldSelf", "cannot be changed: delete the object and apply it anew")

ResourceName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
ItemName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
# Slipway names Services and Deployments of its own so.
ENDINGS = (
    "-(staging|preview|v[0-9]+)$",
    "a model's name does not end in -staging, -preview or -v<number>: Services and versions are named so",
)
ModelName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$")]
Digest = Annotated[str, Field(min_length=71, max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
LONGEST_SECONDS = 20 * 365 * 86400  # a duration that is longer means for ever, and would lead to no date that there is
# What was stored before the digits were counted can be read.
Duration = Annotated[
    str,
    Field(
        max_length=20,
        pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
        min_length=2,
        json_schema_extra={"pattern": "^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$"},
    ),
]
Size = Annotated[str, Field(max_length=16, pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")]
Time = Annotated[str, Field(max_length=32), AfterValidator(_time)]  # RFC 3339
Text = Annotated[str, Field(max_length=1024)]

_DURATION = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")


def size_bytes(size: str) -> int:
    """Bytes in a size such as `20Gi`."""
    return int(size[:-2]) << {"Mi": 20, "Gi": 30, "Ti": 40}[size[-2:]]


def seconds(duration: str) -> int:
    """Seconds in a duration such as `1h30m`, at most LONGEST_SECONDS; ValueError if it is not one."""
    found = _DURATION.match(duration)
    if not found or not duration:
        raise ValueError(f"{duration!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return min(hours * 3600 + minutes * 60 + rest, LONGEST_SECONDS)
