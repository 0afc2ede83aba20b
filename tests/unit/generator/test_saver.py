"""The batch save: what is in it, and what its answer means for the plans of this process."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest

from common.postgres import DatabaseUnavailableError
from common.tasks import background
from generator import saver as saving
from generator.identity import Saved
from generator.repository import SaveRepository
from generator.repository.plans import LEASE_SECONDS
from generator.repository.saves import Held
from generator.run import Run
from generator.saver import Saver

if TYPE_CHECKING:
    from tests.unit.generator.conftest import Said

TEXT = '{"monthly_summary": "Run'


class Rows:
    """The table of plans: it answers that those in `lost` are no longer ours."""

    def __init__(self) -> None:
        self.statements: list[list[Saved]] = []
        self.lost: set[UUID] = set()
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def save(self, rows: list[Saved]) -> list[Held]:
        self.statements.append(rows)
        await self.answering.wait()
        if self.away:
            raise DatabaseUnavailableError
        return [Held(row.plan_id, None) for row in rows if row.plan_id not in self.lost]


@pytest.fixture
def rows() -> Rows:
    """A table that answers at once."""
    return Rows()


@pytest.fixture
def saver_of(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Run]], Saver]:
    """A saver of these runs; a snapshot after a doubt is not spread over time."""
    monkeypatch.setattr(saving, "JITTER_SECONDS", 0)
    return lambda runs: Saver(cast("SaveRepository", rows), lambda: runs)


async def _said(said: "Said", number: int) -> None:
    async with asyncio.timeout(2):
        while len(said.events) < number:
            await asyncio.sleep(0)


async def test_all_running_plans_are_one_statement(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run]
) -> None:
    """Rule 1: one statement renews every lease; a plan that it does not return is stopped, and no other."""
    runs = [new_run() for _ in range(3)]
    rows.lost = {runs[1].plan_id}
    await saver_of(runs).save()
    assert [{row.plan_id for row in statement} for statement in rows.statements] == [{run.plan_id for run in runs}]
    assert [run.stopped for run in runs] == [None, "fenced", None]


async def test_many_plans_are_saved_one_part_after_the_other(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run]
) -> None:
    """A quarter of them a statement, each once, and none again before its interval is over."""
    runs = [new_run() for _ in range(4 * saving.FEWEST + 2)]
    saver = saver_of(runs)
    for _ in range(6):
        await saver.save()
    assert [len(statement) for statement in rows.statements] == [saving.FEWEST + 1] * 3 + [saving.FEWEST - 1]
    saved = [row.plan_id for statement in rows.statements for row in statement]
    assert sorted(saved) == sorted(run.plan_id for run in runs)


async def test_who_asks_is_saved_before_its_turn(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run]
) -> None:
    """Alone, once, as soon as the saver looks."""
    runs = [new_run() for _ in range(3)]
    saver = saver_of(runs)
    await saver.save()
    runs[1].plan.save_asked = True
    await saver.save()
    await saver.save()
    assert [[row.plan_id for row in statement] for statement in rows.statements[1:]] == [[runs[1].plan_id]]


async def test_no_plan_waits_longer_than_its_interval(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with as many as are saved in several parts, of which most ask all the time: a lease hangs on it."""
    monkeypatch.setattr(saving, "INTERVAL_SECONDS", 0.2)
    monkeypatch.setattr(saving, "SHORTEST_SECONDS", 0.01)
    runs = [new_run() for _ in range(200)]
    saver, clock = saver_of(runs), asyncio.get_running_loop().time
    async with background("saver", saver.run):
        until = clock() + 1.0
        while clock() < until:
            for run in runs[:150]:
                run.plan.save_asked = True
            saver.soon()
            await asyncio.sleep(0.02)
    times = Counter(row.plan_id for statement in rows.statements for row in statement)
    assert min(times[run.plan_id] for run in runs) >= 3
    assert max(len(statement) for statement in rows.statements) == saving.FEWEST


def test_a_lease_outlives_lost_saves() -> None:
    """Rule 1: a save comes every 0.5 to 1 s, so that several may fail before a lease of 8 s is over."""
    assert saving.INTERVAL_SECONDS >= 0.5
    assert saving.INTERVAL_SECONDS + saving.LOOK_SECONDS + saving.SHORTEST_SECONDS <= 1
    assert LEASE_SECONDS == 8


async def test_an_outage_of_postgres_stops_nothing(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run]
) -> None:
    """Rule 1: only an answer says that a plan is lost; without one it is kept and saved again."""
    run = new_run()
    run.plan.feed(TEXT)
    saver = saver_of([run])
    rows.away = True
    await saver.save()
    rows.away = False
    saver.distrust()
    await saver.save()
    assert run.stopped is None
    assert [statement[0].partial for statement in rows.statements] == ['{"monthly_summary":"Run"}'] * 2


async def test_a_row_holds_what_was_published(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run], said: "Said"
) -> None:
    """Rule 4: (attempt, seq, partial) is one state, of which all has been published."""
    run = new_run()
    run.plan.open()
    run.plan.feed(TEXT)
    await saver_of([run]).save()
    [[row]] = rows.statements
    assert [event["seq"] for event in said.events] == [0, 1]
    assert (row.attempt, row.seq, row.partial) == (1, 1, '{"monthly_summary":"Run"}')


async def test_doubt_ends_with_a_fenced_write(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run], said: "Said"
) -> None:
    """Rule 7: while nothing is written nothing is said; the write that matches is followed by a snapshot."""
    run = new_run()
    saver = saver_of([run])
    saver.distrust()
    run.plan.open()
    rows.away = True
    await saver.save()
    run.plan.feed(TEXT)
    await asyncio.sleep(0.01)
    assert said.events == []
    rows.away = False
    saver.distrust()
    await saver.save()
    await _said(said, 1)
    assert [(event["event"], event["seq"]) for event in said.events] == [("snapshot", 1)]


async def test_a_write_from_before_the_doubt_does_not_count(
    rows: Rows, saver_of: Callable[[list[Run]], Saver], new_run: Callable[..., Run], said: "Said"
) -> None:
    """Rule 7: a zombie wakes to the answer of a save that matched before it slept; it says nothing until the next."""
    run = new_run()
    saver = saver_of([run])
    rows.answering.clear()
    saving_now = asyncio.create_task(saver.save())
    while not rows.statements:
        await asyncio.sleep(0)
    saver.distrust()
    rows.answering.set()
    await saving_now
    await asyncio.sleep(0.01)
    assert run.plan.suspect
    await saver.save()
    await _said(said, 1)
    assert not run.plan.suspect
