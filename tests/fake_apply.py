"""Server-side apply on plain values: who asked for a field owns it, and what no owner asks for any more is gone.

Lists are replaced as a whole, but for those whose entries Kubernetes merges by a key. Nothing is changed in place.
"""

import marshal
from collections.abc import Iterable, Mapping
from typing import Any

NOTHING: Any = {}
KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "gates": ("name",),
    "ports": ("port", "containerPort", "protocol"),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
ABSENT = object()


def plain(value: Any) -> Any:
    """A caller's value as JSON has it: lists for tuples, text for members of enumerations; a copy in any case."""
    kind = type(value)
    if kind is str or value is None:  # most are
        return value
    if kind is dict or isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def copied(value: Any) -> Any:
    """A copy of what `plain` made, some twenty times as fast as copy.deepcopy."""
    return marshal.loads(marshal.dumps(value))  # of this process's own making


def applied(found: Any, owned: Any, asked: Any, others: Iterable[Any], name: str = "") -> Any:
    """What is there once an owner, who asked for `owned` before, asks for `asked` beside what `others` own."""
    if found == asked and owned == asked:
        return found
    if isinstance(asked, dict):
        return _merged(_fields(found), _fields(owned), asked, [_fields(one) for one in others])
    if _keyed(name, asked):
        there, before = _by_key(name, found), _by_key(name, owned)
        merged = _merged(there, before, _by_key(name, asked), [_by_key(name, one) for one in others])
        first = [key for key in _by_key(name, asked) if key in merged]
        return [merged[key] for key in (*first, *(key for key in merged if key not in first))]
    return asked


def _merged(found: Any, owned: Any, asked: Any, others: list[Any]) -> dict[Any, Any]:
    result = dict(found)
    for key in owned.keys() - asked.keys():
        left = _without(result.get(key, ABSENT), owned[key], [one[key] for one in others if key in one], key)
        if left is ABSENT:
            result.pop(key, None)
        else:
            result[key] = left
    for key, value in asked.items():
        theirs = [one[key] for one in others if key in one]
        result[key] = applied(result.get(key), owned.get(key), value, theirs, key if isinstance(key, str) else "")
    return result


def _without(found: Any, owned: Any, others: list[Any], name: Any) -> Any:
    """What is left when its owner asks for it no more: what others own; ABSENT if that is nothing."""
    if isinstance(owned, dict) and isinstance(found, dict):
        left = _merged(found, owned, {}, [_fields(one) for one in others])
        return left if left or others else ABSENT
    if isinstance(name, str) and _keyed(name, owned) and isinstance(found, list):
        entries = _merged(_by_key(name, found), _by_key(name, owned), {}, [_by_key(name, one) for one in others])
        return list(entries.values()) if entries or others else ABSENT
    return found if others else ABSENT


def still_owned(owned: Any, before: Any, after: Any, name: str = "") -> Any:
    """What an owner still owns of a value after another's write: what that one changed is the other's now."""
    if isinstance(owned, dict):
        was, now = _fields(before), _fields(after)
        if was == now:
            return owned
        return {
            key: still_owned(value, was.get(key), now.get(key), key)
            for key, value in owned.items()
            if key in now and (isinstance(value, dict) or _keyed(key, value) or was.get(key) == now[key])
        }
    if _keyed(name, owned):
        was, now = _by_key(name, before), _by_key(name, after)
        kept = {
            key: still_owned(value, was.get(key), now[key]) for key, value in _by_key(name, owned).items() if key in now
        }
        keys = KEYS[name]
        return [{**value, **{one: now[key][one] for one in keys if one in now[key]}} for key, value in kept.items()]
    return owned


def _fields(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _keyed(name: str, value: Any) -> bool:
    """Whether it is a list whose entries are merged by a key."""
    return name in KEYS and isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _by_key(name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, list):
        return {}
    return {tuple(repr(one.get(key)) for key in KEYS[name]): one for one in value if isinstance(one, dict)}
