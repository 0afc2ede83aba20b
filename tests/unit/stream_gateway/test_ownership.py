"""Whose a plan is, and for how long memory is believed."""

import asyncio
from math import inf
from typing import cast
from uuid import UUID, uuid4

import pytest

from common.contracts.errors import ErrorCode
from common.contracts.internal import Generation
from common.postgres import DatabaseUnavailableError
from common.problems import ApiError
from stream_gateway.journal import Journal
from stream_gateway.ownership import FRESH_SECONDS, Ownership, not_found
from stream_gateway.plan_api import PlanApi, unavailable
from stream_gateway.repository import PlanErased, PlanSeen, Record, Repository

PLAN, USER, STRANGER = uuid4(), uuid4(), uuid4()


class World:
    """The table, plan-api, the journal and the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.advanced_at = -inf
        self.table: UUID | None = None
        self.known: Generation | None = None
        self.postgres_away = False
        self.plan_api_away = False
        self.asked = 0
        self.records: list[Record] = []

    async def owner_of(self, _: UUID) -> UUID | None:
        """As the repository."""
        self.asked += 1
        if self.postgres_away:
            raise DatabaseUnavailableError
        return self.table

    async def generation(self, _: UUID, __: UUID) -> Generation | None:
        """As plan-api."""
        self.asked += 1
        if self.plan_api_away:
            raise unavailable()
        return self.known

    def put(self, record: Record) -> None:
        """As the journal."""
        self.records.append(record)

    def ownership(self) -> Ownership:
        """A gateway's."""
        return Ownership(
            cast("Repository", self),
            cast("PlanApi", self),
            cast("Journal", self),
            lambda _: self.advanced_at,
            lambda: self.now,
        )


@pytest.fixture
def world() -> World:
    """Nobody knows any plan."""
    return World()


async def test_memory_is_believed_for_a_while_and_no_longer(world: World) -> None:
    """A plan that another gateway has deleted, table and all, is gone here when the entry is no longer fresh."""
    ownership = world.ownership()
    ownership.learn(PLAN, USER)
    world.now += FRESH_SECONDS - 0.1
    assert await ownership.require(str(PLAN), USER) == PLAN
    assert world.asked == 0
    world.now += 0.2
    with pytest.raises(ApiError) as refused:
        await ownership.require(str(PLAN), USER)
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert world.records == [PlanSeen(PLAN, USER), PlanErased(PLAN)]


async def test_a_plan_that_is_being_written_is_not_deleted(world: World) -> None:
    """Memory is fresh for as long after each of its events; it lets in nobody else, and knows nothing by itself."""
    ownership = world.ownership()
    ownership.learn(PLAN, USER)
    world.now += 600
    world.advanced_at = world.now - FRESH_SECONDS + 0.1
    assert await ownership.require(str(PLAN), USER) == PLAN
    with pytest.raises(ApiError) as refused:
        await ownership.require(str(PLAN), STRANGER)
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert world.asked == 0
    world.now += 0.2
    with pytest.raises(ApiError):
        await ownership.require(str(PLAN), USER)
    assert world.asked == 2
    with pytest.raises(ApiError):
        await world.ownership().require(str(PLAN), USER)


async def test_the_table_makes_memory_fresh(world: World) -> None:
    """One look into the table for each while, however often the plan is asked for."""
    ownership = world.ownership()
    world.table = USER
    for _ in range(5):
        assert await ownership.require(str(PLAN), USER) == PLAN
    assert world.asked == 1


async def test_old_memory_counts_while_nobody_else_can_be_asked(world: World) -> None:
    """An outage of Postgres and plan-api takes no viewer's plan away, and gives it to nobody else."""
    ownership = world.ownership()
    ownership.learn(PLAN, USER)
    world.postgres_away = world.plan_api_away = True
    world.now += 60
    assert await ownership.require(str(PLAN), USER) == PLAN
    world.now += 60
    with pytest.raises(ApiError) as refused:
        await ownership.require(str(PLAN), STRANGER)
    assert refused.value.code is not_found().code


async def test_what_is_deleted_here_stays_deleted_during_an_outage(world: World) -> None:
    """The deletion is remembered as long as the row that it erases may still be there."""
    ownership = world.ownership()
    ownership.learn(PLAN, USER)
    ownership.forget(PLAN)
    world.postgres_away = world.plan_api_away = True
    for _ in range(3):
        world.now += 60
        with pytest.raises(ApiError) as refused:
            await ownership.require(str(PLAN), USER)
        assert refused.value.code is ErrorCode.NOT_FOUND


async def test_an_unknown_plan_erases_nothing(world: World) -> None:
    """Asking for ids at random costs no writes; without plan-api nothing is said of them."""
    ownership = world.ownership()
    with pytest.raises(ApiError) as refused:
        await ownership.require(str(PLAN), USER)
    assert refused.value.code is ErrorCode.NOT_FOUND
    world.plan_api_away = True
    with pytest.raises(ApiError) as silent:
        await ownership.require(str(PLAN), USER)
    assert silent.value.code is ErrorCode.UNAVAILABLE
    assert world.records == []


async def test_a_thousand_who_come_at_once_are_one_question(world: World) -> None:
    """And each hears its own answer: the owner is let in, also when a stranger asked first."""
    ownership = world.ownership()
    world.table = USER
    askers = [STRANGER, *[USER] * 999]
    answers = await asyncio.gather(*(ownership.require(str(PLAN), who) for who in askers), return_exceptions=True)
    assert world.asked == 1
    assert isinstance(answers[0], ApiError)
    assert answers[1:] == [PLAN] * 999


async def test_an_asker_who_leaves_takes_nobody_along(world: World) -> None:
    """The question goes on for the others."""
    ownership = world.ownership()
    world.table = USER
    first, second = (asyncio.create_task(ownership.require(str(PLAN), USER)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == PLAN
