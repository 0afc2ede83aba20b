"""What upstream calls cost: one row each, written behind, and looked up afterwards when a call was cut off."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import asyncpg
import structlog

from common.contracts.events import Usage
from common.postgres import UNAVAILABLE
from generator.openrouter import OpenRouterService, UpstreamCall
from generator.repository import CallRepository
from generator.repository.calls import CallRecord

_log = structlog.get_logger(__name__)

MAX_QUEUED = 10_000
MOST_IN_STATEMENT = 100
# While Postgres is away, seconds.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
# OpenRouter knows nothing of a call that has broken off just now.
FIRST_LOOKUP_SECONDS = 1.0


def total(calls: Sequence[UpstreamCall], *, all_known: bool = True) -> Usage:
    """The usage of a plan: the sum over its calls. Pure.

    A call that was refused has no tokens, and cost nothing: it makes no estimate of the sum. An owner that died has
    recorded nothing of the call that it was at: then not all calls are known, and the sum is an estimate.
    """
    prompt = sum(call.prompt_tokens for call in calls)
    completion = sum(call.completion_tokens for call in calls)
    estimated = not all_known or any(call.source == "estimated" and call.prompt_tokens for call in calls)
    return Usage(
        model=next((call.model for call in reversed(calls) if call.model), None),
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cost=sum(call.cost or 0.0 for call in calls),
        source="estimated" if estimated else "provider",
    )


class UsageRecorder:
    """Takes the record of each call at its end, and stores it without making anybody wait.

    Rows are written at once, those in one statement that came while the last one was under way; what a call that was
    cut off really cost is looked up afterwards and put into its row.
    """

    def __init__(self, repository: CallRepository, service: OpenRouterService, *, lookups: int = 16) -> None:
        self._repository = repository
        self._service = service
        self._unstored: deque[CallRecord] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._unknown: asyncio.Queue[tuple[float, UUID, str]] = asyncio.Queue(MAX_QUEUED)
        self._lookups = lookups

    def record(self, record: CallRecord) -> None:
        """Queue a call that has ended."""
        if len(self._unstored) >= MAX_QUEUED:
            _log.error("usage.dropped", plan_id=str(record.plan_id), call=repr(record.call))
            return
        self._unstored.append(record)
        self._emptied.clear()
        self._filled.set()

    async def run(self) -> None:
        """Store what is queued, for ever; look up several at a time, because one may take half a minute."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_all())
            for _ in range(self._lookups):
                group.create_task(self._look_up_all())

    async def drain(self, seconds: float) -> None:
        """Wait until every call is stored, but not longer than this; one not looked up yet stays `estimated`."""
        try:
            async with asyncio.timeout(seconds):
                await self._emptied.wait()
        except TimeoutError:
            _log.error("usage.unfinished", calls=len(self._unstored))
            for record in self._unstored:
                _log.error("usage.not_stored", call=repr(record))

    async def _store_all(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._filled.wait()
            # They are taken out when they are stored: whatever ends this, none is lost, and none is stored twice.
            records = list(islice(self._unstored, MOST_IN_STATEMENT))
            try:
                await self._store(records)
            except UNAVAILABLE as error:
                _log.warning("usage.not_stored_yet", calls=len(self._unstored), error=repr(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            for record in records:
                self._unstored.popleft()
                self._plan_look_up(record)
            if not self._unstored:
                self._filled.clear()
                self._emptied.set()

    async def _store(self, records: Sequence[CallRecord]) -> None:
        try:
            await self._repository.insert(records)
        except asyncpg.PostgresError as error:
            if len(records) == 1:
                _log.error("usage.not_stored", call=repr(records[0]), error=repr(error))
                return
            # One that Postgres does not take must not keep the others from it.
            for record in records:
                await self._store([record])

    def _plan_look_up(self, record: CallRecord) -> None:
        call = record.call
        if call.source == "provider" or call.generation_id is None:
            return
        due = asyncio.get_running_loop().time() + FIRST_LOOKUP_SECONDS
        try:
            self._unknown.put_nowait((due, record.plan_id, call.generation_id))
        except asyncio.QueueFull:
            _log.warning("usage.not_looked_up", plan_id=str(record.plan_id), generation_id=call.generation_id)

    async def _look_up_all(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, plan_id, generation_id = await self._unknown.get()
            await asyncio.sleep(due - clock())
            found = await self._service.fetch_usage(generation_id)
            if found is None:
                continue
            try:
                await self._repository.correct(plan_id, generation_id, found)
            except UNAVAILABLE as error:
                _log.warning("usage.not_corrected", generation_id=generation_id, error=repr(error))
