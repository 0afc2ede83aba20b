"""Connections and transactions, with a deadline on waiting for one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from common.postgres import UNAVAILABLE

ACQUIRE_SECONDS = 5.0

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"


class Database:
    """The pool as the use cases see it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self.reachable = True

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction: for single statements.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away, or no connection was free in time.
        """
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection
        except UNAVAILABLE:
            self.reachable = False
            raise
        self.reachable = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction (read committed): committed at the end of the block, rolled back when it raises.

        Raises:
            common.postgres.UNAVAILABLE: as `connection`.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection
