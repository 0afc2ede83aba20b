"""One attempt from its claim to its stored end, with a table that loses answers or is taken by others."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from common.postgres import DatabaseUnavailableError
from generator import run as running
from generator.identity import Ending, completed
from generator.live_plan import LivePlan
from generator.run import Run

if TYPE_CHECKING:
    from tests.unit.generator.conftest import Said

DOCUMENT = {"monthly_summary": "Run"}


class Row:
    """The plan's row; an answer of its terminal UPDATE may get lost, and somebody else may have taken it."""

    def __init__(self) -> None:
        self.lost_answers = 0
        self.taken = False
        self.outcomes: list[UUID] = []
        self.on_finish: Callable[[], None] = lambda: None

    async def finish(self, _: Any, __: Ending, ___: int, ____: Any, _____: Any, outcome_id: UUID) -> bool:
        self.on_finish()
        self.outcomes.append(outcome_id)
        if len(self.outcomes) <= self.lost_answers:
            raise DatabaseUnavailableError
        return not self.taken and set(self.outcomes) == {outcome_id}


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Row:
    """A row that is ours; storing is tried again at once."""
    monkeypatch.setattr(running, "STORE_PAUSE", 0)
    return Row()


async def _write(plan: LivePlan) -> Ending:
    plan.feed('{"monthly_summary": "Run"}')
    return completed(DOCUMENT)


async def test_an_ambiguous_commit_is_one_outcome(row: Row, new_run: Callable[..., Run], said: "Said") -> None:
    """Rule 3: a terminal UPDATE whose answer was lost is repeated under the same outcome id, and announced once."""
    row.lost_answers = 2
    run = new_run(row)
    await run.execute(_write, 5)
    assert len(row.outcomes) == 3
    assert [event["event"] for event in said.events] == ["snapshot", "progress", "complete"]
    assert [outcome.status for outcome in said.outcomes] == ["completed"]


async def test_an_end_that_is_not_stored_is_not_announced(row: Row, new_run: Callable[..., Run], said: "Said") -> None:
    """Rule 2: when the terminal UPDATE hits nothing of ours, neither the event nor the outcome goes out."""
    row.taken = True
    run = new_run(row)
    assert await run.execute(_write, 5) is None
    assert (run.ending, said.outcomes) == (None, [])
    assert [event["event"] for event in said.events] == ["snapshot", "progress"]
    run.plan.trust_in(0)
    await asyncio.sleep(0.01)
    assert len(said.events) == 2


async def test_a_fenced_attempt_stores_nothing(row: Row, new_run: Callable[..., Run], said: "Said") -> None:
    """Rule 1: a plan that the batch save did not return is aborted: upstream is closed, and no end is tried."""
    run, closed = new_run(row), asyncio.Event()

    async def write(_: LivePlan) -> Ending:
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()
        raise AssertionError

    executing = asyncio.create_task(run.execute(write, 5))
    await asyncio.sleep(0)
    run.stop("fenced")
    assert await executing is None
    assert closed.is_set()
    assert (row.outcomes, said.outcomes) == ([], [])


async def test_a_cancel_closes_upstream_before_it_stores(row: Row, new_run: Callable[..., Run], said: "Said") -> None:
    """Rule 8: the owner closes upstream first, however long that takes, then stores, then answers."""
    run, order = new_run(row), list[str]()
    row.on_finish = lambda: order.append("stored")

    async def write(plan: LivePlan) -> Ending:
        plan.feed('{"monthly_summary": "Run')
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            order.append("upstream closed")
        raise AssertionError

    executing = asyncio.create_task(run.execute(write, 5))
    await asyncio.sleep(0)
    run.stop("cancel")
    assert not run.done.is_set()
    await executing
    assert order == ["upstream closed", "stored"]
    assert said.events[-1] | {"event": "cancelled", "status": "partial", "plan": DOCUMENT} == said.events[-1]
