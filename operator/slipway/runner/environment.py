"""Compares what a model says it needs with what this image has, importing nothing of either.

Requirements are those of the model's requirements.txt, checked by `packaging` against the installed versions, and the
minor version of Python in python_env.yaml. Two rules are wider than pip's:
  * `xgboost` and `xgboost-cpu` are one library under two names; either satisfies the other.
  * MLflow's own packages are satisfied by any later version of the same major version, since MLflow loads what an
    earlier version of it saved.
A requirement that is no name and version (a URL, a path, an editable) cannot be proven and is a difference.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from .outcome import Refused

_TWINS = {"xgboost": "xgboost-cpu", "xgboost-cpu": "xgboost"}
_MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")
_SHOWN = 12
_FILE_LIMIT = 1024 * 1024


def check(model: Path) -> None:
    """Refuse a model that this image cannot run as it was trained."""
    differences = [*_python(model / "python_env.yaml"), *_packages(model / "requirements.txt")]
    if differences:
        shown = "; ".join(differences[:_SHOWN])
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise Refused("EnvironmentNotReproducible", f"this image differs from what the model needs: {shown}{more}")


def _python(file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        found = yaml.safe_load(_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        raise Refused("EnvironmentNotReproducible", "python_env.yaml is not YAML") from error
    wanted = str(found.get("python") or "") if isinstance(found, dict) else ""
    present = platform.python_version()
    if wanted and wanted.split(".")[:2] != present.split(".")[:2]:
        return [f"python {wanted[:40]} wanted, {present} present"]
    return []


def _packages(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = (line.split(" #")[0].strip() for line in _text(file).replace("\\\n", " ").splitlines())
    return [difference for line in lines if line and line[0] != "#" for difference in _line(line)]


def _line(line: str) -> list[str]:
    if line.startswith("-"):
        # Options say where packages come from; another file or an editable says what is needed, and is not here.
        named = line.startswith(("-r", "--requirement", "-c", "--constraint", "-e", "--editable"))
        return [f"{line[:80]!r} cannot be checked"] if named else []
    try:
        wanted = Requirement(line.split(" --", maxsplit=1)[0].strip())
    except InvalidRequirement:
        return [f"{line[:80]!r} cannot be checked"]
    if wanted.marker and not wanted.marker.evaluate():
        return []
    if wanted.url:
        return [f"{wanted.name} from a URL cannot be checked"]
    name = canonicalize_name(wanted.name)
    present = {each: found for each in (name, _TWINS.get(name, name)) if (found := _installed(each))}
    if any(_fits(wanted, found) for found in present.values()):
        return []
    described = ", ".join(f"{each} {found}" for each, found in present.items())
    return [f"{wanted.name}{wanted.specifier} wanted, {described + ' present' if present else 'absent'}"[:120]]


def _fits(wanted: Requirement, present: str) -> bool:
    if wanted.specifier.contains(present, prereleases=True):
        return True
    pins = [each for each in wanted.specifier if each.operator in ("==", ">=", "~=")]
    if canonicalize_name(wanted.name) not in _MLFLOW or len(pins) != len(wanted.specifier):
        return False
    try:
        lowest, found = [Version(pin.version.removesuffix(".*")) for pin in pins], Version(present)
    except InvalidVersion:
        return False
    return all(found.major == low.major and found >= low for low in lowest)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _text(file: Path) -> str:
    if file.stat().st_size > _FILE_LIMIT:
        raise Refused("EnvironmentNotReproducible", f"{file.name} is larger than {_FILE_LIMIT} bytes")
    return file.read_text(errors="replace")
