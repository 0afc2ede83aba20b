"""The batch save: many running plans of this process in one fenced statement, which also renews their leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from common.contracts.internal import PlanView
from common.postgres import Database
from generator.identity import Saved
from generator.repository.plans import LEASE_SECONDS
from generator.repository.views import BRIEF_COLUMNS, COLUMNS, to_view

# Rows are locked in id order, so that two savers never wait for each other in a circle.
_SAVE = """
WITH new AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::text[])
        AS n(plan_id, attempt, seq, partial, progress)
), held AS (
    SELECT p.plan_id FROM generator.monthly_plans p JOIN new USING (plan_id)
    WHERE p.attempt = new.attempt AND p.owner = $6 AND p.status = 'generating' AND p.seq <= new.seq
    ORDER BY p.plan_id FOR UPDATE OF p
)
UPDATE generator.monthly_plans p
SET seq = new.seq, progress = new.progress::jsonb,
    partial_content = CASE WHEN new.partial IS NULL THEN p.partial_content ELSE nullif(new.partial, '') END,
    lease_until = now() + make_interval(secs => $7), updated_at = now()
FROM new, held WHERE p.plan_id = new.plan_id AND p.plan_id = held.plan_id
RETURNING p.plan_id, extract(epoch FROM now() - p.watched_at)::float8 AS watched_ago
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A plan that is still ours, and how many seconds ago a gateway said over HTTP that it is watched."""

    plan_id: UUID
    watched_ago: float | None


class SaveRepository:
    """Saves of running plans, and what the sweeper looks for."""

    def __init__(self, database: Database, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def save(self, rows: Sequence[Saved]) -> list[Held]:
        """Store all rows whose fence still stands; a plan that is not returned is no longer ours."""
        found = await self._database.fetch(
            _SAVE,
            [row.plan_id for row in rows],
            [row.attempt for row in rows],
            [row.seq for row in rows],
            [row.partial for row in rows],
            [orjson.dumps(row.progress).decode() for row in rows],
            self._owner,
            LEASE_SECONDS,
        )
        return [Held(row["plan_id"], row["watched_ago"]) for row in found]

    async def unannounced(self, older_than_seconds: float, limit: int) -> list[PlanView]:
        """Plans that have ended without their outcome having reached the outcomes stream."""
        rows = await self._database.fetch(
            f"SELECT {COLUMNS} FROM generator.monthly_plans"  # noqa: S608 - constant
            " WHERE status <> 'generating' AND announced_at IS NULL"
            " AND completed_at < now() - make_interval(secs => $1) ORDER BY completed_at LIMIT $2",
            older_than_seconds,
            limit,
        )
        return [to_view(row) for row in rows]

    async def exhausted(self, max_attempts: int, limit: int) -> list[PlanView]:
        """Plans without an owner that have used up their attempts; without their documents."""
        rows = await self._database.fetch(
            f"SELECT {BRIEF_COLUMNS} FROM generator.monthly_plans"  # noqa: S608 - constant
            " WHERE status = 'generating' AND attempt >= $1 AND (owner IS NULL OR lease_until < now()) LIMIT $2",
            max_attempts,
            limit,
        )
        return [to_view(row) for row in rows]
