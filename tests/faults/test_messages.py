"""Messages that are lost, doubled and out of order, and a broker that can store none."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import nats
import psutil
import pytest
from nats.aio.msg import Msg

from common.contracts import subjects
from testkit.history import History
from testkit.nats_frames import PublicationFilter
from testkit.recorder import now
from testkit.recovery import healthy
from testkit.trial import RECOVERY_SECONDS, Arena, trial
from testkit.user import User

GENERATORS = ("generator-1", "generator-2")
ENDS = (b'{"event":"complete"', b'{"event":"cancelled"', b'{"event":"error"')
# A gateway asks about a plan that was silent for 3 seconds.
END_FOUND_SECONDS = 5.0
# The sweeper announces again what is 2 seconds old, every 3 seconds; the reconciler would be there after 30.
SETTLED_SECONDS = 10.0
_SETTLED_AFTER = """
SELECT max(extract(epoch FROM g.ended_at - p.completed_at))::float8
FROM plan_api.generations g JOIN generator.monthly_plans p USING (plan_id) WHERE g.plan_id = ANY($1)
"""


@pytest.mark.timeout(120)
async def test_terminal_messages_lost(arena: Arena) -> None:
    """Complaint 3: all terminal events are lost, and the first news of each outcome: all end, all is settled."""
    told: Counter[bytes] = Counter()
    filters: list[PublicationFilter] = []

    def keep(subject: bytes, payload: bytes) -> bool:
        if subject.startswith(b"plan.outcomes."):
            told[subject] += 1
            return told[subject] > 1
        return not (subject.startswith(b"plan.events.") and payload.startswith(ENDS))

    def lossy() -> PublicationFilter:
        filters.append(PublicationFilter(keep))
        return filters[-1]

    proxies = arena.switchboard.of("NATS_URL", *GENERATORS)
    for proxy in proxies:
        proxy.filters = lambda: lossy().feed
        proxy.cut()
    try:
        await healthy(arena.stack)
        async with trial(arena, "a lost terminal message") as under_way:
            before = sum(each.lost for each in filters)
            history = await under_way.end()
            lost = sum(each.lost for each in filters) - before
            under_way.witness(lost >= len(history.plans), f"{lost} publications lost")
            under_way.measure(max(_waited(history)), END_FOUND_SECONDS, "stored → seen")
            settled = await _settled_after(arena, history)
            assert settled <= SETTLED_SECONDS, f"settled after {settled:.1f} s: the sweeper did not announce it again"
    finally:
        for proxy in proxies:
            proxy.filters = None
            proxy.cut()
        await healthy(arena.stack)


async def _settled_after(arena: Arena, history: History) -> float:
    admin = await asyncpg.connect(arena.stack.addresses.admin_url)
    try:
        longest: float = await admin.fetchval(_SETTLED_AFTER, list(history.rows))
    finally:
        await admin.close()
    return longest


def _waited(history: History) -> list[float]:
    """How long after the end was stored each viewer that was there had it."""
    waited = []
    for viewer in history.viewers:
        row = history.rows[viewer.plan_id] if viewer.plan_id else None
        for connection in viewer.connections:
            if row is None or row.completed_at is None or not connection.events:
                continue
            last = connection.events[-1]
            if connection.opened_at < row.completed_at and last.name in ("complete", "cancelled", "error"):
                waited.append(last.at - row.completed_at)
    return waited


@pytest.mark.full
@pytest.mark.timeout(120)
async def test_jobs_doubled(arena: Arena) -> None:
    """Each job is delivered again and again, in any order, also after its plan's end: one upstream call a plan."""
    jobs: list[bytes] = []

    async def note(message: Msg) -> None:
        jobs.append(message.data)

    async with AsyncExitStack() as opened:
        client = await nats.connect(arena.stack.addresses.nats_url)
        opened.push_async_callback(client.close)
        await client.subscribe(subjects.JOBS_SUBJECT, cb=note)
        async with trial(arena, "duplicate and reordered job delivery") as under_way:
            original, sent = list(jobs), 0
            for round_ in range(4):
                copies = original * 2
                under_way.rng.shuffle(copies)
                for copy in copies:
                    await client.jetstream().publish(subjects.JOBS_SUBJECT, copy)
                sent += len(copies)
                if round_ == 2:
                    await under_way.load.finish(60)
                await asyncio.sleep(0.5)
            history = await under_way.end()
            under_way.witness(sent, f"{sent} copies of {len(original)} jobs delivered")
            calls = Counter(answer.plan_id for answer in history.upstream)
            assert max(calls.values()) == 1, f"upstream calls of one plan: {max(calls.values())}"


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_disk_full(arena: Arena) -> None:
    """NATS can write nothing (Linux: a limit of file size): what runs goes on, what is accepted then comes after it."""
    async with trial(arena, "disk full for NATS") as under_way:
        delayed = _said(arena, "outbox.publish_delayed")
        full_at = now()
        # NATS goes on and answers nobody: its log is a file, too, so the services are the witnesses.
        psutil.Process(arena.stack.pids["nats"]).rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
        try:
            waiting = [await _accepted(gateway) for gateway in arena.stack.addresses.gateways]
            await asyncio.sleep(1)
        finally:
            # Room is made; a stream whose write has failed is taken up only at NATS's next start.
            await arena.stack.kill("nats")
            await arena.stack.start("nats")
        back_at = now()
        await asyncio.gather(*(_claimed(*plan) for plan in waiting))
        under_way.measure(now() - back_at, RECOVERY_SECONDS, "claimed, what was accepted meanwhile")
        await healthy(arena.stack)
        under_way.unheard.append((full_at, now()))
        delayed = _said(arena, "outbox.publish_delayed") - delayed
        under_way.witness(delayed, f"{delayed} jobs could not be published")


async def _accepted(gateway: str) -> tuple[str, UUID, UUID]:
    async with User.at(gateway) as user:
        return gateway, user.id, await user.start()


async def _claimed(gateway: str, user_id: UUID, plan_id: UUID) -> None:
    """Wait until a generator has it; the reconciler would have it published anew, much later."""
    async with User.at(gateway, user_id) as user, asyncio.timeout(20):
        while (await user.status(plan_id))["attempt"] == 0:
            await asyncio.sleep(0.05)
        await user.cancel(plan_id)


def _said(arena: Arena, event: str) -> int:
    return arena.stack.log("plan-api").read_text().count(event)
