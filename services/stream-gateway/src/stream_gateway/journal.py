"""Write-behind for the gateway's records: no stream waits for Postgres, and none breaks when it is away."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from common.postgres import UNAVAILABLE
from stream_gateway.repository import Record

_log = structlog.get_logger(__name__)

CAPACITY = 10_000
BATCH = 500
COLLECT_SECONDS = 0.2
RETRY_SECONDS = 2.0
LAST_FLUSH_SECONDS = 2.0


class Table(Protocol):
    """Where the records go."""

    async def write(self, records: Sequence[Record]) -> None:
        """Write a batch; raises one of `common.postgres.UNAVAILABLE` when Postgres is away."""


class Journal:
    """A bounded queue; when it is full the oldest record goes and is counted."""

    def __init__(self, table: Table, capacity: int = CAPACITY) -> None:
        self.dropped = 0
        self._available = True
        self._table = table
        self._queue: deque[Record] = deque(maxlen=capacity)
        self._filled = asyncio.Event()

    def put(self, record: Record) -> None:
        """Write it soon."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(record)
        self._filled.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(COLLECT_SECONDS)
            if not await self.flush():
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> bool:
        """Write what waits; False when Postgres is away, and then it waits on."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            try:
                await self._table.write(batch)
            except BaseException as error:
                # Also when it is cancelled: `close` writes it then. Writing a record twice changes nothing.
                self._put_back(batch)
                if not isinstance(error, UNAVAILABLE):
                    raise
                self._say(available=False, error=repr(error))
                return False
            _log.debug("journal.written", records=len(batch), waiting=len(self._queue))
        self._filled.clear()
        self._say(available=True)
        return True

    def _put_back(self, batch: list[Record]) -> None:
        room = (self._queue.maxlen or 0) - len(self._queue)
        self.dropped += max(0, len(batch) - room)
        self._queue.extendleft(reversed(batch[max(0, len(batch) - room) :]))

    def _say(self, *, available: bool, error: str = "") -> None:
        if available != self._available:
            self._available = available
            event = "journal.writing_again" if available else "journal.postgres_away"
            _log.warning(event, waiting=len(self._queue), dropped=self.dropped, error=error)

    async def close(self) -> None:
        """Write the rest, for as long as a shutdown may take."""
        try:
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await self.flush()
        except TimeoutError:
            _log.warning("journal.lost", records=len(self._queue))
