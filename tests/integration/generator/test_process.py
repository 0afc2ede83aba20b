"""A whole generator on real servers and the emulator: what it publishes, stores, acknowledges, and closes upstream."""

import asyncio
from collections.abc import Callable

import httpx
import orjson
import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import ControlReply, ControlRequest, GenerateJob
from common.contracts.plan import validate_plan
from generator import saver
from openrouter_emulator import Behaviour, RunningEmulator
from testkit.generator_process import DEADLINE, StartGenerator, chars, folded, jobs_left, outcome_of, publish, watching

NewJob = Callable[..., GenerateJob]


async def test_a_plan_is_written_stored_and_announced(
    client: Client, start_generator: StartGenerator, new_job: NewJob
) -> None:
    """From the job to the outcome: contiguous events that fold to the stored plan, one charge, the job acknowledged."""
    generator = await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        end = await watcher.end()
    assert end["event"] == "complete"
    sequence = [(event["attempt"], event["seq"]) for event in watcher.events]
    assert sequence == [(1, number) for number in range(len(sequence))]
    view = (await generator.call("GET", f"/internal/plans/{job.plan_id}")).json()
    assert folded(watcher.events[:-1]) == end["plan"] == view["plan"]
    validate_plan(view["plan"], 4)
    assert (view["status"], view["charge"], view["seq"]) == ("completed", "used", end["seq"])
    assert end["usage"]["totalTokens"] > 500
    outcome = await outcome_of(client, job.plan_id)
    assert (outcome.status, outcome.charge, outcome.attempt) == ("completed", "used", 1)
    assert await jobs_left(client) == 0


async def test_state_reply_follows_the_events_before_it(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rules 4 and 6: a snapshot in mid-stream is exactly the fold of the events up to its seq; later it is the end."""
    emulator.behave(Behaviour(tokens_per_second=1000))
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(400))
        snapshot = orjson.loads((await client.request(subjects.state(job.plan_id), b"", timeout=2)).data)
        earlier = [event for event in watcher.events if event["seq"] <= snapshot["seq"]]
        end = await watcher.end()
    assert snapshot["event"] == "snapshot"
    assert snapshot["seq"] > 0
    assert snapshot["plan"] == folded(earlier)
    assert (await client.request(subjects.state(job.plan_id), b"", timeout=2)).data == orjson.dumps(end)


async def test_cancel_closes_upstream_then_stores(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rule 8: a cancel in mid-stream aborts the upstream stream within a second, keeps the content and charges it."""
    emulator.behave(Behaviour(tokens_per_second=50))
    generator = await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(40))
        request = ControlRequest(command="cancel").to_json()
        reply = await client.request(subjects.control(job.plan_id), request, timeout=1)
        assert ControlReply.model_validate_json(reply.data).status == "partial"
        end = await watcher.end()
    assert (end["event"], end["status"]) == ("cancelled", "partial")
    async with asyncio.timeout(1):
        while emulator.stats()["aborted"] != 1:
            await asyncio.sleep(0.02)
    view = (await generator.call("GET", f"/internal/plans/{job.plan_id}")).json()
    assert view["plan"] == end["plan"] == watcher.plan
    assert (await outcome_of(client, job.plan_id)).charge == "used"


async def test_cancel_over_http_wins_over_a_job_not_yet_claimed(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rule 8: a tombstone refuses the claim: no upstream call, no charge, the job acknowledged, its end announced."""
    generator = await start_generator()
    job = new_job()
    answer = await generator.call("POST", f"/internal/plans/{job.plan_id}/cancel", userId=str(job.user_id))
    assert (answer.json()["status"], answer.json()["charge"]) == ("failed", "released")
    async with watching(client, job) as watcher:
        assert (await watcher.end())["event"] == "cancelled"
    async with asyncio.timeout(DEADLINE):
        while await jobs_left(client):
            await asyncio.sleep(0.02)
    assert emulator.stats()["requests"] == 0
    assert (await outcome_of(client, job.plan_id)).charge == "released"


async def test_cancel_from_elsewhere_fences_the_owner(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rules 1 and 8: a cancel at another generator stores attempt 2, and the fence closes the owner's stream."""
    emulator.behave(Behaviour(tokens_per_second=50))
    owner = await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(100))
        other = await start_generator()
        answer = await other.call("POST", f"/internal/plans/{job.plan_id}/cancel", userId=str(job.user_id))
        assert (answer.json()["attempt"], answer.json()["status"]) == (2, "partial")
        assert (await watcher.end())["attempt"] == 2
        async with asyncio.timeout(2):
            while emulator.stats()["aborted"] != 1:
                await asyncio.sleep(0.02)
    ends = [event for event in watcher.events if event["event"] == "cancelled"]
    assert len(ends) == 1
    assert (await owner.call("GET", f"/internal/plans/{job.plan_id}")).json()["attempt"] == 2


