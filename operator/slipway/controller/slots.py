"""How many imports and validations run at the same time, and who is next: first come, first served.

A pass looks, decides and settles without a pause between, so two passes never take the same place.
"""

from collections.abc import Callable, Iterable, Mapping

from ..adapters.cluster import JOB
from ..api import names
from ..core.observed import Place
from ..resources import naming
from ..resources.platform import Platform
from .cache import Cache
from .queue import Key

Running = Callable[[], Mapping[str, set[Key]]]  # keys with a Job at work, by queue


class Slots:
    """The queues for Jobs: `import`, and `validate <pool>` for each pool."""

    def __init__(self, limits: Mapping[str, int], validations: int, running: Running) -> None:
        self._limits, self._validations, self._running = limits, validations, running
        self._holders: dict[str, set[Key]] = {queue: set() for queue in limits}
        self._waiting: dict[str, dict[Key, None]] = {queue: {} for queue in limits}  # in their order

    def look(self, key: Key) -> Mapping[str, Place]:
        """Where a key stands in each queue now."""
        at_work = self._at_work()
        return {queue: self._place(queue, key, at_work) for queue in self._limits}

    def settle(self, key: Key, queues: Iterable[str]) -> tuple[Key, ...]:
        """The key takes its places in these queues and leaves the others; who may begin now is returned."""
        wanted = set(queues)
        at_work = self._at_work()
        freed = False
        for queue in self._limits:
            if queue not in wanted:
                freed |= key in self._holders[queue]
                self._holders[queue].discard(key)
                self._waiting[queue].pop(key, None)
            elif self._place(queue, key, at_work).admitted:
                self._waiting[queue].pop(key, None)
                self._holders[queue].add(key)
            else:
                self._waiting[queue].setdefault(key)
        return self._next() if freed else ()

    def leave(self, key: Key) -> tuple[Key, ...]:
        """The key is gone, or cannot be read; who may begin now is returned.

        Its Job keeps its place until it has ended, and the key comes here again then.
        """
        self.settle(key, ())
        return self._next()

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """How many run and how many wait, by queue."""
        at_work = self._at_work()
        return {queue: (len(at_work[queue]), len(self._waiting[queue])) for queue in self._limits}

    def _at_work(self) -> dict[str, set[Key]]:
        """Who has a place: by a Job that runs, or by a pass that is about to make one."""
        running = self._running()
        return {queue: self._holders[queue] | running.get(queue, set()) for queue in self._limits}

    def _place(self, queue: str, key: Key, at_work: Mapping[str, set[Key]]) -> Place:
        limit = self._limits[queue]
        if key in at_work[queue]:
            return Place(limit=limit)
        before = list(self._waiting[queue])
        ahead = before.index(key) if key in before else len(before)
        return Place(ahead < self._free(queue, at_work), ahead, limit)

    def _free(self, queue: str, at_work: Mapping[str, set[Key]]) -> int:
        free = self._limits[queue] - len(at_work[queue])
        if queue == "import":
            return free
        return min(free, self._validations - sum(len(keys) for one, keys in at_work.items() if one != "import"))

    def _next(self) -> tuple[Key, ...]:
        at_work = self._at_work()
        found: list[Key] = []
        for queue, waiting in self._waiting.items():
            found += list(waiting)[: max(0, self._free(queue, at_work))]
        return tuple(found)


def queues_of(platform: Platform) -> dict[str, int]:
    """The queues of a platform, and how many Jobs of each run at the same time."""
    pools = {
        f"validate {one.name}": one.max_validations or platform.validations.max_concurrent for one in platform.pools
    }
    return {"import": platform.imports.max_concurrent} | pools


def running_in(cache: Cache) -> dict[str, set[Key]]:
    """The versions with a Job at work, by queue."""
    found: dict[str, set[Key]] = {}
    for job in cache.all(JOB):
        labels, meta = job["metadata"].get("labels") or {}, job["metadata"]
        ended = [one for one in job.get("status", {}).get("conditions", []) if one.get("status") == "True"]
        number = naming.number(labels.get(names.MODEL_VERSION))
        if any(one["type"] in ("Complete", "Failed") for one in ended) or names.MODEL not in labels or number is None:
            continue
        pool = labels.get(names.POOL)
        queue = f"validate {pool}" if pool else "import"
        name = naming.version(labels[names.MODEL], number)
        found.setdefault(queue, set()).add(Key("version", labels.get(names.OWNER_NAMESPACE, meta["namespace"]), name))
    return found
