"""Whether anybody watches: what the generator takes for an answer, and what it does without one."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import ControlRequest, GenerateJob, ViewersReply
from generator import presence
from openrouter_emulator import Behaviour, RunningEmulator
from testkit.generator_process import StartGenerator, Watcher, chars, outcome_of, watching

NewJob = Callable[..., GenerateJob]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator) -> None:
    """Gateways that do not answer are given up soon; a plan takes a few seconds."""
    monkeypatch.setattr(presence, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(presence, "REPLY_SECONDS", 0.2)
    emulator.behave(Behaviour(tokens_per_second=500))


class Gateway:
    """A gateway that is asked about one plan."""

    def __init__(self, client: Client, job: GenerateJob, *, answers: bool) -> None:
        self.asked = 0
        self._client = client
        self._job = job
        self._answers = answers

    async def start(self) -> None:
        await self._client.subscribe(subjects.viewers(self._job.plan_id), cb=self._hear)
        await self._client.flush()

    async def _hear(self, message: Any) -> None:
        self.asked += 1
        if self._answers:
            await message.respond(ViewersReply(viewers=1).to_json())


async def _leave(client: Client, watcher: Watcher, job: GenerateJob) -> None:
    await watcher.until(chars(100))
    await client.publish(subjects.control(job.plan_id), ControlRequest(command="left").to_json())


async def test_no_responders_is_nobody(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Rule 10: after `left` the owner asks once more; no gateway has viewers, so the grace period ends the plan."""
    await start_generator(disconnect_grace_seconds=0.3)
    job = new_job(on_disconnect="abort")
    async with watching(client, job) as watcher:
        await _leave(client, watcher, job)
        end = await watcher.end()
    assert (end["event"], end["code"]) == ("error", "client_disconnected")
    assert end["plan"]
    assert emulator.stats()["aborted"] == 1
    assert (await outcome_of(client, job.plan_id)).charge == "used"


@pytest.mark.full
async def test_another_gateway_may_have_viewers(
    client: Client, start_generator: StartGenerator, new_job: NewJob
) -> None:
    """Rule 10: `left` is one gateway's word; another that answers keeps the plan alive."""
    await start_generator(disconnect_grace_seconds=0)
    job = new_job(on_disconnect="abort")
    other = Gateway(client, job, answers=True)
    await other.start()
    async with watching(client, job) as watcher:
        await _leave(client, watcher, job)
        assert (await watcher.end())["event"] == "complete"
    assert other.asked >= 1


async def test_silence_counts_the_third_time(client: Client, start_generator: StartGenerator, new_job: NewJob) -> None:
    """Rule 10: a gateway that holds the subject and does not answer is asked three times."""
    await start_generator(disconnect_grace_seconds=0)
    job = new_job(on_disconnect="abort")
    mute = Gateway(client, job, answers=False)
    await mute.start()
    async with watching(client, job) as watcher:
        await _leave(client, watcher, job)
        end = await watcher.end()
    assert (end["event"], end["code"]) == ("error", "client_disconnected")
    assert mute.asked >= 3


@pytest.mark.full
async def test_a_query_over_http_is_presence(client: Client, start_generator: StartGenerator, new_job: NewJob) -> None:
    """Rule 10: a gateway that NATS does not reach keeps its plans alive by the query that it makes for their ends."""
    generator = await start_generator(disconnect_grace_seconds=1.5)
    job = new_job(on_disconnect="abort")

    async def query() -> None:
        while True:
            await generator.call("POST", "/internal/plans/query", planIds=[str(job.plan_id)], watched=True)
            await asyncio.sleep(0.1)

    async with watching(client, job) as watcher:
        await _leave(client, watcher, job)
        watching_over_http = asyncio.create_task(query())
        end = await watcher.end()
        watching_over_http.cancel()
    assert end["event"] == "complete"


@pytest.mark.parametrize("watched", [True, False])
async def test_a_viewer_that_left_before_the_claim(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator, watched: bool
) -> None:
    """Rule 10: what a stream has started ends when nobody is there; what waits for its first viewer is written on."""
    emulator.behave(Behaviour(tokens_per_second=250))
    await start_generator(disconnect_grace_seconds=0.3)
    job = new_job(on_disconnect="abort", watched=watched)
    async with watching(client, job) as watcher:
        end = await watcher.end()
    assert end.get("code") == ("client_disconnected" if watched else None)
    assert emulator.stats()["aborted"] == (1 if watched else 0)
