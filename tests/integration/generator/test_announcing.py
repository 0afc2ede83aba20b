"""Ends, plans and streams that were lost: announced again, ended, made again."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from common.contracts import subjects
from common.contracts.messages import GenerateJob
from generator import metrics, sweeper
from testkit.generator_process import DEADLINE, StartGenerator, Watcher, outcome_of, watching
from testkit.metrics import counted

NewJob = Callable[..., GenerateJob]


async def test_the_sweep_announces_what_nobody_has(
    client: Client, start_generator: StartGenerator, new_job: NewJob, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 6: an end whose owner died before it could tell is told to viewers and plan-api by any generator."""
    monkeypatch.setattr(sweeper, "INTERVAL_SECONDS", 0.1)
    generator = await start_generator()
    job = new_job()
    watcher = Watcher(client, job.plan_id)
    await watcher.start()
    admin = await asyncpg.connect(database)
    try:
        with counted(metrics.SWEPT, what="unannounced") as swept:
            await admin.execute(
                "INSERT INTO generator.monthly_plans"
                " (plan_id, user_id, status, ended_as, charge, code, attempt, seq, completed_at)"
                " VALUES ($1, $2, 'failed', 'error', 'released', 'upstream_error', 2, 7, now() - interval '1 min')",
                job.plan_id,
                job.user_id,
            )
            end = await watcher.end()
        assert swept() >= 1
        assert (end["event"], end["code"], end["attempt"], end["seq"]) == ("error", "upstream_error", 2, 7)
        assert (await outcome_of(client, job.plan_id)).charge == "released"
        query = "SELECT announced_at FROM generator.monthly_plans"
        async with asyncio.timeout(DEADLINE):
            while await admin.fetchval(query) is None:
                await asyncio.sleep(0.01)
    finally:
        await admin.close()
    assert (await generator.call("GET", f"/internal/plans/{job.plan_id}")).json()["attempt"] == 2


async def test_the_sweep_ends_what_nobody_may_claim(
    client: Client, start_generator: StartGenerator, new_job: NewJob, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 2: a plan without an owner that has used up its attempts fails, whoever watches it."""
    monkeypatch.setattr(sweeper, "INTERVAL_SECONDS", 0.1)
    await start_generator()
    job = new_job()
    watcher = Watcher(client, job.plan_id)
    await watcher.start()
    admin = await asyncpg.connect(database)
    try:
        with counted(metrics.SWEPT, what="exhausted") as swept:
            await admin.execute(
                "INSERT INTO generator.monthly_plans (plan_id, user_id, status, attempt) VALUES ($1, $2, $3, $4)",
                *(job.plan_id, job.user_id, "generating", 99),
            )
            end = await watcher.end()
        assert (end["event"], end["code"]) == ("error", "internal")
        assert swept() == 1
    finally:
        await admin.close()


@pytest.mark.provokes("crash", "the stream is deleted")
async def test_lost_streams_are_made_again(client: Client, start_generator: StartGenerator, new_job: NewJob) -> None:
    """Rule 9: a broker that has lost its store gets streams and consumer back, and jobs and outcomes flow on."""
    await start_generator()
    jetstream = client.jetstream()
    async with watching(client, new_job(on_disconnect="continue")) as watcher:
        await watcher.end()
    for stream in (subjects.JOBS_STREAM, subjects.OUTCOMES_STREAM):
        await jetstream.delete_stream(stream)
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await jetstream.consumer_info(subjects.JOBS_STREAM, subjects.JOBS_CONSUMER)
                break
            except NotFoundError:
                await asyncio.sleep(0.02)
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        assert (await watcher.end())["event"] == "complete"
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await jetstream.stream_info(subjects.OUTCOMES_STREAM)
                break
            except NotFoundError:
                await asyncio.sleep(0.02)
    assert (await outcome_of(client, job.plan_id)).status == "completed"
