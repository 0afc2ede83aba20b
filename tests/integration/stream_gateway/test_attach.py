"""How a gateway finds out how a plan stands: the order of its questions, and that it puts each of them once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.contracts import subjects
from common.contracts.internal import PlanView
from stream_gateway import attach

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Backend, Gateway, Owner

Until = Callable[..., Awaitable[None]]


def _reads(backend: "Backend", plan_id: UUID) -> int:
    """How often the plan's row was read."""
    return backend.seen.count(("GET", f"/internal/plans/{plan_id}"))


async def test_nothing_falls_between_the_question_and_the_subscription(
    gateway: "Gateway", user: UUID, backend: "Backend", broker: Client, own: Callable[..., "Owner"]
) -> None:
    """Rule 5: the subscription stands when the owner is asked, so what it writes while it answers is not missed."""
    owner = own(backend.accept(user))
    await owner.say("before ")
    asked = 0

    async def answer(message: Msg) -> None:
        nonlocal asked
        asked += 1
        state = orjson.dumps(owner.state())
        await owner.say("meanwhile")
        await message.respond(state)

    await broker.subscribe(subjects.state(owner.plan_id), cb=answer)
    await broker.request("$JS.API.INFO", b"")  # the SUB is there
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.until(lambda viewer: viewer.last_id == "1.2")
        assert stream.document == {"monthly_summary": "before meanwhile"}
    assert asked == 1
    assert _reads(backend, owner.plan_id) == 0


async def test_the_row_is_read_only_when_the_owner_is_silent(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend", until: Until
) -> None:
    """Rule 5: 300 ms are the owner's; the row, which may be older than what is on its way, is read after that."""
    owner.silent = True
    backend.rows[owner.plan_id] = owner.row()

    async def patience() -> float:
        await until(lambda: owner.asked == 1)
        asked = time.monotonic()
        await until(lambda: _reads(backend, owner.plan_id) == 1)
        return time.monotonic() - asked

    measuring = asyncio.create_task(patience())
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
    assert 0.2 < await measuring < 3


async def test_without_an_owner_the_row_is_read_at_once(
    gateway: "Gateway",
    user: UUID,
    backend: "Backend",
    make_row: Callable[..., PlanView],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 5: NATS says that nobody answers for the plan, and the row is the answer; nobody waits for it."""
    monkeypatch.setattr(attach, "OWNER_SECONDS", 8)
    plan_id = backend.accept(user)
    backend.rows[plan_id] = make_row(plan_id, status="completed", ended_as="complete", plan={}, seq=3)
    began = time.monotonic()
    async with gateway.watch(plan_id, user) as stream:
        assert await stream.end() == "complete"
    assert time.monotonic() - began < 4
    assert _reads(backend, plan_id) == 1


async def test_a_plan_that_is_only_claimed_is_not_queued(
    gateway: "Gateway", user: UUID, backend: "Backend", make_row: Callable[..., PlanView]
) -> None:
    """A takeover that has shown nothing yet: what the plan is doing is not known, and plan-api need not confirm it."""
    plan_id = backend.accept(user)
    backend.rows[plan_id] = make_row(plan_id, attempt=2, seq=0)
    async with gateway.watch(plan_id, user) as stream:
        connected = await stream.event("connected")
    assert (connected["status"], connected["phase"]) == ("generating", None)


async def test_what_the_owner_did_not_know_is_asked_after_a_second(
    gateway: "Gateway", owner: "Owner", user: UUID, backend: "Backend"
) -> None:
    """Rule 5: once more after 1 s, whatever the owner said: it may be a zombie, and the plan have ended."""
    ended = owner.row().model_copy(update={"status": "failed", "ended_as": "cancelled", "attempt": 2, "seq": 1})
    backend.rows[owner.plan_id] = ended
    began = time.monotonic()
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        assert await stream.end() == "cancelled"
        assert time.monotonic() - began > 0.9
        assert stream.last_id == "2.1"


async def test_an_attempt_that_begins_in_its_middle_is_asked_for_its_state(
    gateway: "Gateway", owner: "Owner", user: UUID, own: Callable[..., "Owner"]
) -> None:
    """Rule 5: operations of a higher attempt whose opening snapshot was lost bring a question, and then a snapshot."""
    async with gateway.watch(owner.plan_id, user) as stream:
        await stream.event("snapshot")
        owner.silent = True
        successor = own(owner.plan_id, 2)
        await successor.claim()
        await stream.until(lambda viewer: viewer.last_id == "2.0")
        successor.attempt = 3
        await successor.say("third")
        await stream.until(lambda viewer: viewer.last_id == "3.1")
        assert stream.names[-1] == "snapshot"
        assert stream.document == successor.document


async def test_one_question_at_a_time(
    gateway: "Gateway", owner: "Owner", user: UUID, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: however many viewers join and events show a gap, a plan's state is asked for by one request at a time."""
    async with gateway.watch(owner.plan_id, user) as first, gateway.watch(owner.plan_id, user) as second:
        await first.event("snapshot")
        await second.event("snapshot")
        assert owner.asked == 1
        owner.silent = True
        monkeypatch.setattr(attach, "OWNER_SECONDS", 1)
        await owner.say("lost ", lost=True)
        for _ in range(20):
            await owner.say("seen ")
        await until(lambda: owner.asked == 2)
        await asyncio.sleep(0.1)  # far less than the owner has
        assert owner.asked == 2
        owner.silent = False
        for stream in (first, second):
            await stream.until(lambda viewer: viewer.last_id == "1.21")
            assert stream.document == owner.document
    assert owner.asked <= 4
