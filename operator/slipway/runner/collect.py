"""Removes from the store's volume what no cluster names any more; run by hand, while the store is read-only.

It forgets tags and manifests; `registry garbage-collect` then frees the space. One file for each cluster that uses the
store says what to keep. It stops at the first thing that looks wrong: what is removed in error keeps pods from serving.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.api.tasks import Store

from .store import DATA, MODELS, tag
from .volume import ROOT, Volume, is_digest

NEW_HOURS = 24.0  # what was pushed within them stays, whatever the lists say


class Unusable(Exception):
    """A list or a volume is not what it should be, and so nothing is removed."""


@dataclass(frozen=True)
class Plan:
    """What a collection of one repository does."""

    repository: str
    kept: int
    new: int  # named by no list, but pushed lately
    foreign: int  # tags that no import makes
    removed: dict[str, str]  # tag → digest of its manifest


def keep(lists: Sequence[Path]) -> dict[Path, set[str]]:
    """The digests of each list; Unusable if one is missing, empty or holds anything else."""
    if not lists:
        raise Unusable("there is no list: give one for each cluster that uses this store")
    return {path: _digests(path) for path in lists}


def _digests(path: Path) -> set[str]:
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} cannot be read: {error}") from error
    if not path.stat().st_size or lines.pop():
        raise Unusable(f"{path} is empty or cut off: its last line does not end; make it again")
    for number, line in enumerate(lines, start=1):
        if not is_digest(line):
            raise Unusable(f"{path}, line {number}: {line[:80]!r} is no digest; make the list again")
    return set(lines)


def plan(volume: Volume, lists: dict[Path, set[str]], new_since: float) -> list[Plan]:
    """What would be removed; Unusable if a list is of another store."""
    repositories = [f"{Store(url='').repository}/{name}" for name in (MODELS, DATA)]
    present = [repository for repository in repositories if volume.repository(repository)]
    if not present:
        raise Unusable(f"the volume has neither {' nor '.join(repositories)}: is it the store's?")
    found = {repository: dict(volume.tags(repository)) for repository in present}
    every = {name for tags in found.values() for name in tags}
    for path, digests in lists.items():
        if not every & {tag(digest) for digest in digests}:
            raise Unusable(f"{path} names nothing that is in this store: is it of another one?")
    named = {tag(digest) for digests in lists.values() for digest in digests}
    return [_plan(volume, repository, tags, named, new_since) for repository, tags in found.items()]


def _plan(volume: Volume, repository: str, tags: dict[str, str], named: set[str], new_since: float) -> Plan:
    ours = {name: digest for name, digest in tags.items() if is_digest(name.replace("-", ":", 1))}
    unnamed = {name: digest for name, digest in ours.items() if name not in named}
    old = {n: digest for n, digest in unnamed.items() if volume.written(repository, n, digest) < new_since}
    return Plan(repository, len(ours) - len(unnamed), len(unnamed) - len(old), len(tags) - len(ours), old)


def remove(volume: Volume, plans: Iterable[Plan]) -> None:
    """Forget the tags first: a collection that was cut off is taken up by the next one."""
    for one in plans:
        for name in one.removed:
            volume.remove_tag(one.repository, name)
        for digest in volume.untagged(one.repository):
            volume.remove_manifest(one.repository, digest)


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole program; its exit code."""
    options = argparse.ArgumentParser(prog="collect", description=__doc__)
    options.add_argument("lists", nargs="*", type=Path, metavar="LIST", help="digests to keep, one a line")
    options.add_argument("--root", type=Path, default=Path(ROOT), help="where the registry's volume is mounted")
    options.add_argument("--new-hours", type=float, default=NEW_HOURS, help="keep what was pushed within them")
    options.add_argument("--delete", action="store_true", help="do it, instead of saying what would be done")
    given = options.parse_args(arguments)
    volume = Volume(given.root)
    try:
        plans = plan(volume, keep(given.lists), time.time() - given.new_hours * 3600)
    except Unusable as unusable:
        print(f"nothing was removed: {unusable}", file=sys.stderr)
        return 1
    for one in plans:
        for name in sorted(one.removed):
            print(f"{'removed' if given.delete else 'would remove'} {one.repository}:{name}")
    if given.delete:
        remove(volume, plans)
    for one in plans:
        done = f"{len(one.removed)} {'removed' if given.delete else 'to remove'}"
        more = f"{one.new} kept as new, {one.foreign} not of Slipway"
        print(f"{one.repository}: {one.kept} kept as named, {more}, {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
