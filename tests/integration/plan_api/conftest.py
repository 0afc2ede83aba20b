"""plan-api as it runs, on a socket, with real Postgres and NATS and a generator that answers as scripted."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.contracts.errors import ErrorCode
from common.contracts.events import Progress, TerminalStatus, Usage
from common.contracts.internal import PlanQuery, PlanQueryResult, PlanView
from common.contracts.messages import Charge, GenerateJob, Outcome
from common.generator_client import GeneratorClient, open_service_client
from common.migrations import migrate
from common.postgres import Database, open_database
from common.problems import ApiError, problem_response
from common.server import Draining
from local_stack.roles import other_database, service_url
from plan_api.app import create_app
from plan_api.reconcile import Reconciler
from plan_api.settings import Settings
from plan_api.settlement import Settlement
from plan_api.verdict import Patience
from testkit.secrecy import SERVICE_TOKEN
from testkit.serving import serving

TOKEN = SERVICE_TOKEN
PLAN = {"monthly_summary": "A month of steady work.", "weekly_breakdown": []}
TABLES = (
    "user_goals_and_preferences",
    "quota_accounts",
    "quota_ledger",
    "generations",
    "outbox",
    "idempotency_keys",
    "batches",
)
PROGRESS = Progress(
    phase=None, weeks_completed=4, weeks_total=4, percent=100, chars=10, tokens_per_second=1, elapsed_ms=10
)


class ScriptedGenerator:
    """The generator's internal interface over rows that a test writes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.away = False
        self.late = False  # a synchronous plan is not finished in time
        self.rows: dict[UUID, PlanView] = {}
        self.jobs: list[GenerateJob] = []
        self.cancels: list[dict[str, Any]] = []
        self.erased: list[UUID] = []
        self.refused: set[UUID] = set()
        self.writes: Callable[[GenerateJob], PlanView] = lambda job: self.ended(job.plan_id, job.user_id)
        self.app = Starlette(
            routes=[
                Route("/internal/generate", self._answer(self._generate), methods=["POST"]),
                Route("/internal/plans/query", self._answer(self._query), methods=["POST"]),
                Route("/internal/plans/{plan_id:uuid}", self._answer(self._view), methods=["GET"]),
                Route("/internal/plans/{plan_id:uuid}", self._answer(self._erase), methods=["DELETE"]),
                Route("/internal/plans/{plan_id:uuid}/cancel", self._answer(self._cancel), methods=["POST"]),
            ]
        )

    def ended(
        self,
        plan_id: UUID,
        user_id: UUID,
        status: TerminalStatus = "completed",
        charge: Charge = "used",
        code: ErrorCode | None = None,
    ) -> PlanView:
        """Store that a plan has ended."""
        ended_as = "complete" if status == "completed" else "cancelled" if code is None else "error"
        return self._put(plan_id, user_id, status=status, charge=charge, code=code, ended_as=ended_as, plan=PLAN)

    def running(self, plan_id: UUID, user_id: UUID, **fields: Any) -> PlanView:
        """Store that a plan is being written."""
        return self._put(plan_id, user_id, status="generating", **fields)

    def _put(self, plan_id: UUID, user_id: UUID, **fields: Any) -> PlanView:
        known = {"attempt": 1, "seq": 7, "progress": PROGRESS, "usage": Usage(total_tokens=5)}
        known |= {"plan_id": plan_id, "user_id": user_id, "updated_at": datetime.now(UTC)}
        self.rows[plan_id] = PlanView(**(known | fields))
        return self.rows[plan_id]

    def _answer(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            assert request.headers["authorization"] == f"Bearer {TOKEN}"
            return Response(status_code=503) if self.away else await endpoint(request)

        return answered

    async def _generate(self, request: Request) -> Response:
        job = GenerateJob.model_validate_json(await request.body())
        self.jobs.append(job)
        if self.late:
            return problem_response(ApiError(ErrorCode.UPSTREAM_TIMEOUT, "The plan was not finished in time."))
        view = self.rows.get(job.plan_id) or self.writes(job)
        return Response(view.to_json())

    async def _query(self, request: Request) -> Response:
        asked = PlanQuery.model_validate_json(await request.body())
        return Response(PlanQueryResult(plans=[self.rows[i] for i in asked.plan_ids if i in self.rows]).to_json())

    async def _view(self, request: Request) -> Response:
        view = self.rows.get(request.path_params["plan_id"])
        return Response(status_code=404) if view is None else Response(view.to_json())

    async def _cancel(self, request: Request) -> Response:
        plan_id, body = request.path_params["plan_id"], orjson.loads(await request.body())
        self.cancels.append(body)
        if plan_id in self.refused:
            return Response(status_code=404)
        row = self.rows.get(plan_id)
        if row is None or row.status == "generating":
            content = row is not None and row.plan is not None
            code = ErrorCode(body["code"]) if "code" in body else None
            status: TerminalStatus = "partial" if content and code is None else "failed"
            row = self.ended(plan_id, UUID(body["userId"]), status, "used" if content else "released", code)
        return Response(row.to_json())

    async def _erase(self, request: Request) -> Response:
        self.rows.pop(request.path_params["plan_id"], None)
        self.erased.append(request.path_params["plan_id"])
        return Response(status_code=204)


@dataclass(frozen=True)
class PlanApi:
    """A running plan-api, its client and what lies beneath it."""

    client: httpx.AsyncClient
    generator: ScriptedGenerator
    admin: "asyncpg.Connection[asyncpg.Record]"
    database: Database
    settlement: Settlement
    reconciler: Reconciler

    async def ask(self, method: str, path: str, user: UUID | None, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request as the gateway would; header names with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            named["x-user-id"] = str(user)
        return await self.client.request(method, path, json=body, headers=named)

    async def store_inputs(self, user: UUID, **more: Any) -> str:
        """Store inputs; answers with the preferenceId."""
        body = {"userId": str(user), "goals": "Learn to play the cello"} | more
        response = await self.ask("POST", "/api/plan/inputs", user, body)
        assert response.status_code == 201, response.text
        return str(response.json()["preferenceId"])

    async def start(self, user: UUID, preference_id: str, **headers: str) -> httpx.Response:
        """Ask for a streaming plan."""
        return await self.ask("POST", "/internal/generations", user, {"preferenceId": preference_id}, **headers)

    async def started(self, user: UUID) -> UUID:
        """Store inputs and start one plan; answers with its id."""
        response = await self.start(user, await self.store_inputs(user))
        assert response.status_code == 201, response.text
        return UUID(response.json()["planId"])

    async def backdate(self, plan_id: UUID, seconds: float) -> None:
        """Make a plan older than it is, and its job due for publishing."""
        change = "created_at = created_at - make_interval(secs => $2), next_dispatch_at = now()"
        await self.admin.execute(f"UPDATE plan_api.generations SET {change} WHERE plan_id = $1", plan_id, seconds)

    async def count(self, table: str) -> int:
        """Rows of a table."""
        count: int = await self.admin.fetchval(f"SELECT count(*) FROM plan_api.{table}")
        return count

    async def balance(self, user: UUID) -> tuple[int, int]:
        """(used, reserved) of the user, which the ledger must agree with."""
        account = await self.admin.fetchrow(
            "SELECT coalesce(sum(used), 0)::int, coalesce(sum(reserved), 0)::int FROM plan_api.quota_accounts"
            " WHERE user_id = $1",
            user,
        )
        ledger = await self.admin.fetchrow(
            "SELECT coalesce(sum(used_delta), 0)::int, coalesce(sum(reserved_delta), 0)::int"
            " FROM plan_api.quota_ledger WHERE user_id = $1",
            user,
        )
        assert account is not None
        assert ledger is not None
        assert tuple(account) == tuple(ledger), "the ledger's sums differ from the account"
        return account[0], account[1]

    async def status(self, plan_id: UUID) -> str:
        """The plan's stored status."""
        status: str = await self.admin.fetchval("SELECT status FROM plan_api.generations WHERE plan_id = $1", plan_id)
        return status


def outcome(plan_id: UUID, status: TerminalStatus = "completed", charge: Charge = "used") -> Outcome:
    """News of an end."""
    return Outcome(plan_id=plan_id, attempt=1, status=status, charge=charge)


@pytest.fixture
def outcome_of_plan() -> Callable[..., Outcome]:
    """Makes news of an end."""
    return outcome


class PostgresLine:
    """A line to Postgres that can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address of this end."""
        return self._target._replace(netloc=f"{self._target.netloc.rpartition('@')[0]}@127.0.0.1:{self._port}").geturl()

    async def mend(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and drop the open ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        while self._pumps:
            await asyncio.wait(self._pumps)
        await self._server.wait_closed()

    async def _connect(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {near_writer, far_writer}
        for reader, writer in ((near, far_writer), (far, near_writer)):
            pump = asyncio.create_task(self._pump(reader, writer))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self._writers.discard(writer)


@pytest.fixture
async def postgres_line(plan_api_url: str) -> AsyncIterator[PostgresLine]:
    """A line to the migrated database."""
    line = PostgresLine(plan_api_url)
    await line.mend()
    yield line
    await line.cut()


@pytest.fixture
def user() -> UUID:
    """Somebody new."""
    return uuid4()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """`await until(condition)` waits, with a deadline, for a condition to hold."""

    async def wait(condition: Callable[[], Awaitable[Any]], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)

    return wait


class _Stage:
    """One socket for all tests; each test's generator answers on it."""

    def __init__(self) -> None:
        self.url = ""
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
async def stage() -> AsyncIterator[_Stage]:
    """Where the generators of the tests answer."""
    stage = _Stage()
    async with serving(stage, lifespan="off") as stage.url:
        yield stage


@pytest.fixture
def generator(stage: _Stage) -> ScriptedGenerator:
    """A generator of the test's own, on a socket."""
    scripted = ScriptedGenerator(stage.url)
    stage.app = scripted.app
    return scripted


@pytest.fixture(scope="session")
async def migrated_once(postgres_url: str) -> AsyncIterator[str]:
    """The administrator's address of a database with plan-api's schema, made once."""
    name = f"plan_api_{secrets.token_hex(6)}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"CREATE DATABASE {name}")
    url = other_database(postgres_url, name)
    await migrate(url, service_url(url, "plan_api"), "plan_api", files("plan_api") / "migrations")
    yield url
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def admin(migrated_once: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The administrator's connection; every table is empty."""
    connection = await asyncpg.connect(migrated_once)
    await connection.execute(f"TRUNCATE {', '.join(f'plan_api.{table}' for table in TABLES)}")
    yield connection
    await connection.close()


@pytest.fixture
async def plan_api_url(migrated_once: str, admin: "asyncpg.Connection[asyncpg.Record]") -> str:
    """The address of a migrated, empty database, as plan-api's role."""
    return service_url(migrated_once, "plan_api")


@pytest.fixture
async def launch(
    plan_api_url: str, admin: "asyncpg.Connection[asyncpg.Record]", generator: ScriptedGenerator
) -> AsyncIterator[Callable[..., Awaitable[PlanApi]]]:
    """`await launch(nats_url, setting=value)` starts a plan-api."""
    async with AsyncExitStack() as stack:

        async def start(nats_url: str, **settings: Any) -> PlanApi:
            given: Mapping[str, Any] = {
                "database_url": SecretStr(plan_api_url),
                "nats_url": SecretStr(nats_url),
                "service_token": SecretStr(TOKEN),
                "generator_urls": (generator.url,),
            }
            url = await stack.enter_async_context(serving(create_app(Settings(**{**given, **settings}), Draining())))
            headers = {"authorization": f"Bearer {TOKEN}"}
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers=headers, timeout=20, verify=False)
            )
            database = await stack.enter_async_context(open_database(SecretStr(plan_api_url), "test"))
            internal = await stack.enter_async_context(open_service_client(SecretStr(TOKEN)))
            settlement = Settlement(database)
            reconciler = Reconciler(
                database, GeneratorClient(internal, (generator.url,)), settlement, Patience(120, 330)
            )
            return PlanApi(client, generator, admin, database, settlement, reconciler)

        yield start


@pytest.fixture
def ready(until: Callable[..., Awaitable[None]]) -> Callable[[PlanApi], Awaitable[None]]:
    """`await ready(api)` waits until it is connected to NATS."""

    async def wait(api: PlanApi) -> None:
        async def connected() -> bool:
            return bool((await api.client.get("/readyz")).json()["dependencies"]["nats"] == "up")

        await until(connected)

    return wait


@pytest.fixture
async def plan_api(
    launch: Callable[..., Awaitable[PlanApi]], nats_url: str, ready: Callable[[PlanApi], Awaitable[None]]
) -> PlanApi:
    """A plan-api with its defaults, connected to NATS."""
    api = await launch(nats_url)
    await ready(api)
    return api
