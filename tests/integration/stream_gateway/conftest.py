"""The gateway as it runs, on a socket, with real Postgres and NATS, and scripted generators and plan-api behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID, uuid4

import httpx
import nats
import orjson
import pytest
import uvicorn
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from common import fold, sse
from common.contracts import subjects
from common.contracts.events import Progress, Usage
from common.contracts.internal import Admitted, Generation, PlanQuery, PlanQueryResult, PlanView
from common.contracts.messages import ControlReply
from common.contracts.ops import Op
from common.server import Draining, listen
from stream_gateway.app import create_app
from stream_gateway.settings import Settings

TOKEN = "a-service-token-for-tests"
SECONDS = 10.0


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(app: ASGIApp) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="on", log_config=None, timeout_graceful_shutdown=2
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def _until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until a gateway serves and its NATS connection stands."""
    async with asyncio.timeout(SECONDS):
        while True:
            with suppress(httpx.ConnectError):
                if (await client.get("/readyz")).json()["dependencies"]["nats"] == "up":
                    return
            await asyncio.sleep(0.01)


class Backend:
    """plan-api and the generators' internal interface, over facts that a test writes."""

    def __init__(self) -> None:
        self.url = ""
        self.away = False
        self.owners: dict[UUID, UUID] = {}
        self.rows: dict[UUID, PlanView] = {}
        self.seen: list[tuple[str, str]] = []  # method and path
        self.requests: list[dict[str, Any]] = []  # what plan-api got
        self.queries: list[PlanQuery] = []
        self.refusal: Response | None = None
        self.admitting: asyncio.Event | None = None  # an admission waits for it
        internal = "/internal/plans"
        routes = [
            Route(f"{internal}/query", self._query, methods=["POST"]),
            Route(f"{internal}/{{plan_id:uuid}}", self._view, methods=["GET"]),
            Route(f"{internal}/{{plan_id:uuid}}/cancel", self._cancel, methods=["POST"]),
            Route("/internal/generations", self._admit, methods=["POST"]),
            Route("/internal/generations/{plan_id:uuid}", self._generation, methods=["GET"]),
            Route("/api/plan/plans/{plan_id:uuid}", self._delete, methods=["DELETE"]),
            Route("/{path:path}", self._echo, methods=["GET", "POST", "DELETE"]),
        ]
        self.app = Starlette(routes=routes)

    def accept(self, user_id: UUID, plan_id: UUID | None = None) -> UUID:
        """plan-api knows a plan of this user."""
        plan_id = plan_id or uuid4()
        self.owners[plan_id] = user_id
        return plan_id

    async def _note(self, request: Request) -> Response | None:
        self.seen.append((request.method, request.url.path))
        if self.away:
            return Response(status_code=503)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        return None

    async def _query(self, request: Request) -> Response:
        query = PlanQuery.model_validate_json(await request.body())
        self.queries.append(query)
        if (answer := await self._note(request)) is not None:
            return answer
        rows = [self.rows[plan_id] for plan_id in query.plan_ids if plan_id in self.rows]
        if query.brief:
            rows = [row.model_copy(update={"plan": None}) for row in rows]
        return Response(PlanQueryResult(plans=rows).to_json(), media_type="application/json")

    async def _view(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        row = self.rows.get(request.path_params["plan_id"])
        return Response(status_code=404) if row is None else Response(row.to_json())

    async def _cancel(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        plan_id = request.path_params["plan_id"]
        row = self.rows.get(plan_id) or row_of(plan_id, attempt=0, seq=0)
        if row.status == "generating":
            status = "partial" if row.plan else "failed"
            row = row.model_copy(
                update={"status": status, "ended_as": "cancelled", "attempt": row.attempt + 1, "seq": 1}
            )
            self.rows[plan_id] = row
        return Response(row.to_json())

    async def _admit(self, request: Request) -> Response:
        self.requests.append({"headers": dict(request.headers), "body": orjson.loads(await request.body())})
        answer = await self._note(request) or self.refusal
        if answer is not None:
            return answer
        if self.admitting is not None:
            await self.admitting.wait()
        plan_id = self.accept(UUID(request.headers["x-user-id"]))
        return Response(Admitted(plan_id=plan_id).to_json(), 201, media_type="application/json")

    async def _generation(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        plan_id = request.path_params["plan_id"]
        owner = self.owners.get(plan_id)
        if owner is None:
            return Response(status_code=404)
        known = Generation(
            plan_id=plan_id,
            user_id=owner,
            preference_id=uuid4(),
            status="generating",
            weeks=5,
            created_at=datetime.now(UTC),
        )
        return Response(known.to_json())

    async def _delete(self, request: Request) -> Response:
        if (answer := await self._note(request)) is not None:
            return answer
        owner = self.owners.get(request.path_params["plan_id"])
        if str(owner) != request.headers["x-user-id"]:
            return Response(status_code=404)
        del self.owners[request.path_params["plan_id"]]
        self.rows.pop(request.path_params["plan_id"], None)
        return Response(status_code=204)

    async def _echo(self, request: Request) -> Response:
        body = await request.body()
        if (answer := await self._note(request)) is not None:
            return answer
        told = {"path": request.scope["raw_path"].decode(), "query": request.url.query, "body": body.decode()}
        told |= {"headers": dict(request.headers)}
        return JSONResponse(told, 202, {"Retry-After": "7", "Location": "/api/plan/plans/1", "X-Secret": "1"})


def progress_of(percent: float = 0, phase: Literal["streaming"] | None = "streaming") -> Progress:
    """Some progress."""
    return Progress(
        phase=phase, weeks_completed=0, weeks_total=4, percent=percent, chars=0, tokens_per_second=0, elapsed_ms=0
    )


def row_of(plan_id: UUID, **fields: Any) -> PlanView:
    """A stored row, by default of a running plan."""
    values: dict[str, Any] = {
        "plan_id": plan_id,
        "user_id": uuid4(),
        "status": "generating",
        "attempt": 1,
        "seq": 0,
        "phase": "streaming",
        "progress": progress_of(),
        "updated_at": datetime.now(UTC),
    }
    return PlanView(**(values | fields))


class Owner:
    """A generator's side of one plan: it publishes what it writes, and answers how it stands."""

    def __init__(self, client: Client, plan_id: UUID, attempt: int = 1) -> None:
        self.plan_id = plan_id
        self.attempt = attempt
        self.seq = 0
        self.document: Any = None
        self.ending: dict[str, Any] | None = None
        self.silent = False
        self.commands: list[str] = []
        self.asked = 0
        self.client = client

    async def claim(self) -> None:
        """Answer from now on, and open the attempt with its snapshot."""
        await self.client.subscribe(subjects.state(self.plan_id), cb=self._on_state)
        await self.client.subscribe(subjects.control(self.plan_id), cb=self._on_control)
        await self.client.flush()
        await self.publish(self.state())

    async def write(self, *ops: Op, lost: bool = False) -> None:
        """Apply operations and publish them as the next event, which may get lost on its way."""
        self.document = fold.apply(self.document, orjson.loads(orjson.dumps(ops)))
        self.seq += 1
        if not lost:
            await self.publish(self._event("progress", ops=ops, progress=self._progress()))

    async def say(self, text: str, *, lost: bool = False) -> None:
        """Write a bit more of the summary."""
        if self.document is None:
            await self.write({"op": "add", "path": "", "value": {"monthly_summary": text}}, lost=lost)
        else:
            await self.write({"op": "append", "path": "/monthly_summary", "value": text}, lost=lost)

    async def complete(self, *, lost: bool = False) -> None:
        """End with the whole document."""
        usage = Usage().model_dump(by_alias=True)
        await self._end(
            "complete", lost, status="completed", plan=self.document, usage=usage, progress=self._progress()
        )

    async def _end(self, name: str, lost: bool, **members: Any) -> None:
        self.seq += 1
        self.ending = self._event(name, **members)
        if not lost:
            await self.publish(self.ending)

    async def publish(self, event: dict[str, Any]) -> None:
        """Publish one event."""
        await self.client.publish(subjects.events(self.plan_id), orjson.dumps(event))

    def state(self) -> dict[str, Any]:
        """The snapshot, or the terminal event once there is one."""
        return self.ending or self._event("snapshot", plan=self.document, progress=self._progress())

    def row(self) -> PlanView:
        """What would be stored now."""
        ended = self.ending is not None
        return row_of(
            self.plan_id,
            status="completed" if ended else "generating",
            ended_as="complete" if ended else None,
            attempt=self.attempt,
            seq=self.seq,
            plan=self.document,
        )

    def _event(self, name: str, **members: Any) -> dict[str, Any]:
        place = {"event": name, "planId": str(self.plan_id), "attempt": self.attempt, "seq": self.seq}
        return place | members

    def _progress(self) -> dict[str, Any]:
        return progress_of(min(99, self.seq)).model_dump(by_alias=True)

    async def _on_state(self, message: Msg) -> None:
        self.asked += 1
        if not self.silent:
            await message.respond(orjson.dumps(self.state()))

    async def _on_control(self, message: Msg) -> None:
        command = orjson.loads(message.data)["command"]
        self.commands.append(command)
        if command == "cancel" and not self.silent:
            status: Literal["partial", "failed"] = "partial" if self.document else "failed"
            await self._end("cancelled", False, status=status, plan=self.document)
            await message.respond(ControlReply(status=status).to_json())


@dataclass
class Stream:
    """A viewer: events as they come, folded into what a client would hold."""

    response: httpx.Response
    events: list[sse.ServerSentEvent] = field(default_factory=list)
    document: Any = None
    closed: bool = False
    retries: int = 0
    _decoder: sse.Decoder = field(default_factory=sse.Decoder)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        """The events' names so far."""
        return [event.event for event in self.events]

    @property
    def comments(self) -> int:
        """Heartbeats so far."""
        return self._decoder.comments

    @property
    def last_id(self) -> str:
        """What a client would send as Last-Event-ID."""
        return next((event.id for event in reversed(self.events) if event.id), "")

    def data(self, index: int = -1) -> dict[str, Any]:
        """The data of one event."""
        data: dict[str, Any] = orjson.loads(self.events[index].data)
        return data

    async def read(self) -> None:
        """Read until the end."""
        with suppress(httpx.RemoteProtocolError):
            async for chunk in self.response.aiter_raw():
                self.retries += chunk.count(b"retry: ")
                for event in self._decoder.feed(chunk):
                    self._take(event)
                self._arrived.set()

    def close(self, _: object) -> None:
        """No more will come."""
        self.closed = True
        self._arrived.set()

    def _take(self, event: sse.ServerSentEvent) -> None:
        self.events.append(event)
        data = self.data()
        if event.event == "progress":
            self.document = fold.apply(self.document, data["ops"])
        elif event.event != "connected" and "plan" in data:
            self.document = data["plan"]

    async def until(self, condition: Callable[["Stream"], bool]) -> None:
        """Wait for something to hold of this stream."""
        async with asyncio.timeout(SECONDS):
            while not condition(self):
                assert not self.closed or condition(self), f"the stream has closed after {self.names}"
                self._arrived.clear()
                await self._arrived.wait()

    async def event(self, name: str) -> dict[str, Any]:
        """Wait until the last event so named has come; its data."""
        await self.until(lambda stream: name in stream.names)
        return self.data(max(index for index, event in enumerate(self.events) if event.event == name))

    async def end(self) -> str:
        """Wait for the close; the name of the last event."""
        await self.until(lambda stream: stream.closed)
        return self.events[-1].event


class Gateway:
    """A running gateway and a client of it."""

    def __init__(self, url: str, draining: Draining, client: httpx.AsyncClient) -> None:
        self.url = url
        self.draining = draining
        self.client = client

    @asynccontextmanager
    async def open(self, method: str, path: str, **options: Any) -> AsyncIterator[Stream]:
        """Open a stream and read it in the background."""
        async with self.client.stream(method, path, **options) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(response)
            reader = asyncio.create_task(stream.read())
            reader.add_done_callback(stream.close)
            try:
                yield stream
            finally:
                if not reader.done():
                    reader.cancel()
                    await asyncio.wait({reader})
                else:
                    reader.result()

    def watch(
        self, plan_id: UUID, user_id: UUID, last_id: str | None = None, **query: str
    ) -> AbstractAsyncContextManager[Stream]:
        """Watch a plan, or resume."""
        headers = {"X-User-Id": str(user_id)} | ({} if last_id is None else {"Last-Event-ID": last_id})
        return self.open("GET", f"/api/streaming/events/{plan_id}", headers=headers, params=query)


GatewayFactory: TypeAlias = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def user() -> UUID:
    """A user of the test's own."""
    return uuid4()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait for a condition, with a deadline."""
    return _until


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """plan-api and generators."""
    made = Backend()
    async with _serving(made.app) as url:
        made.url = url
        yield made


@pytest.fixture
async def make_gateway(
    backend: Backend, migrated: Callable[[str], Awaitable[str]], nats_url: str
) -> AsyncIterator[GatewayFactory]:
    """Start a gateway, in development mode unless told otherwise."""
    database_url = await migrated("stream_gateway")
    async with AsyncExitStack() as opened:

        async def make(**changes: Any) -> Gateway:
            settings = Settings(
                **{
                    "host": "127.0.0.1",
                    "port": 0,
                    "database_url": database_url,
                    "nats_url": nats_url,
                    "service_token": TOKEN,
                    "plan_api_url": backend.url,
                    "generator_urls": backend.url,
                    "auth_mode": "dev",
                    **changes,
                }
            )
            draining = Draining()
            url = await opened.enter_async_context(_serving(create_app(settings, draining)))
            client = await opened.enter_async_context(httpx.AsyncClient(base_url=url, timeout=SECONDS, trust_env=False))
            return Gateway(url, draining, client)

        yield make


@pytest.fixture
def adopt() -> Callable[[str, httpx.AsyncClient], Awaitable[Gateway]]:
    """Take a gateway that runs elsewhere, once it is ready."""

    async def wait(url: str, client: httpx.AsyncClient) -> Gateway:
        await ready(client)
        return Gateway(url, Draining(), client)

    return wait


@pytest.fixture
async def gateway(make_gateway: GatewayFactory) -> Gateway:
    """A gateway whose NATS connection stands."""
    made = await make_gateway()
    await ready(made.client)
    return made


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[Client]:
    """The generators' connection."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def owner(broker: Client, backend: Backend, user: UUID) -> Owner:
    """The owner of a running plan of the user."""
    made = Owner(broker, backend.accept(user))
    await made.claim()
    return made


@pytest.fixture
def own(broker: Client) -> Callable[..., Owner]:
    """Make an owner of a given plan; it has yet to claim it."""

    def make(plan_id: UUID, attempt: int = 1) -> Owner:
        return Owner(broker, plan_id, attempt)

    return make


@pytest.fixture
def make_row() -> Callable[..., PlanView]:
    """A stored row of a plan."""
    return row_of
