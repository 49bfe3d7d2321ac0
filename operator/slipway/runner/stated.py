"""What a model's files say of the environment that it was trained in: its Python, and the packages that it needs.

Read are `requirements.txt` and `python_env.yaml`; where the first is absent, `conda.yaml` with its pip part. What they
say of where packages come from (an index, a URL, a path, another file) decides nothing: options are left out, and a
requirement that is no name with versions cannot be had.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from .outcome import Refused

FILES = ("requirements.txt", "conda.yaml", "python_env.yaml")  # of a model, at its root
_FILE_LIMIT = 1024 * 1024
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
    silent: bool = False  # there is no file that would state anything


def read(model: Path) -> Stated:
    """What the files of a model state. EnvironmentNotReproducible if one of them cannot be read."""
    if not any((model / name).is_file() for name in FILES):
        return Stated(silent=True)
    requirements, conda, env = (model / name for name in FILES)
    python = _python(env) if env.is_file() else ""
    version, listed, notes = _conda(conda) if conda.is_file() else ("", [], ())
    if requirements.is_file():
        listed, notes = _text(requirements).replace("\\\n", " ").splitlines(), ()
    return _of(listed, python or version, notes)


def _of(lines: list[str], python: str, notes: tuple[str, ...]) -> Stated:
    requirements, unusable, left_out = list[Requirement](), list[str](), list(notes)
    for line in (_bare(line) for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            (unusable if line.startswith(_NEEDED_TOO) else left_out).append(_shown(line))
            continue
        try:
            found = _requirement(line)
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, ValueError):
            unusable.append(_shown(line))
            continue
        if found.url:
            unusable.append(f"{found.name} from a URL")
        else:
            requirements.append(found)
    return Stated(tuple(requirements), python, tuple(unusable), tuple(left_out))


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


def _text(file: Path) -> str:
    if file.stat().st_size > _FILE_LIMIT:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is larger than {_FILE_LIMIT} bytes")
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is not UTF-8") from error
