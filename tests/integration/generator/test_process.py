"""A whole generator on real servers and the emulator: what it publishes, stores, acknowledges, and closes upstream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import nats
import orjson
import pytest
import uvicorn
from nats.aio.client import Client
from pydantic import SecretStr

from common.broker import JOBS, OUTCOMES
from common.contracts import subjects
from common.contracts.messages import ControlReply, ControlRequest, GenerateJob, Outcome
from common.contracts.plan import validate_plan
from common.fold import apply
from common.server import Draining, listen
from generator.app import create_app
from generator.settings import Settings
from openrouter_emulator import Behaviour, RunningEmulator, running_emulator
from openrouter_emulator import Settings as EmulatorSettings

TOKEN = "a-service-token-for-tests"
DEADLINE = 20.0
NewJob = Callable[..., GenerateJob]


class Generator:
    """A running generator and its address."""

    def __init__(self, server: uvicorn.Server, url: str, serving: "asyncio.Task[None]") -> None:
        self.url = url
        self._server = server
        self._serving = serving

    async def stop(self) -> None:
        """As at SIGTERM."""
        self._server.should_exit = True
        await self._serving

    async def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A request with the service token."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(headers=headers, timeout=DEADLINE) as client:
            return await client.request(method, self.url + path, content=orjson.dumps(body) if body else None)


class Watcher:
    """Follows one plan over NATS, as a gateway would, and folds it."""

    def __init__(self, client: Client, plan_id: UUID) -> None:
        self.events: list[dict[str, Any]] = []
        self.plan: Any = None
        self.changed = asyncio.Event()
        self._client = client
        self._plan_id = plan_id

    async def start(self) -> None:
        await self._client.subscribe(subjects.events(self._plan_id), cb=self._on_event)
        await self._client.flush()

    async def _on_event(self, message: Any) -> None:
        event = orjson.loads(message.data)
        if self.events and event["attempt"] < self.events[-1]["attempt"]:
            return  # everybody drops the events of an older attempt
        self.events.append(orjson.loads(message.data))  # folding changes the operations' own values
        if event["event"] == "progress":
            self.plan = apply(self.plan, event["ops"])
        else:
            self.plan = event.get("plan")
        self.changed.set()

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event that fits."""
        seen = 0
        async with asyncio.timeout(DEADLINE):
            while True:
                for event in self.events[seen:]:
                    seen += 1
                    if condition(event):
                        return event
                self.changed.clear()
                await self.changed.wait()

    async def end(self) -> dict[str, Any]:
        """The terminal event."""
        return await self.until(lambda event: event["event"] in ("complete", "cancelled", "error"))


def folded(events: list[dict[str, Any]]) -> Any:
    """What somebody holds who got these events."""
    held: Any = None
    for event in events:
        held = event["plan"] if event["event"] == "snapshot" else apply(held, event["ops"])
    return held


def chars(number: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many characters have been written."""
    return lambda event: event.get("progress", {}).get("chars", 0) >= number


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """OpenRouter, fast."""
    async with running_emulator(EmulatorSettings(ttft_seconds=0.02, tokens_per_second=2000)) as running:
        yield running


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """The test's own connection; the streams are there as plan-api would have made them."""
    connection = await nats.connect(nats_url)
    for stream in (JOBS, OUTCOMES):
        await connection.jetstream().add_stream(stream)
    yield connection
    await connection.close()


StartGenerator = Callable[..., Awaitable[Generator]]


@pytest.fixture
async def start_generator(
    migrated: Callable[[str], Awaitable[str]], nats_url: str, emulator: RunningEmulator
) -> AsyncIterator[StartGenerator]:
    """Start one or more generators on the same servers."""
    database_url = await migrated("generator")
    running: list[Generator] = []

    async def start(**changes: Any) -> Generator:
        values: dict[str, Any] = {
            "database_url": SecretStr(database_url),
            "nats_url": SecretStr(nats_url),
            "service_token": SecretStr(TOKEN),
            "openrouter_api_key": SecretStr("sk-test"),
            "openrouter_base_url": emulator.base_url,
            "shutdown_seconds": 0.3,
        }
        generator = await _serve(Settings(**(values | changes)))
        running.append(generator)
        return generator

    yield start
    for generator in running:
        await generator.stop()


async def _serve(settings: Settings) -> Generator:
    draining = Draining()
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(settings, draining), log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(DEADLINE):
        while not server.started:
            await asyncio.sleep(0.01)
    return Generator(server, f"http://127.0.0.1:{listener.getsockname()[1]}", serving)


async def publish(client: Client, job: GenerateJob, n: int = 1) -> None:
    """What plan-api's outbox does."""
    headers = {"Nats-Msg-Id": f"{job.plan_id}.{n}"}
    await client.jetstream().publish(subjects.JOBS_SUBJECT, job.to_json(), headers=headers)


@asynccontextmanager
async def watching(client: Client, job: GenerateJob) -> AsyncIterator[Watcher]:
    """Watch first, then give the job out."""
    watcher = Watcher(client, job.plan_id)
    await watcher.start()
    await publish(client, job)
    yield watcher


async def outcome_of(client: Client, plan_id: UUID) -> Outcome:
    """What plan-api would settle from."""
    subscription = await client.jetstream().pull_subscribe(subjects.outcome(plan_id), stream=subjects.OUTCOMES_STREAM)
    (message,) = await subscription.fetch(1, timeout=DEADLINE)
    await message.ack_sync()
    await subscription.unsubscribe()
    return Outcome.model_validate_json(message.data)


async def jobs_left(client: Client) -> int:
    """Jobs that nobody has acknowledged."""
    return (await client.jetstream().stream_info(subjects.JOBS_STREAM)).state.messages


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
    """A snapshot asked for in mid-stream is exactly the fold of the events up to its seq; later it is the end."""
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
    """A cancel in mid-stream aborts the upstream stream within a second, keeps the content and charges it."""
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
    """A tombstone refuses the claim: no upstream call, no charge, the job acknowledged and its end announced."""
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
    """A cancel that reaches another generator stores attempt 2, and the fence closes the owner's stream."""
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
    """A second job for a finished plan makes no upstream call; it is acknowledged and the end said again."""
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
    """Two jobs of one plan make one upstream call, and both are acknowledged at its end."""
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
