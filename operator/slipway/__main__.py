"""The wiring: settings in, operator running. Nothing else knows all the parts."""

import asyncio
import logging
import signal
import sys
import time

from . import __version__, logs, settings
from .adapters.cluster import Cluster
from .adapters.mlflow import MLflowRegistry
from .controller import health, loop
from .controller.apply import Applier
from .controller.cache import Cache
from .controller.observe import Observer, Outside
from .controller.queue import Key, Queue
from .controller.reconcile import Hands, Reconciler
from .controller.refusals import Refusals
from .controller.registries import Registries
from .controller.resolve import Keeper, Resolver
from .controller.slots import Slots, queues_of, running_in
from .controller.telemetry import Telemetry
from .controller.watch import Kopf, Watch

log = logging.getLogger("slipway")


class NoShelf:
    def model(self, registry, name):
        return None

    def refusal(self, model, version):
        return None

    def contested(self, model, version):
        return None


async def operate(chosen: settings.Settings, stop: asyncio.Event) -> bool:
    """Run until `stop`; False if the watches broke."""
    telemetry, cache, cluster = Telemetry(), Cache(), await Cluster.connect()
    queue: Queue[Key] = Queue(time.monotonic)

    def called(operation: str, result: str, seconds: float) -> None:
        telemetry.calls.labels(operation, result).inc()
        telemetry.called.labels(operation).observe(seconds)

    registries = Registries(cluster, cache, chosen, lambda connection: MLflowRegistry(connection, called))
    refusals = Refusals()
    resolver, keeper = Resolver(cache, registries, queue.wake), Keeper(cache, registries)
    shelf = NoShelf()
    outside = Outside(registries, shelf, shelf, resolver)
    observer = Observer(cluster, cache, outside, refusals, chosen)
    applier = Applier(cluster, cache, refusals, telemetry)
    slots = Slots(queues_of(chosen), chosen.max_validations, lambda: running_in(cache))
    hands = Hands(lambda *_: None, keeper.keep, queue.wake)
    reconciler = Reconciler(cache, observer, applier, refusals, slots, hands, registries, telemetry)
    watch = Watch(cluster, cache, queue.wake, telemetry)
    kopf = Kopf(chosen.watch_namespaces, chosen.namespace)

    def alive() -> str:
        if kopf.failure:
            return f"the watches broke: {kopf.failure!r}"
        return f"the watch of {', '.join(watch.stale)} is dead" if watch.stale else ""

    def ready() -> str:
        return alive() or ("" if watch.listed_at else "the cluster was not listed yet")

    server = await health.serve(chosen.port, telemetry, alive, ready)
    where = ", ".join(chosen.watch_namespaces) or "all namespaces"
    log.info("Slipway %s works in %s, imports in %s", __version__, where, chosen.namespace)
    background = [asyncio.create_task(resolver.run(stop)), asyncio.create_task(keeper.run(stop))]
    try:
        await loop.run(
            watch, queue, loop.Loop(queue, reconciler, telemetry), kopf, chosen.watch_namespaces, chosen.namespace,
            chosen.concurrency, chosen.relist_seconds, stop,
        )  # fmt: skip
    finally:
        await asyncio.gather(*background)
        await registries.close()
        await cluster.close()
        await server.cleanup()
    if kopf.failure:
        log.error("the watches broke: %r", kopf.failure)
    return kopf.failure is None


async def main() -> int:
    """Exit code of the operator: 0 when it was asked to stop, 1 when it broke, 2 when its settings are wrong."""
    try:
        chosen = settings.load(on_terminal=sys.stderr.isatty())
    except settings.SettingsError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 2
    logs.configure(chosen.log_format, chosen.log_level)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return 0 if await operate(chosen, stop) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
