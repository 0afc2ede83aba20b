"""A whole generator in the test's own loop, and a gateway's view of one plan of it over NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import orjson
import uvicorn
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import GenerateJob, Outcome
from common.fold import apply
from common.server import Draining, listen
from generator.app import create_app
from generator.settings import Settings
from testkit.secrecy import SERVICE_TOKEN

TOKEN = SERVICE_TOKEN
DEADLINE = 20.0


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


StartGenerator = Callable[..., Awaitable[Generator]]


async def serve(settings: Settings) -> Generator:
    """Start a generator on a port of its own; whoever starts it must `stop` it."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(settings, Draining()), log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(DEADLINE):
        while not server.started:
            await asyncio.sleep(0.01)
    return Generator(server, f"http://127.0.0.1:{listener.getsockname()[1]}", serving)


class Watcher:
    """Follows one plan over NATS, as a gateway would, and folds it."""

    def __init__(self, client: Client, plan_id: UUID) -> None:
        self.events: list[dict[str, Any]] = []
        self.plan: Any = None
        self.changed = asyncio.Event()
        self._client = client
        self._plan_id = plan_id

    async def start(self) -> None:
        """Subscribe; on return the server has heard of it."""
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

    async def until(self, condition: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
        """The first event that fits, behind so many."""
        seen = after
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
