"""What a generator says to JetStream of its deliveries: read from the wire, because an ack of any delivery counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import orjson
import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import GenerateJob
from generator import jobs
from openrouter_emulator import Behaviour, RunningEmulator
from testkit.generator_process import DEADLINE, StartGenerator, chars, jobs_left, publish, watching

NewJob = Callable[..., GenerateJob]
ANOTHER = "00000000-0000-4000-8000-000000000001"
BEAT = b"+WPI"


@pytest.fixture
async def answers(client: Client) -> list[bytes]:
    """What consumers of the jobs say to JetStream, in order: +ACK, -NAK, +TERM, +WPI."""
    heard: list[bytes] = []

    async def hear(message: object) -> None:
        heard.append(getattr(message, "data", b"") or b"+ACK")

    await client.subscribe("$JS.ACK.>", cb=hear)
    await client.flush()
    return heard


@pytest.fixture
async def admin(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The administrator's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def _heard(answers: list[bytes], answer: bytes) -> None:
    async with asyncio.timeout(DEADLINE):
        while not any(heard.startswith(answer) for heard in answers):
            await asyncio.sleep(0.01)


async def test_a_job_is_kept_until_its_end_is_stored(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: "asyncpg.Connection[asyncpg.Record]",
    answers: list[bytes],
    emulator: RunningEmulator,
) -> None:
    """Rule 2: while the terminal UPDATE waits the job is alive and not acknowledged; once it hit, it is."""
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(100))
        async with admin.transaction():
            await admin.execute("SELECT FROM generator.monthly_plans FOR UPDATE")
            async with asyncio.timeout(DEADLINE):
                while emulator.stats()["completed"] == 0:
                    await asyncio.sleep(0.01)
            await _heard(answers, BEAT)
            assert set(answers) == {BEAT}
            assert await jobs_left(client) == 1
        await _heard(answers, b"+ACK")


async def test_a_fenced_owner_sends_nothing(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: "asyncpg.Connection[asyncpg.Record]",
    answers: list[bytes],
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 2: whoever lost the fence neither acks nor naks nor beats: each would count for the new owner's delivery."""
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0.05)
    emulator.behave(Behaviour(tokens_per_second=50))
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(20))
        await _heard(answers, BEAT)
        await admin.execute(
            "UPDATE generator.monthly_plans SET attempt = 2, owner = $1, lease_until = now() + interval '1 h'",
            ANOTHER,
        )
        async with asyncio.timeout(DEADLINE):
            while emulator.stats()["aborted"] != 1:
                await asyncio.sleep(0.01)
    await client.flush()
    answers.clear()
    await asyncio.sleep(0.5)  # ten beats
    assert answers == []
    consumer = await client.jetstream().consumer_info(subjects.JOBS_STREAM, subjects.JOBS_CONSUMER)
    assert (consumer.num_ack_pending, consumer.num_redelivered) == (1, 0)


async def test_a_refused_job_comes_back_with_the_lease(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    admin: "asyncpg.Connection[asyncpg.Record]",
    answers: list[bytes],
) -> None:
    """Rule 1: while another's lease runs the job is put off for the rest of it, once, and then claimed."""
    await start_generator()
    job = new_job(on_disconnect="continue")
    await admin.execute(
        "INSERT INTO generator.monthly_plans (plan_id, user_id, status, attempt, owner, lease_until)"
        " VALUES ($1, $2, 'generating', 1, $3, now() + interval '1.5 s')",
        job.plan_id,
        job.user_id,
        ANOTHER,
    )
    async with watching(client, job) as watcher:
        end = await watcher.end()
    await _heard(answers, b"+ACK")
    refusals = [answer for answer in answers if answer.startswith(b"-NAK")]
    assert len(refusals) == 1
    assert 0.5e9 < orjson.loads(refusals[0].removeprefix(b"-NAK"))["delay"] < 1.7e9
    assert (end["event"], end["attempt"]) == ("complete", 2)


async def test_a_redelivery_of_a_running_job_is_adopted(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    answers: list[bytes],
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 1: a delivery of what is written here already is not put off, but acknowledged with it, at the end."""
    monkeypatch.setattr(jobs, "CONSUMER", replace(jobs.CONSUMER, ack_wait=0.3))
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.end()
    await _heard(answers, b"+ACK")
    consumer = await client.jetstream().consumer_info(subjects.JOBS_STREAM, subjects.JOBS_CONSUMER)
    assert consumer.delivered is not None
    assert consumer.delivered.consumer_seq > 1
    assert {answer for answer in answers if answer != BEAT} == {b"+ACK"}
    assert await jobs_left(client) == 0
    assert emulator.stats()["requests"] == 1


async def test_jetstream_gives_no_job_up(client: Client, start_generator: StartGenerator, new_job: NewJob) -> None:
    """Rule 2: the consumer delivers without a limit, because attempts are counted in Postgres alone."""
    await start_generator()
    await publish(client, new_job())
    async with asyncio.timeout(DEADLINE):
        while await jobs_left(client):
            await asyncio.sleep(0.02)
    consumer = await client.jetstream().consumer_info(subjects.JOBS_STREAM, subjects.JOBS_CONSUMER)
    assert consumer.config.max_deliver == -1
