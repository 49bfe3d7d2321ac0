"""What a model's files say of the environment that it was trained in: its Python, and the packages that it needs.

Read are `requirements.txt` and `python_env.yaml`; where the first is absent, the project's `uv.lock`, or else
`conda.yaml` with its pip part. What they say of where packages come from (an index, a URL, a path, another file)
decides nothing: options are left out, and a requirement that is no name with versions cannot be had. Two files of the
model count besides: a wheel that a requirement names, and the constraints that MLflow has written.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from . import uv_lock
from .outcome import Refused
from .uv_lock import Hashes, UvLock

_CONSTRAINTS = "constraints.txt"  # as MLflow names what a team has named anyhow
FILES = ("requirements.txt", "conda.yaml", "python_env.yaml", "uv.lock", _CONSTRAINTS)  # of a model, at its root
_FILE_LIMIT, _LOCK_LIMIT = 1024 * 1024, 16 * 1024 * 1024  # a lock names each wheel of each package
_WHEEL = re.compile(r"(?:\./)?(?P<path>[^\s:;@]+\.whl)(?:\s*;(?P<marker>.*))?")
# Options of a requirements file that say what is needed, and not only where it comes from.
_NEEDED_TOO = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
_CONDA = re.compile(r"(?:[\w./-]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<versions>.*)")
_EXACTLY = re.compile(r"==\s*(?P<version>[^=\s|]+)(?:\s*=?\s*\S+)?")  # and a build
_ABOUT = re.compile(r"=?\s*(?P<version>\d[^=\s|,<>!~]*)(?:[\s=]+(?P<build>[^=\s|,<>!~]+))?(?P<more>,[^=\s|]+)?")
_BETWEEN = re.compile(r"[<>!~][^\s|]*")
_OF_CONDA = ("pip", "setuptools", "wheel")  # of the environment itself


@dataclass(frozen=True)
class Stated:
    """The environment of a model, as its files state it."""

    requirements: tuple[Requirement, ...] = ()
    python: str = ""  # a version, or a range of them; "": nothing was said
    unusable: tuple[str, ...] = ()  # lines that no package index can answer
    notes: tuple[str, ...] = ()  # what was left out, or taken for something else
    wheels: tuple[str, ...] = ()  # paths of files of the model
    constraints: tuple[Requirement, ...] = ()  # versions of whatever else these need
    hashes: Hashes = field(default_factory=dict)
    silent: bool = False  # there is no file that would state anything


def read(model: Path) -> Stated:
    """What the files of a model state. EnvironmentNotReproducible if one of them cannot be read."""
    if not any((model / name).is_file() for name in FILES):
        return Stated(silent=True)
    requirements, conda, env, locked, constraints = (model / name for name in FILES)
    python = _python(env) if env.is_file() else ""
    version, listed, notes = _conda(conda) if conda.is_file() else ("", list[str](), ())
    python = python or version
    lock = uv_lock.read(_text(locked, _LOCK_LIMIT)) if locked.is_file() else None
    if requirements.is_file():
        found = _of(_lines(requirements), python)
        found = _bounded(found, _lines(constraints)) if constraints.is_file() else found
        return _locked(found, lock) if lock else found
    if lock:
        return _locked(_of(lock.needed, python or lock.python), lock)
    return _of(listed, python, notes)


def _of(lines: Iterable[str], python: str, notes: tuple[str, ...] = ()) -> Stated:
    requirements, unusable, left_out, wheels = list[Requirement](), list[str](), list(notes), list[str]()
    for line in (_bare(line) for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            (unusable if line.startswith(_NEEDED_TOO) else left_out).append(_shown(line))
            continue
        try:
            if match := _WHEEL.fullmatch(line):
                wheels += _wheel(match)
                continue
            found = _requirement(line)
        except (InvalidRequirement, InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, ValueError):
            unusable.append(_shown(line))
            continue
        if found.url:
            unusable.append(f"{found.name} from a URL")
        else:
            requirements.append(found)
    return Stated(tuple(requirements), python, tuple(unusable), tuple(left_out), tuple(wheels))


def _wheel(match: re.Match[str]) -> tuple[str, ...]:
    """The path of a wheel in the model, if it is for this machine. ValueError if it is none in the model."""
    path = match["path"]
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(path)
    return (path,) if match["marker"] is None or Marker(match["marker"]).evaluate() else ()


def _bounded(found: Stated, constraints: Iterable[str]) -> Stated:
    """With the constraints that MLflow has written into a file of its own, if they are asked for."""
    own = {f"{option}{_CONSTRAINTS}" for option in ("-c ", "--constraint ", "--constraint=")}
    rest = tuple(line for line in found.unusable if line not in own)
    if len(rest) == len(found.unusable):
        return found
    of = _of(constraints, "")
    unusable = (*rest, *of.unusable, *of.wheels)
    return replace(found, unusable=unusable, notes=(*found.notes, *of.notes), constraints=of.requirements)


def _locked(found: Stated, lock: UvLock) -> Stated:
    """With the versions and hashes of a lock, if it is the lock of these requirements."""
    of = _of(lock.versions, "")
    if of.unusable or of.wheels:
        raise Refused("EnvironmentNotReproducible", "uv.lock is no lock of a uv project")
    locked: dict[str, list[Requirement]] = {}
    for pin in of.requirements:
        locked.setdefault(canonicalize_name(pin.name), []).append(pin)
    for one in found.requirements:
        pins = locked.get(canonicalize_name(one.name), [])
        needed = one.marker is None or one.marker.evaluate()
        if needed and pins and not any(one.specifier.contains(each.version) for pin in pins for each in pin.specifier):
            said = f"uv.lock was left out: {one.name}{one.specifier} is needed, and it has {pins[0].specifier}"
            return replace(found, notes=(*found.notes, said))
    return replace(found, constraints=(*found.constraints, *of.requirements), hashes=lock.hashes)


def _requirement(line: str) -> Requirement:
    """A name with versions, or a URL. ValueError if it cannot be said in one line, or never be answered."""
    found = Requirement(line)
    if not str(found).isprintable():
        raise ValueError(line)
    if found.marker:
        found.marker.evaluate()  # some can be read and not be answered
    return found


def _bare(line: str) -> str:
    """A line without its comment and without the options behind a requirement, such as its hashes."""
    line = re.split(r"\s#", line.strip(), maxsplit=1)[0].strip()
    return line if line.startswith("-") else re.split(r"\s--", line, maxsplit=1)[0].strip()


def _shown(line: str) -> str:
    """A line as a message tells it: of an option, its name and no address, since that may hold a password."""
    words = re.sub(r"://.*", "://…", line)[:80]
    return words if not line.startswith("--") or "://" not in words else re.split(r"[\s=]", line, maxsplit=1)[0]


def _python(file: Path) -> str:
    return str(_yaml(file).get("python") or "")


def _conda(file: Path) -> tuple[str, list[str], tuple[str, ...]]:
    """The Python, the requirements and the notes of a conda environment."""
    python, lines, notes = "", list[str](), list[str]()
    dependencies = _yaml(file).get("dependencies")
    for one in dependencies if isinstance(dependencies, list) else ():
        if isinstance(one, dict):
            listed = one.get("pip")
            lines += [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
            continue
        match = _CONDA.fullmatch(one.strip()) if isinstance(one, str) else None
        versions = _versions(match["versions"]) if match else None
        if match is None or versions is None:
            lines.append(f"conda: {one}" if isinstance(one, str) else "conda: what is no package")  # no requirement
        elif match["name"] == "python":
            python = versions.removeprefix("==").removesuffix(".*") if "," not in versions else versions
        elif match["name"] not in _OF_CONDA:
            lines.append(f"{match['name']}{versions}")
            notes.append(f"{match['name']}{versions} of conda was taken from the package index")
    return python, lines, tuple(notes)


def _versions(conda: str) -> str | None:
    """Versions as conda writes them, in pip's words; None if they cannot be said so.

    `=1.2` and `1.2` are any 1.2, behind another `=` or a blank stands a build, and with a build the version is exact.
    """
    conda = conda.strip()
    if not conda or conda == "*":
        return ""
    if exact := _EXACTLY.fullmatch(conda):
        return f"=={exact['version']}"
    if about := _ABOUT.fullmatch(conda):
        version, more = about["version"].removesuffix(".*"), about["more"] or ""
        exactly = about["build"] or version.count(".") > 1
        return f"=={version}{more}" if exactly else f"=={version}.*{more}"
    return conda if _BETWEEN.fullmatch(conda) else None


def _yaml(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is not YAML") from error
    return found if isinstance(found, dict) else {}


def _lines(file: Path) -> list[str]:
    return _text(file).replace("\\\n", " ").splitlines()


def _text(file: Path, limit: int = _FILE_LIMIT) -> str:
    if file.stat().st_size > limit:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is larger than {limit} bytes")
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is not UTF-8") from error
