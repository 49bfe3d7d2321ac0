"""What a model's files say of the environment that it was trained in: its Python, and the packages that it needs.

Read, in this order, are `requirements.txt` and `python_env.yaml`; where the first is absent, `conda.yaml` with its pip
part. What they say of where packages come from (an index, a URL, a path, another file) decides nothing: options are
left out, and a requirement that is no name with versions cannot be had.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement

from .outcome import Refused

FILES = ("requirements.txt", "conda.yaml", "python_env.yaml")  # of a model, at its root
_FILE_LIMIT = 1024 * 1024
# Options of a requirements file that say what is needed, and not only where it comes from.
_NEEDED_TOO = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
_CONDA = re.compile(r"(?:[\w.-]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<versions>[<>=!~].*)?")
_OF_CONDA = ("python", "pip", "setuptools", "wheel")  # of the environment itself


@dataclass(frozen=True)
class Stated:
    """The environment of a model, as its files state it."""

    requirements: tuple[Requirement, ...] = ()
    python: str = ""  # as it was written; "": nothing was said
    unusable: tuple[str, ...] = ()  # lines that no package index can answer
    notes: tuple[str, ...] = ()  # what was left out, or taken for something else
    anything: bool = False  # whether a file of the model says what it needs


def read(model: Path) -> Stated:
    """What the files of a model state. EnvironmentNotReproducible if one of them cannot be read."""
    python = _python(model / "python_env.yaml")
    plain, conda = model / FILES[0], model / FILES[1]
    if plain.is_file():
        lines = _text(plain).replace("\\\n", " ").splitlines()
        return _of(lines, python or (_conda(conda)[0] if conda.is_file() else ""), ())
    if conda.is_file():
        version, lines, notes = _conda(conda)
        return _of(lines, python or version, notes)
    return Stated(python=python)


def _of(lines: list[str], python: str, notes: tuple[str, ...]) -> Stated:
    requirements, unusable, left_out = list[Requirement](), list[str](), list(notes)
    for line in (_bare(line) for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            (unusable if line.startswith(_NEEDED_TOO) else left_out).append(_shown(line))
            continue
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            unusable.append(_shown(line))
            continue
        if wanted.url:
            unusable.append(f"{wanted.name} from a URL")
        else:
            requirements.append(wanted)
    return Stated(tuple(requirements), python, tuple(unusable), tuple(left_out), anything=True)


def _bare(line: str) -> str:
    """A line without its comment and without the options behind a requirement, such as its hashes."""
    line = line.split(" #", maxsplit=1)[0].strip()
    return line if line.startswith("-") else line.split(" --", maxsplit=1)[0].strip()


def _shown(line: str) -> str:
    """A line as a message tells it: an index may have a password in its address."""
    return re.sub(r"//[^/@\s]+@", "//***@", line)[:80]


def _python(file: Path) -> str:
    found = _yaml(file) if file.is_file() else {}
    return str(found.get("python") or "")


def _conda(file: Path) -> tuple[str, list[str], tuple[str, ...]]:
    """The Python, the requirements and the notes of a conda environment."""
    python, lines, notes = "", list[str](), list[str]()
    dependencies = _yaml(file).get("dependencies")
    for one in dependencies if isinstance(dependencies, list) else ():
        if isinstance(one, dict):
            lines += [str(each) for each in one.get("pip") or ()]
            continue
        match = _CONDA.fullmatch(str(one).strip())
        if match is None:
            lines.append(str(one))  # which is then no requirement
            continue
        name, versions = match["name"], _versions(match["versions"] or "")
        if name == "python":
            python = versions.lstrip("=")
        elif name not in _OF_CONDA:
            lines.append(f"{name}{versions}")
            notes.append(f"{name}{versions} of conda was taken from the package index")
    return python, lines, tuple(notes)


def _versions(conda: str) -> str:
    """Versions as conda writes them, in pip's words: `=1.2` is any 1.2, and a build is behind another `=`."""
    if not conda.startswith("=") or conda.startswith("=="):
        return conda.replace(" ", "")
    version, _, build = conda[1:].partition("=")
    return f"=={version}" if build or version.count(".") > 1 else f"=={version}.*"


def _yaml(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is not YAML") from error
    return found if isinstance(found, dict) else {}


def _text(file: Path) -> str:
    if file.stat().st_size > _FILE_LIMIT:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is larger than {_FILE_LIMIT} bytes")
    return file.read_text(errors="replace")
