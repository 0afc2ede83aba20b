"""Postgres is restarted, refuses connections, or has none to give."""

import asyncio

import pytest

from testkit.recorder import now
from testkit.trial import Arena, trial


@pytest.mark.timeout(120)
async def test_postgres_restarted(arena: Arena) -> None:
    """Postgres goes and comes back: plans are kept in memory, and no outcome is announced that is not stored."""
    async with trial(arena, "Postgres restart") as under_way:
        before = dict(arena.stack.pids)
        await arena.stack.stop_postgres()
        await asyncio.sleep(1)
        await arena.stack.start_postgres()
        await under_way.recovers(now())
        under_way.witness(arena.stack.pids["postgres"] != before["postgres"], "a new pid of Postgres")
        failed = sum(arena.stack.log(name).read_text().count("save.failed") for name in ("generator-1", "generator-2"))
        under_way.witness(failed, f"{failed} saves failed")


@pytest.mark.timeout(180)
async def test_postgres_refuses(arena: Arena) -> None:
    """Postgres takes no connection for 20 seconds, longer than leases live: nobody steals and nothing is lost."""
    async with trial(arena, "Postgres refusing connections 20 s") as under_way:
        proxies = under_way.switchboard.of("DATABASE_URL")
        for proxy in proxies:
            await proxy.refuse()
        cut = sum(proxy.cut() for proxy in proxies)
        await asyncio.sleep(20)
        for proxy in proxies:
            await proxy.accept()
        await under_way.recovers(now())
        under_way.witness(cut, f"{cut} connections cut")
