"""A generator that may have been away, and one that NATS has left: what it keeps doing, and what it does not say."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from common.broker import JOBS, OUTCOMES
from common.contracts import subjects
from common.contracts.messages import ControlRequest, GenerateJob
from generator import pacing
from openrouter_emulator import Behaviour, RunningEmulator
from testkit.generator_process import DEADLINE, StartGenerator, chars, watching

if TYPE_CHECKING:
    from local_stack.nats import NatsServer

NewJob = Callable[..., GenerateJob]
Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
LEFT = ControlRequest(command="left").to_json()


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Admin]:
    """The administrator's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@asynccontextmanager
async def _connected(server: "NatsServer") -> AsyncIterator[Client]:
    client = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0)
    for stream in (JOBS, OUTCOMES):
        await client.jetstream().add_stream(stream)
    try:
        yield client
    finally:
        await client.close()


async def _saves(admin: Admin, number: int) -> int:
    """Wait until the plan has been saved so often, each time with a lease that reaches further; the stored seq."""
    query = "SELECT lease_until, seq FROM generator.monthly_plans"
    async with asyncio.timeout(DEADLINE):
        last, renewals, seq = await admin.fetchval(query), 0, 0
        while renewals < number:
            await asyncio.sleep(0.02)
            [(lease, seq)] = await admin.fetch(query)
            renewals += lease > last
            last = lease
        return seq


async def _answers(client: Client, job: GenerateJob) -> bool:
    try:
        await client.request(subjects.state(job.plan_id), b"", timeout=0.3)
    except nats.errors.TimeoutError:
        return False
    return True


async def test_who_stood_still_says_nothing_until_a_save_has_matched(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: Admin,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 7: a loop that stood still makes plans suspect: no event and no reply before a fenced write has matched."""
    monkeypatch.setattr(pacing, "FROZEN_SECONDS", 0.3)
    emulator.behave(Behaviour(tokens_per_second=100))
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(100))
        async with admin.transaction():
            await admin.execute("SELECT FROM generator.monthly_plans FOR UPDATE")
            asyncio.get_running_loop().call_soon(time.sleep, 0.7)  # the whole process, as SIGSTOP would
            async with asyncio.timeout(DEADLINE):
                while await _answers(client, job):  # until the stop itself swallows an answer
                    pass
            assert not await _answers(client, job)
            said = len(watcher.events)
            await asyncio.sleep(0.3)  # 30 tokens
            assert len(watcher.events) == said
        first = await watcher.until(lambda _: True, after=said)
        assert (first["event"], first["attempt"]) == ("snapshot", 1)
        assert first["seq"] > watcher.events[said - 1]["seq"]
        assert (await watcher.until(lambda _: True, after=said + 1))["seq"] == first["seq"] + 1


@pytest.mark.provokes("crash", "the client of NATS logs what it meets while NATS is away")
async def test_a_plan_outlives_an_outage_of_nats(
    private_nats: "NatsServer",
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: Admin,
    emulator: RunningEmulator,
) -> None:
    """Rules 1, 7 and 11: without NATS leases are renewed and seq counts; back again, a snapshot is the first word."""
    emulator.behave(Behaviour(tokens_per_second=100))
    await start_generator(nats_url=SecretStr(private_nats.url))
    job = new_job(on_disconnect="continue")
    async with _connected(private_nats) as client, watching(client, job) as watcher:
        await watcher.until(chars(100))
        await private_nats.process.stop()
        # What had reached us before is still on its way to the watcher.
        async with asyncio.timeout(DEADLINE):
            while client.is_connected:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        said, seq = len(watcher.events), watcher.events[-1]["seq"]
        stored = await _saves(admin, 2)
        assert stored > seq
        assert len(watcher.events) == said
        private_nats.process.start()
        await private_nats.ready()
        first = await watcher.until(lambda _: True, after=said)
        assert (first["event"], first["attempt"]) == ("snapshot", 1)
        assert first["seq"] >= stored
        assert (await watcher.until(lambda _: True, after=said + 1))["seq"] == first["seq"] + 1


@pytest.mark.full
@pytest.mark.provokes("crash", "the client of NATS logs what it meets while NATS is away")
async def test_an_outage_of_nats_is_nobodys_absence(
    private_nats: "NatsServer",
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: Admin,
    emulator: RunningEmulator,
) -> None:
    """Rule 10: the clock that ran before the owner's own outage starts again when NATS is back."""
    emulator.behave(Behaviour(tokens_per_second=50))
    await start_generator(nats_url=SecretStr(private_nats.url), disconnect_grace_seconds=3)
    loop, job = asyncio.get_running_loop(), new_job(on_disconnect="abort")
    async with _connected(private_nats) as client, watching(client, job) as watcher:
        await watcher.until(chars(20))
        await client.publish(subjects.control(job.plan_id), LEFT)
        await client.flush()
        left = loop.time()
        await _saves(admin, 2)
        await private_nats.process.stop()
        assert loop.time() - left < 3, "the machine is too slow for this test"
        while loop.time() < left + 3.5:
            await _saves(admin, 1)
        private_nats.process.start()
        await private_nats.ready()
        back = loop.time()
        assert (await watcher.end())["code"] == "client_disconnected"
        assert loop.time() - back > 2.5
