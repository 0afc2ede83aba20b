"""The one way to Postgres: deadlines, and what counts as an outage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from pydantic import SecretStr

from common import postgres
from common.postgres import Database, DatabaseUnavailableError, open_database
from common.tasks import end


@pytest.fixture
async def narrow(database: str) -> AsyncIterator[Database]:
    """A database with one connection, for which nobody waits long."""
    async with open_database(SecretStr(database), "test", size=1, acquire_seconds=0.1) as opened:
        yield opened


async def test_waiting_for_a_connection_has_a_deadline(narrow: Database) -> None:
    """While another holds the only connection every way in gives up in time, and says that Postgres is out of reach."""
    async with narrow.connection(), asyncio.timeout(5):
        for ask in (narrow.fetch, narrow.fetchrow, narrow.fetchval, narrow.execute):
            with pytest.raises(DatabaseUnavailableError):
                await ask("SELECT 1")
            assert not narrow.reachable
        with pytest.raises(DatabaseUnavailableError):
            async with narrow.transaction():
                pass
    assert await narrow.fetchval("SELECT 1") == 1
    assert narrow.reachable


async def test_a_mistake_of_ours_is_no_outage(narrow: Database) -> None:
    """A missing argument is asyncpg's InterfaceError, as a closed connection is; one that does not fit, a DataError."""
    with pytest.raises(asyncpg.InterfaceError):
        await narrow.fetchval("SELECT $1::int")
    with pytest.raises(asyncpg.DataError):
        await narrow.fetchval("SELECT $1::int", "five")
    with pytest.raises(asyncpg.UndefinedTableError):
        await narrow.execute("DELETE FROM nothing")
    assert narrow.reachable


async def test_a_connection_that_is_closed_under_us_is_an_outage(narrow: Database) -> None:
    """By the server in the middle of a statement, and before the next statement of the same block."""
    with pytest.raises(DatabaseUnavailableError):
        await narrow.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def one_more() -> None:
        async with narrow.connection() as connection:
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailableError):
        await one_more()
    assert not narrow.reachable


async def test_a_connection_between_two_states_is_given_up(narrow: Database) -> None:
    """asyncpg's InternalClientError, after a cancellation and a restart in one moment: an outage; the next is new."""
    before = await narrow.fetchval("SELECT pg_backend_pid()")

    async def meet_it() -> None:
        async with narrow.connection():
            raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with pytest.raises(DatabaseUnavailableError):
        await meet_it()
    assert await narrow.fetchval("SELECT pg_backend_pid()") != before


async def test_nobody_at_the_address_is_an_outage() -> None:
    """Refused connections."""
    async with open_database(SecretStr("postgresql://x:x@127.0.0.1:1/x"), "test") as away:
        with pytest.raises(DatabaseUnavailableError):
            await away.execute("SELECT 1")
        assert not away.reachable


async def test_connections_are_open_before_they_are_needed(database: str, narrow: Database) -> None:
    """All of the pool's, without anybody having asked for one; and whoever asks meanwhile gets one."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'warm'"
    async with open_database(SecretStr(database), "warm", size=5) as opened, asyncio.timeout(10):
        warming = asyncio.create_task(opened.keep_warm())
        try:
            assert await opened.fetchval("SELECT 42") == 42
            while await narrow.fetchval(others) < 5:
                await asyncio.sleep(0.01)
        finally:
            await end(warming)


async def test_warming_takes_nothing_from_a_busy_pool(database: str) -> None:
    """What is in use is warm; with few left, warming waits for none, and nobody waits for it."""
    async with AsyncExitStack() as held:
        opened = await held.enter_async_context(open_database(SecretStr(database), "busy", size=5, acquire_seconds=0.2))
        for _ in range(4):
            await held.enter_async_context(opened.connection())
        warming = asyncio.create_task(opened.keep_warm())
        await asyncio.sleep(0.5)
        assert not warming.done()
        assert await opened.fetchval("SELECT 42") == 42
        await end(warming)


async def test_a_connection_that_does_not_open_keeps_no_others(
    narrow: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are open are held while another is opened: for no longer than an answer may take."""

    @asynccontextmanager
    async def hang() -> AsyncIterator[None]:
        await asyncio.sleep(30)
        yield

    monkeypatch.setattr(postgres, "WARM_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(narrow, "connection", hang)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await narrow.keep_warm()


async def test_a_deadlock_is_to_be_tried_again(narrow: Database) -> None:
    """The server has undone the statement: for its caller an outage, which is over at once."""
    with pytest.raises(DatabaseUnavailableError):
        await narrow.execute("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$")
    assert await narrow.fetchval("SELECT 42") == 42


async def test_a_statement_is_one_round_trip(database: str) -> None:
    """Nothing follows it when its connection goes back, unless a transaction was left open: that is rolled back."""
    last = "SELECT query FROM pg_stat_activity WHERE application_name = 'once' AND pid <> pg_backend_pid()"
    async with (
        open_database(SecretStr(database), "once", size=1) as once,
        open_database(SecretStr(database), "other", size=1) as other,
    ):
        assert await once.fetchval("SELECT 42") == 42
        assert await other.fetchval(last) == "SELECT 42"
        async with once.connection() as connection:
            await connection.execute("BEGIN; CREATE TABLE left_open ()")
        assert await once.fetchval("SELECT to_regclass('left_open')") is None


async def test_what_is_notified_is_heard_until_the_connection_is_lost(database: str) -> None:
    """Each payload once and in order; a connection that the server ends is an outage, and the pool gets it back."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with open_database(SecretStr(database), "listener", size=2) as opened, asyncio.timeout(10):
        listening = asyncio.create_task(opened.listen("news", heard.put_nowait))
        ask = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'listener' AND query LIKE 'LISTEN%'"
        while await opened.fetchval(ask) != 1:
            await asyncio.sleep(0.02)
        for word in ("one", "two"):
            await opened.execute("SELECT pg_notify('news', $1)", word)
            assert await heard.get() == word
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
        await opened.execute(end)
        with pytest.raises(DatabaseUnavailableError):
            await listening


async def test_a_listener_that_is_cancelled_gives_its_connection_back(narrow: Database) -> None:
    """The pool's only connection is free again, and hears nothing any more."""
    heard: list[str] = []
    listening = asyncio.create_task(narrow.listen("news", heard.append))
    await asyncio.sleep(0.2)
    with pytest.raises(DatabaseUnavailableError):
        await narrow.execute("SELECT 1")
    listening.cancel()
    await asyncio.wait({listening})
    await narrow.execute("SELECT pg_notify('news', 'late')")
    assert heard == []
