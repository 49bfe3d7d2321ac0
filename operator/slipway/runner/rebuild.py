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
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, NoReturn

from packaging.utils import canonicalize_name

from slipway.api.tasks import ENVIRONMENT, IMPORT, EnvironmentResult, EnvironmentTask

from . import environment, stated, tree, wheels
from .outcome import Refused, bounded, run, say, scrubbed
from .pod import THIS_POD, Pod
from .stated import Stated
from .store import ENVIRONMENTS, MODELS, PYTHON, TITLE, StoreClient, blob_of, tag
from .uv import Asked, Uv
from .uv_lock import Hashes

_DIGEST, _PACKAGES, _SIZE = "dev.slipway.digest", "dev.slipway.packages", "dev.slipway.size"
_SAID = "dev.slipway.notes"
_NOTES = 900  # bytes
_COMPILERS = 4  # at most: each holds a module, and the node may have many cores
# Packages that a CPU does without, and those that load them nevertheless.
_LEFT_OUT = {"nvidia-nccl-cu12": ("torch", "jax", "tensorflow", "cupy-cuda12x")}
# What is published for a CPU, too, under the same version and `+cpu`: all of them, since one is built for the other.
_OF_TORCH = ("torch", "torchvision", "torchaudio")


def rebuild(task: EnvironmentTask, pod: Pod) -> EnvironmentResult:
    """The whole program."""
    store, scratch = StoreClient(task.store, pod), pod.at(IMPORT)
    wanted = _stated(store, task, tree.emptied(scratch / "stated"))
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
    own = [wheels.known_as(scratch / "stated", path) for path in wanted.wheels]
    asked = f"asked-{_hash(*(one.url for one in task.indexes), *requirements, *own, *_locked(wanted))}"
    found = _known(store, asked)
    if found is None:
        uv = Uv(task.indexes, task.proxy, tree.emptied(scratch / "uv"), pod)
        found = _made(store, uv, wanted, scratch, task.max_bytes, asked)
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


def _stated(store: StoreClient, task: EnvironmentTask, folder: Path) -> Stated:
    """What the model's files say of its environment; only these files are written, and the wheels that they name."""
    manifest = store.manifest(MODELS, tag(task.digest))
    if manifest is None:
        raise Refused("ArtifactMissing", f"the artifact store has no model {task.digest}")
    layer = manifest["layers"][0]

    def take(only: tuple[str, ...]) -> None:
        def unpack(stream: IO[bytes]) -> None:
            tree.unpack(stream, tree.emptied(folder), max_bytes=layer["size"], only=only)

        store.pull(MODELS, layer, unpack)

    take(stated.FILES)
    found = stated.read(folder)
    if found.wheels:
        take(found.wheels)
    return found


def _locked(wanted: Stated) -> Iterator[str]:
    """What a lock of the model adds to what it asks for."""
    yield from (str(one) for one in wanted.constraints)
    yield from (f"{one} {each}" for one, files in sorted(wanted.hashes.items()) for each in sorted(files))


def _refuse_what_cannot_be(wanted: Stated) -> None:
    if wanted.unusable:
        listed = environment.listed([repr(one) for one in wanted.unusable])
        said = f"{listed}: no name and version that a package index could answer; log the model with released packages"
        raise Refused("EnvironmentNotReproducible", said)


def _made(store: StoreClient, uv: Uv, wanted: Stated, scratch: Path, max_bytes: int, asked: str) -> EnvironmentResult:
    began = time.monotonic()

    def done(what: str) -> None:
        say(f"{what}, {time.monotonic() - began:.1f} s")

    files = [wheels.requirement(scratch / "stated", path, max_bytes) for path in wanted.wheels]
    requirements = tuple(str(one) for one in wanted.requirements)
    lock, warnings = _lock(uv, Asked((*requirements, *files), tuple(str(one) for one in wanted.constraints)))
    lock = _as_locked(lock, wanted.hashes)
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
    found = _push(store, folder, count, max_bytes, notes)
    store.name(ENVIRONMENTS, tag(found.digest or ""), locked)
    store.name(ENVIRONMENTS, locked, asked)
    done(f"pushed {found.digest}, {found.size_bytes / 1e6:.1f} MB")
    return found


