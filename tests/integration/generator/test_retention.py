"""RETENTION_DAYS in the generators' slice: rows that plan-api has had erased, and no other."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.postgres import Database
from common.retention import Retention
from generator.repository.retention import STATEMENTS

DAYS = 30

# Name: days since its end, and since plan-api had it erased.
ROWS: dict[str, tuple[float | None, float | None]] = {
    "over the age, erased the day before yesterday": (DAYS + 2, 2),
    "over the age, erased just now: something may still be on its way": (DAYS + 1, 0.1),
    "over the age, and plan-api has not said so": (DAYS + 400, None),
    "deleted by its user, young": (2, 2),
    "running": (None, None),
}


async def _row(pool: Database, ended: float | None, erased: float | None) -> UUID:
    plan_id = uuid4()
    how: tuple[Any, ...] = ("generating", None, None) if ended is None else ("completed", "complete", "used")
    await pool.execute(
        "INSERT INTO generator.monthly_plans"
        " (plan_id, user_id, attempt, status, ended_as, charge, completed_at, deleted_at)"
        " VALUES ($1, $1, 1, $2, $3, $4, now() - make_interval(secs => $5), now() - make_interval(secs => $6))",
        *(plan_id, *how),
        *(None if days is None else days * 86_400 for days in (ended, erased)),
    )
    await pool.execute(
        "INSERT INTO generator.upstream_calls (plan_id, attempt, purpose, source, started_at)"
        " VALUES ($1, 1, 'stream', 'provider', now())",
        plan_id,
    )
    return plan_id


async def test_only_what_was_erased_and_is_over_the_age_goes(pool: Database) -> None:
    """Without its row plan-api would have a plan written again, so plan-api comes first; its calls go with it."""
    plans = {name: await _row(pool, *days) for name, days in ROWS.items()}
    assert await Retention(pool, DAYS, STATEMENTS).sweep() == 1
    for table in ("monthly_plans", "upstream_calls"):
        left = {row["plan_id"] for row in await pool.fetch(f"SELECT plan_id FROM generator.{table}")}
        assert [name for name, plan_id in plans.items() if plan_id not in left] == [next(iter(ROWS))], table


async def test_many_go_in_pieces(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece at a time until nothing is left of it."""
    monkeypatch.setattr("common.retention.BATCH", 2)
    for _ in range(5):
        await _row(pool, DAYS + 2, 2)
    (statement,) = STATEMENTS
    assert await pool.fetchval(statement, DAYS, 1) == 1
    assert await Retention(pool, DAYS, STATEMENTS).sweep() == 4
    assert await pool.fetchval("SELECT count(*) FROM generator.monthly_plans") == 0
