"""A whole generator under load and with time to spare: when upstream is read, and what viewers get of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import ControlRequest, GenerateJob, ViewersReply
from common.contracts.plan import validate_plan
from common.tasks import end
from generator import pacing, presence
from openrouter_emulator import Behaviour, RunningEmulator
from testkit.generator_process import StartGenerator, Watcher, chars, folded, watching

NewJob = Callable[..., GenerateJob]
TOKEN_CHARS = 4


@pytest.fixture
def spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine of the tests is: only a gateway's lag makes the generator take turns."""
    monkeypatch.setattr(pacing, "SPARE", 2.0)
    monkeypatch.setattr(pacing, "ORDINARY", 3.0)
    monkeypatch.setattr(pacing, "FULL", 4.0)
    monkeypatch.setattr(pacing, "PUNCTUAL", 0.2)
    monkeypatch.setattr(pacing, "LATE", 0.3)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans take turns from the start, as long a time apart as PROGRESS_INTERVAL_MS says."""
    monkeypatch.setattr(pacing, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(pacing, "SPARE", -2.0)
    monkeypatch.setattr(pacing, "ORDINARY", -1.0)
    monkeypatch.setattr(pacing, "FULL", 2.0)
    monkeypatch.setattr(pacing, "LONGEST_INTERVAL", 0.0)


@asynccontextmanager
async def _working() -> AsyncIterator[None]:
    """Something else that the loop has to do, nearly all the time."""

    async def work() -> None:
        while True:
            until = time.perf_counter() + 0.02
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0.001)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        await end(task)


def _steps(watcher: Watcher) -> list[int]:
    """How many characters each progress event brought."""
    counts = [event["progress"]["chars"] for event in watcher.events if event["event"] == "progress"]
    return [after - before for before, after in pairwise([0, *counts])]


def _pauses(stamps: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(stamps)]


async def _nothing_lost(watcher: Watcher) -> dict[str, Any]:
    last = await watcher.end()
    sequence = [event["seq"] for event in watcher.events]
    assert sequence == list(range(len(sequence)))
    assert last["event"] == "complete"
    assert folded(watcher.events[:-1]) == last["plan"]
    validate_plan(last["plan"], 4)
    return last


@pytest.mark.usefixtures("spare")
async def test_with_time_to_spare_every_chunk_goes_out_at_once(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """Tokens that come one by one go out one by one."""
    emulator.behave(Behaviour(tokens_per_second=25))
    await start_generator()
    async with watching(client, new_job(on_disconnect="continue")) as watcher:
        await watcher.until(chars(40 * TOKEN_CHARS))
    steps = _steps(watcher)
    # Half a key changes nothing; its characters come with the next event.
    assert sum(step == TOKEN_CHARS for step in steps) > len(steps) / 2
    assert max(steps) < 10 * TOKEN_CHARS


@pytest.mark.usefixtures("busy")
async def test_one_turn_one_event(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """A read in a plan's turn takes all that has come, and that is published with it: there is no second wait."""
    emulator.behave(Behaviour(tokens_per_second=500))
    await start_generator(progress_interval_ms=200)
    stamps: list[float] = []
    async with watching(client, new_job(on_disconnect="continue")) as watcher:
        while len(watcher.events) < 12:
            watcher.changed.clear()
            await watcher.changed.wait()
            stamps.append(time.monotonic())
        await _nothing_lost(watcher)
    # 100 tokens in each interval; the slow start and a loop that was late give room.
    steps = sorted(_steps(watcher)[2:-2])
    assert steps[len(steps) // 2] > 50 * TOKEN_CHARS
    pauses = sorted(_pauses(stamps[2:]))
    assert pauses[len(pauses) // 2] > 0.15


async def test_under_load_fewer_and_larger_events_go_out(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """A loop that is busy stretches the interval by itself: the same plan in far fewer events, and nothing is lost."""
    emulator.behave(Behaviour(tokens_per_second=500))
    await start_generator()
    async with _working():
        await asyncio.sleep(1)  # until the load has been measured
        async with watching(client, new_job(on_disconnect="continue")) as watcher:
            last = await _nothing_lost(watcher)
    seconds = last["progress"]["elapsedMs"] / 1000
    assert len(watcher.events) < 12 * seconds
    assert last["progress"]["chars"] / len(watcher.events) > 20 * TOKEN_CHARS


@pytest.mark.full
@pytest.mark.usefixtures("spare")
async def test_a_gateway_that_is_late_stretches_the_interval(
    client: Client,
    start_generator: StartGenerator,
    new_job: NewJob,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lag in a gateway's viewer reply counts as our own; a reply that is none of ours does no harm."""
    monkeypatch.setattr(presence, "TICK_SECONDS", 0.05)
    emulator.behave(Behaviour(tokens_per_second=400))
    await start_generator()
    job = new_job(on_disconnect="abort")
    replies = [b"nonsense", ViewersReply(viewers=1, lag_ms=500).to_json()]

    async def answer(message: Any) -> None:
        await message.respond(replies.pop(0))

    await client.subscribe(subjects.viewers(job.plan_id), cb=answer)
    async with watching(client, job) as watcher:
        for seen in (200, 400):
            await watcher.until(chars(seen * TOKEN_CHARS))
            await client.publish(subjects.control(job.plan_id), ControlRequest(command="left").to_json())
        first = len(watcher.events)
        await watcher.until(chars(600 * TOKEN_CHARS))
        heard = len(watcher.events)
        await _nothing_lost(watcher)
    assert replies == []
    assert len(watcher.events) - heard < first / 2


@pytest.mark.usefixtures("busy")
async def test_a_paused_plan_is_cancelled_at_once(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """A cancel does not wait for the plan's turn, keeps what was published, and closes upstream."""
    emulator.behave(Behaviour(tokens_per_second=50))
    await start_generator(progress_interval_ms=1000)
    job = new_job(on_disconnect="continue")
    async with watching(client, job) as watcher:
        await watcher.until(lambda event: event["event"] == "progress")
        await watcher.until(lambda event: event["event"] == "progress", after=len(watcher.events))
        began = time.monotonic()
        await client.request(subjects.control(job.plan_id), ControlRequest(command="cancel").to_json(), timeout=1)
        last = await watcher.end()
    assert time.monotonic() - began < 0.9
    assert (last["event"], last["status"]) == ("cancelled", "partial")
    assert last["plan"] == watcher.plan == folded(watcher.events[:-1])
    async with asyncio.timeout(1):
        while emulator.stats()["aborted"] != 1:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("busy")
async def test_a_paused_plan_ends_with_its_stream(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """The end of a stream is seen in the plan's next turn, and nothing after the finish reason waits for another."""
    emulator.behave(Behaviour(tokens_per_second=5000))
    await start_generator(progress_interval_ms=1000)
    async with watching(client, new_job(on_disconnect="continue")) as watcher:
        last = await _nothing_lost(watcher)
    assert last["usage"]["completionTokens"] > 500
    assert emulator.stats()["aborted"] == 0
    # Some 2,000 tokens within half a second: two turns, of which the second has the end.
    assert last["progress"]["elapsedMs"] < 2600


@pytest.mark.usefixtures("busy")
async def test_a_paused_stream_that_falls_silent_is_given_up(
    client: Client, start_generator: StartGenerator, new_job: NewJob, emulator: RunningEmulator
) -> None:
    """The silence is measured as if nothing were paused, also while comments come; a new call goes on from there."""
    emulator.behave(Behaviour(stall_after_tokens=1200, comment_seconds=0.02))
    await start_generator(progress_interval_ms=200, silence_seconds=0.6)
    stamps: list[float] = []
    async with watching(client, new_job(on_disconnect="continue")) as watcher:
        await watcher.until(chars(1200 * TOKEN_CHARS))
        stamps.append(time.monotonic())
        await watcher.until(lambda event: event["progress"]["phase"] == "retrying", after=len(watcher.events))
        stamps.append(time.monotonic())
        await watcher.end()
    assert 0.4 < _pauses(stamps)[0] < 1.5
    assert watcher.events[-1]["event"] == "complete"
    assert emulator.stats()["requests"] == 2
