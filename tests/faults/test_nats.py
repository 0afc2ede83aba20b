"""NATS dies, is cut off, forgets everything, or can write nothing."""

import asyncio
import shutil
from uuid import UUID

import psutil
import pytest

from testkit.recorder import now
from testkit.recovery import healthy
from testkit.scale import Pace
from testkit.trial import RECOVERY_SECONDS, Arena, Trial, trial
from testkit.user import User

SERVICES = ("plan-api", "generator-1", "generator-2", "gateway-1", "gateway-2")
# Plans that outlast the fault.
SLOW = Pace(tokens_per_second=10, chars_per_token=12)


def disconnects(under_way: Trial) -> int:
    """How often a service has said that it lost NATS."""
    return sum(under_way.stack.log(name).read_text().count("nats.disconnected") for name in SERVICES)


@pytest.mark.timeout(120)
async def test_nats_killed(arena: Arena) -> None:
    """NATS dies by SIGKILL and comes back: plans go on meanwhile, and no service has to be restarted."""
    async with trial(arena, "NATS SIGKILL and restart") as under_way:
        before, lost = dict(arena.stack.pids), disconnects(under_way)
        killed_at = now()
        await arena.stack.kill("nats")
        await asyncio.sleep(2)
        await arena.stack.start("nats")
        await under_way.recovers(now())
        under_way.unheard.append((killed_at, now()))
        under_way.witness(arena.stack.pids["nats"] != before["nats"], "a new pid of NATS")
        said = disconnects(under_way) - lost
        under_way.witness(said >= len(SERVICES), f"{said} connections lost")
        assert all(arena.stack.pids[name] == before[name] for name in SERVICES), "a service was restarted"


@pytest.mark.timeout(120)
async def test_nats_store_wiped(arena: Arena) -> None:
    """NATS comes back without its store: streams, consumers and jobs are made again."""
    async with trial(arena, "NATS store wiped") as under_way:
        killed_at = now()
        await arena.stack.kill("nats")
        store = arena.stack.directory / "nats" / "jetstream"
        under_way.witness(any(store.rglob("*.blk")), "the store was there, and was removed")
        shutil.rmtree(store)
        await arena.stack.start("nats")
        await under_way.recovers(now())
        under_way.unheard.append((killed_at, now()))


@pytest.mark.timeout(240)
async def test_partition(arena: Arena) -> None:
    """Every service is cut off from NATS without a word, for a minute: healthy plans are not stolen."""
    seconds = 60 if arena.scale.plans >= 30 else 20
    async with trial(arena, f"{seconds} s partition from NATS", pace=SLOW) as under_way:
        proxies = under_way.switchboard.of("NATS_URL")
        cut_at = now()
        for proxy in proxies:
            proxy.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            for proxy in proxies:
                proxy.resume()
        await under_way.recovers(now())
        under_way.unheard.append((cut_at, now()))
        held = sum(proxy.held for proxy in proxies)
        under_way.witness(held, f"{held} bytes held, {disconnects(under_way)} connections given up")


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
