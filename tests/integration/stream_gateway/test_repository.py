"""What gateways write at the same time, about the same plans."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import SecretStr

from common.postgres import open_database
from stream_gateway.repository import CancelAnswered, CancelAsked, PlanErased, PlanSeen, Record, Repository

ROUNDS = 5


async def test_gateways_that_write_of_the_same_plans_do_not_wait_for_each_other(
    migrated: Callable[[str], Awaitable[str]],
) -> None:
    """In whatever order they have heard of them: no write is undone as one side of a deadlock."""
    now = datetime.now(UTC)
    async with open_database(SecretStr(await migrated("stream_gateway")), "test") as database:
        repository = Repository(database)
        for _ in range(ROUNDS):
            plans = [uuid4() for _ in range(500)]
            await repository.write([CancelAsked(uuid4(), plan, plan, now) for plan in plans])
            of_a_kind: list[list[Record]] = [
                [PlanSeen(plan, plan) for plan in plans],
                [CancelAnswered(plan, "failed", now) for plan in plans],
                [PlanErased(plan) for plan in plans],
            ]
            for records in of_a_kind:
                await asyncio.gather(repository.write(records), repository.write(records[::-1]))
