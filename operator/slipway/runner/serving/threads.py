"""Work in threads that may be given up: what nobody waits for any more ends when its thread is free, not before.

A thread cannot be stopped. Whoever counts what is at work must count it until it has ended, or there is no bound.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Done = TypeVar("Done")
_APART = ThreadPoolExecutor(2, "apart")  # ours alone: the other threads may all be the model's


async def apart(work: Callable[..., Done], *arguments: Any) -> Done:
    """What short work of our own gives, that would hold the event loop up."""
    return await asyncio.get_running_loop().run_in_executor(_APART, work, *arguments)


async def in_thread(work: Callable[..., Done], *arguments: Any) -> Done:
    """What the work gives. If it is cancelled: work that has no thread yet is dropped, other work is waited for."""
    begun, given_up = False, False

    def run() -> Any:
        nonlocal begun
        begun = True
        return None if given_up else work(*arguments)

    job: asyncio.Future[Done] = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        given_up = True
        if not begun:
            job.cancel()
        await asyncio.wait({job})
        raise
