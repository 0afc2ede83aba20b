"""Background loops with an owner: they are restarted with backoff when they fail, and end with the service."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
import structlog

from common.postgres import UNAVAILABLE

_log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
CANCEL_AGAIN_SECONDS = 0.5

# Known by their name alone; a traceback tells nothing more.
_OUTAGES: tuple[type[BaseException], ...] = (OSError, nats.errors.Error, *UNAVAILABLE)


async def keep_running(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop` for ever: when it raises, say so and begin again after a growing, jittered pause."""
    pause = FIRST_PAUSE
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - the loop's owner is this supervisor, and it begins again
            _log.warning("loop.failed", loop=name, error=repr(error), exc_info=not isinstance(error, _OUTAGES))
        if asyncio.get_running_loop().time() - started > LONGEST_PAUSE * 2:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, LONGEST_PAUSE)


async def end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait for its end.

    More than once if need be: `asyncio.wait_for` of Python 3.11, which libraries use, drops a cancellation that comes
    at the same moment as its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)


@asynccontextmanager
async def background(name: str, loop: Callable[[], Awaitable[None]]) -> AsyncIterator["asyncio.Task[None]"]:
    """Keep `loop` running for the length of the block; leaving cancels it and waits for its end."""
    task = asyncio.create_task(keep_running(name, loop), name=name)
    try:
        yield task
    finally:
        await end(task)
