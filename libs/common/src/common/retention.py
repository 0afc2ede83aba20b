"""RETENTION_DAYS: rows that are older are deleted, a bounded piece at a time, by whichever process comes first."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from common.postgres import Database

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 60.0
# Rows of one statement: some milliseconds of locks on rows that nobody else wants.
BATCH = 500
# Between two statements, so that the first sweep over years of rows leaves room for everything else.
BREATH_SECONDS = 0.05


class Retention:
    """Deletes what is over the age, for one service's schema.

    Args:
        database: the service's own.
        days: the age; at least 1.
        statements: each deletes up to $2 rows (or groups of rows) that are older than $1 days, skips those that
            another process has locked, and answers with their number.
    """

    def __init__(self, database: Database, days: int, statements: Sequence[str]) -> None:
        assert days > 0, "0 days mean no limit"
        self._database = database
        self._days = days
        self._statements = statements

    async def run(self) -> None:
        """Sweep for ever.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away; run again.
        """
        while True:
            if rows := await self.sweep():
                _log.info("retention.deleted", rows=rows, days=self._days)
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret

    async def sweep(self) -> int:
        """Delete all that is over the age now; answers with how many rows that were."""
        return sum([await self._exhaust(statement) for statement in self._statements])

    async def _exhaust(self, statement: str) -> int:
        rows = 0
        while True:
            piece: int = await self._database.fetchval(statement, self._days, BATCH)
            rows += piece
            if piece < BATCH:
                return rows
            await asyncio.sleep(BREATH_SECONDS)
