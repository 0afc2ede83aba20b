"""What is stopped stops: at every moment, after any coming and going, and with what it has cost on record."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from testkit import OpenStack, User, Viewer, written
from testkit.upstream import BRISK, Upstream
from testkit.upstream_cases import Calls, once, short_plan, text_of

TEXT = text_of(short_plan())
SLOW = {"content": TEXT, "chars_per_token": 8, "tokens_per_second": 25}
# What DESIGN promises of a cancel: upstream is closed within a second.
CLOSED_SECONDS = 1.0


@pytest.fixture(scope="module")
async def upstream(open_stack: OpenStack) -> AsyncIterator[Upstream]:
    """One generator that writes one plan at a time, so that a second plan waits for as long as the first is written."""
    async with open_stack(BRISK | {"GENERATOR_CONCURRENCY": "1"}, gateways=2) as stack, Upstream.of(stack) as opened:
        yield opened


async def until_written(upstream: Upstream, user: User, calls: tuple[Calls, ...], chars: int = 60) -> Viewer:
    """Start a plan, leave its stream once that much is written, and go away as a closed tab does."""
    viewer = user.viewer()
    await viewer.start(await upstream.scripted(user, calls, weeks=4), until=written(chars))
    return viewer


async def upstream_is_closed(upstream: Upstream, plan_id: UUID) -> None:
    """Within the time that is promised, none of the plan's answers is being served any more."""
    async with asyncio.timeout(CLOSED_SECONDS):
        while any(answer["outcome"] == "running" for answer in await upstream.answers(plan_id)):
            await asyncio.sleep(0.02)


async def test_a_stream_that_was_resumed_is_stopped(upstream: Upstream) -> None:
    """Complaint 1: a stream that was left and resumed elsewhere stops at a cancel, upstream too, and stays stopped."""
    first, second = upstream.stack.addresses.gateways
    async with User.at(first) as user, User.at(second, user.id) as elsewhere:
        viewer = await until_written(upstream, user, (once(**SLOW),))
        assert viewer.plan_id is not None
        left_at, came_to = viewer.last_id, asyncio.Event()
        viewer.move(elsewhere.http)

        def until(event: Any) -> bool:
            if event.name == "progress" and event.data["ops"]:
                came_to.set()
            return False

        resumed = asyncio.create_task(viewer.watch(until))
        await asyncio.wait_for(came_to.wait(), 10)
        answer = await user.cancel(viewer.plan_id)
        await upstream_is_closed(upstream, viewer.plan_id)
        await asyncio.wait_for(resumed, 5)
        late = elsewhere.viewer(viewer.plan_id)
        await late.watch(lastEventId=str(left_at))
        over = await user.http.get(
            f"/api/streaming/events/{viewer.plan_id}", headers={"Last-Event-ID": str(viewer.last_id)}
        )
        outcome = await upstream.outcome(user, viewer)
    await upstream.audit([outcome])
    assert (answer.status_code, answer.json()["status"]) == (200, "partial")
    assert viewer.names.count("connected") == 2
    assert (viewer.names[-1], late.names) == ("cancelled", ["connected", "cancelled"])
    assert viewer.plan == late.plan == outcome.plan
    assert (over.status_code, len(outcome.requests)) == (204, 1)


@dataclass(frozen=True)
class Moment:
    """When a plan is cancelled.

    Attributes:
        behaviour: what upstream does from then on.
        events: what the viewer has seen by then, each at least once.
        calls: how many calls upstream has had by then; it gets no other.
        ends_as: the plan's status.
    """

    behaviour: dict[str, Any]
    events: tuple[str, ...]
    calls: int
    ends_as: str


MOMENTS = {
    "before the claim": Moment(SLOW, ("connected",), 0, "failed"),
    "before the first byte": Moment({"headers_delay_seconds": 60}, ("connected", "snapshot"), 1, "failed"),
    "in mid-stream": Moment(SLOW, ("connected", "snapshot", "progress"), 1, "partial"),
}


