"""The command line: `python3 dev/cluster up | down | images | python | s3 | azurite | tools | load | build | ...`."""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import azurite
import choice as choices
import daemons
import images
import kind
import layouts
import local
import packages
import programs
import scratch
from choice import Choice
from paths import BIN, BUILD, CACHE, CHOICE, IMAGES, LOCK
from say import Trouble, say, step


@contextmanager
def alone() -> Iterator[None]:
    """One command at a time; the lock ends with the process, however it ends."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is at work on this cluster: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up(options: argparse.Namespace) -> None:
    chosen = choices.choose(options.context, options.control_plane_only)
    say(f"using the {chosen.kind} cluster, context {chosen.context} ({chosen.because})")
    if chosen.kind == choices.NAMED:
        programs.ensure(programs.CLIENTS)
        choices.check_named(chosen)
    elif chosen.kind == choices.KIND:
        kind.up()
    else:
        local.up(alone=not chosen.has_nodes)
    choices.record(chosen)
    say(f"kubeconfig {chosen.kubeconfig}, recorded in {CHOICE}")


def down(options: argparse.Namespace) -> None:
    chosen = choices.recorded()
    if chosen and chosen.kind == choices.NAMED:
        say(f"the cluster of context {chosen.context} was named, not made: it is left as it is")
    kind.down()
    local.down(options.purge)
    choices.forget()


def _chosen() -> Choice:
    chosen = choices.recorded()
    if not chosen:
        raise Trouble("no cluster was started: `make cluster`")
    return chosen


def build_images(_: argparse.Namespace) -> None:
    chosen = _chosen()
    ours = [images.tag(name) for name in images.NAMES]
    if not chosen.has_nodes:
        say("images are not built: no node would run them")
        return
    with_docker = images.docker_answers()
    images.ensure(with_docker)
    if chosen.kind == choices.NAMED:
        say(f"push {' and '.join(ours)} to a registry that {chosen.context} pulls from, and set IMAGE_REGISTRY= to it")
        return
    if chosen.kind == choices.KIND:
        with step("loading images into kind"):
            kind.load(ours)
            kind.load_upstream(scratch.STORE_IMAGE)
        return
    scratch.write_busybox()
    scratch.write_store()
    every = [scratch.BUSYBOX_IMAGE, scratch.STORE_IMAGE, *ours]
    for image in every:
        _load_local(image)
    images.record({image: layouts.digest(image) for image in every})


def _load_local(image: str) -> None:
    if layouts.missing_on(image):
        with step(f"loading {image}"):
            layouts.load(image)


def load_python(options: argparse.Namespace) -> None:
    """A runner image with another Python, which only some tests need: the first of them has it built."""
    chosen, name = _chosen(), f"runner-{options.minor}"
    if chosen.kind not in (choices.KIND, choices.LOCAL) or not chosen.has_nodes:
        say(f"{images.tag(name)} is not loaded into a {chosen.kind} cluster, or no node would run it")
        return
    images.ensure(images.docker_answers(), (name,))
    if chosen.kind == choices.KIND:
        kind.load([images.tag(name)])
    else:
        _load_local(images.tag(name))


def load_s3(_: argparse.Namespace) -> None:
    """The S3 store's image, which only tests need: the first of them has it built."""
    chosen = _chosen()
    if chosen.kind == choices.KIND:
        kind.load_upstream(scratch.S3_IMAGE)
    elif chosen.kind == choices.LOCAL:
        programs.ensure([programs.S3])
        scratch.write_s3()
        _load_local(scratch.S3_IMAGE)
    else:
        say(f"{scratch.S3_IMAGE} is not loaded into a {chosen.kind} cluster")


def load_azurite(_: argparse.Namespace) -> None:
    """The Azure store's image, likewise."""
    chosen = _chosen()
    if chosen.kind == choices.LOCAL:
        azurite.ensure()
        scratch.write_azurite()
        _load_local(scratch.AZURITE_IMAGE)
    else:
        say(f"{scratch.AZURITE_IMAGE} is not loaded into a {chosen.kind} cluster")


def tools(_: argparse.Namespace) -> None:
    packages.take(packages.FOR_TESTS)
    packages.install_where_nothing_starts(packages.FOR_TESTS_INSTALLED)


def load(options: argparse.Namespace) -> None:
    chosen, path = _chosen(), Path(options.image)
    if chosen.kind == choices.KIND:
        kind.load_archive(options.image) if path.is_file() else kind.load([options.image])
    elif chosen.kind != choices.LOCAL:
        raise Trouble(f"nothing is loaded into a {chosen.kind} cluster")
    elif path.is_file():
        with step(f"loading {path}"):
            layouts.load_archive(path)
    elif layouts.present(options.image):
        _load_local(options.image)
    else:
        raise Trouble(f"{options.image} is neither an archive nor an image that was built here")


def build(options: argparse.Namespace) -> None:
    every = (*programs.CLIENTS, *programs.CONTROL_PLANE, *programs.NODES)
    programs.ensure(options.program or every)
    if azurite.NAME in options.program:
        azurite.ensure()
    say(f"programs are current: {CACHE / 'bin'}")


def recycle(_: argparse.Namespace) -> None:
    local.recycle()


def clean(_: argparse.Namespace) -> None:
    """Remove what was built; Go's own build cache is not ours to empty."""
    if daemons.names() or daemons.strays():
        raise Trouble("the local cluster is running: `down` first")
    for folder in (BIN, BUILD, IMAGES):
        # As root, buildah's layers can hold anything; a mount below them would be emptied with the folder.
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
    say(f"removed what was built in {CACHE}")


def status(_: argparse.Namespace) -> None:
    chosen = choices.recorded()
    say(f"{chosen.kind} cluster, context {chosen.context}, {chosen.kubeconfig}" if chosen else "no cluster is chosen")
    for line in local.status():
        say(line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev/cluster", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(run, name: str, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text)
        one.set_defaults(run=run)
        return one

    starting = command(up, "up", "choose a cluster, start it, and record the choice")
    starting.add_argument("--context", default=os.environ.get("KUBE_CONTEXT", ""), help="use this cluster")
    starting.add_argument("--control-plane-only", action="store_true", help="no nodes; needs no root")
    stopping = command(down, "down", "stop what `up` started")
    stopping.add_argument("--purge", action="store_true", help="forget its objects, volumes and images, too")
    command(build_images, "images", "build the images and load them")
    python = command(load_python, "python", "build a runner image with another Python and load it")
    python.add_argument("minor", choices=sorted(images.OTHERS))
    command(load_s3, "s3", "build the S3 store of the tests and load it as an image")
    command(load_azurite, "azurite", "install the Azure store of the tests and load it as an image")
    command(load, "load", "load an image by archive or name").add_argument("image")
    command(build, "build", "build the programs").add_argument("program", nargs="*")
    command(tools, "tools", "bring programs that only tests need")
    command(recycle, "recycle", "make released volumes available again")
    command(clean, "clean", "remove what was built")
    command(status, "status", "what runs")
    options = parser.parse_args()
    try:
        if options.run is status:
            status(options)
        else:
            with alone():
                options.run(options)
    except Trouble as trouble:
        print(f"slipway: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
