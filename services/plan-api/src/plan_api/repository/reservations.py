"""Open reservations: settling them, finding those that news was lost of, publishing their jobs again."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.contracts.messages import Mode, Outcome
from common.postgres import Connection

# A second news finds no reserved row, also when it waited for the first one's row lock. The key of a synchronous call
# that failed is forgotten, because an error is not remembered.
_SETTLE = """
WITH settled AS (
    UPDATE plan_api.generations SET status = $2, code = $3, quota_state = $4, ended_at = now()
    WHERE plan_id = $1 AND quota_state = 'reserved' RETURNING plan_id, user_id, period, mode
), account AS (
    UPDATE plan_api.quota_accounts a SET reserved = a.reserved - 1, used = a.used + $5
    FROM settled s WHERE a.user_id = s.user_id AND a.period = s.period
), entry AS (
    INSERT INTO plan_api.quota_ledger (plan_id, user_id, period, kind, used_delta, reserved_delta)
    SELECT plan_id, user_id, period, $4, $5, -1 FROM settled
), forgotten AS (
    DELETE FROM plan_api.idempotency_keys k
    USING settled s WHERE k.plan_id = s.plan_id AND s.mode = 'sync' AND $2 <> 'completed'
)
SELECT true FROM settled
"""

_OPEN_OF_USER = """
SELECT plan_id FROM plan_api.generations WHERE user_id = $1 AND quota_state = 'reserved' ORDER BY created_at LIMIT $2
"""

_UNSETTLED = """
SELECT plan_id, user_id, mode, weeks, created_at, dispatches,
       extract(epoch FROM now() - created_at)::float8 AS age, next_dispatch_at <= now() AS due
FROM plan_api.generations
WHERE quota_state = 'reserved' AND created_at < now() - make_interval(secs => $1)
  AND ($2::timestamptz IS NULL OR (created_at, plan_id) > ($2, $3::uuid))
ORDER BY created_at, plan_id LIMIT $4
"""

# Guarded by `dispatches`, so that of several reconcilers that saw it due one publishes; the pause doubles each time.
_REDISPATCH = """
UPDATE plan_api.generations g
SET dispatches = g.dispatches + 1,
    next_dispatch_at = now() + make_interval(secs => least($3 * 2 ^ least(g.dispatches, 20), $4))
WHERE g.plan_id = $1 AND g.dispatches = $2 AND g.quota_state = 'reserved'
  AND NOT EXISTS (SELECT 1 FROM plan_api.outbox o WHERE o.plan_id = g.plan_id)
RETURNING g.dispatches
"""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A reservation that is older than usual news."""

    plan_id: UUID
    user_id: UUID
    mode: Mode
    weeks: int
    created_at: datetime
    dispatches: int
    age_seconds: float
    due: bool


async def settle(connection: Connection, outcome: Outcome) -> bool:
    """End a plan and its reservation in one statement; False when that was done before."""
    used = 1 if outcome.charge == "used" else 0
    return bool(await connection.fetchval(_SETTLE, outcome.plan_id, outcome.status, outcome.code, outcome.charge, used))


async def open_of_user(connection: Connection, user_id: UUID, limit: int) -> list[UUID]:
    """The user's plans that have not ended, oldest first."""
    return [row["plan_id"] for row in await connection.fetch(_OPEN_OF_USER, user_id, limit)]


async def unsettled(
    connection: Connection, older_than_seconds: float, after: Unsettled | None, limit: int
) -> list[Unsettled]:
    """A page of open reservations, oldest first."""
    key = (None, None) if after is None else (after.created_at, after.plan_id)
    rows = await connection.fetch(_UNSETTLED, older_than_seconds, *key, limit)
    return [
        Unsettled(
            plan_id=row["plan_id"],
            user_id=row["user_id"],
            mode=row["mode"],
            weeks=row["weeks"],
            created_at=row["created_at"],
            dispatches=row["dispatches"],
            age_seconds=row["age"],
            due=row["due"],
        )
        for row in rows
    ]


async def redispatch(
    connection: Connection, plan: Unsettled, first_pause_seconds: float, longest_pause_seconds: float
) -> int | None:
    """Take the right to publish the job once more: its number, or None when another has it or it is not due."""
    n: int | None = await connection.fetchval(
        _REDISPATCH, plan.plan_id, plan.dispatches, first_pause_seconds, longest_pause_seconds
    )
    return n
