"""Short tasks that outlive the call that started them, with an owner that hears of their failures and ends them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

_log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class OwnedTasks:
    """Open with `owned_tasks`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Result], name: str) -> "asyncio.Task[Result]":
        """Start it; it is kept until it is done, and its failure is logged."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task.failed", task=task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel what is left, and wait for its end."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[OwnedTasks]:
    """Tasks that end with the block."""
    tasks = OwnedTasks()
    try:
        yield tasks
    finally:
        await tasks.close()
