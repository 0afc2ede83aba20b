"""Cancelling from anywhere: the owner, else the stored row; idempotent, recorded, and honest about what is not sure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import httpx
from pydantic import SecretStr

from common.contracts.internal import PlanView
from common.server import Draining
from stream_gateway.app import Dependencies, open_services
from stream_gateway.settings import Settings
from testkit.secrecy import SERVICE_TOKEN

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner


async def _cancel(gateway: "Gateway", plan_id: UUID, user: UUID) -> httpx.Response:
    return await gateway.client.delete(f"/api/streaming/cancel/{plan_id}", headers={"X-User-Id": str(user)})


async def test_the_owner_stops_and_every_viewer_ends(gateway: "Gateway", owner: "Owner", user: UUID) -> None:
    """Rule 8: the answer is the final status, the viewers get `cancelled`, and a second DELETE says the same."""
    async with gateway.watch(owner.plan_id, user) as first, gateway.watch(owner.plan_id, user) as second:
        await first.event("snapshot")
        await owner.say("half a plan")
        response = await _cancel(gateway, owner.plan_id, user)
        assert (response.status_code, response.json()) == (200, {"planId": str(owner.plan_id), "status": "partial"})
        assert {await first.end(), await second.end()} == {"cancelled"}
    assert first.document == owner.document
    again = await _cancel(gateway, owner.plan_id, user)
    assert again.status_code == 200


async def test_without_an_answer_of_the_owner_the_end_is_stored(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend", database: str
) -> None:
    """Rule 8: a frozen owner costs half a second; the stored end reaches viewers at once, the request is recorded."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("something")
        await stream.event("progress")
        owner.silent = True
        backend.rows[owner.plan_id] = owner.row()
        started = time.monotonic()
        response = await _cancel(gateway, owner.plan_id, user)
        assert (response.status_code, response.json()["status"]) == (200, "partial")
        assert 0.4 < time.monotonic() - started < 1.5
        assert await stream.end() == "cancelled"
        assert stream.last_id == "2.1"
    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(5):
            query = "SELECT result FROM stream_gateway.cancel_requests WHERE answered_at IS NOT NULL"
            while not (rows := await connection.fetch(query)):
                await asyncio.sleep(0.05)
    finally:
        await connection.close()
    assert [row["result"] for row in rows] == ["partial"]


async def test_a_queued_plan_is_cancelled_before_anybody_claims_it(
    gateway: "Gateway", user: UUID, backend: "Backend"
) -> None:
    """Rule 8: no owner and no row: the end is stored all the same, of as many weeks as plan-api knows."""
    plan_id = backend.accept(user)
    async with gateway.watch(plan_id, user) as stream:
        await stream.event("connected")
        response = await _cancel(gateway, plan_id, user)
        assert (response.status_code, response.json()["status"]) == (200, "failed")
        assert await stream.end() == "cancelled"
    assert [(request.user_id, request.weeks) for request in backend.cancels] == [(user, 5)]


async def test_a_finished_plan_stays_finished(
    gateway: "Gateway", user: UUID, backend: "Backend", make_row: Callable[..., PlanView]
) -> None:
    """Rule 8: the first end wins, and DELETE answers with it."""
    plan_id = backend.accept(user)
    backend.rows[plan_id] = make_row(plan_id, status="completed", ended_as="complete", plan={}, seq=3)
    response = await _cancel(gateway, plan_id, user)
    assert (response.status_code, response.json()["status"]) == (200, "completed")


async def test_what_is_not_confirmed_is_202_and_goes_on(
    make_gateway: "GatewayFactory", user: UUID, backend: "Backend"
) -> None:
    """While nobody answers DELETE says `cancelling` after 2 seconds; the wish is carried out when they are back."""
    gateway = await make_gateway(nats_url="nats://127.0.0.1:1")
    plan_id = backend.accept(user)
    async with gateway.watch(plan_id, user) as stream:
        await stream.event("connected")
        backend.away = True
        started = time.monotonic()
        response, twin = await asyncio.gather(_cancel(gateway, plan_id, user), _cancel(gateway, plan_id, user))
        assert 1.9 < time.monotonic() - started < 3
        assert response.status_code == twin.status_code == 202
        assert response.json() == {"planId": str(plan_id), "status": "cancelling"}
        backend.away = False
        assert await stream.end() == "cancelled"
    assert backend.rows[plan_id].attempt == 1


async def test_a_cancel_that_was_accepted_outlives_the_shutdown(
    migrated: Callable[[str], Awaitable[str]], user: UUID, backend: "Backend"
) -> None:
    """The client was told `cancelling`: the gateway carries it out, within the drain's time, before it goes."""
    settings = Settings(
        host="127.0.0.1",
        database_url=SecretStr(await migrated("stream_gateway")),
        nats_url=SecretStr("nats://127.0.0.1:1"),
        service_token=SecretStr(SERVICE_TOKEN),
        generator_urls=backend.url,
        auth_mode="dev",
    )
    plan_id = backend.accept(user)
    backend.away = True
    draining = Draining()
    async with asyncio.timeout(15), AsyncExitStack() as opened:
        services = await open_services(settings, draining, opened, Dependencies())
        assert await services.canceller.cancel(plan_id, user) is None
        draining.begin()
        backend.away = False
    assert backend.rows[plan_id].ended_as == "cancelled"