async def test_fenced_owner_does_not_wait_for_its_save(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is cancelled over its head hears of it from Postgres, long before its next save is due."""
    emulator.behave(Behaviour(tokens_per_second=10))
    await start_generator()
    monkeypatch.setattr(saver, "INTERVAL_SECONDS", 6.0)
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(20))
        other = await start_generator()
        await other.call("POST", f"/internal/plans/{job.plan_id}/cancel", userId=str(job.user_id))
        async with asyncio.timeout(2):
            while emulator.stats()["aborted"] != 1:
                await asyncio.sleep(0.02)


async def test_shutdown_hands_a_running_plan_over(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """A generator that must leave saves, lets the lease go and gives the job back; another continues without loss."""
    emulator.behave(Behaviour(tokens_per_second=150))
    first = await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(lambda event: event.get("progress", {}).get("weeksCompleted", 0) >= 1)
        await first.stop()
        await start_generator()
        opening = await watcher.until(lambda event: event["attempt"] == 2)
        end = await watcher.end()
    assert (opening["event"], opening["seq"]) == ("snapshot", 0)
    assert len(opening["plan"]["weekly_breakdown"]) >= 1
    assert (end["event"], end["attempt"]) == ("complete", 2)
    assert end["plan"]["weekly_breakdown"][0] == opening["plan"]["weekly_breakdown"][0]


async def test_broken_stream_is_continued(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """A stream cut after two weeks is continued: only the missing weeks are asked for, and the document is whole."""
    emulator.behave(Behaviour(eof_after_tokens=1100))
    generator = await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        end = await watcher.end()
    assert end["event"] == "complete"
    view = (await generator.call("GET", f"/internal/plans/{job.plan_id}")).json()
    assert view["plan"] == watcher.plan
    assert emulator.stats()["requests"] == 2


async def test_redelivery_of_a_finished_plan_is_acknowledged(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rules 2 and 6: a second job for a finished plan costs no call; it is acknowledged and the end said again."""
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.end()
        async with asyncio.timeout(DEADLINE):
            while await jobs_left(client):
                await asyncio.sleep(0.02)
        await publish(client, job, n=2)
        async with asyncio.timeout(DEADLINE):
            while sum(event["event"] == "complete" for event in watcher.events) < 2 or await jobs_left(client):
                await asyncio.sleep(0.02)
    assert emulator.stats()["requests"] == 1


async def test_second_job_while_it_runs_is_adopted(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rule 1: two jobs of one plan make one upstream call, and both are acknowledged at its end."""
    await start_generator()
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(chars(100))
        await publish(client, job, n=2)
        await watcher.end()
    async with asyncio.timeout(5):
        while await jobs_left(client):
            await asyncio.sleep(0.02)
    assert emulator.stats()["requests"] == 1


async def test_synchronous_call_is_idempotent_by_plan(
    start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Two synchronous calls for one plan at once make one upstream call and get the same document."""
    generator = await start_generator()
    body = orjson.loads(new_job(mode="sync").to_json())
    first, second = await asyncio.gather(*(generator.call("POST", "/internal/generate", **body) for _ in range(2)))
    assert first.json()["status"] == "completed"
    assert first.json()["plan"] == second.json()["plan"]
    assert emulator.stats()["requests"] == 1


async def test_internal_api_needs_the_service_token(start_generator: StartGenerator, new_job: NewJob) -> None:
    """Without the token nothing is told."""
    generator = await start_generator()
    async with httpx.AsyncClient() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = await http.get(f"{generator.url}/internal/plans/{new_job().plan_id}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
