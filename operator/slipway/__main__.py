"""The wiring: settings in, operator running. Nothing else knows all the parts."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from . import __version__, logs, settings
from .adapters.cloudevents import Sender
from .adapters.cluster import Cluster
from .adapters.mlflow import MLflowRegistry
from .api.addresses import Addresses
from .api.tasks import DataAccess
from .controller import health, loop
from .controller.announce import Announcer, Line
from .controller.apply import Applier
from .controller.cache import Cache
from .controller.events import Kopf
from .controller.gauges import Gauges, Known
from .controller.labeller import Labeller
from .controller.lease import Lease
from .controller.observe import Observer
from .controller.outside import Outside
from .controller.queue import Key, Queue
from .controller.receiver import Hints, Receiver
from .controller.reconcile import Hands, Reconciler
from .controller.refusals import Refusals
from .controller.registries import Registries
from .controller.resolve import Keeper, Resolver
from .controller.slots import Slots, queues_of, running_in
from .controller.subscriber import Home, Subscriber
from .controller.sweeper import Sweeper
from .controller.telemetry import Telemetry
from .controller.watch import Wakes, Watch
from .controller.webhook_secrets import Secrets

log = logging.getLogger("slipway")


@dataclass(frozen=True)
class Ground:
    """What all parts stand on."""

    chosen: settings.Settings
    telemetry: Telemetry
    cache: Cache
    lease: Lease
    cluster: Cluster  # that takes writes while the Lease is held
    queue: Queue[Key]
    acts: asyncio.Event  # set once this process is the one that acts


@dataclass(frozen=True)
class Parts:
    """The parts that deal with registries, and with those who are told of what has changed."""

    registries: Registries
    sweeper: Sweeper
    labeller: Labeller
    resolver: Resolver
    keeper: Keeper
    secrets: Secrets
    subscriber: Subscriber
    announcer: Announcer


async def operate(chosen: settings.Settings, stop: asyncio.Event) -> bool:
    """Run until `stop`; False if the watches broke."""
    ground = await _ground(chosen)
    parts, lease, telemetry = _parts(ground), ground.lease, ground.telemetry
    watch = Watch(ground.cluster, ground.cache, Wakes(ground.queue.wake, parts.registries.place), telemetry)
    reconciler, kopf = _reconciler(ground, parts, watch), Kopf(chosen.watch_namespaces, chosen.namespace, watch)
    server = await health.serve(chosen.port, telemetry, *_checks(kopf, watch))
    hints = Hints(ground.acts.is_set, parts.sweeper.heed, lambda: lease.leader_address)
    receiver = Receiver(parts.secrets.of, hints, telemetry)
    log.info("Slipway %s works in %s, imports in %s", __version__, _where(chosen), chosen.namespace)
    relists = loop.Relists(chosen.watch_namespaces, chosen.namespace, chosen.relist_seconds)
    try:
        async with _receiving(chosen.webhook_port, receiver, parts.secrets, stop):
            acting = partial(_act, ground, parts, reconciler, stop)
            if lost := await loop.run(watch, kopf, relists, lease, acting, stop):
                log.error("%s: this operator ends, since another one may act", lost)
                os._exit(1)  # at once, whatever still runs or hangs
    finally:
        await parts.registries.close()
        await ground.cluster.close()
        await lease.close()
        await server.cleanup()
    if kopf.failure:
        log.error("the watches broke: %r", kopf.failure)
    return kopf.failure is None


async def _ground(chosen: settings.Settings) -> Ground:
    place, me = (chosen.namespace, chosen.lease), chosen.identity or _nameless()
    lease = Lease(await Cluster.connect(), place, me, address=chosen.receiver)
    cluster = await Cluster.connect(lambda: lease.seconds_left)
    # One worker is kept for what is urgent.
    queue: Queue[Key] = Queue(time.monotonic, usual_at_once=max(1, chosen.concurrency - 1))
    return Ground(chosen, Telemetry(), Cache(), lease, cluster, queue, asyncio.Event())


def _parts(ground: Ground) -> Parts:
    chosen, cache, wake, telemetry = ground.chosen, ground.cache, ground.queue.wake, ground.telemetry
    registries = Registries(
        ground.cluster, cache, chosen, lambda connection: MLflowRegistry(connection, telemetry.observe_call)
    )
    sweeper = Sweeper(cache, registries, wake, telemetry)
    resolver, secrets = Resolver(registries, wake), Secrets(cache, registries)
    sweeper.listen(resolver.again)
    home = Home(chosen.cluster_name, chosen.webhook_url, bool(chosen.webhook_port))
    return Parts(
        registries,
        sweeper,
        Labeller(sweeper, registries, wake, telemetry, may_write=lambda: ground.lease.seconds_left),
        resolver,
        Keeper(registries),
        secrets,
        Subscriber(cache, registries, secrets, home, wake),
        Announcer(chosen.cluster_name, cache, _lines(chosen, telemetry)),
    )


def _reconciler(ground: Ground, parts: Parts, watch: Watch) -> Reconciler:
    chosen, cache, queue, telemetry = ground.chosen, ground.cache, ground.queue, ground.telemetry
    refusals = Refusals()
    slots = Slots(queues_of(chosen), chosen.validations.max_concurrent, lambda: running_in(cache))
    telemetry.registry.register(Gauges(Known(cache, slots.counts, lambda: queue.depths, ground.acts.is_set)))
    telemetry.frozen.set(bool(chosen.freeze))
    labeller = parts.labeller
    outside = Outside(parts.registries, parts.sweeper, labeller, parts.resolver)
    return Reconciler(
        cache,
        Observer(ground.cluster, cache, outside, refusals, chosen),
        Applier(ground.cluster, cache, refusals, telemetry),
        refusals,
        slots,
        Hands(labeller.want, parts.keeper.keep, queue.wake, labeller.forget, parts.announcer.changed),
        parts.sweeper.registry,
        telemetry,
        serves=lambda namespace: bool(chosen.watch_namespaces) or watch.serves(namespace),
        notified=parts.subscriber.said,
    )


async def _act(ground: Ground, parts: Parts, reconciler: Reconciler, stop: asyncio.Event) -> None:
    """All that only the holder of the Lease does, until `stop`."""
    log.info("%s acts", ground.lease.me)
    ground.acts.set()
    ground.telemetry.leader.set(1)
    await asyncio.gather(
        loop.Loop(ground.queue, reconciler, ground.telemetry).run(ground.chosen.concurrency, stop),
        parts.sweeper.run(stop),
        parts.labeller.run(stop),
        parts.resolver.run(stop),
        parts.keeper.run(stop),
        parts.subscriber.run(stop),
        parts.announcer.run(stop),
    )
    ground.telemetry.leader.set(0)


def _where(chosen: settings.Settings) -> str:
    return ", ".join(chosen.watch_namespaces) or "all namespaces"


def _checks(kopf: Kopf, watch: Watch) -> tuple[health.Check, health.Check]:
    """What keeps the operator from being alive, and what from being ready."""

    def alive() -> str:
        if kopf.failure:
            return f"the watches broke: {kopf.failure!r}"
        return watch.wrong

    def ready() -> str:
        return alive() or watch.failing or ("" if watch.listed_at else "the cluster was not listed yet")

    return alive, ready


@asynccontextmanager
async def _receiving(port: int, receiver: Receiver, secrets: Secrets, stop: asyncio.Event) -> AsyncIterator[None]:
    """Webhooks are taken meanwhile, where there is a port for them."""
    if not port:
        yield
        return
    reading, server = asyncio.create_task(secrets.run(stop)), await receiver.serve(port)
    reading.add_done_callback(lambda _: stop.set())  # only a restart helps
    try:
        yield
    finally:
        reading.cancel()
        await server.cleanup()


def _lines(chosen: settings.Settings, telemetry: Telemetry) -> list[Line]:
    """The targets that are told of changed conditions."""
    access = DataAccess(allowed_hosts=chosen.events.allowed_hosts, denied_cidrs=chosen.data.denied_cidrs)
    addresses = Addresses(access, frozenset(filter(None, [chosen.api_server])))
    return [
        Line(one, Sender(one.url, chosen.event_secrets / one.name, addresses).send, telemetry)
        for one in chosen.events.targets
    ]


def _nameless() -> str:
    """Who a process outside a pod is."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


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
