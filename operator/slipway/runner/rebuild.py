"""Brings the packages that a model was trained with into the artifact store, where the image has others.

Neither the model's code nor any of the packages runs here: uv unpacks wheels, and byte code is compiled without an
import. What was resolved once for the same requirements is taken again, so that the next version of a model gets the
same packages. In the store, an environment has a tag for its digest, for its lock, and for what was asked for.
"""

import compileall
import hashlib
import json
import os
import platform
import py_compile
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, NoReturn

from packaging.utils import canonicalize_name

from slipway.api.tasks import ENVIRONMENT, IMPORT, EnvironmentResult, EnvironmentTask

from . import environment, stated, tree
from .outcome import Refused, bounded, run, say
from .pod import THIS_POD, Pod
from .stated import Stated
from .store import ENVIRONMENTS, MODELS, PYTHON, TITLE, StoreClient, blob_of, tag
from .uv import Uv

_DIGEST, _PACKAGES, _SIZE = "dev.slipway.digest", "dev.slipway.packages", "dev.slipway.size"
_NOTES = 900  # bytes
_COMPILERS = 4  # at most: each holds a module, and the node may have many cores
# Packages that a CPU does without, and those that load them nevertheless.
_LEFT_OUT = {"nvidia-nccl-cu12": ("torch", "jax", "tensorflow", "cupy-cuda12x")}


def rebuild(task: EnvironmentTask, pod: Pod) -> EnvironmentResult:
    """The whole program."""
    store, scratch = StoreClient(task.store, pod), pod.at(IMPORT)
    wanted = _stated(store, task.digest, tree.emptied(scratch / "stated"))
    if task.refuse_unstated:
        environment.refuse_silent(wanted)
    python = _python(wanted, task)
    if python != environment.minor():
        say(f"the model runs on Python {python}, whose image goes on")
        return EnvironmentResult(python=python)
    if instead := environment.other_python(wanted.python):
        instead += ", the nearest that there is an image for"
        wanted = replace(wanted, python="", notes=(instead, *wanted.notes))
    differences = environment.differences(wanted)
    if not differences:
        say("this image has what the model needs")
        return EnvironmentResult(python=task.python, notes=instead)
    say(f"this image differs from what the model needs: {environment.listed(differences)}")
    _refuse_what_cannot_be(wanted)
    requirements = [str(one) for one in wanted.requirements]
    asked = f"asked-{_hash(*(one.url for one in task.indexes), *requirements)}"
    found = _known(store, asked)
    if found is None:
        uv = Uv(task.indexes, task.proxy, tree.emptied(scratch / "uv"), pod)
        found = _made(store, uv, requirements, scratch, task.max_bytes, asked)
    if found.size_bytes > task.max_bytes:
        raise _too_large(found.packages, found.size_bytes, task.max_bytes)
    notes = "; ".join((*wanted.notes, found.notes) if found.notes else wanted.notes)
    return found.model_copy(update={"notes": bounded(notes, _NOTES), "python": task.python})


def _python(wanted: Stated, task: EnvironmentTask) -> str:
    """The minor version that the model runs on. The runner image chooses it; the image that was chosen has it."""
    here, nearest = environment.minor(), task.python_minor == "Nearest"
    if task.python and task.python != here:
        said = f"the image that runtimes names for Python {task.python} has {here}: name one that has it"
        raise Refused("EnvironmentNotReproducible", said)
    others = () if task.python else task.pythons
    if found := environment.python_for(wanted.python, others, nearest):
        return found
    there = ", ".join(sorted({here, *task.pythons}, key=lambda one: int(one.split(".")[1])))
    said = f"{environment.other_python(wanted.python)}: there is no image with that; there are images for {there}"
    raise Refused("EnvironmentNotReproducible", said)


def _stated(store: StoreClient, digest: str, folder: Path) -> Stated:
    """What the model's files say of its environment; only these files are written."""
    manifest = store.manifest(MODELS, tag(digest))
    if manifest is None:
        raise Refused("ArtifactMissing", f"the artifact store has no model {digest}")
    layer = manifest["layers"][0]

    def take(stream: IO[bytes]) -> None:
        tree.unpack(stream, tree.emptied(folder), max_bytes=layer["size"], only=stated.FILES)

    store.pull(MODELS, layer, take)
    return stated.read(folder)


def _refuse_what_cannot_be(wanted: Stated) -> None:
    if wanted.unusable:
        listed = environment.listed([repr(one) for one in wanted.unusable])
        said = f"{listed}: no name and version that a package index could answer; log the model with released packages"
        raise Refused("EnvironmentNotReproducible", said)


