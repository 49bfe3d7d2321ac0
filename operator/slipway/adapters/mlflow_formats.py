"""Reads what MLflow stores about a model, its MLmodel file and paths; pure, and trusts none of it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..api.locations import is_inside

MLMODEL_LIMIT_BYTES = 10 * 2**20
MLMODEL_LIMIT_EVENTS = 100_000  # of YAML, with every alias written out; real files have hundreds
MLMODEL_LIMIT_DEPTH = 64
FLAVORS_LIMIT = 64
NAME = re.compile(r"[\w.+-]{1,64}", re.ASCII)

# BaseLoader: everything is a string, a list or a mapping. It knows no tags, no merge keys, no
# numbers or dates that fail to parse, and "3.10" stays what it is. The C loader is ten times faster.
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Unreadable(ValueError):
    """The file is not what MLflow writes; the message completes "its MLmodel file …"."""


@dataclass(frozen=True)
class MLmodel:
    """The part of an MLmodel file that we use."""

    flavors: tuple[str, ...]
    mlflow_version: str | None
    size_bytes: int | None


def digest(content: bytes) -> str:
    """What identifies an MLmodel file: the sha256 of its bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def load_yaml(content: bytes) -> Any:
    """What a YAML file says; raises `Unreadable`, never anything else, in bounded time and memory."""
    try:
        _check_size(yaml.parse(content, Loader=LOADER))
        return yaml.load(content, Loader=LOADER)  # noqa: S506 - builds no objects
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Unreadable(f"is not YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("is not YAML") from None


def read_mlmodel(content: bytes) -> MLmodel:
    """What an MLmodel file says; raises `Unreadable`, never anything else, in bounded time and memory."""
    document = load_yaml(content)
    if not isinstance(document, dict):
        raise Unreadable("is not a mapping")
    flavors = document.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise Unreadable("names no flavor")
    if len(flavors) > FLAVORS_LIMIT or not all(
        isinstance(flavor, str) and NAME.fullmatch(flavor) for flavor in flavors
    ):
        raise Unreadable("names flavors that MLflow cannot have written")
    version, size = document.get("mlflow_version"), document.get("model_size_bytes")
    return MLmodel(
        flavors=tuple(sorted(flavors)),
        mlflow_version=version if isinstance(version, str) and NAME.fullmatch(version) else None,
        size_bytes=int(size) if isinstance(size, str) and re.fullmatch(r"[0-9]{1,18}", size) else None,
    )


def records(value: object) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list; nothing when it is none."""
    return (item for item in (value if isinstance(value, list) else []) if isinstance(item, dict))


def proxied_path(uri: object) -> str | None:
    """The path below the server's artifact root, None when the server does not proxy that URI."""
    if not isinstance(uri, str) or scheme(uri) != "mlflow-artifacts":
        return None
    path = urlsplit(uri).path.strip("/")
    return path if is_inside(path) else None


def scheme(uri: object) -> str:
    """What kind of place an artifact URI names, for a message too."""
    before, colon, _ = uri.partition(":") if isinstance(uri, str) else ("", "", "")
    return before if colon else "a directory of its own"


def _check_size(events: Iterator[Any]) -> None:
    """Raises `Unreadable` when the file, with its aliases written out, is too large or too deep."""
    anchored: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and events written before it
    total = 0
    for event in events:
        total += 1
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, total - 1))
            anchor = None
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                anchored[anchor] = total - before
            continue
        elif isinstance(event, yaml.AliasEvent):
            if anchor not in anchored:
                raise Unreadable("refers to a node inside itself or to none")
            total += anchored[anchor]
        elif anchor is not None:
            anchored[anchor] = 1
        if total > MLMODEL_LIMIT_EVENTS or len(open_nodes) > MLMODEL_LIMIT_DEPTH:
            raise Unreadable("is too large or too deeply nested to be one that MLflow wrote")
