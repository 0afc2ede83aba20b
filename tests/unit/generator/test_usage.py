"""What calls cost: the sum, and rows that are stored whatever becomes of a look-up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from common.postgres import DatabaseUnavailableError
from generator import usage
from generator.openrouter import OpenRouterService, UpstreamCall
from generator.repository import CallRepository
from generator.repository.calls import CallRecord
from generator.usage import MOST_IN_STATEMENT, UsageRecorder, total

BILLED = UpstreamCall("gen-1", "P", "a/b", 10, 20, 0.5, "stop", "provider")
CUT_OFF = UpstreamCall("gen-2", "P", "a/b", 10, 5)
REFUSED = UpstreamCall()


def test_a_refused_call_makes_no_estimate() -> None:
    """It cost nothing, so the sum is still what the provider says; a call that was cut off is an estimate."""
    assert total([REFUSED, BILLED]).source == "provider"
    assert total([CUT_OFF, BILLED]).source == "estimated"
    assert total([CUT_OFF, BILLED]).total_tokens == 45


def test_calls_that_nobody_could_record_make_an_estimate() -> None:
    """After a takeover the sum is what is known of all attempts."""
    assert total([BILLED, BILLED], all_known=False).source == "estimated"
    assert total([BILLED, BILLED], all_known=False).total_tokens == 60


class Rows:
    """Takes the place of the table."""

    def __init__(self) -> None:
        self.stored: list[UpstreamCall] = []
        self.statements: list[int] = []
        self.failures: list[Exception] = []
        self.refused: UpstreamCall | None = None
        self.corrected: dict[tuple[UUID, str], UpstreamCall] = {}
        self.changed = asyncio.Event()

    async def insert(self, records: Sequence[CallRecord]) -> None:
        """Store some; others may come meanwhile."""
        self.statements.append(len(records))
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        calls = [record.call for record in records]
        if self.refused in calls:
            raise asyncpg.CheckViolationError("no such purpose")
        self.stored += calls

    async def correct(self, plan_id: UUID, generation_id: str, found: UpstreamCall) -> None:
        """Take what was found."""
        self.corrected[plan_id, generation_id] = found
        self.changed.set()


class Records:
    """Takes the place of `/generation`: None never answers."""

    def __init__(self, found: UpstreamCall | None) -> None:
        self._found = found

    async def fetch_usage(self, _: str) -> UpstreamCall | None:
        """Look up."""
        if self._found is None:
            await asyncio.Event().wait()
        return self._found


@asynccontextmanager
async def recording(found: UpstreamCall | None) -> AsyncIterator[tuple[UsageRecorder, Rows]]:
    """A recorder at work, with one look-up at a time."""
    rows = Rows()
    recorder = UsageRecorder(
        cast("CallRepository", rows), cast("OpenRouterService", cast("Any", Records(found))), lookups=1
    )
    running = asyncio.create_task(recorder.run())
    yield recorder, rows
    running.cancel()
    await asyncio.wait({running})


def record(call: UpstreamCall) -> CallRecord:
    """A call that has ended."""
    return CallRecord(uuid4(), 1, "stream", datetime.now(UTC), datetime.now(UTC), call, None)


async def test_a_broken_call_is_looked_up() -> None:
    """The provider's count takes the estimate's place in the row."""
    found = UpstreamCall("gen-2", "P", "a/b", 10, 20, 0.5, source="provider")
    broken = record(UpstreamCall("gen-2", None, None, 1, 1))
    async with recording(found) as (recorder, rows), asyncio.timeout(5):
        recorder.record(broken)
        await rows.changed.wait()
    assert rows.corrected == {(broken.plan_id, "gen-2"): found}


async def test_rows_do_not_wait_for_look_ups() -> None:
    """Whatever a look-up takes, every call is stored at once, so that neither shutdown nor a crash loses it."""
    calls = [UpstreamCall(f"gen-{number}", None, None, 1, 1) for number in range(3)]
    async with recording(None) as (recorder, rows):
        for call in calls:
            recorder.record(record(call))
        await recorder.drain(5)
        assert rows.stored == calls


async def test_calls_that_end_together_are_stored_together() -> None:
    """After many cancels at once the database hears of them in a few statements, none of them without bound."""
    calls = [UpstreamCall(f"gen-{number}", None, None, 1, 1) for number in range(MOST_IN_STATEMENT + 10)]
    async with recording(None) as (recorder, rows):
        for call in calls:
            recorder.record(record(call))
        await recorder.drain(5)
        assert rows.stored == calls
        assert rows.statements == [MOST_IN_STATEMENT, 10]


async def test_calls_wait_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes; in their order, and none is given up."""
    monkeypatch.setattr(usage, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(usage, "LONGEST_PAUSE", 0.001)
    calls = [UpstreamCall(f"gen-{number}", None, None, 1, 1) for number in range(3)]
    async with recording(None) as (recorder, rows):
        rows.failures = [DatabaseUnavailableError("refused")] * 20
        for call in calls:
            recorder.record(record(call))
        await recorder.drain(5)
        assert rows.stored == calls


async def test_a_statement_that_is_broken_off_is_written_again() -> None:
    """Whatever ends the loop, the calls that it was storing are still there for the next one."""
    call = UpstreamCall("gen-1", None, None, 1, 1)
    async with recording(None) as (recorder, rows):
        rows.failures = [RuntimeError("a mistake")]
        recorder.record(record(call))
        await asyncio.sleep(0.01)
        assert rows.stored == []
        again = asyncio.create_task(recorder.run())
        await recorder.drain(5)
        again.cancel()
        await asyncio.wait({again})
        assert rows.stored == [call]


async def test_a_call_that_cannot_be_stored_is_left_out() -> None:
    """It must not keep the others from the table, nor come again for ever."""
    calls = [UpstreamCall(f"gen-{number}", None, None, 1, 1) for number in range(3)]
    async with recording(None) as (recorder, rows):
        rows.refused = calls[1]
        for call in calls:
            recorder.record(record(call))
        await recorder.drain(5)
        assert rows.stored == [calls[0], calls[2]]


async def test_what_a_shutdown_cannot_store_is_told_whole() -> None:
    """The log is all that is left of it then: the plan, the generation and its tokens."""
    rows = Rows()
    recorder = UsageRecorder(cast("CallRepository", rows), cast("OpenRouterService", cast("Any", Records(None))))
    lost = record(UpstreamCall("gen-1", "P", "a/b", 10, 20))
    recorder.record(lost)
    with capture_logs() as lines:
        await recorder.drain(0)
    [told] = [line["call"] for line in lines if line["event"] == "usage.not_stored"]
    assert str(lost.plan_id) in told
    assert "gen-1" in told