def _made(
    store: StoreClient, uv: Uv, requirements: list[str], scratch: Path, max_bytes: int, asked: str
) -> EnvironmentResult:
    began = time.monotonic()

    def done(what: str) -> None:
        say(f"{what}, {time.monotonic() - began:.1f} s")

    lock, warnings = _lock(uv, requirements)
    count, locked, notes = len(_names(lock)), f"lock-{_hash(lock)}", "; ".join(warnings)
    done(f"locked {count} packages")
    if found := _known(store, locked):
        store.name(ENVIRONMENTS, locked, asked)
        done(f"{found.digest} has the same lock")
        return found.model_copy(update={"notes": notes})
    folder = tree.emptied(scratch / "environment")
    uv.unpack(lock, folder)
    done("unpacked them")
    _compile(folder)
    done("compiled their byte code")
    found = _push(store, folder, count, max_bytes)
    store.name(ENVIRONMENTS, tag(found.digest or ""), locked)
    store.name(ENVIRONMENTS, locked, asked)
    done(f"pushed {found.digest}, {found.size_bytes / 1e6:.1f} MB")
    return found.model_copy(update={"notes": notes})


def _lock(uv: Uv, requirements: list[str]) -> tuple[str, tuple[str, ...]]:
    """The lock without what a CPU does not need; that stays where another package loads it."""
    lock, warnings = uv.lock(requirements, tuple(_LEFT_OUT))
    names = _names(lock)
    if any(needs in names for loaders in _LEFT_OUT.values() for needs in loaders):
        return uv.lock(requirements)
    return lock, warnings


def _names(lock: str) -> set[str]:
    """The packages of a lock."""
    return {canonicalize_name(line.partition("==")[0]) for line in lock.splitlines() if line[:1].isalnum()}


def _compile(folder: Path) -> None:
    """Byte code of every module, as if it lay where pods mount it; what is no Python 3 is left as it is.

    Unchecked, since the files never change: a pod compares no times.
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(
        folder,
        quiet=2,
        workers=min(_COMPILERS, len(os.sched_getaffinity(0))),
        invalidation_mode=mode,
        stripdir=folder,
        prependdir=ENVIRONMENT,
        maxlevels=50,
    )


def _push(store: StoreClient, folder: Path, packages: int, max_bytes: int) -> EnvironmentResult:
    files = tree.packages(folder)
    size = sum(file.size for file in files)
    if size > max_bytes:
        raise _too_large(packages, size, max_bytes)
    if len(files) > tree.PACKAGED_LIMIT:
        said = f"its {packages} packages are {len(files)} files; at most {tree.PACKAGED_LIMIT} are allowed"
        raise Refused("ArtifactTooLarge", said)
    layer = blob_of(lambda: tree.pack(folder, files))
    notes = {TITLE: "environment.tar", _DIGEST: layer.digest, _PACKAGES: str(packages), _SIZE: str(size)}
    notes[PYTHON] = environment.minor()
    store.push(ENVIRONMENTS, tag(layer.digest), layer, notes, image=True)
    return EnvironmentResult(digest=layer.digest, packages=packages, size_bytes=size)


def _too_large(packages: int, size: int, max_bytes: int) -> Refused:
    said = f"its {packages} packages are {size} bytes, with their byte code; at most {max_bytes} are allowed"
    return Refused("ArtifactTooLarge", said)


def _known(store: StoreClient, reference: str) -> EnvironmentResult | None:
    """What lies in the store under this tag; None if nothing does that a pod of this image would take."""
    manifest = store.manifest(ENVIRONMENTS, reference)
    if manifest is None:
        return None
    try:
        notes = manifest["annotations"]
        if (notes[_DIGEST], notes.get(PYTHON)) != (manifest["layers"][0]["digest"], environment.minor()):
            return None
        return EnvironmentResult(digest=notes[_DIGEST], packages=int(notes[_PACKAGES]), size_bytes=int(notes[_SIZE]))
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("StoreRejected", f"{reference} in the store is no environment that Slipway pushed") from error


def _hash(*parts: str) -> str:
    """What is the same for the same words on the same kind of machine and the same Python."""
    here = [platform.machine(), environment.minor()]
    return hashlib.sha256(json.dumps([*here, *parts]).encode()).hexdigest()[:40]


def main(pod: Pod = THIS_POD) -> NoReturn:
    """Run the program in its pod."""
    run(rebuild, EnvironmentTask, pod)


if __name__ == "__main__":
    main()
