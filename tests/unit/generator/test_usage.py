"""What calls cost: the sum, and rows that are stored whatever becomes of a look-up."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from generator.openrouter import OpenRouterService, UpstreamCall
from generator.repository import CallRepository
from generator.repository.calls import CallRecord
from generator.usage import UsageRecorder, total

BILLED = UpstreamCall("gen-1", "P", "a/b", 10, 20, 0.5, "stop", "provider")
CUT_OFF = UpstreamCall("gen-2", "P", "a/b", 10, 5)
REFUSED = UpstreamCall()


def test_a_refused_call_makes_no_estimate() -> None:
    """It cost nothing, so the sum is still what the provider says; a call that was cut off is an estimate."""
    assert total([REFUSED, BILLED]).source == "provider"
    assert total([CUT_OFF, BILLED]).source == "estimated"
    assert total([CUT_OFF, BILLED]).total_tokens == 45


class Rows:
    """Takes the place of the table."""

    def __init__(self) -> None:
        self.stored: list[UpstreamCall] = []

    async def insert(self, record: CallRecord) -> None:
        """Store one."""
        self.stored.append(record.call)


class Records:
    """Takes the place of `/generation`: None never answers."""

    def __init__(self, found: UpstreamCall | None) -> None:
        self._found = found

    async def fetch_usage(self, _: str) -> UpstreamCall | None:
        """Look up."""
        if self._found is None:
            await asyncio.Event().wait()
        return self._found


async def drained(found: UpstreamCall | None, calls: list[UpstreamCall], seconds: float) -> list[UpstreamCall]:
    """Record the calls, drain, and return what was stored."""
    rows: Any = Rows()
    recorder = UsageRecorder(cast("CallRepository", rows), cast("OpenRouterService", Records(found)), lookups=1)
    running = asyncio.create_task(recorder.run())
    for call in calls:
        recorder.record(CallRecord(uuid4(), 1, "stream", datetime.now(UTC), call, None))
    await recorder.drain(seconds)
    running.cancel()
    await asyncio.wait({running})
    return list(rows.stored)


async def test_a_broken_call_is_looked_up() -> None:
    """The provider's count takes the estimate's place."""
    call = UpstreamCall("gen-2", None, None, 1, 1)
    (stored,) = await drained(UpstreamCall("gen-2", "P", "a/b", 10, 20, 0.5, source="provider"), [call], 5)
    assert (stored.source, stored.completion_tokens, stored.provider) == ("provider", 20, "P")


async def test_shutdown_does_not_lose_what_is_being_looked_up() -> None:
    """When time is up the call under way and those behind it are stored as estimated."""
    calls = [UpstreamCall("gen-2", None, None, 1, 1), UpstreamCall("gen-3", None, None, 2, 2)]
    stored = await drained(None, calls, 0.01)
    assert [(call.generation_id, call.source) for call in stored] == [("gen-2", "estimated"), ("gen-3", "estimated")]
