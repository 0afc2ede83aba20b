"""What upstream calls cost: one row each, written behind, and looked up afterwards when a call was cut off."""

import asyncio
from collections.abc import Sequence

import structlog

from common.contracts.events import Usage
from common.postgres import UNAVAILABLE
from generator.openrouter import OpenRouterService, UpstreamCall
from generator.repository import CallRepository
from generator.repository.calls import CallRecord

_log = structlog.get_logger(__name__)

MAX_QUEUED = 10_000
STORE_TRIES = 5
LAST_STORE_SECONDS = 1.0


def total(calls: Sequence[UpstreamCall]) -> Usage:
    """The usage of a plan: the sum over its calls. Pure.

    A call that was refused has no tokens, and cost nothing: it makes no estimate of the sum.
    """
    prompt = sum(call.prompt_tokens for call in calls)
    completion = sum(call.completion_tokens for call in calls)
    estimated = any(call.source == "estimated" and call.prompt_tokens for call in calls)
    return Usage(
        model=next((call.model for call in reversed(calls) if call.model), None),
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cost=sum(call.cost or 0.0 for call in calls),
        source="estimated" if estimated else "provider",
    )


class UsageRecorder:
    """Takes the record of each call at its end, and stores it without making anybody wait."""

    def __init__(self, repository: CallRepository, service: OpenRouterService, *, lookups: int = 16) -> None:
        self._repository = repository
        self._service = service
        self._queue: asyncio.Queue[CallRecord] = asyncio.Queue(MAX_QUEUED)
        self._lookups = lookups
        self._looking: set[asyncio.Task[UpstreamCall | None]] = set()
        self._hurried = False

    def record(self, record: CallRecord) -> None:
        """Queue a call that has ended."""
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            _log.error("usage.dropped", plan_id=str(record.plan_id), call=repr(record.call))

    async def run(self) -> None:
        """Store what is queued, for ever; several at a time, because a look-up may take half a minute."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lookups):
                group.create_task(self._work())

    async def drain(self, seconds: float) -> None:
        """Wait until the queue is empty; after so long look-ups are given up, and their calls stored as estimated."""
        if await self._emptied(seconds):
            return
        self._hurried = True
        for looking in self._looking:
            looking.cancel()
        if not await self._emptied(LAST_STORE_SECONDS):
            _log.error("usage.unfinished", calls=self._queue.qsize())

    async def _emptied(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            return False
        return True

    async def _work(self) -> None:
        while True:
            record = await self._queue.get()
            try:
                await self._complete(record.call)
                await self._store(record)
            finally:
                self._queue.task_done()

    async def _complete(self, call: UpstreamCall) -> None:
        if call.source == "provider" or call.generation_id is None or self._hurried:
            return
        found = await self._look_up(call.generation_id)
        if found is not None:
            call.report(found.prompt_tokens, found.completion_tokens, found.cost)
            call.provider = found.provider or call.provider
            call.model = found.model or call.model

    async def _look_up(self, generation_id: str) -> UpstreamCall | None:
        """In a task of its own, so that `drain` can end it without ending the worker."""
        looking = asyncio.create_task(self._service.fetch_usage(generation_id))
        self._looking.add(looking)
        try:
            await asyncio.wait({looking})
            return None if looking.cancelled() else looking.result()
        finally:
            looking.cancel()
            self._looking.discard(looking)

    async def _store(self, record: CallRecord) -> None:
        for number in range(STORE_TRIES):
            try:
                await self._repository.insert(record)
            except UNAVAILABLE:
                await asyncio.sleep(2**number)
            else:
                return
        _log.error("usage.not_stored", plan_id=str(record.plan_id), call=repr(record.call))
