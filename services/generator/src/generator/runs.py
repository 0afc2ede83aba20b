"""The attempts that this process owns now, and the tasks that work on them."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from generator.run import Run

_log = structlog.get_logger(__name__)


class Runs:
    """Whoever looks at all running plans (the saver, presence, control) looks here."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._runs: dict[UUID, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved = 0

    def __call__(self) -> list[Run]:
        """The attempts, as they are now."""
        return list(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, plan_id: UUID) -> Run | None:
        """The attempt at this plan, if it is written here."""
        return self._runs.get(plan_id)

    def add(self, run: Run) -> None:
        """An attempt has been claimed."""
        self._runs[run.plan_id] = run

    def remove(self, run: Run) -> None:
        """It is over."""
        if self._runs.get(run.plan_id) is run:
            del self._runs[run.plan_id]

    @property
    def has_room(self) -> bool:
        """Whether another plan may be taken."""
        return len(self._tasks) + self._reserved < self._most

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep a place until it is known whether the plan is ours to work on."""
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Work on a plan in a task of its own; `idle` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def idle(self, seconds: float) -> None:
        """Wait until nothing is worked on, but not longer than this."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(seconds, 0))

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task.crashed", exc_info=error)
