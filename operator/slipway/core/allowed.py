"""Who may use which models of a registry, by patterns of names and labels of namespaces."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from ..api.modelregistry import AllowedNamespaces


def refuses(allowed: AllowedNamespaces | None, labels: Mapping[str, str], name: str) -> str:
    """Why a namespace with these labels may not use a registered model, after "does not allow"; "" if it may."""
    if not lets_in(allowed, labels):
        return "this namespace"
    assert allowed is not None
    if allowed.models and not named(name, allowed.models):
        return f'this namespace the registered model "{name}", but {", ".join(allowed.models[:5])}'
    return ""


def lets_in(allowed: AllowedNamespaces | None, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels may use any model of the registry."""
    return allowed is not None and all(labels.get(key) == value for key, value in allowed.selector.match_labels.items())


def named(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is about the name; only `*` is special in them."""
    return any(fnmatchcase(name, one.replace("[", "[[]").replace("?", "[?]")) for one in patterns)
