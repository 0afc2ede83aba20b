"""The news of ends: some at a time, marked together, and left to the sweep when NATS cannot take them."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from common.broker import OUTCOMES, Broker, open_broker
from common.contracts.messages import Outcome
from common.tasks import background
from generator.announcer import LINGER_SECONDS, Announcer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from generator.repository import PlanRepository
    from local_stack.nats import NatsServer

DEADLINE = 15.0


class Marks:
    """What was marked, in which statements."""

    def __init__(self) -> None:
        self.statements: list[list[UUID]] = []

    async def mark_announced(self, plan_ids: "Sequence[UUID]") -> None:
        """As the repository's."""
        self.statements.append(list(plan_ids))


@pytest.fixture
async def broker(private_nats: "NatsServer") -> AsyncIterator[Broker]:
    """A generator's connection to a NATS of the test's own."""
    async with open_broker(SecretStr(private_nats.url), "test") as opened:
        await opened.wait_connected()
        yield opened


def _outcome() -> Outcome:
    return Outcome(plan_id=uuid4(), attempt=1, status="completed", charge="used")


async def _stored(broker: Broker) -> int:
    return (await broker.jetstream.stream_info(OUTCOMES.name or "")).state.messages


async def test_ends_of_a_moment_are_announced_together(broker: Broker) -> None:
    """Twenty plans end at once: each is on the stream, which is made for them, and one statement marks them."""
    marks = Marks()
    announcer = Announcer(broker, cast("PlanRepository", cast("Any", marks)))
    outcomes = [_outcome() for _ in range(20)]
    async with background("announcer", announcer.run), asyncio.timeout(DEADLINE):
        for outcome in outcomes:
            announcer.tell(outcome)
        while not marks.statements:
            await asyncio.sleep(LINGER_SECONDS)
    assert marks.statements == [[outcome.plan_id for outcome in outcomes]]
    assert await _stored(broker) == 20


async def test_an_end_is_on_the_stream_once(broker: Broker) -> None:
    """Rule 6: said again, as a sweep does, an end is marked again and not doubled."""
    marks = Marks()
    announcer = Announcer(broker, cast("PlanRepository", cast("Any", marks)))
    outcome = _outcome()
    for _ in range(2):
        announcer.tell(outcome)
        await announcer.flush()
    assert marks.statements == [[outcome.plan_id]] * 2
    assert await _stored(broker) == 1


async def test_without_nats_nothing_is_marked(private_nats: "NatsServer", broker: Broker) -> None:
    """Rule 6: what cannot be announced stays unmarked, so that the sweep finds it."""
    marks = Marks()
    announcer = Announcer(broker, cast("PlanRepository", cast("Any", marks)))
    await private_nats.process.stop()
    async with asyncio.timeout(DEADLINE):
        while broker.connected:
            await asyncio.sleep(0.01)
    announcer.tell(_outcome())
    await announcer.flush()
    assert marks.statements == []
