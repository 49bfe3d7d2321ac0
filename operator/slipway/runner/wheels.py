"""Wheels that lie in a model: whether one is for this machine, and needs nothing but names that an index can answer.

uv takes such a wheel from its file, by its own hash. What its metadata asks for by URL, uv would fetch: of the model's
word, from anywhere. So it is read before.
"""

import re
import zipfile
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from .outcome import Refused
from .tree import sha256_of

_METADATA_LIMIT = 1024 * 1024
# With lines that continue it, and wherever it stands: what one reader takes for the description is another's header.
_NEEDS = re.compile(r"^requires-dist[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


def requirement(folder: Path, path: str, max_bytes: int) -> str:
    """A wheel of the model as a requirement of its file. EnvironmentNotReproducible if it cannot be one."""
    file = folder / path
    try:
        name, _, _, tags = parse_wheel_filename(file.name)
    except InvalidWheelFilename as error:
        raise _refused(path, "its name is not that of a wheel") from error
    if tags.isdisjoint(sys_tags()):
        raise _refused(path, f"a wheel for another Python or machine: {', '.join(sorted(map(str, tags)))}")
    for needed in _needed(file, path, max_bytes):
        try:
            if Requirement(needed).url:
                raise _refused(path, f"it needs {Requirement(needed).name} from a URL, and only the indexes are asked")
        except InvalidRequirement as error:
            raise _refused(path, "its metadata names a requirement that is none") from error
    return f"{name} @ {file.as_uri()}"


def known_as(folder: Path, path: str) -> str:
    """What tells a wheel from any other. EnvironmentNotReproducible if the model has none there."""
    if not (folder / path).is_file():
        raise _refused(path, "the requirements name it, and it is not among the model's files")
    return f"{path} {sha256_of(folder / path)}"


def _needed(file: Path, path: str, max_bytes: int) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(one.file_size for one in archive.infolist())
            if size > max_bytes:
                said = f"{path} unpacks to {size} bytes; at most {max_bytes} are allowed"
                raise Refused("ArtifactTooLarge", said)
            found = [one for one in archive.infolist() if one.filename.endswith(".dist-info/METADATA")]
            if len(found) != 1 or found[0].file_size > _METADATA_LIMIT:
                raise _refused(path, "it has no metadata, or more than one wheel has")
            text = archive.read(found[0]).decode()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeDecodeError, OSError) as error:
        raise _refused(path, "it cannot be read as a wheel") from error
    return [" ".join(one.split()) for one in _NEEDS.findall(text.replace("\r", "\n"))]


def _refused(path: str, why: str) -> Refused:
    return Refused("EnvironmentNotReproducible", f"{path}: {why}")
