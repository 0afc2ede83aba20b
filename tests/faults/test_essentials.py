"""The faults that matter most. `make test` has them too, under a smaller load: no long waits, no tight deadlines."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import nats
import pytest
from nats.aio.msg import Msg

from common.contracts import subjects
from testkit.history import History
from testkit.nats_frames import PublicationFilter
from testkit.recorder import now
from testkit.recovery import healthy
from testkit.trial import TAKEOVER_SECONDS, Arena, claims_after, trial

RESUME_SECONDS = 3.0
TWINS = 20
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
async def test_generator_killed(arena: Arena) -> None:
    """A generator dies by SIGKILL: the other takes its plans over, and nobody sees more than a snapshot of it."""
    async with trial(arena, "generator SIGKILL") as under_way:
        victim = under_way.rng.choice(["generator-1", "generator-2"])
        killed_at, pid = now(), arena.stack.pids[victim]
        await arena.stack.kill(victim)
        history = await under_way.end()
        await arena.stack.start(victim)
        taken = claims_after(history, killed_at)
        under_way.witness(arena.stack.pids[victim] != pid and taken, f"{victim} died, {len(taken)} plans taken over")
        under_way.measure(max(taken) - killed_at, TAKEOVER_SECONDS, "takeover")


@pytest.mark.timeout(120)
async def test_gateway_killed(arena: Arena) -> None:
    """A gateway dies by SIGKILL: its viewers resume at the other."""
    async with trial(arena, "gateway SIGKILL") as under_way:
        number = under_way.rng.choice([0, 1])
        victim, address = f"gateway-{number + 1}", arena.stack.addresses.gateways[number]
        killed_at = now()
        await arena.stack.kill(victim)
        await asyncio.sleep(2)
        await arena.stack.start(victim)
        under_way.unheard.append((killed_at, now()))
        history = await under_way.end()
        resumed = _resumed(history, address, killed_at)
        under_way.witness(resumed, f"{victim} died, {len(resumed)} viewers resumed")
        under_way.measure(max(resumed), RESUME_SECONDS, "resumed at a living gateway, the slowest")


def _resumed(history: History, gateway: str, moment: float) -> list[float]:
    """How long those whose connection to this gateway broke at a moment waited for what comes after `connected`.

    From the request that was answered: how often they knocked at the dead one before is chance.
    """
    resumed = []
    for viewer in history.viewers:
        broken = [
            number
            for number, connection in enumerate(viewer.connections)
            if connection.gateway == gateway
            and connection.opened_at < moment <= (connection.closed_at or 0) < moment + 0.5
        ]
        later = viewer.connections[broken[0] + 1 :] if broken else []
        resumed += [one.events[1].at - one.opened_at for one in later if len(one.events) > 1][:1]
    return resumed


@pytest.mark.timeout(120)
async def test_keyed_starts(arena: Arena) -> None:
    """Complaint 7: 20 identical keyed POSTs at once, at both gateways: one plan, one upstream call, one unit."""
    scale = replace(arena.scale, twins=TWINS, cancels=0, abandons=0)
    async with trial(arena, "20 identical keyed POSTs at once", scale=scale, pace=arena.brisk) as under_way:
        history, load = await under_way.end(), under_way.load
        assert not load.problems, load.problems[:5]
        assert len(history.generations) == scale.plans + scale.calls, f"{len(history.generations)} plans"
        assert not (twice := load.paid_twice(history)), twice
        under_way.witness(load.admitted >= len(history.plans) * TWINS / 2, f"{load.admitted} POSTs accepted")
        answers = [len(call.answers) for call in history.calls]
        under_way.witness(answers == [TWINS] * scale.calls, f"{sum(answers)} synchronous ones answered")


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
        async with trial(arena, "a lost terminal message", pace=arena.brisk) as under_way:
            before = sum(each.lost for each in filters)
            history = await under_way.end()
            lost = sum(each.lost for each in filters) - before
            under_way.witness(lost >= len(history.plans), f"{lost} publications lost")
            under_way.measure(max(_waited(history)), END_FOUND_SECONDS, "stored → seen")
            settled = await _settled_after(arena, history)
            assert settled <= SETTLED_SECONDS * arena.scale.patience, (
                f"settled after {settled:.1f} s: the sweeper did not announce it again"
            )
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
        async with trial(arena, "duplicate and reordered job delivery", pace=arena.brisk) as under_way:
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
            assert not (twice := under_way.load.paid_twice(history)), twice
