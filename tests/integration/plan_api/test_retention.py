"""RETENTION_DAYS in plan-api's slice: what is over the age goes, in pieces; what is not, or is not settled, stays."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from common import retention
from common.contracts.messages import Outcome
from common.retention import Retention
from plan_api.repository.retention import STATEMENTS

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi

DAYS = 30


@pytest.fixture
async def sweep(plan_api: "PlanApi") -> Retention:
    """As plan-api runs it with RETENTION_DAYS=30."""
    return Retention(plan_api.database, DAYS, STATEMENTS)


async def ended(plan_api: "PlanApi", user: UUID, outcome_of_plan: Callable[..., Outcome], days: float) -> UUID:
    """A plan that was started, and ended, so many days ago, with all that belongs to it."""
    plan_id = await plan_api.started(user)
    await plan_api.settlement.settle(outcome_of_plan(plan_id))
    await age(plan_api, plan_id, days)
    return plan_id


async def age(plan_api: "PlanApi", plan_id: UUID, days: float) -> None:
    """Let a plan, and the inputs it was made of, be older."""
    await plan_api.admin.execute(
        "WITH plan AS (UPDATE plan_api.generations SET ended_at = ended_at - make_interval(secs => $2)"
        " WHERE plan_id = $1 RETURNING preference_id) UPDATE plan_api.user_goals_and_preferences p"
        " SET created_at = created_at - make_interval(secs => $2) FROM plan WHERE p.id = plan.preference_id",
        plan_id,
        days * 86_400,
    )


async def move_books(admin: "asyncpg.Connection[asyncpg.Record]", user: UUID, months: int) -> None:
    """Let a user's account be of an earlier month, with its plans and ledger."""
    await admin.execute("ALTER TABLE plan_api.generations DROP CONSTRAINT generations_user_id_period_fkey")
    for table in ("quota_accounts", "quota_ledger", "generations"):
        await admin.execute(
            f"UPDATE plan_api.{table} SET period = period - make_interval(months => $2) WHERE user_id = $1",
            user,
            months,
        )
    await admin.execute(
        "ALTER TABLE plan_api.generations ADD CONSTRAINT generations_user_id_period_fkey FOREIGN KEY (user_id, period)"
        " REFERENCES plan_api.quota_accounts (user_id, period)"
    )


async def test_what_is_over_the_age_is_gone_for_its_user(
    plan_api: "PlanApi", user: UUID, sweep: Retention, outcome_of_plan: Callable[..., Outcome]
) -> None:
    """The plan, its copy of the inputs, and the inputs; the generators erase the rest; the month's account stays."""
    old = await ended(plan_api, user, outcome_of_plan, DAYS + 1)
    young = await ended(plan_api, user, outcome_of_plan, DAYS - 1)
    running = await plan_api.started(user)
    await age(plan_api, running, 400)
    await sweep.sweep()
    await plan_api.reconciler.sweep()
    assert plan_api.generator.erased == [old]
    seen = (await plan_api.ask("GET", "/api/plan/plans", user)).json()["plans"]
    assert {plan["planId"] for plan in seen} == {str(young), str(running)}
    assert (await plan_api.ask("GET", f"/api/plan/plans/{old}", user)).status_code == 404
    assert await plan_api.count("user_goals_and_preferences") == 2
    copies = await plan_api.admin.fetch("SELECT plan_id FROM plan_api.generations WHERE preferences = '{}'")
    assert [row["plan_id"] for row in copies] == [old]
    assert await plan_api.balance(user) == (2, 1)


@pytest.mark.full
async def test_a_month_s_books_are_closed_as_a_whole(
    plan_api: "PlanApi", user: UUID, sweep: Retention, outcome_of_plan: Callable[..., Outcome]
) -> None:
    """Once the month is over the age and the generators have nothing of it: then nothing of the user is left."""
    other = uuid4()
    for each in (user, user, other):
        await ended(plan_api, each, outcome_of_plan, 100)
    await move_books(plan_api.admin, user, 3)
    await sweep.sweep()
    assert await plan_api.balance(user) == (2, 0)
    await plan_api.reconciler.sweep()
    await sweep.sweep()
    for table in ("quota_accounts", "quota_ledger", "generations", "user_goals_and_preferences"):
        left = await plan_api.admin.fetch(f"SELECT user_id FROM plan_api.{table}")
        assert {row["user_id"] for row in left} <= {other}, table
    assert await plan_api.balance(user) == (0, 0)
    # The other's month is this one: its plan is hidden, its account still counts it.
    assert await plan_api.balance(other) == (1, 0)


