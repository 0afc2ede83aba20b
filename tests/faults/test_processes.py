"""Processes that freeze, or are asked to leave."""

import asyncio
import signal

import pytest

from testkit.recorder import now
from testkit.scale import Pace
from testkit.trial import TAKEOVER_SECONDS, Arena, claims_after, trial

FROZEN_SECONDS = 13.0
# Half a minute a plan, so that both generators have some when it is their turn to go.
SLOW = Pace(tokens_per_second=8, chars_per_token=20)


@pytest.mark.timeout(180)
async def test_generator_frozen(arena: Arena) -> None:
    """Complaint 15: a generator sleeps past ack_wait; its plans are taken over, and awake it stays silent."""
    async with trial(arena, "generator SIGSTOP past ack_wait, SIGCONT") as under_way:
        victim = under_way.rng.choice(["generator-1", "generator-2"])
        frozen_at = now()
        arena.stack.signal(victim, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)
        finally:
            arena.stack.signal(victim, signal.SIGCONT)
        under_way.frozen.append((frozen_at, now()))
        history = await under_way.end()
        taken = claims_after(history, frozen_at)
        fenced = arena.stack.log(victim).read_text().count("fenced")
        under_way.witness(
            taken, f"{victim} slept {FROZEN_SECONDS:.0f} s, {len(taken)} plans taken over, {fenced} fenced"
        )
        under_way.measure(max(taken) - frozen_at, TAKEOVER_SECONDS, "takeover")


@pytest.mark.timeout(240)
async def test_rolling_restart(arena: Arena) -> None:
    """Every process of all three services is restarted by SIGTERM, one after the other: plans are handed over."""
    async with trial(arena, "rolling SIGTERM of all three services", pace=SLOW) as under_way:
        before = dict(arena.stack.pids)
        began_at = now()
        names = ["plan-api", "generator-1", "generator-2", "gateway-1", "gateway-2"]
        for name in names:
            await arena.stack.stop(name)
            await arena.stack.start(name)
        restarted_at = now()
        under_way.witness(all(arena.stack.pids[name] != before[name] for name in names), "five new pids")
        await under_way.recovers(restarted_at)
        under_way.unheard.append((began_at, now()))
        history = await under_way.end()
        taken = claims_after(history, began_at)
        under_way.witness(taken, f"{len(taken)} plans handed over")
