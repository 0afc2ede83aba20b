"""The servers that every other integration test stands on."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import nats

from local_stack.nats import NatsServer, speaks_jetstream
from local_stack.ports import LOOPBACK
from testkit.versions import VERSIONS, follows


async def test_a_database_is_empty_and_utf8(database: str) -> None:
    """Each test gets a PostgreSQL database without tables, in UTF-8."""
    connection = await asyncpg.connect(database)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    encoding = await connection.fetchval("SHOW server_encoding")
    await connection.close()
    assert (tables, encoding) == (0, "UTF8")


async def test_the_servers_are_those_that_were_asked_for(
    postgres_url: str, nats_server_url: str, server_directory: Path
) -> None:
    """With TEST_BACKENDS=containers both are containers, else children of this run; of the versions of the table."""
    connection = await asyncpg.connect(postgres_url)
    data = await connection.fetchval("SHOW data_directory")
    assert follows(await connection.fetchval("SHOW server_version"), VERSIONS["PostgreSQL"].number)
    await connection.close()
    client = await nats.connect(nats_server_url)
    assert str(client.connected_server_version.major) == VERSIONS["NATS"].number
    await client.close()
    embedded = os.environ.get("TEST_BACKENDS") != "containers"
    assert Path(data).is_relative_to(server_directory) == embedded
    assert any((server_directory / "nats").glob("**/*")) == embedded


async def test_streams_of_one_test(nats_url: str) -> None:
    """A stream can be made under any name …"""
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(name="ISOLATION", subjects=["isolation"])
    await client.close()


async def test_streams_are_gone_in_the_next(nats_url: str) -> None:
    """… and the next test does not see it."""
    client = await nats.connect(nats_url)
    streams = await client.jetstream().streams_info()
    await client.close()
    assert streams == []


async def test_a_private_nats_comes_back_on_the_same_port(private_nats: NatsServer) -> None:
    """A test's own broker can be stopped and started again under the same address."""
    await private_nats.process.stop()
    assert not await speaks_jetstream(LOOPBACK, private_nats.port)
    private_nats.process.start()
    await private_nats.ready()
    client = await nats.connect(private_nats.url)
    await client.close()


async def test_a_service_role_is_not_the_administrator(migrated: Callable[[str], Awaitable[str]]) -> None:
    """A migrated service connects as its own role, which may not create anything."""
    connection = await asyncpg.connect(await migrated("generator"))
    role = await connection.fetchval("SELECT current_user")
    may_create = await connection.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')")
    await connection.close()
    assert (role, may_create) == ("generator", False)
