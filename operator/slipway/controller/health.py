"""/metrics, /healthz and /readyz: whether the watches tell the truth, not merely whether the process runs."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from .telemetry import Telemetry

AS_THEY_ARE = ""  # names of metrics and labels are ours: to check each of thousands takes half of a scrape
Check = Callable[[], str]  # "" while all is well, otherwise what is wrong


async def serve(port: int, telemetry: Telemetry, alive: Check, ready: Check) -> web.AppRunner:
    """A server that answers on all addresses of the pod until its runner is cleaned up."""

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(telemetry.registry, AS_THEY_ARE)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            wrong = check()
            return web.Response(text=wrong or "ok", status=503 if wrong else 200)

        return answer

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", probe(alive)), web.get("/readyz", probe(ready))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