@pytest.mark.parametrize("when", MOMENTS)
async def test_a_cancel_is_carried_out(upstream: Upstream, when: str) -> None:
    """Complaint 2: a cancel that is accepted ends the plan at once; upstream is closed, or never opened at all."""
    moment = MOMENTS[when]
    async with User.at(upstream.stack.gateway) as user:
        busy = await until_written(upstream, user, (once(**SLOW),)) if moment.calls == 0 else None
        viewer = user.viewer()
        watching = asyncio.create_task(viewer.start(await upstream.scripted(user, (once(**moment.behaviour),))))
        async with asyncio.timeout(10):
            while not set(moment.events) <= set(viewer.names):
                await asyncio.sleep(0.01)
            assert viewer.plan_id is not None
            while len(await upstream.answers(viewer.plan_id)) < moment.calls:
                await asyncio.sleep(0.01)
        assert viewer.end is None
        answer = await user.cancel(viewer.plan_id)
        await upstream_is_closed(upstream, viewer.plan_id)
        await asyncio.wait_for(watching, 5)
        if busy is not None:
            assert busy.plan_id is not None
            await user.cancel(busy.plan_id)
        await passed_the_queue(user)
        outcome = await upstream.outcome(user, viewer)
        served = [one["outcome"] for one in await upstream.answers(viewer.plan_id)]
    await upstream.audit([outcome])
    assert (answer.status_code, answer.json()["status"]) == (200, moment.ends_as)
    assert (viewer.names[-1], viewer.names.count("cancelled")) == ("cancelled", 1)
    assert set(viewer.names) == {*moment.events, "cancelled"}
    assert (len(outcome.requests), served) == (moment.calls, ["aborted"] * moment.calls)
    assert outcome.ledger == ("reserved used" if moment.ends_as == "partial" else "reserved released")


async def passed_the_queue(user: User) -> None:
    """A plan that was started later is written to its end: jobs are taken in order, so those before it were, too."""
    later = user.viewer()
    async with asyncio.timeout(20):
        await later.start(user.body(await user.inputs()))
    assert later.names[-1] == "complete"


@pytest.mark.parametrize("source", ["provider", "estimated"])
async def test_what_was_stopped_is_paid_for(upstream: Upstream, source: str) -> None:
    """Complaint 8: a stopped call's tokens and cost are on record; an estimate, until the provider says more."""
    delay = 0.2 if source == "provider" else 600
    async with User.at(upstream.stack.gateway) as user:
        viewer = await until_written(upstream, user, (once(**SLOW, generation_delay_seconds=delay),), 200)
        assert viewer.plan_id is not None
        answer = await user.cancel(viewer.plan_id)
        row = await usage(upstream, viewer.plan_id, source)
    (served,) = await upstream.answers(viewer.plan_id)
    (request,) = (await upstream.requests())[str(viewer.plan_id)]
    assert answer.json()["status"] == "partial"
    assert (row["purpose"], row["generation_id"]) == ("stream", request["generation_id"])
    assert (row["model"], served["outcome"]) == ("first/model", "aborted")
    if source == "provider":
        assert row["completion_tokens"] == served["tokens"] < served["total_tokens"]
        assert row["prompt_tokens"] > 0
        assert row["cost"] > 0
    else:
        # The emulator's tokens have eight characters here; an estimate counts four. One token may be on its way.
        assert row["prompt_tokens"] > 0
        assert 2 * (served["tokens"] - 1) <= row["completion_tokens"] <= 2 * served["tokens"]


async def usage(upstream: Upstream, plan_id: UUID, source: str) -> dict[str, Any]:
    """The plan's only usage row, once its figures come from there."""
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while [row["source"] for row in rows] != [source]:
            await asyncio.sleep(0.05)
            rows = await upstream.rows(plan_id)
    return rows[0]
