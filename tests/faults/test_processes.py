"""Processes that die, freeze, or are asked to leave."""

import asyncio
import signal

import pytest

from testkit.history import History
from testkit.recorder import now
from testkit.trial import Arena, claims_after, trial

# ack_wait, and what the takeover itself may take.
TAKEOVER_SECONDS = 15.0
RESUME_SECONDS = 3.0
FROZEN_SECONDS = 13.0


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
        under_way.measure(max(resumed) - killed_at, RESUME_SECONDS, "last viewer resumed")


def _resumed(history: History, gateway: str, moment: float) -> list[float]:
    """When those whose connection to this gateway broke at a moment had their next event."""
    resumed = []
    for viewer in history.viewers:
        broken = [
            number
            for number, connection in enumerate(viewer.connections)
            if connection.gateway == gateway
            and connection.opened_at < moment <= (connection.closed_at or 0) < moment + 0.5
        ]
        later = [event.at for one in viewer.connections[broken[0] + 1 :] for event in one.events] if broken else []
        if later:
            resumed.append(later[0])
    return resumed


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_generator_frozen(arena: Arena) -> None:
    """A generator sleeps past ack_wait: its plans are taken over, and on waking it neither writes nor publishes."""
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


@pytest.mark.full
@pytest.mark.timeout(240)
async def test_rolling_restart(arena: Arena) -> None:
    """Every process of all three services is restarted by SIGTERM, one after the other: plans are handed over."""
    async with trial(arena, "rolling SIGTERM of all three services") as under_way:
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
        under_way.witness(True, f"{len(taken)} plans handed over")
