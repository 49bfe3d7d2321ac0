"""Changes wake keys. Events come by kopf; a periodic relist finds what a watch has missed."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..adapters.cluster import NAMESPACE, Cluster, Kind, Object
from ..adapters.errors import AdapterError, Expired, NotFound, Unauthorized
from ..api import names
from ..core.reasons import Reason
from ..logs import about
from .cache import Cache
from .identity import Place, place_of, section, uid_of, version_of
from .kinds import Watched, table
from .queue import Key, Lane
from .telemetry import Telemetry
from .wakes import Around, Change

log = logging.getLogger("slipway")
ON_ITS_WAY_SECONDS = 5.0
STALE_RELISTS = 2  # so many relists in a row that found what a watch should have told: the watch is dead
FAILED_RELISTS = 3  # so many in a row that were not answered in full: what is known may be long gone
STARTS = 3  # of one kind's list, if the API server forgets what its pages are pages of


class Wake(Protocol):
    """Has a key looked at."""

    def __call__(self, item: Key, /, *, lane: Lane = Lane.USUAL) -> None:
        """Before the keys of the lanes behind its own."""
        ...


class Wakes(NamedTuple):
    """Whom a change wakes, beside whom the object names."""

    key: Wake
    uses: Callable[[Object], Place | None]  # the ModelRegistry of a RegisteredModel


@dataclass
class Listing:
    """What a list of one kind has shown."""

    row: Watched
    first: bool
    before: dict[Place, str]  # what was known when it began
    there: set[Place] = field(default_factory=set)
    untold: list[Object] = field(default_factory=list)  # heads of what no event has told of yet


class Watch:
    """Feeds the cache and wakes the keys that a change concerns."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        wakes: Wakes,
        telemetry: Telemetry,
        patience_seconds: float = ON_ITS_WAY_SECONDS,
    ) -> None:
        self._cluster, self._cache, self._wakes, self._telemetry = cluster, cache, wakes, telemetry
        self._patience_seconds = patience_seconds
        self._rows = {row.kind: row for row in table()}
        self._around = Around(cache, wakes.uses)
        self._listed: set[Kind] = set()  # kinds that the API server has shown, once at least
        self._watched: set[Kind] | None = None  # kinds of which events are expected
        self._without: set[Kind] = set()
        self._missed: dict[str, int] = {}
        self._failed: list[str] = []  # why the last relists failed, one entry for each in a row
        self.listed_at: float | None = None
        cache.listen(self._changed)

    def begin(self) -> tuple[Watched, ...]:
        """The kinds to watch from now on: those that could be listed."""
        self._watched = set(self._listed)
        return tuple(row for row in self._rows.values() if row.kind in self._watched)

    def lacks(self, kind: Kind, event: str | None, found: Object) -> bool:
        """Whether an event may tell something new. Any thread may ask."""
        return event == "DELETED" or self._cache.lacks(kind, found)

    def saw(self, kind: Kind, event: str | None, found: Object) -> None:
        """An event from a watch. The object counts, not the order of events."""
        if event == "DELETED":
            self._cache.remove(kind, *place_of(found), uid_of(found), version_of(found))
        else:
            self._put(kind, found)

    def _put(self, kind: Kind, found: Object) -> bool:
        """The object is known. What one object breaks, whatever is stored in it, holds up no other."""
        try:
            return self._cache.put(kind, found)
        except Exception:
            here = (kind.kind, *place_of(found))
            log.exception("%s %s/%s cannot be taken in", *here, extra=about(*here, Reason.InternalError))
            return False

    def _changed(self, change: Change) -> None:
        for key, lane in self._rows[change.kind].wakes(change, self._around):
            if key != change.by:
                self._wakes.key(key, lane=lane)

    async def relist(self, namespaces: tuple[str, ...], operator_namespace: str) -> None:
        """The cache is as the API server has it, deletions too; what the watch had not told in time is counted.

        The first list of a kind reads everything. Later ones compare, and read what is still unknown after a while.
        A kind that cannot be listed does not hold up the others; its error is raised in the end.
        """
        errors: list[AdapterError] = []
        listings: list[Listing] = []
        for row in self._rows.values():
            try:
                if listing := await self._list(row, _places(row, namespaces, operator_namespace)):
                    listings.append(listing)
            except AdapterError as error:
                log.warning("%s could not be listed: %s", row.kind.plural, error)
                errors.append(error)
        if any(not one.first for one in listings):
            # What changed a moment ago is on its way: only what is still unknown later was missed.
            await asyncio.sleep(self._patience_seconds)
        for listing in listings:
            try:
                await self._settle(listing)
            except AdapterError as error:
                log.warning("%s could not be read: %s", listing.row.kind.plural, error)
                errors.append(error)
        if errors:
            self._failed.append(str(errors[0]))
            self._telemetry.relist_failures.inc()
            raise errors[0]
        self._failed.clear()
        self.listed_at = time.monotonic()
        self._telemetry.relisted.set_to_current_time()

    async def _list(self, row: Watched, places: tuple[str, ...]) -> Listing | None:
        """The kind, a page at a time; None for one that may be missing, and is."""
        for start in range(1, STARTS + 1):
            try:
                return await self._read(row, places)
            except Expired:
                if start == STARTS:
                    raise
            except (NotFound, Unauthorized) as error:
                if not row.optional:
                    raise
                if row.kind not in self._without:
                    self._without.add(row.kind)
                    log.info("%s are not watched, and the operator works without them: %s", row.kind.plural, error)
                return None
        return None

    async def _read(self, row: Watched, places: tuple[str, ...]) -> Listing:
        kind = row.kind
        listing = Listing(row, kind not in self._listed, self._cache.uids(kind))
        read = self._cluster.pages if listing.first else self._cluster.heads
        for namespace in places:
            async for page in read(kind, namespace):
                for one in page:
                    listing.there.add(place_of(one))
                    if listing.first:
                        self._put(kind, one)
                    elif self._cache.lacks(kind, one):
                        listing.untold.append(one)
        return listing

    async def _settle(self, listing: Listing) -> None:
        """What the list has shown is known, and what it has not is gone."""
        kind, missed = listing.row.kind, 0
        for head in listing.untold:
            if self._cache.lacks(kind, head):
                namespace, name = place_of(head)
                missed += sum(
                    self._put(kind, one) for one in await self._cluster.every(kind, namespace, f"metadata.name={name}")
                )
        gone = listing.before.keys() - listing.there
        missed += sum(self._cache.remove(kind, *place, listing.before[place]) for place in gone)
        if not listing.first and (self._watched is None or kind in self._watched):
            self._count_missed(kind, missed)
        self._listed.add(kind)
        if kind in self._without and self._watched is not None:
            self._without.discard(kind)
            log.info("%s are there now: relists tell of them until the operator is started anew", kind.plural)

    def _count_missed(self, kind: Kind, missed: int) -> None:
        """A watch that misses changes at every relist is dead."""
        self._missed[kind.plural] = self._missed.get(kind.plural, 0) + 1 if missed else 0
        if missed:
            self._telemetry.missed.labels(kind.plural).inc(missed)
            log.warning("the watch of %s had not told of %d changes", kind.plural, missed)

    def serves(self, namespace: str) -> bool:
        """Whether a namespace asks for Slipway by its label. Where none can be seen, admission alone decides."""
        if NAMESPACE not in self._listed:
            return True
        return section(self._cache.get(NAMESPACE, "", namespace), "metadata", "labels").get(names.MODELS) == "true"

    @property
    def wrong(self) -> str:
        """What only another start mends; "" while nothing is wrong."""
        dead = [plural for plural, count in self._missed.items() if count >= STALE_RELISTS]
        return f"the watch of {', '.join(dead)} is dead" if dead else ""

    @property
    def failing(self) -> str:
        """Why what is known may be long gone. Another start would not help: what can be listed and watched goes on."""
        if len(self._failed) < FAILED_RELISTS:
            return ""
        return f"the last {len(self._failed)} relists failed: {self._failed[-1]}"


def _places(row: Watched, namespaces: tuple[str, ...], operator_namespace: str) -> tuple[str, ...]:
    """Where to list a kind: everywhere, or in the namespaces that were named, and beside the operator for its own."""
    if not namespaces:
        return ("",)
    if row.clusterwide:
        return ()
    return tuple(dict.fromkeys((*namespaces, operator_namespace) if row.beside else namespaces))