def _lock(uv: Uv, asked: Asked) -> tuple[str, tuple[str, ...]]:
    """The lock without what a CPU does not need; that stays where another package loads it."""
    lock, warnings = uv.lock(replace(asked, left_out=tuple(_LEFT_OUT)))
    names = _names(lock)
    if any(needs in names for loaders in _LEFT_OUT.values() for needs in loaders):
        lock, warnings = _for_cpu(uv, asked, *uv.lock(asked))
    return lock, warnings


def _for_cpu(uv: Uv, asked: Asked, lock: str, warnings: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The lock with the same versions as they are published for a CPU, if the indexes have these."""
    of_torch = [one for one in _pins(lock) if one.partition("==")[0] in _OF_TORCH]
    for_cpu = tuple(f"{one.partition('+')[0]}+cpu" for one in of_torch)
    try:
        if for_cpu != tuple(of_torch):
            lock, warnings = uv.lock(replace(asked, instead=for_cpu))
    except Refused as refused:
        if refused.reason != "EnvironmentNotReproducible":
            raise
        say(f"no index has it for a CPU: {refused}")
        return lock, warnings
    stated = [one for one in asked.requirements if "+cpu" in one]
    return lock, warnings if stated or not for_cpu else (
        *warnings,
        f"{', '.join(for_cpu)} taken, for pods without a GPU",
    )


def _as_locked(lock: str, hashes: Hashes) -> str:
    """The lock with those files only that the model's own lock names, too."""

    def kept(block: re.Match[str]) -> str:
        known = hashes.get(block["pin"])
        found = [one for one in block["files"].split() if known and one.removeprefix("--hash=") in known]
        if known and not found:
            said = f"{block['pin']}: an index has other files than the hashes of the model's uv.lock tell"
            raise Refused("IndexRejected", said)
        return " \\\n    ".join([block["pin"], *found]) + "\n" if known else block[0]

    return re.sub(r"^(?P<pin>\S+) \\\n(?P<files>(?:    --hash=.*\n)+)", kept, lock, flags=re.MULTILINE)


def _pins(lock: str) -> list[str]:
    """The packages of a lock with their versions."""
    return [line.split()[0] for line in lock.splitlines() if line[:1].isalnum()]


def _names(lock: str) -> set[str]:
    """The packages of a lock."""
    return {canonicalize_name(one.partition("==")[0]) for one in _pins(lock)}


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


def _push(store: StoreClient, folder: Path, packages: int, max_bytes: int, said: str) -> EnvironmentResult:
    files = tree.packages(folder)
    size = sum(file.size for file in files)
    if size > max_bytes:
        raise _too_large(packages, size, max_bytes)
    if len(files) > tree.PACKAGED_LIMIT:
        more = f"its {packages} packages are {len(files)} files; at most {tree.PACKAGED_LIMIT} are allowed"
        raise Refused("ArtifactTooLarge", more)
    layer = blob_of(lambda: tree.pack(folder, files))
    notes = {TITLE: "environment.tar", _DIGEST: layer.digest, _PACKAGES: str(packages), _SIZE: str(size)}
    notes |= {PYTHON: environment.minor(), _SAID: bounded(scrubbed(said, ()), _NOTES)}
    store.push(ENVIRONMENTS, tag(layer.digest), layer, notes, image=True)
    return EnvironmentResult(digest=layer.digest, packages=packages, size_bytes=size, notes=notes[_SAID])


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
        return EnvironmentResult(
            digest=notes[_DIGEST],
            packages=int(notes[_PACKAGES]),
            size_bytes=int(notes[_SIZE]),
            notes=notes.get(_SAID, ""),
        )
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