async def test_a_limit_outlives_its_month(
    plan_api: "PlanApi", user: UUID, sweep: Retention, outcome_of_plan: Callable[..., Outcome]
) -> None:
    """The last account of a user who has, or had, a limit of their own says what the next month begins with."""
    await ended(plan_api, user, outcome_of_plan, 100)
    await plan_api.admin.execute("UPDATE plan_api.quota_accounts SET plan_limit = 7")
    await move_books(plan_api.admin, user, 3)
    await sweep.sweep()
    await plan_api.reconciler.sweep()
    await sweep.sweep()
    assert await plan_api.count("generations") == 0
    assert await plan_api.balance(user) == (0, 0)
    assert (await plan_api.ask("GET", "/api/plan/quota", user)).json()["limit"] == 7
    # Back to the service's limit since: the older word, which something holds back, must not come to life again.
    await plan_api.admin.execute("UPDATE plan_api.quota_accounts SET reserved = 1")
    await plan_api.admin.execute(
        "INSERT INTO plan_api.quota_accounts (user_id, period) SELECT user_id, period + interval '1 month'"
        " FROM plan_api.quota_accounts"
    )
    await sweep.sweep()
    await sweep.sweep()
    assert (await plan_api.ask("GET", "/api/plan/quota", user)).json()["limit"] == 30
    # Nothing holds it back any more, and no word is left that a later month would have to take back.
    await plan_api.admin.execute("UPDATE plan_api.quota_accounts SET reserved = 0")
    await sweep.sweep()
    await sweep.sweep()
    assert await plan_api.count("quota_accounts") == 0


@pytest.mark.full
async def test_pieces_are_bounded_and_shared(
    plan_api: "PlanApi",
    user: UUID,
    sweep: Retention,
    outcome_of_plan: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No statement takes more than its piece; two processes at once delete each row once; a lock holds up no other."""
    monkeypatch.setattr(retention, "BATCH", 2)
    plans = [await ended(plan_api, user, outcome_of_plan, DAYS + 1) for _ in range(7)]
    (hide, *_) = STATEMENTS
    assert await plan_api.database.fetchval(hide, DAYS, 3) == 3
    async with plan_api.database.transaction() as transaction:
        held = await transaction.fetchval(
            "SELECT plan_id FROM plan_api.generations WHERE deleted_at IS NULL LIMIT 1 FOR UPDATE"
        )
        one, other = (Retention(plan_api.database, DAYS, [hide]) for _ in range(2))
        assert sum(await asyncio.gather(one.sweep(), other.sweep())) == 3
    assert await sweep.sweep() == 1 + len(plans)
    assert held in plans
    assert await plan_api.count("user_goals_and_preferences") == 0


async def test_inputs_stay_while_a_plan_of_them_is_seen(
    plan_api: "PlanApi", user: UUID, sweep: Retention, outcome_of_plan: Callable[..., Outcome]
) -> None:
    """Old inputs with a young plan stay; old ones without any plan go."""
    used = await ended(plan_api, user, outcome_of_plan, 0)
    unused = await plan_api.store_inputs(user)
    await plan_api.admin.execute(
        "UPDATE plan_api.user_goals_and_preferences SET created_at = now() - interval '1 year'"
    )
    await sweep.sweep()
    assert (await plan_api.ask("GET", f"/api/plan/inputs/{unused}", user)).status_code == 404
    plan = (await plan_api.ask("GET", f"/api/plan/plans/{used}", user)).json()
    assert (await plan_api.ask("GET", f"/api/plan/inputs/{plan['preferenceId']}", user)).status_code == 200
