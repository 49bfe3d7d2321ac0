"""The Lease that says which of several operators acts: taken, renewed and given back, as client-go does it.

Times are this process's own monotonic clock: somebody else's Lease holds for as long as it says, from the moment at
which this process saw it change, and our own from the moment at which its last renewal was sent. No other clock counts.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..adapters.cluster import LEASE, Cluster, Object
from ..adapters.errors import AdapterError, Conflict, NotFound
from ..api import names
from ..logs import about

log = logging.getLogger("slipway")
TRY_SECONDS = 5.0  # one call of the API server; a second one fits in before the Lease is lost


@dataclass(frozen=True)
class Terms:
    """How long a Lease holds."""

    lease_seconds: int = 15  # without a renewal for so long, somebody else may take it
    renew_seconds: float = 10.0  # a holder that has not renewed for so long has lost it: always less than the lease
    retry_seconds: float = 2.0  # between two tries


@dataclass(frozen=True)
class Sight:
    """A Lease as it was seen last, and when it began to look like that."""

    found: Object | None = None  # None: there is none
    since: float = -math.inf

    def then(self, found: Object | None, now: float) -> "Sight":
        """What is seen now; a Lease whose spec is as before has not been renewed, whatever else changed."""
        before = self.found
        same = before is not None and found is not None and before.get("spec") == found.get("spec")
        return Sight(found, self.since if same else now)

    @property
    def holder(self) -> str:
        """Who holds it; "" if nobody does."""
        return str(self._spec.get("holderIdentity") or "")

    @property
    def address(self) -> str:
        """Where who holds it takes what others pass on; "" if nobody does, or it does not say so."""
        told = ((self.found or {}).get("metadata") or {}).get("annotations") or {}
        return str(told.get(names.RECEIVER) or "") if self.holder else ""

    def free_for(self, me: str, terms: Terms, now: float) -> bool:
        """Whether `me` may write it: nobody else holds it, or has not renewed it in time."""
        lasts = self._spec.get("leaseDurationSeconds") or terms.lease_seconds
        return self.holder in ("", me) or now - self.since >= lasts

    def claimed(self, me: str, terms: Terms, stamp: str) -> dict[str, Any]:
        """The spec with which `me` takes or keeps it."""
        spec, kept = self._spec, self.holder == me
        return {
            **spec,
            "holderIdentity": me,
            "leaseDurationSeconds": terms.lease_seconds,
            "acquireTime": spec.get("acquireTime", stamp) if kept else stamp,
            "renewTime": stamp,
            "leaseTransitions": (spec.get("leaseTransitions") or 0) + (not kept and self.found is not None),
        }

    def given_back(self, stamp: str) -> dict[str, Any]:
        """The spec that lets anybody take it at once."""
        return {**self._spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": stamp}

    @property
    def _spec(self) -> dict[str, Any]:
        return (self.found or {}).get("spec") or {}


class Lease:
    """One Lease, and this process's claim to it. Its connection is its own: no other call is in its way."""

    def __init__(
        self,
        cluster: Cluster,
        place: tuple[str, str],
        holder: str,
        terms: Terms = Terms(),
        clock: Callable[[], float] = time.monotonic,
        address: str = "",
    ) -> None:
        self._cluster, self._place, self.me, self._address = cluster, place, holder, address
        self._terms, self._clock = terms, clock
        self._sight = Sight()
        self._until = -math.inf

    @property
    def seconds_left(self) -> float:
        """For how long this process may act, if nothing is renewed any more; not positive if it may not."""
        return self._until - self._clock()

    @property
    def leader_address(self) -> str:
        """Where another operator that acts takes what is passed on; "" if none is known."""
        return self._sight.address if self._sight.holder != self.me else ""

    async def take(self, stop: asyncio.Event) -> bool:
        """Wait until it is ours; False if `stop` comes first."""
        known = ""
        while not stop.is_set():
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    await self.attempt()
            except (AdapterError, TimeoutError) as error:
                log.warning("the Lease %s/%s cannot be had yet: %s", *self._place, error or "no answer")
            if self.seconds_left > 0:
                return True
            if self._sight.holder not in (known, self.me):
                known = self._sight.holder
                log.info("%s acts; this operator stands by", known or "nobody")
            await self._pause(stop)
        return False

    async def keep(self) -> str:
        """Renew it for as long as that succeeds; why it was lost."""
        trouble = "no answer"
        while (left := self.seconds_left) > 0:
            await asyncio.sleep(min(left, self._terms.retry_seconds))
            if self.seconds_left <= 0:
                break  # after a long sleep of the whole process, too
            try:
                async with asyncio.timeout(min(self.seconds_left, TRY_SECONDS)):
                    await self.renew()
            except (AdapterError, TimeoutError) as error:
                trouble = str(error) or "no answer"
                what = about("Lease", *self._place)
                log.warning("the Lease %s/%s was not renewed: %s", *self._place, trouble, extra=what)
            if self._sight.holder not in ("", self.me):
                self._until = -math.inf
                return f"{self._sight.holder} holds the Lease {'/'.join(self._place)} now"
        return f"the Lease {'/'.join(self._place)} could not be renewed in time: {trouble}"

    async def attempt(self) -> None:
        """Look at it, and take it if it may be ours."""
        await self.look()
        await self.renew()

    async def renew(self) -> None:
        """Write our name into it, if it may be ours; whoever wrote in between is looked at instead."""
        if not self._sight.free_for(self.me, self._terms, self._clock()):
            return
        sent = self._clock()  # others count from the moment at which it arrives, which is later
        try:
            await self._write(self._sight.claimed(self.me, self._terms, _stamp()))
        except (Conflict, NotFound):
            await self.look()
        else:
            self._until = sent + self._terms.renew_seconds

    async def give_back(self) -> None:
        """It is anybody's, at once; nothing may be written after this."""
        self._until = -math.inf
        for _ in range(2):  # a renewal whose answer got lost is in the way of the first try
            if self._sight.holder != self.me:
                return
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    await self._write(self._sight.given_back(_stamp()))
                    return
            except (Conflict, NotFound):
                await self.look()
            except (AdapterError, TimeoutError) as error:
                log.warning("the Lease %s/%s was not given back: %s", *self._place, error or "no answer")
                return

    async def close(self) -> None:
        """Give the connection back."""
        await self._cluster.close()

    async def look(self) -> None:
        """What the API server has."""
        try:
            found = await self._cluster.get(LEASE, *self._place)
        except NotFound:
            found = None
        self._sight = self._sight.then(found, self._clock())

    async def _write(self, spec: dict[str, Any]) -> None:
        namespace, name = self._place
        fresh = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": name, "namespace": namespace, "annotations": {names.RECEIVER: self._address}},
        }
        found = self._sight.found
        if found:
            told = {**(found["metadata"].get("annotations") or {}), names.RECEIVER: self._address}
            written = await self._cluster.update(
                {**found, "metadata": {**found["metadata"], "annotations": told}, "spec": spec}
            )
        else:
            written = await self._cluster.create({**fresh, "spec": spec})
        self._sight = self._sight.then(written, self._clock())

    async def _pause(self, stop: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(stop.wait(), self._terms.retry_seconds * random.uniform(1.0, 1.2))
        except TimeoutError:
            return


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
