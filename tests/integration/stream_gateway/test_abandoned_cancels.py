"""A cancellation that was accepted is carried out, whatever becomes of the gateway that was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from common.postgres import open_database
from stream_gateway.repository import CancelAsked, OpenCancel, Repository

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory

# A gateway without NATS does not ask an owner first.
NO_NATS = "nats://127.0.0.1:1"


@pytest.fixture
async def repository(migrated: Callable[[str], Awaitable[str]]) -> AsyncIterator[Repository]:
    """The gateways' table."""
    async with open_database(SecretStr(await migrated("stream_gateway")), "test") as opened:
        yield Repository(opened)


@pytest.fixture
async def admin(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """The administrator's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def _answered(admin: "asyncpg.Connection[asyncpg.Record]", plan_id: UUID) -> list[str]:
    query = "SELECT result FROM stream_gateway.cancel_requests WHERE plan_id = $1 AND answered_at IS NOT NULL"
    async with asyncio.timeout(10):
        while not (rows := await admin.fetch(query, plan_id)):
            await asyncio.sleep(0.05)
    return [row["result"] for row in rows]


async def _forgotten(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Time passes in which no gateway holds anything."""
    await admin.execute("UPDATE stream_gateway.cancel_requests SET held_until = now() - interval '1 s'")


async def test_a_killed_gateways_cancel_is_carried_out_by_another(
    spawned: "tuple[Gateway, asyncio.subprocess.Process]",
    make_gateway: "GatewayFactory",
    user: UUID,
    backend: "Backend",
    admin: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """It was answered 202, and its gateway killed; when the generators are back the plan ends all the same."""
    gateway, process = spawned
    plan_id = backend.accept(user)
    headers = {"X-User-Id": str(user)}
    assert (await gateway.client.get(f"/api/streaming/status/{plan_id}", headers=headers)).status_code == 200
    backend.away = True
    response = await gateway.client.delete(f"/api/streaming/cancel/{plan_id}", headers=headers)
    assert (response.status_code, response.json()["status"]) == (202, "cancelling")
    process.kill()
    await process.wait()
    assert await admin.fetchval("SELECT count(*) FROM stream_gateway.cancel_requests WHERE answered_at IS NULL") == 1
    backend.away = False
    await _forgotten(admin)
    await make_gateway(nats_url=NO_NATS)
    assert await _answered(admin, plan_id) == ["failed"]
    assert backend.rows[plan_id].ended_as == "cancelled"


async def test_it_is_tried_until_the_plan_has_ended(
    make_gateway: "GatewayFactory",
    user: UUID,
    backend: "Backend",
    repository: Repository,
    admin: "asyncpg.Connection[asyncpg.Record]",
    until: Callable[..., Awaitable[None]],
) -> None:
    """While no generator answers it is held and tried again; meanwhile another gateway does nothing with it."""
    plan_id = backend.accept(user)
    cancel = ("POST", f"/internal/plans/{plan_id}/cancel")
    await repository.write([CancelAsked(uuid4(), plan_id, user, datetime.now(UTC))])
    await _forgotten(admin)
    backend.away = True
    await make_gateway(nats_url=NO_NATS)
    await until(lambda: backend.seen.count(cancel) > 4)
    assert await repository.take_up(10, 10) == []
    backend.away = False
    assert await _answered(admin, plan_id) == ["failed"]


async def test_of_two_gateways_one_takes_it_up(
    repository: Repository, user: UUID, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A new one is left to the gateway that was asked; a forgotten one goes to one; no more than asked for at once."""
    plans = [uuid4() for _ in range(6)]
    await repository.write([CancelAsked(uuid4(), plan_id, user, datetime.now(UTC)) for plan_id in plans])
    assert await repository.take_up(10, 10) == []
    await _forgotten(admin)
    assert await repository.take_up(0, 10) == []
    await repository.hold(plans[:1], 10)
    taken = await asyncio.gather(*(repository.take_up(2, 10) for _ in range(4)))
    assert max(map(len, taken)) == 2
    found = [request for some in taken for request in some]
    assert len(found) == len(set(found))
    rest = await repository.take_up(10, 10)
    assert sorted(map(str, (*found, *rest))) == sorted(str(OpenCancel(plan_id, user)) for plan_id in plans[1:])
