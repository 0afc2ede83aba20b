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


def total(calls: Sequence[UpstreamCall]) -> Usage:
    """The usage of a plan: the sum over its calls. Pure."""
    prompt = sum(call.prompt_tokens for call in calls)
    completion = sum(call.completion_tokens for call in calls)
    estimated = any(call.source == "estimated" for call in calls)
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
        """Wait until the queue is empty, but not longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            _log.warning("usage.unfinished", calls=self._queue.qsize())

    async def _work(self) -> None:
        while True:
            record = await self._queue.get()
            try:
                await self._complete(record.call)
                await self._store(record)
            finally:
                self._queue.task_done()

    async def _complete(self, call: UpstreamCall) -> None:
        if call.source == "provider" or call.generation_id is None:
            return
        found = await self._service.fetch_usage(call.generation_id)
        if found is not None:
            call.report(found.prompt_tokens, found.completion_tokens, found.cost)
            call.provider = found.provider or call.provider
            call.model = found.model or call.model

    async def _store(self, record: CallRecord) -> None:
        for number in range(STORE_TRIES):
            try:
                await self._repository.insert(record)
            except UNAVAILABLE:
                await asyncio.sleep(2**number)
            else:
                return
        _log.error("usage.not_stored", plan_id=str(record.plan_id), call=repr(record.call))
