"""The process as it is run: its drain, its settings, and its records while Postgres is there and while it is not."""

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from testkit.gateway.socket import socket
from testkit.secrecy import SERVICE_TOKEN

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway, GatewayFactory, Owner

TOKEN = SERVICE_TOKEN
MUTE_HANDSHAKE = (
    b"GET /api/streaming/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"X-User-Id: %b\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_sigterm_closes_streams_without_an_end(
    spawned: "tuple[Gateway, asyncio.subprocess.Process]", owner: "Owner", user: UUID
) -> None:
    """Complaint 16: SIGTERM closes open streams, says when to come again, and the process ends; nobody has left."""
    gateway, process = spawned
    async with gateway.watch(owner.plan_id, user) as first, gateway.watch(owner.plan_id, user) as second:
        await first.event("snapshot")
        await second.event("snapshot")
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert {await first.end(), await second.end()} == {"snapshot"}
        assert (first.retries, second.retries) == (2, 2)
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert time.monotonic() - started < 5
    assert owner.commands == []


async def test_sigterm_closes_sockets(
    spawned: "tuple[Gateway, asyncio.subprocess.Process]", owner: "Owner", user: UUID
) -> None:
    """Each with the code that sends it elsewhere; one whose client does not say goodbye holds nothing up."""
    gateway, process = spawned
    reader, writer = await asyncio.open_connection(*urlsplit(gateway.url).netloc.split(":"))
    writer.write(MUTE_HANDSHAKE % str(user).encode())
    assert b" 101 " in await reader.readline()
    async with socket(gateway.url, user) as client:
        await client.say("watch", owner.plan_id)
        await client.event("snapshot")
        process.send_signal(signal.SIGTERM)
        assert await client.closed() == 1012
    assert await asyncio.wait_for(process.wait(), 8) == 0
    writer.close()
    assert owner.commands == []


async def test_dev_mode_refuses_to_listen_beyond_loopback() -> None:
    """AUTH_MODE=dev on 0.0.0.0 does not start, and says what to change; so does jwt without its secret."""
    common = {"DATABASE_URL": "postgresql://x@127.0.0.1/x", "SERVICE_TOKEN": TOKEN}
    for environment, word in (({"AUTH_MODE": "dev", "HOST": "0.0.0.0"}, b"loopback"), ({}, b"JWT_SECRET")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream_gateway", "serve"),
            env={**common, **environment, "PATH": os.environ["PATH"]},
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert word in errors


async def test_streams_are_recorded(gateway: "Gateway", owner: "Owner", user: UUID, database: str) -> None:
    """One row a stream, with where it ended and why, and whose the plan is."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("x")
        await stream.event("progress")
    connection = await asyncpg.connect(database)
    query = "SELECT * FROM stream_gateway.stream_sessions JOIN stream_gateway.plan_streams USING (plan_id, user_id)"
    try:
        async with asyncio.timeout(5):
            while not (rows := [row for row in await connection.fetch(query) if row["closed_at"]]):
                await asyncio.sleep(0.05)
    finally:
        await connection.close()
    [row] = rows
    assert (row["plan_id"], row["user_id"]) == (owner.plan_id, user)
    assert (row["last_event_id"], row["reason"]) == ("1.1", "disconnected")
    assert row["opened_at"] < row["closed_at"]


async def test_without_postgres_everything_streams(make_gateway: "GatewayFactory", owner: "Owner", user: UUID) -> None:
    """Records wait or are dropped; no stream does."""
    gateway = await make_gateway(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    for _ in range(2):
        async with gateway.watch(owner.plan_id, user) as stream:
            await stream.event("snapshot")
    await owner.complete()
    async with gateway.watch(owner.plan_id, user) as stream:
        assert await stream.end() == "complete"
