"""The reconciler: reservations that no news came of."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import nats
import pytest

from common.contracts import subjects
from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi


async def _dispatches(api: "PlanApi") -> int:
    count: int = await api.admin.fetchval("SELECT dispatches FROM plan_api.generations")
    return count


async def test_a_lost_outcome_is_settled_from_the_row(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: the generator's terminal row says what to charge."""
    plan_id = await plan_api.started(user)
    plan_api.generator.ended(plan_id, user, "failed", "released", ErrorCode.UPSTREAM_ERROR)
    await plan_api.reconciler.sweep(0)
    assert (await plan_api.status(plan_id), await plan_api.balance(user)) == ("failed", (0, 0))


async def test_a_young_reservation_is_left_alone(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: within 30 seconds news may still come."""
    plan_id = await plan_api.started(user)
    plan_api.generator.ended(plan_id, user)
    await plan_api.reconciler.sweep()
    assert await plan_api.balance(user) == (0, 1)


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_lost_job_is_published_again(plan_api: "PlanApi", user: UUID, nats_url: str, claimed: bool) -> None:
    """Rule 9: no row, or a lease that has run out: the job goes out under the next number, once for all reconcilers."""
    plan_id = await plan_api.started(user)
    if claimed:
        plan_api.generator.running(plan_id, user, lease_expired=True)
    await plan_api.backdate(plan_id, 60)
    await asyncio.gather(*(plan_api.reconciler.sweep() for _ in range(5)))
    await plan_api.reconciler.sweep()
    assert await _dispatches(plan_api) == 2
    row = await plan_api.admin.fetchrow("SELECT n, payload FROM plan_api.outbox")
    if row is None:  # the relay was quicker
        client = await nats.connect(nats_url)
        message = await client.jetstream().get_last_msg(subjects.JOBS_STREAM, subjects.JOBS_SUBJECT)
        await client.close()
        assert (message.headers or {})["Nats-Msg-Id"] == f"{plan_id}.2"
        payload = message.data or b""
    else:
        assert row["n"] == 2
        payload = row["payload"]
    assert GenerateJob.model_validate_json(payload).plan_id == plan_id


async def test_the_pause_between_jobs_doubles(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: 60 seconds after the second job, 120 after the third."""
    plan_id = await plan_api.started(user)
    pauses = []
    for _ in range(2):
        await plan_api.backdate(plan_id, 40)
        await plan_api.admin.execute("DELETE FROM plan_api.outbox")
        await plan_api.reconciler.sweep()
        pauses.append(
            await plan_api.admin.fetchval(
                "SELECT extract(epoch FROM next_dispatch_at - now())::float8 FROM plan_api.generations"
            )
        )
    assert pauses == [pytest.approx(60, abs=5), pytest.approx(120, abs=5)]


async def test_a_plan_that_is_being_written_is_left_alone(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: somebody is at it, however old it is."""
    plan_id = await plan_api.started(user)
    plan_api.generator.running(plan_id, user)
    await plan_api.backdate(plan_id, 3600)
    await plan_api.reconciler.sweep()
    assert (await plan_api.balance(user), await _dispatches(plan_api)) == ((0, 1), 1)
    assert plan_api.generator.cancels == []


async def test_a_plan_nobody_claims_ends_by_a_tombstone(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: after QUEUE_TIMEOUT_SECONDS the generator stores the end first; then the quota is given back."""
    plan_id = await plan_api.started(user)
    await plan_api.backdate(plan_id, 130)
    await plan_api.reconciler.sweep()
    assert plan_api.generator.cancels == [{"userId": str(user), "code": "queue_timeout", "weeks": 4}]
    assert (await plan_api.status(plan_id), await plan_api.balance(user)) == ("failed", (0, 0))
    plan = (await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)).json()
    assert plan["error"]["code"] == "queue_timeout"


async def test_a_plan_that_nobody_goes_on_with_ends(plan_api: "PlanApi", user: UUID) -> None:
    """Claimed once, and left for ten minutes: the generators store its end, and the quota is given back."""
    plan_id = await plan_api.started(user)
    written = datetime.now(UTC) - timedelta(seconds=601)
    plan_api.generator.running(plan_id, user, lease_expired=True, updated_at=written)
    await plan_api.backdate(plan_id, 700)
    await plan_api.reconciler.sweep()
    assert [cancel["code"] for cancel in plan_api.generator.cancels] == ["queue_timeout"]
    assert (await plan_api.status(plan_id), await plan_api.balance(user)) == ("failed", (0, 0))


async def test_an_unreachable_generator_changes_nothing(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: nothing is known, so nothing is settled, published or given up, however old the plan."""
    plan_id = await plan_api.started(user)
    await plan_api.backdate(plan_id, 3600)
    plan_api.generator.away = True
    await plan_api.reconciler.sweep()
    assert (await plan_api.balance(user), await _dispatches(plan_api)) == ((0, 1), 1)


async def test_one_broken_plan_does_not_hold_up_the_others(plan_api: "PlanApi", user: UUID) -> None:
    """A row without a charge is not guessed at, a refused cancel is left for later; the next plan is settled."""
    chargeless, refused, whole = [await plan_api.started(user) for _ in range(3)]
    view = plan_api.generator.ended(chargeless, user)
    plan_api.generator.rows[chargeless] = view.model_copy(update={"charge": None})
    plan_api.generator.refused.add(refused)
    await plan_api.backdate(refused, 130)
    plan_api.generator.ended(whole, user)
    await plan_api.reconciler.sweep(0)
    statuses = [await plan_api.status(plan_id) for plan_id in (chargeless, refused, whole)]
    assert statuses == ["generating", "generating", "completed"]
    assert await plan_api.balance(user) == (1, 2)


async def test_an_account_that_was_changed_by_hand_shuts_nobody_out(plan_api: "PlanApi", user: UUID) -> None:
    """A plan that cannot be settled has ended all the same: it can be looked at and deleted, and others be started."""
    plan_id = await plan_api.started(user)
    plan_api.generator.ended(plan_id, user)
    await plan_api.admin.execute("UPDATE plan_api.quota_accounts SET reserved = 0 WHERE user_id = $1", user)
    assert (await plan_api.ask("GET", f"/api/plan/plans/{plan_id}", user)).status_code == 200
    await plan_api.started(user)
    assert (await plan_api.ask("DELETE", f"/api/plan/plans/{plan_id}", user)).status_code == 204


async def test_old_keys_are_forgotten(plan_api: "PlanApi", user: UUID) -> None:
    """Idempotency keys are kept 24 hours."""
    preference_id = await plan_api.store_inputs(user)
    for key in ("old", "new"):
        await plan_api.start(user, preference_id, idempotency_key=key)
    await plan_api.admin.execute(
        "UPDATE plan_api.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'"
    )
    await plan_api.reconciler.sweep()
    assert await plan_api.admin.fetchval("SELECT array_agg(key) FROM plan_api.idempotency_keys") == ["new"]
