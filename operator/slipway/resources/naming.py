"""Names of everything that Slipway makes: deterministic, so that asking twice makes one."""

import hashlib
import json
import re
import unicodedata
from typing import Any

from ..api import names
from ..api.base import API_VERSION, ENDINGS
from ..api.meta import Meta

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
LONGEST = 40  # characters of a model's name
NOBODY = "none"  # version that a Service selects while the model serves nothing
ADOPTED = "adopted"  # stands for the Deployment that served before any version did


def short_hash(value: Any) -> str:
    """Ten hex digits that identify a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def job(version_name: str, purpose: str, key: str, attempt: int) -> str:
    """A Job's name; at most 63 characters, since it becomes a label of its pods."""
    ending = f"-{purpose}-{key[:10]}-{attempt}"
    return version_name[: 63 - len(ending)].rstrip("-") + ending


def model(registered: str) -> str:
    """Name of a RegisteredModel that is made for a registered model; a hash stands for letters that get lost."""
    plain = unicodedata.normalize("NFKD", registered.casefold())
    letters = "".join(one for one in plain if not unicodedata.combining(one))
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    if not name[:1].isalpha():
        name = f"model-{name}".rstrip("-")
    if re.search(ENDINGS[0], name):
        name = f"{name}-model"
    if len(name) > LONGEST or any(one.isalnum() and not one.isascii() for one in letters):
        ending = f"-{short_hash(registered)}"
        name = name[: LONGEST - len(ending)].rstrip("-") + ending
    return name


def version(model: str, number: int) -> str:
    """Name of a ModelVersion and of its serving Deployment."""
    return f"{model}-v{number}"


def number(text: object) -> int | None:
    """The version that a label, a name or a person gives; None if it is no number of a version."""
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None


def labels(model: str, number: int | None = None, **extra: str) -> dict[str, str]:
    """The labels by which the operator finds its own."""
    found = {names.MANAGED_BY: names.MANAGER, names.MODEL: model}
    if number is not None:
        found[names.MODEL_VERSION] = str(number)
    return found | extra


def owner(kind: str, meta: Meta) -> list[dict[str, Any]]:
    """An owner reference: the garbage collector removes the child with its owner."""
    return [{"apiVersion": API_VERSION, "kind": kind, "name": meta.name, "uid": meta.uid, "controller": True}]


def selector(model: str, version: int | str) -> dict[str, str]:
    """Labels of the pods that serve one version to users."""
    return {names.MODEL: model, names.MODEL_VERSION: str(version), names.TRACK: "production"}
