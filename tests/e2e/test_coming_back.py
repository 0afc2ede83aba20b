"""Viewers that go and come back: they lose nothing, repeat nothing, cost nothing, and are nobody's burden."""

import asyncio
import json
import math
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from local_stack import Stack
from testkit import User, Viewer
from testkit.upstream import Upstream
from testkit.upstream_cases import always, once, short_plan, text_of

TEXT = text_of(short_plan())
PIECES = 10
# Some ten events, of which each is awaited.
IN_PIECES = {"content": TEXT, "chars_per_token": math.ceil(len(TEXT) / PIECES), "tokens_per_second": 10}

# Of each of two users, so that no limit is met.
PLANS = 15
ROUNDS = 5
READY_SECONDS = 0.1


@pytest.fixture
async def upstream(stack: Stack) -> AsyncIterator[Upstream]:
    """The shared stack's upstream."""
    async with Upstream.of(stack) as opened:
        yield opened


@asynccontextmanager
async def at_both(stack: Stack) -> AsyncIterator[tuple[User, User]]:
    """One user, at each of the two gateways."""
    first, second = stack.addresses.gateways
    async with User.at(first) as user, User.at(second, user.id) as elsewhere:
        yield user, elsewhere


@asynccontextmanager
async def holding_back(stack: Stack, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Upstream says nothing meanwhile, so that whoever comes sees the plan from its beginning."""
    stack.signal("emulator", signal.SIGSTOP)
    try:
        yield body
    finally:
        stack.signal("emulator", signal.SIGCONT)


async def started(user: User, body: dict[str, Any]) -> UUID:
    """A plan that goes on without viewers."""
    answer = await user.http.post("/api/streaming/generate-plan", json=body, headers={"Accept": "application/json"})
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["planId"])


async def test_cut_at_every_event(upstream: Upstream) -> None:
    """Complaint 5: a viewer cut after each single event goes on by ?lastEventId elsewhere, and ends with the same."""

    async def cut_after(viewer: Viewer, events: int) -> None:
        await viewer.watch(until=lambda _: len(viewer.received) == events)
        viewer.move(elsewhere.http, in_query=True)
        # Every third comes back at once; of the others one and two events are missed.
        while len(whole.received) < events + events % 3 and whole.end is None:
            await asyncio.sleep(0.01)
        if viewer.end is None:
            await viewer.watch()

    async with at_both(upstream.stack) as (user, elsewhere), asyncio.timeout(40):
        async with holding_back(upstream.stack, await upstream.scripted(user, (once(**IN_PIECES),))) as body:
            plan_id = await started(user, body)
            whole, viewers = user.viewer(plan_id), [user.viewer(plan_id) for _ in range(2 * PIECES - 2)]
            cut = [asyncio.create_task(cut_after(viewer, count)) for count, viewer in enumerate(viewers, 1)]
            watching = [asyncio.create_task(whole.watch()), *cut]
            while not all("snapshot" in viewer.names for viewer in (whole, *viewers)):
                await asyncio.sleep(0.02)
        await asyncio.gather(*watching)
        document = (await user.plan(plan_id))["plan"]
        assert PIECES < len(whole.received) <= len(viewers), "each event was the last before a cut"
        assert [viewer.plan for viewer in (whole, *viewers)] == [document] * (1 + len(viewers))
        assert sum(viewer.names.count("connected") == 2 for viewer in viewers) == len(whole.received) - 1
        await come_back_later(elsewhere, whole)


async def come_back_later(elsewhere: User, whole: Viewer) -> None:
    """With any id of a plan that has ended: the end, or 204 for who has had it."""
    for event in whole.received[1:]:
        late = elsewhere.viewer(whole.plan_id)
        if event is whole.end:
            over = await elsewhere.http.get(f"/api/streaming/events/{whole.plan_id}?lastEventId={event.id}")
            assert over.status_code == 204
        else:
            await late.watch(lastEventId=event.id)
            assert (late.names, late.plan) == (["connected", "complete"], whole.plan)


async def test_ids_grow(upstream: Upstream) -> None:
    """Complaint 6: however fast events follow each other, their ids only grow, and name one event at every gateway."""
    cut = {"eof_after_tokens": 40, "chars_per_token": 2, "tokens_per_second": 20_000}
    async with at_both(upstream.stack) as (user, elsewhere):
        plan_id = await started(user, await upstream.scripted(user, (once(**cut),)))
        viewers = [user.viewer(plan_id), elsewhere.viewer(plan_id), elsewhere.viewer(plan_id)]
        async with asyncio.timeout(30):
            await asyncio.gather(*(viewer.watch() for viewer in viewers))
    named: dict[str, str] = {}
    for viewer in viewers:
        places = [(event.data["attempt"], event.data["seq"]) for event in viewer.received[1:]]
        assert all(before < after for before, after in pairwise(places)), places
        assert [event.id for event in viewer.received[1:]] == [f"{attempt}.{seq}" for attempt, seq in places]
        for event in viewer.received:
            if event.name in ("progress", "complete"):
                said = json.dumps(event.data, sort_keys=True)
                assert named.setdefault(event.id, said) == said
    assert len(named) > 10


async def test_coming_back_starts_nothing(upstream: Upstream) -> None:
    """Complaint 14: to come back is a GET: 30 returns, also after the end, make no call, no plan and no reservation."""
    async with at_both(upstream.stack) as (user, elsewhere):
        viewer = user.viewer()
        body = await upstream.scripted(user, (once(**IN_PIECES),))
        await viewer.start(body, until=lambda event: event.name == "snapshot")
        assert viewer.plan_id is not None
        returns = 0
        while returns < 30:
            viewer.move((user, elsewhere)[returns % 2].http)
            if viewer.end is None:
                seen = len(viewer.received)
                await viewer.watch(until=lambda _, seen=seen: len(viewer.received) > seen)  # type: ignore[misc]
            else:
                late = (user, elsewhere)[returns % 2].viewer(viewer.plan_id)
                await late.watch()
            returns += 1
            if returns == 20 and viewer.end is None:
                await viewer.watch()
        outcome = await upstream.outcome(user, viewer)
        plans = (await user.get("/api/plan/plans"))["plans"]
    await upstream.audit([outcome])
    assert (len(outcome.requests), outcome.purposes, outcome.ledger) == (1, "stream", "reserved used")
    assert [plan["planId"] for plan in plans] == [str(viewer.plan_id)]
    assert outcome.end.used == 1
    assert viewer.plan == outcome.plan


async def test_thirty_leave_at_once(upstream: Upstream) -> None:
    """Complaint 20: while 30 clients drop, each the last of its plan, the gateway says within 100 ms that it is ready.

    The other gateway, which nobody leaves, tells how much of it is the machine's; the median of some rounds counts.
    """
    first, second = upstream.stack.addresses.gateways
    async with User.at(first) as one, User.at(first) as other, httpx.AsyncClient() as probe:
        plans = [(user, plan_id) for user in (one, other) for plan_id in await stalled(upstream, user)]
        slowest = []
        for _ in range(ROUNDS):
            writers = await asyncio.gather(*(watched(first, user.id, plan_id) for user, plan_id in plans))
            polls = asyncio.gather(*(slowest_poll(probe, gateway) for gateway in (first, second)))
            await asyncio.sleep(0.05)
            for writer in writers:
                writer.transport.abort()
            left, untouched = await polls
            slowest.append(left - untouched)
        for user, plan_id in plans:
            assert (await user.cancel(plan_id)).is_success
    assert statistics.median(slowest) < READY_SECONDS, slowest


async def stalled(upstream: Upstream, user: User) -> list[UUID]:
    """Plans that have begun and never go on."""
    body = await upstream.scripted(user, (always(stall_after_tokens=20),))
    start = {"url": "/api/streaming/generate-plan", "json": body, "headers": {"Accept": "application/json"}}
    answers = await asyncio.gather(*(user.http.post(**start) for _ in range(PLANS)))  # type: ignore[arg-type]
    return [UUID(answer.json()["planId"]) for answer in answers]


async def watched(gateway: str, user_id: UUID, plan_id: UUID) -> asyncio.StreamWriter:
    """A viewer that has seen the plan's state, on a connection that can be dropped."""
    there = urlsplit(gateway)
    reader, writer = await asyncio.open_connection(there.hostname, there.port)
    path = f"/api/streaming/events/{plan_id}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: {user_id}\r\n\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b"event: snapshot"), 10)
    return writer


async def slowest_poll(probe: httpx.AsyncClient, gateway: str) -> float:
    """Ask for a while whether a gateway is ready; seconds of the slowest answer."""
    slowest, end = 0.0, time.monotonic() + 0.3
    while (began := time.monotonic()) < end:
        assert (await probe.get(f"{gateway}/readyz")).is_success
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.005)
    return slowest
