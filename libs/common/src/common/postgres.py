"""A pool of connections with the limits that asyncpg leaves open."""

from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from asyncpg.connect_utils import SessionAttribute
from pydantic import SecretStr

COMMAND_SECONDS = 10
CONNECT_SECONDS = 5

# What a caller may take for "Postgres is not there now": refused, reset, restarting, out of connections, too slow.
UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", encoder=_dumps, decoder=orjson.loads, schema="pg_catalog")


@asynccontextmanager
async def open_pool(url: SecretStr, name: str, *, size: int = 10) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """A pool that opens its connections when they are needed, so that a service starts while Postgres is away."""
    pool = asyncpg.create_pool(
        url.get_secret_value(),
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        max_inactive_connection_lifetime=60,
        server_settings={"application_name": name},
        target_session_attrs=SessionAttribute.read_write,
        init=_prepare,
    )
    await pool
    try:
        yield pool
    finally:
        try:
            async with timeout(CONNECT_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()
