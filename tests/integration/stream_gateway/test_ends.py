"""Ends are never lost: what NATS does not bring is found in the generators' rows, and who watches is known."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import nats.errors
import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.internal import PlanView
from common.contracts.messages import ViewersReply

if TYPE_CHECKING:
    from local_stack.nats import NatsServer
    from tests.integration.stream_gateway.conftest import Backend, Gateway, GatewayFactory, Owner

Until = Callable[..., Awaitable[None]]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0)
    try:
        yield client
    finally:
        await client.close()


async def test_a_lost_terminal_message_is_found_by_the_watchdog(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Rule 6: the owner says nothing any more, the row has ended: every viewer ends, with the stored document."""
    async with gateway.watch(owner.plan_id, user) as first, gateway.watch(owner.plan_id, user) as second:
        await first.event("snapshot")
        await owner.say("all of it")
        await owner.complete(lost=True)
        owner.silent = True
        backend.rows[owner.plan_id] = owner.row()
        assert {await first.end(), await second.end()} == {"complete"}
    assert first.document == second.document == owner.document
    assert first.last_id == "1.2"
    assert all(query.watched for query in backend.queries)


async def test_events_lost_before_a_silence_are_found(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Rule 6: a newer seq in the row of a silent plan brings a snapshot, though nothing showed the gap."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.say("never heard", lost=True)
        backend.rows[owner.plan_id] = owner.row()
        await stream.until(lambda viewer: viewer.last_id == "1.1")
        assert stream.document == owner.document


async def test_while_nats_is_away_plans_are_followed_over_http(
    make_gateway: "GatewayFactory",
    private_nats: "NatsServer",
    user: UUID,
    backend: "Backend",
    make_row: Callable[..., PlanView],
) -> None:
    """Rule 6: without NATS from the start: the state comes from the row, and so does the end."""
    await private_nats.process.stop()
    gateway = await make_gateway(nats_url=private_nats.url)
    plan_id = backend.accept(user)
    backend.rows[plan_id] = make_row(plan_id, seq=4, plan={"monthly_summary": "half"})
    async with gateway.watch(plan_id, user) as stream:
        assert (await stream.event("snapshot"))["plan"] == {"monthly_summary": "half"}
        status = await gateway.client.get(f"/api/streaming/status/{plan_id}", headers={"X-User-Id": str(user)})
        assert (status.json()["phase"], status.json()["seq"]) == ("streaming", 4)
        backend.rows[plan_id] = make_row(
            plan_id, seq=9, status="completed", ended_as="complete", plan={"monthly_summary": "whole"}
        )
        assert await stream.end() == "complete"
    assert stream.document == {"monthly_summary": "whole"}
    assert stream.names == ["connected", "snapshot", "complete"]


@pytest.mark.provokes("crash", "the client of NATS logs what it meets while NATS is away")
async def test_a_restart_of_nats_costs_a_snapshot(
    make_gateway: "GatewayFactory",
    private_nats: "NatsServer",
    user: UUID,
    backend: "Backend",
    until: Until,
    own: Callable[..., "Owner"],
) -> None:
    """What was published while the connection was gone is asked for as soon as it is back."""
    gateway = await make_gateway(nats_url=private_nats.url)
    plan_id = backend.accept(user)
    async with _connected(private_nats.url) as client:
        owner = own(plan_id)
        owner.client = client
        await owner.claim()
        async with gateway.watch(plan_id, user) as stream:
            await owner.say("before ")
            await stream.until(lambda viewer: viewer.last_id == "1.1")
            await private_nats.process.stop()
            await owner.say("during ", lost=True)
            private_nats.process.start()
            await private_nats.ready()
            await until(lambda: client.is_connected)
            await stream.until(lambda viewer: viewer.last_id == "1.2")
            await owner.say("after")
            await owner.complete()
            assert await stream.end() == "complete"
    assert stream.document == {"monthly_summary": "before during after"}


@pytest.mark.provokes("5xx", "nobody is reachable")
async def test_nobody_reachable_is_said_and_mended(
    gateway: "Gateway", user: UUID, backend: "Backend", make_row: Callable[..., PlanView]
) -> None:
    """With no owner and no generator the stream opens all the same, and gets its end when they are back."""
    plan_id = backend.accept(user)
    async with gateway.watch(plan_id, user) as stream:  # so that the gateway knows whose it is
        await stream.event("connected")
    backend.away = True
    async with gateway.watch(plan_id, user) as stream:
        connected = await stream.event("connected")
        assert (connected["status"], connected["phase"]) == ("generating", None)
        status = await gateway.client.get(f"/api/streaming/status/{plan_id}", headers={"X-User-Id": str(user)})
        assert (status.status_code, status.json()["code"]) == (503, "unavailable")
        backend.rows[plan_id] = make_row(plan_id, seq=2, status="failed", ended_as="cancelled")
        backend.away = False
        assert await stream.end() == "cancelled"


async def test_presence_is_answered_while_somebody_watches(
    gateway: "Gateway", owner: "Owner", user: UUID, broker: Client, until: Until
) -> None:
    """Rule 10: a watching gateway counts its viewers; when the last has gone it says `left` and answers no more."""
    subject = subjects.viewers(owner.plan_id)
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        async with gateway.watch(owner.plan_id, user) as other:
            await other.event("snapshot")
            reply = ViewersReply.model_validate_json((await broker.request(subject, timeout=2)).data)
            assert reply.viewers == 2
        await asyncio.sleep(0)
        assert owner.commands == []
    await until(lambda: owner.commands == ["left"])
    with pytest.raises(nats.errors.NoRespondersError):
        await broker.request(subject, timeout=2)


async def test_an_ended_plan_is_served_from_memory_for_a_while(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Rule 12: a late viewer gets the end without a question to anybody; nobody is told that viewers have left."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        await owner.complete()
        assert await stream.end() == "complete"
    asked, seen = owner.asked, len(backend.seen)
    async with gateway.watch(owner.plan_id, user) as late:
        assert await late.end() == "complete"
        assert late.names == ["connected", "complete"]
    assert (owner.asked, len(backend.seen)) == (asked, seen)
    assert owner.commands == []
