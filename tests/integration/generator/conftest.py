"""Parts of a generator on a real Postgres: two owners of the same table, as in two processes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from common.contracts.inputs import Preferences
from common.contracts.messages import GenerateJob
from common.postgres import open_pool
from generator.repository import PlanRepository, SaveRepository, ViewRepository

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Owner:
    """The repositories of one generator process."""

    def __init__(self, pool: Pool) -> None:
        self.id = uuid4()
        self.pool = pool
        self.plans = PlanRepository(pool, self.id)
        self.saves = SaveRepository(pool, self.id)
        self.views = ViewRepository(pool)


@pytest.fixture
async def pool(migrated: Callable[[str], Awaitable[str]]) -> AsyncIterator[Pool]:
    """The generator's schema in a database of the test's own."""
    async with open_pool(SecretStr(await migrated("generator")), "test") as opened:
        yield opened


@pytest.fixture
def owner(pool: Pool) -> Owner:
    """A generator."""
    return Owner(pool)


@pytest.fixture
def other(pool: Pool) -> Owner:
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
