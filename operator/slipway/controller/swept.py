"""One registry between two sweeps: what is known of it, and how it is read.

Several may ask it at once: a sweep, who looks at one model that a webhook has named, and who has just written a label.
Each answer counts as of the moment when it was asked for: what was learned by a later question stays.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile

from ..adapters.errors import Rejected, Unreachable
from ..adapters.ports import Registry
from ..api.modelregistry import ModelRegistry
from ..core import discovery
from ..core.registry import Absent, Labels, RegistryState, Rights, Silent
from ..core.snapshot import Snapshot, Sweep, Watermark
from .queue import Key

WHOLE_SECONDS = 600.0  # between two readings of every version
GAP_SECONDS = 60.0  # between two of them that a gap asks for
GRACE_SECONDS = 60.0  # between the first answer that a version is gone and the one that is believed
RIGHTS_SECONDS = 60.0  # between two questions what the credential may do, while something is missing
LOOKS = 10  # versions that are asked about in one sweep
HINTS = 10  # models that are read one by one; where more have changed, a sweep reads all
Change = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True)
class Doubt:
    """A version that no list shows, and that the registry itself has said not to have."""

    first: float
    last: float
    gone: bool = False


@dataclass
class Swept:
    """One registry between two sweeps."""

    uri: str = ""
    generation: int | None = None
    usable: bool | None = None  # whether it and its credential could be read
    snapshot: Snapshot = field(default_factory=Snapshot)
    watermark: Watermark | None = None
    whole_at: float = float("-inf")
    gap: bool = False
    left_out: frozenset[str] = frozenset()  # models of which the registry says more than can be read
    by_name: bool = False  # no list of all its models can be read
    counted: int = 0
    found: tuple[str, ...] | None = None  # what discovery is about; None: not known for the ModelRegistry as it is
    version: str | None = None
    wanted: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)  # models of the cluster, by registered model
    changed: set[str] = field(default_factory=set)  # names whose models are to be woken
    asking: list[list[Change]] = field(default_factory=list)  # of each request that runs: what came since it began
    hinted: set[str] = field(default_factory=set)  # models to be looked at
    looked_at: dict[str, str] = field(default_factory=dict)  # since the last sweep, by name (RFC 3339)
    doubts: dict[tuple[str, int], Doubt] = field(default_factory=dict)
    rights: Rights | None = None
    rights_of: tuple[Registry, frozenset[str]] | None = None  # by whom, and of which models, it was asked
    rights_at: float = float("-inf")
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    look: asyncio.Event = field(default_factory=asyncio.Event)
    state: RegistryState | None = None  # None: not asked yet
    answers_since: str = ""  # since when each sweep was answered (RFC 3339); what it was before, while it is silent

    def begin(self, resource: ModelRegistry) -> bool:
        """Whether the ModelRegistry was edited. What another server said says nothing of this one."""
        uri = resource.spec.backend.mlflow.uri if resource.spec.backend.mlflow else ""
        if self.uri != uri:
            self.uri, self.snapshot, self.watermark, self.version = uri, Snapshot(), None, None
            self.whole_at, self.rights, self.rights_of, self.left_out = float("-inf"), None, None, frozenset()
        before, self.generation = self.generation, resource.metadata.generation
        if before != self.generation:
            self.found = None
        return before not in (None, self.generation)

    @contextmanager
    def ask(self) -> Iterator[list[Change]]:
        """While a request runs; what others learn meanwhile."""
        since: list[Change] = []
        self.asking.append(since)
        try:
            yield since
        finally:
            self.asking = [one for one in self.asking if one is not since]

    def merge(self, sweep: Sweep, names: frozenset[str], since: list[Change]) -> None:
        """The snapshot knows what the request brought, but for what was learned by later ones."""
        later = (*since,)
        after, changed = self.snapshot.after(sweep, names)
        self.snapshot = _replayed(after, later)
        self.changed |= changed
        for older in takewhile(lambda one: one is not since, self.asking):
            older.append(lambda snapshot: _replayed(snapshot.after(sweep, names)[0], later))

    def confirm(self, name: str, version: int, labels: Labels) -> bool:
        """A version was read by itself; whether that is news."""
        self.snapshot, changed = self.snapshot.confirmed(name, version, labels)
        for one in self.asking:
            one.append(lambda snapshot: snapshot.confirmed(name, version, labels)[0])
        return changed

    def heed(self, name: str) -> None:
        """This model is said to have changed: it is looked at, or all are swept where little is known or much new."""
        known = self.state is not None and self.state.silence is None and self.snapshot.labels(name) is not None
        if known and name in self.wanted and name not in self.left_out and len(self.hinted | {name}) <= HINTS:
            self.hinted.add(name)
            self.look.set()
        else:
            self.hinted.clear()
            self.hurry.set()

    async def look_at(self, client: Registry, name: str, now: str) -> bool:
        """One model is read, which adds and updates as a sweep does; False where only a sweep explains it."""
        with self.ask() as since:
            read = await client.model(name)
            self.merge(read, frozenset(self.wanted), since)
        self.looked_at[name] = now
        known = self.snapshot.models.get(name)
        if known is None or not known.whole or known.doubtful:
            return False
        return known.labels.keys() >= {*known.aliases.values()}

    def gone(self, name: str) -> frozenset[int]:
        """Versions of a model that were deleted."""
        return frozenset(number for (of, number), doubt in self.doubts.items() if of == name and doubt.gone)

    async def look_for(self, client: Registry, used: Mapping[str, frozenset[int]], now: float) -> None:
        """Ask for versions of the cluster that no list shows. A list may be short; two answers are believed."""
        unlisted = {
            (name, number)
            for name, numbers in used.items()
            if (labels := self.snapshot.labels(name)) is not None
            for number in numbers - labels.keys()
        }
        for back in self.doubts.keys() - unlisted:
            if self.doubts.pop(back).gone:
                self.changed.add(back[0])
        due = [key for key in sorted(unlisted) if not (had := self.doubts.get(key)) or _is_due(had, now)]
        for key in due[:LOOKS]:
            try:
                found = await client.labels(*key)
            except Rejected:  # of this one it may not be asked: that says nothing of it, nor of the registry
                continue
            if not isinstance(found, Absent):
                self.snapshot, _ = self.snapshot.confirmed(*key, found)
                self.changed.add(key[0])
                continue
            doubt = self.doubts.get(key, Doubt(now, now))
            gone = doubt.gone or now - doubt.first >= GRACE_SECONDS
            self.doubts[key] = replace(doubt, last=now, gone=gone)
            if gone and not doubt.gone:
                self.changed.add(key[0])

    async def ask_rights(self, client: Registry, names: frozenset[str], now: float) -> None:
        """What the credential may do: asked rarely, and at once for another credential or another model."""
        known = {*self.rights.levels.values(), self.rights.experiments or "EDIT"} if self.rights else set()
        pause = WHOLE_SECONDS if known <= {"EDIT", "MANAGE"} else RIGHTS_SECONDS
        if self.rights_of == (client, names) and now - self.rights_at < pause:
            return
        try:
            self.rights = await client.rights(names)
        except Unreachable:  # of the registry, the sweep has told
            return
        self.rights_of, self.rights_at = (client, names), now

    async def read(self, client: Registry, resource: ModelRegistry, names: frozenset[str], now: float) -> Silent | None:
        """Read what has changed, and whole what needs it; why it broke off, if it did."""
        # What was left out may be smaller by the time that everything is read anew.
        anew = self._reads_every(now)
        without, watermark = (frozenset[str](), None) if anew else (self.left_out, self.watermark)
        with self.ask() as since:
            swept = await client.sweep(watermark, names, without)
            self.merge(swept, names, since)
        self._leave_out(self.left_out | swept.left_out)
        self.watermark, self.by_name, self.gap = swept.watermark, swept.by_name, self.gap or swept.gap
        if not swept.by_name:
            self.counted = swept.counted
            self.found = discovery.found(resource, swept.labelled) if swept.listed else self.found
        if swept.broken_off is not None:
            return swept.broken_off
        every = self._reads_every(now)
        unread = (frozenset(self.snapshot.models) if every else self.snapshot.unread) - swept.left_out
        left_out = swept.left_out
        if unread:
            with self.ask() as since:
                read = await client.versions(unread)
                self.merge(read, names, since)
            left_out |= read.left_out
            if read.broken_off is not None:
                self._leave_out(self.left_out | left_out)
                return read.broken_off
        self._leave_out(left_out)
        if every or self.version is None:
            self.version = await client.server_version()
        if every:
            self.whole_at, self.gap = now, False
        return None

    def _reads_every(self, now: float) -> bool:
        return now - self.whole_at >= (GAP_SECONDS if self.gap else WHOLE_SECONDS)

    def _leave_out(self, names: frozenset[str]) -> None:
        self.changed |= names ^ self.left_out
        self.left_out = names


def _replayed(snapshot: Snapshot, changes: Iterable[Change]) -> Snapshot:
    for change in changes:
        snapshot = change(snapshot)
    return snapshot


def _is_due(doubt: Doubt, now: float) -> bool:
    """Whether to ask once more: soon while nobody knows, rarely once it is gone."""
    return now - doubt.last >= (WHOLE_SECONDS if doubt.gone else 0.0)
