"""What the lock of a uv project says (`uv.lock`): what the project needs, the versions of all of it, and their hashes.

Never where a package comes from: the platform's indexes are asked for a name and version, whichever registry the lock
names. What no index has (a package of git, of a URL, of a folder) is refused by name where the project needs it. The
project itself is not installed: its code lies in the model, in `code_paths`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .outcome import Refused

Entry = dict[str, Any]
Entries = dict[str, list[Entry]]  # by name
_NO_PROJECT: Entry = {}
Hashes = Mapping[str, frozenset[str]]  # of the files of `name==version`


@dataclass(frozen=True)
class UvLock:
    """A lock, in the words of requirements files."""

    python: str = ""
    needed: tuple[str, ...] = ()  # by the project itself
    versions: tuple[str, ...] = ()  # of that, and of whatever it needs
    hashes: Hashes = field(default_factory=dict)


def read(text: str) -> UvLock:
    """The lock in a file. EnvironmentNotReproducible if it is none."""
    try:
        document = tomllib.loads(text)
        entries = document["package"]
        root = next((one for one in entries if _is_project(one)), _NO_PROJECT)
        reached = [one for one in _reached(root, _by_name(entries)) if not _is_project(one)]
        released = [one for one in reached if "registry" in one["source"]]
        there = _by_name(released)
        needed = [_line(one, there) for one in root.get("dependencies", ()) if _meant(one, there)]
        # No index answers such a line.
        needed += [
            f"{one['name']} of {next(iter(one['source']))}" for one in reached if "registry" not in one["source"]
        ]
        return UvLock(
            python=str(document.get("requires-python", "")),
            needed=tuple(needed) if root is not _NO_PROJECT else ("uv.lock of no project",),
            versions=tuple(_pin(one) for one in released),
            hashes={f"{one['name']}=={one['version']}": _hashes(one) for one in entries if "version" in one},
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Refused("EnvironmentNotReproducible", "uv.lock is no lock of a uv project") from error


def _by_name(entries: Iterable[Entry]) -> Entries:
    found: Entries = {}
    for one in entries:
        found.setdefault(one["name"], []).append(one)
    return found


def _is_project(entry: Entry) -> bool:
    source = entry["source"]
    return "." in (source.get("virtual"), source.get("editable"), source.get("directory"))


def _reached(root: Entry, entries: Entries) -> Iterator[Entry]:
    """Whatever the project needs, on any machine."""
    seen, ahead = set[tuple[str, str, str]](), list(root.get("dependencies", ()))
    while ahead:
        one = ahead.pop()
        for entry in _meant(one, entries):
            for extra in ("", *one.get("extra", ())):
                key = (entry["name"], str(entry.get("version")), extra)
                if key in seen:
                    continue
                seen.add(key)
                more = entry.get("optional-dependencies", {}).get(extra, ()) if extra else entry.get("dependencies", ())
                ahead += more
                if not extra:
                    yield entry


def _meant(dependency: Entry, entries: Entries) -> list[Entry]:
    """The entries of a dependency: several, where its version depends on the machine."""
    wanted = dependency.get("version")
    return [one for one in entries.get(dependency["name"], ()) if wanted in (None, one.get("version"))]


def _line(dependency: Entry, released: Entries) -> str:
    """A dependency as a requirement; where several entries are meant, their versions are for the machine to choose."""
    found = _meant(dependency, released)
    extras = f"[{','.join(dependency['extra'])}]" if dependency.get("extra") else ""
    version = f"=={found[0]['version']}" if len(found) == 1 else ""
    marker = f" ; {dependency['marker']}" if dependency.get("marker") else ""
    return f"{dependency['name']}{extras}{version}{marker}"


def _pin(entry: Entry) -> str:
    markers = " or ".join(f"({one})" for one in entry.get("resolution-markers", ()))
    return f"{entry['name']}=={entry['version']}" + (f" ; {markers}" if markers else "")


def _hashes(entry: Entry) -> frozenset[str]:
    files = [*entry.get("wheels", ()), *([entry["sdist"]] if "sdist" in entry else [])]
    return frozenset(str(one["hash"]) for one in files if "hash" in one)
