"""Compares what a model says it needs with what this image has, importing nothing of either.

Requirements are checked by `packaging` against the installed versions, and the minor version of Python. Two rules are
wider than pip's:
  * `xgboost` and `xgboost-cpu` are one library under two names; either satisfies the other.
  * MLflow's own packages are satisfied by any later version of the same major version, since MLflow loads what an
    earlier version of it saved.
A requirement that is no name and version (a URL, a path, an editable) cannot be proven and is a difference.
"""

import platform
import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from . import stated
from .outcome import Refused

_TWINS = {"xgboost": "xgboost-cpu", "xgboost-cpu": "xgboost"}
_MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")
_SHOWN = 12


def check(model: Path, refuse_unstated: bool = False) -> None:
    """Refuse a model that this image cannot run as it was trained; and, if asked to, one that does not say how."""
    wanted = stated.read(model)
    if refuse_unstated:
        refuse_silent(wanted)
    if found := differences(wanted):
        raise Refused("EnvironmentNotReproducible", f"this image differs from what the model needs: {listed(found)}")


def refuse_silent(wanted: stated.Stated) -> None:
    """Refuse a model that states nothing: nobody knows in which packages it would be what was trained."""
    if wanted.silent:
        said = f"nothing is stated of the packages that the model needs: it has none of {', '.join(stated.FILES)}"
        remedy = "log it with MLflow's own log_model, or have the platform team set environments.unstated to Image"
        raise Refused("EnvironmentUnstated", f"{said}; {remedy}")


def differences(wanted: stated.Stated) -> list[str]:
    """What this image has otherwise than a model states it; empty: it runs the model as it was trained."""
    unusable = [f"{line!r} cannot be checked" for line in wanted.unusable]
    unusable += [f"{path} lies in the model" for path in wanted.wheels]
    python = other_python(wanted.python)
    bounds = [one for one in wanted.constraints if _present(one)]  # the others may be of what is not needed here
    packages = (one for each in (*wanted.requirements, *bounds) for one in _package(each))
    return [*([python] if python else []), *unusable, *dict.fromkeys(packages)]


def listed(found: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def minor() -> str:
    """The minor version of this image's Python, such as 3.11."""
    return ".".join(platform.python_version_tuple()[:2])


def other_python(wanted: str) -> str:
    """What this image has instead of the Python that is wanted; "" if it has that minor version."""
    present = platform.python_version()
    return "" if _is_python(wanted, present) else f"python {wanted[:40]} wanted, {present} present"


def python_for(wanted: str, others: Collection[str], nearest: bool) -> str:
    """The minor version that a model runs on that wants this Python: this image's own, or one of others; "": none.

    Of two that are equally near it is the older: packages of that time have wheels for it.
    """
    if not other_python(wanted):
        return minor()
    # Of an image elsewhere, the minor version alone is known.
    if fitting := [one for one in others if _is_python(wanted, f"{one}.0") or _is_python(wanted, f"{one}.99")]:
        return max(fitting, key=_second)
    if not nearest or not re.fullmatch(r"3\.\d{1,2}(\.\d+)*", wanted):
        return ""
    return min((minor(), *others), key=lambda one: (abs(_second(one) - _second(wanted)), _second(one)))


def _second(version: str) -> int:
    return int(version.split(".")[1])


def _is_python(wanted: str, present: str) -> bool:
    if re.fullmatch(r"\d+(\.\d+)*", wanted):
        parts = wanted.split(".")[:2]
        return present.split(".")[: len(parts)] == parts
    try:
        return SpecifierSet(wanted).contains(present)
    except InvalidSpecifier:
        return False


def _package(wanted: Requirement) -> list[str]:
    if wanted.marker and not wanted.marker.evaluate():
        return []
    present = _present(wanted)
    if any(_fits(wanted, found) for found in present.values()):
        return []
    described = ", ".join(f"{each} {found}" for each, found in present.items())
    return [f"{wanted.name}{wanted.specifier} wanted, {described + ' present' if present else 'absent'}"[:120]]


def _present(wanted: Requirement) -> dict[str, str]:
    """The version here, by the names that the package has."""
    name = canonicalize_name(wanted.name)
    return {each: found for each in (name, _TWINS.get(name, name)) if (found := _installed(each))}


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
