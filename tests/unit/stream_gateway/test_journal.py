"""The write-behind of records: nothing is lost between two writers."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from stream_gateway.journal import Journal
from stream_gateway.repository import PlanSeen, Record


class ScriptedTable:
    """A write hangs or fails while it is told to."""

    def __init__(self) -> None:
        self.hangs = False
        self.fails: Exception | None = None
        self.writing = asyncio.Event()
        self.rows: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        """Write a batch."""
        self.writing.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        self.rows += records


@pytest.fixture
def table() -> ScriptedTable:
    """Where the records go."""
    return ScriptedTable()


def _filled(table: ScriptedTable) -> tuple[Journal, list[Record]]:
    journal = Journal(table)
    records: list[Record] = [PlanSeen(uuid4(), uuid4()) for _ in range(3)]
    for record in records:
        journal.put(record)
    return journal, records


async def test_a_write_cancelled_at_shutdown_is_written_by_the_last_flush(table: ScriptedTable) -> None:
    """The loop is cancelled first, and its batch goes back to where `close` finds it, in order."""
    journal, records = _filled(table)
    table.hangs = True
    writer = asyncio.create_task(journal.run())
    await asyncio.wait_for(table.writing.wait(), 5)
    writer.cancel()
    await asyncio.wait({writer})
    table.hangs = False
    await journal.close()
    assert table.rows == records


async def test_a_write_that_fails_in_another_way_is_heard_of_and_tried_again(table: ScriptedTable) -> None:
    """Its supervisor logs it and begins again; the records are still there."""
    journal, records = _filled(table)
    table.fails = ValueError("unexpected")
    with pytest.raises(ValueError, match="unexpected"):
        await journal.flush()
    table.fails = None
    assert await journal.flush()
    assert table.rows == records
