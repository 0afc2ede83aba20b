"""The one way to Postgres: a pool with the deadlines that asyncpg leaves open, and one error for "it is not there"."""

from asyncio import Event, sleep, timeout
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

COMMAND_SECONDS = 10
CONNECT_SECONDS = 5
# asyncpg's own acquire waits for ever for a free connection.
ACQUIRE_SECONDS = 5.0
# A listener that hears nothing asks so often whether its connection still lives.
LISTEN_CHECK_SECONDS = 10.0
# A connection that nobody has used for so long is closed: what is in between may have forgotten it. One that is kept
# warm is used before that.
IDLE_SECONDS = 60.0
WARM_SECONDS = 20.0
# A connection that takes longer to answer is not worth waiting for, with all the others in hand.
WARM_ANSWER_SECONDS = 1.0

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"


class DatabaseUnavailableError(Exception):
    """Postgres is not there now: refused, reset, restarting, out of connections, too slow."""


# In the form of `common.broker.UNAVAILABLE`.
UNAVAILABLE: tuple[type[Exception], ...] = (DatabaseUnavailableError,)

_OUTAGES: tuple[type[Exception], ...] = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,  # only a standby answers
    asyncpg.TransactionRollbackError,  # a deadlock: nothing of it was done, and the next try may do it
)


def _is_closed(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken a closed one back
        return True


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_dumps, decoder=orjson.loads, schema="pg_catalog")


async def _leave_as_it_is(_: Connection) -> None:
    """Nobody here changes a session for good, and asyncpg itself rolls back what is open.

    Its own way asks the server to reset everything each time, which is a second round trip for each statement.
    """


class Database:
    """Postgres as repositories and use cases see it. Open with `open_database`.

    Every method raises DatabaseUnavailableError when Postgres is away or no connection was free in time.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_seconds: float = ACQUIRE_SECONDS) -> None:
        self._pool = pool
        self._acquire_seconds = acquire_seconds
        self.reachable = True

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction: for single statements, and for nothing but statements.

        Raises:
            DatabaseUnavailableError: see the class.
        """
        try:
            async with self._pool.acquire(timeout=self._acquire_seconds) as connection:
                self.reachable = True
                try:
                    yield connection
                except asyncpg.InternalClientError as error:
                    # A statement that was cancelled while the server went away has left it between two states.
                    connection.terminate()
                    raise ConnectionResetError(str(error)) from error
                except asyncpg.InterfaceError as error:
                    # Otherwise a mistake of ours, such as a missing argument, which must not look like an outage.
                    if _is_closed(connection):
                        raise ConnectionResetError(str(error)) from error
                    raise
        except _OUTAGES as error:
            self.reachable = False
            raise DatabaseUnavailableError(repr(error)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction (read committed): committed at the end of the block, rolled back when it raises.

        Raises:
            DatabaseUnavailableError: see the class.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of one statement."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of one statement, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first value of the first row of one statement, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> None:
        """One statement whose answer does not matter."""
        async with self.connection() as connection:
            await connection.execute(query, *arguments)

    async def keep_warm(self) -> None:
        """Keep all connections open, for ever. A burst would open them, at 10 ms of a busy core each.

        One that is in use is warm. The others are taken one after the other, and given back at once after the last.
        """
        while True:
            async with AsyncExitStack() as held:
                while self._free:
                    # Those that are good are held meanwhile: one that cannot be opened must not keep them.
                    async with timeout(WARM_ANSWER_SECONDS):
                        connection = await held.enter_async_context(self.connection())
                        await connection.execute("SELECT 1")
            await sleep(WARM_SECONDS)

    @property
    def _free(self) -> int:
        """Connections that nobody uses, open or not yet."""
        return self._pool.get_max_size() - (self._pool.get_size() - self._pool.get_idle_size())

    async def listen(self, channel: str, hear: Callable[[str], None]) -> None:
        """Call `hear` with every payload that is NOTIFYed on a channel; never returns, and keeps a connection."""
        lost = Event()

        def heard(_: object, __: object, ___: object, payload: object) -> None:
            hear(str(payload))

        def terminated(_: object) -> None:
            lost.set()

        async with self.connection() as connection:
            connection.add_termination_listener(terminated)
            await connection.add_listener(channel, heard)
            try:
                while not lost.is_set():
                    with suppress(TimeoutError):
                        async with timeout(LISTEN_CHECK_SECONDS):
                            await lost.wait()
                    if not lost.is_set():
                        await connection.execute("SELECT 1")
            finally:
                # The pool takes no connection back on which somebody listens.
                if not _is_closed(connection):
                    connection.remove_termination_listener(terminated)
                    await connection.remove_listener(channel, heard)
        raise DatabaseUnavailableError(f"the connection that listens to {channel} was lost")


@asynccontextmanager
async def open_database(
    url: SecretStr, name: str, *, size: int = 10, acquire_seconds: float = ACQUIRE_SECONDS
) -> AsyncIterator[Database]:
    """A pool that opens its connections when they are needed, so that a service starts while Postgres is away."""
    pool = asyncpg.create_pool(
        url.get_secret_value(),
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        server_settings={"application_name": name},
        target_session_attrs=SessionAttribute.read_write,
        init=_prepare,
        reset=_leave_as_it_is,
    )
    await pool
    try:
        yield Database(pool, acquire_seconds)
    finally:
        try:
            async with timeout(CONNECT_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()
