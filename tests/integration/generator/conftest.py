"""A generator on real servers: its repositories as in two processes, and the whole of it against the emulator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from common.broker import JOBS, OUTCOMES
from common.contracts.inputs import Preferences
from common.contracts.messages import GenerateJob
from common.postgres import Database, open_database
from generator.repository import CallRepository, PlanRepository, SaveRepository, ViewRepository
from generator.settings import Settings
from openrouter_emulator import RunningEmulator, running_emulator
from openrouter_emulator import Settings as EmulatorSettings
from testkit.generator_process import TOKEN, Generator, StartGenerator, serve
from testkit.secrecy import OPENROUTER_KEY


class Owner:
    """The repositories of one generator process."""

    def __init__(self, pool: Database) -> None:
        self.id = uuid4()
        self.pool = pool
        self.plans = PlanRepository(pool, self.id)
        self.saves = SaveRepository(pool, self.id)
        self.views = ViewRepository(pool)
        self.calls = CallRepository(pool)


@pytest.fixture
def reads() -> list[asyncpg.Record]:
    """The rows that the repositories have read, as they came from Postgres."""
    return []


@pytest.fixture
async def pool(
    migrated: Callable[[str], Awaitable[str]], reads: list[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """The generator's schema in a database of the test's own; what is fetched from it stands in `reads`."""
    async with open_database(SecretStr(await migrated("generator")), "test") as opened:
        fetch = opened.fetch

        async def listen(query: str, *arguments: object) -> list[asyncpg.Record]:
            rows = await fetch(query, *arguments)
            reads.extend(rows)
            return rows

        monkeypatch.setattr(opened, "fetch", listen)
        yield opened


@pytest.fixture
def until_blocked(database: str) -> Callable[[], Awaitable[None]]:
    """`await until_blocked()` waits until a statement waits for a lock."""

    async def wait() -> None:
        connection = await asyncpg.connect(database)
        query = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        try:
            async with asyncio.timeout(5):
                while not await connection.fetchval(query):
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    return wait


@pytest.fixture
def owner(pool: Database) -> Owner:
    """A generator."""
    return Owner(pool)


@pytest.fixture
def other(pool: Database) -> Owner:
    """Another generator on the same database."""
    return Owner(pool)


@pytest.fixture
def new_job() -> Callable[..., GenerateJob]:
    """A job for a plan of its own."""

    def make(**changes: object) -> GenerateJob:
        values: dict[str, object] = {
            "plan_id": uuid4(),
            "user_id": uuid4(),
            "preference_id": uuid4(),
            "preferences": Preferences(goals="Run a half marathon", focus_areas=["Endurance"]),
            "accepted_at": datetime.now(UTC),
        }
        return GenerateJob.model_validate(values | changes)

    return make


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
            "openrouter_api_key": SecretStr(OPENROUTER_KEY),
            "openrouter_base_url": emulator.base_url,
            "shutdown_seconds": 0.3,
        }
        generator = await serve(Settings(**(values | changes)))
        running.append(generator)
        return generator

    yield start
    for generator in running:
        await generator.stop()
