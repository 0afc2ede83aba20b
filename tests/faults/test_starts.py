"""Starts that are repeated, that meet a database without room, and clients whose clock is wrong."""

import asyncio
from collections import Counter
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from testkit.recorder import now
from testkit.trial import Arena, trial
from testkit.user import User

CLOCK_OFF_SECONDS = 300.0
# plan-api's connections, and twice as many starts at each gateway.
POOL = 10
IMPATIENT = 20
# Waiting for a connection ends after 5 seconds; a caller must hear of it.
REFUSED_SECONDS = 12.0


@pytest.mark.timeout(180)
async def test_pool_exhausted(arena: Arena) -> None:
    """Every connection of plan-api waits for a lock: starts are refused in time, running plans do not notice."""
    async with trial(arena, "pool exhaustion") as under_way:
        starts = [await _prepared(gateway) for gateway in arena.stack.addresses.gateways * IMPATIENT]
        admin = await asyncpg.connect(arena.stack.addresses.admin_url)
        try:
            async with admin.transaction():
                await admin.execute("LOCK TABLE plan_api.quota_accounts IN ACCESS EXCLUSIVE MODE")
                answers = [asyncio.create_task(_start(*start)) for start in starts]
                waiting = await _waiting(arena)
                done, late = await asyncio.wait(answers, timeout=REFUSED_SECONDS)
            under_way.witness(waiting >= POOL, f"{waiting} connections waited for a lock")
            await under_way.recovers(now())
        finally:
            await admin.close()
        statuses = Counter(answer.result() for answer in done)
        assert not late, f"{len(late)} starts had no answer after {REFUSED_SECONDS:.0f} s"
        assert set(statuses) <= {503}, f"starts were answered {statuses}"


async def _waiting(arena: Arena) -> int:
    """Wait until plan-api's pool is used up; answers with how many of its connections wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plan_api' AND wait_event_type = 'Lock'"
    admin = await asyncpg.connect(arena.stack.addresses.admin_url)
    try:
        deadline = now() + 8
        while True:
            count: int = await admin.fetchval(query)
            if count >= POOL or now() > deadline:
                return count
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def _prepared(gateway: str) -> tuple[str, UUID, str]:
    async with User.at(gateway) as user:
        return gateway, user.id, await user.inputs()


async def _start(gateway: str, user_id: UUID, preference_id: str) -> int:
    async with User.at(gateway, user_id) as user:
        answer = await user.http.post(
            "/api/streaming/generate-plan", json=user.body(preference_id), headers={"Accept": "application/json"}
        )
        return answer.status_code


@pytest.mark.timeout(120)
@pytest.mark.parametrize("offset", [CLOCK_OFF_SECONDS, -CLOCK_OFF_SECONDS], ids=["ahead", "behind"])
async def test_client_clock(arena: Arena, offset: float) -> None:
    """Clients whose clock is five minutes off are served like all others: nothing depends on their time."""
    async with trial(
        arena, f"client clock {offset:+.0f} s", scale=replace(arena.scale, clock_offset=offset)
    ) as under_way:
        history = await under_way.end()
        requests = sum(len(viewer.connections) for viewer in history.viewers)
        under_way.witness(requests, f"{requests} requests said a wrong Date")
