"""Claiming and ending plans, fenced by (attempt, owner) on the database's clock (design, section 6, rule 1)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from common.contracts.errors import ErrorCode
from common.contracts.events import Usage
from common.contracts.internal import PlanView
from common.contracts.messages import GenerateJob
from common.postgres import Database
from generator.identity import Claim, Ending, Refused
from generator.repository.calls import call_of
from generator.repository.views import COLUMNS, document_of, to_view

LEASE_SECONDS = 8
# Of a tombstone, when whoever ends the plan could not find out.
USUAL_WEEKS = 4

_CLAIM = """
INSERT INTO generator.monthly_plans AS p
    (plan_id, user_id, preference_id, mode, on_disconnect, weeks, status, attempt, owner, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, 'generating', 1, $7, now() + make_interval(secs => $8))
ON CONFLICT (plan_id) DO UPDATE
SET attempt = p.attempt + 1, seq = 0, owner = excluded.owner, lease_until = excluded.lease_until, updated_at = now()
WHERE p.status = 'generating' AND p.deleted_at IS NULL AND p.attempt < $9
  AND (p.owner IS NULL OR p.lease_until < now())
RETURNING attempt, content, partial_content, progress, watched_at IS NOT NULL AS watched,
          CASE WHEN p.attempt > 1 THEN (
              SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM generator.upstream_calls c WHERE c.plan_id = p.plan_id
          ) END AS calls,
          extract(epoch FROM now() - generation_started_at)::float8 * 1000 AS elapsed_ms
"""

_REFUSED = f"""
SELECT {COLUMNS}, greatest(extract(epoch FROM lease_until - now()), 0)::float8 AS wait
FROM generator.monthly_plans WHERE plan_id = $1
"""  # noqa: S608 - constants

_FINISH = """
UPDATE generator.monthly_plans
SET status = $4, ended_as = $5, charge = $6, code = $7, content = $8, partial_content = $9, seq = $10,
    progress = $11, usage = $12, outcome_id = $13, lease_until = NULL, updated_at = now(), completed_at = now()
WHERE plan_id = $1 AND attempt = $2 AND owner = $3 AND status = 'generating'
RETURNING true
"""

# Where it is said that a plan was ended over its owner's head.
ENDED_CHANNEL = "generator_plan_ended"

# The row of a plan that somebody other than its owner ends. It fences the claim and the owner at once.
_END = f"""
INSERT INTO generator.monthly_plans AS p
    (plan_id, user_id, weeks, status, attempt, seq, ended_as, charge, code, completed_at)
VALUES ($1, $2, $6, 'failed', 1, 1, $3, 'released', $4, now())
ON CONFLICT (plan_id) DO UPDATE
SET attempt = p.attempt + 1, seq = 1, ended_as = $3, code = $4, owner = NULL, lease_until = NULL,
    status = CASE WHEN $3 = 'cancelled' AND p.partial_content IS NOT NULL THEN 'partial' ELSE 'failed' END,
    charge = CASE WHEN $3 = 'cancelled' AND p.partial_content IS NOT NULL THEN 'used' ELSE 'released' END,
    updated_at = now(), completed_at = now()
WHERE p.status = 'generating' AND ($5::bool IS FALSE OR p.owner IS NULL OR p.lease_until < now())
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


# Rows are locked in id order, as the batch save does: so two that mark the same plans wait for each other in no circle.
_MARK_ANNOUNCED = """
WITH marked AS (
    SELECT plan_id FROM generator.monthly_plans WHERE plan_id = ANY($1::uuid[]) AND announced_at IS NULL
    ORDER BY plan_id FOR NO KEY UPDATE
)
UPDATE generator.monthly_plans p SET announced_at = now() FROM marked WHERE p.plan_id = marked.plan_id
"""


class PlanRepository:
    """Who may write a plan, and how it ends."""

    def __init__(self, database: Database, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def claim(self, job: GenerateJob, max_attempts: int) -> Claim | Refused:
        """Become the plan's owner, unless it has ended or another's lease runs."""
        row = await self._database.fetchrow(
            _CLAIM,
            job.plan_id,
            job.user_id,
            job.preference_id,
            job.mode,
            job.on_disconnect,
            job.preferences.weeks,
            self._owner,
            LEASE_SECONDS,
            max_attempts,
        )
        if row is None:
            return await self._refusal(job.plan_id)
        progress: dict[str, Any] = row["progress"] or {}
        return Claim(
            plan_id=job.plan_id,
            attempt=row["attempt"],
            partial=document_of(row),
            percent=progress.get("reached", progress.get("percent", 0.0)),
            elapsed_ms=int(row["elapsed_ms"]) if row["attempt"] > 1 else 0,
            watched=row["watched"],
            calls=tuple(map(call_of, row["calls"] or ())),
        )

    async def _refusal(self, plan_id: UUID) -> Refused:
        row = await self._database.fetchrow(_REFUSED, plan_id)
        if row is None:
            raise LookupError(f"plan {plan_id} can be neither claimed nor read")
        return Refused(to_view(row), row["wait"] or 0.0)

    async def finish(
        self, claim: Claim, ending: Ending, seq: int, progress: dict[str, object], usage: Usage, outcome_id: UUID
    ) -> bool:
        """Store one's own outcome; False when the fence has fallen: somebody else has ended or taken the plan."""
        end = ending.end
        whole = end.ended_as == "complete"
        partial = None if whole or end.document is None else orjson.dumps(end.document).decode()
        stored = await self._database.fetchval(
            _FINISH,
            claim.plan_id,
            claim.attempt,
            self._owner,
            end.status,
            end.ended_as,
            ending.charge,
            end.code,
            end.document if whole else None,
            partial,
            seq,
            progress,
            usage.model_dump(by_alias=True),
            outcome_id,
        )
        if stored:
            return True
        # No row hit: it may be our own UPDATE whose answer was lost (rule 3).
        mine = await self._database.fetchval(
            "SELECT outcome_id FROM generator.monthly_plans WHERE plan_id = $1 AND attempt = $2",
            claim.plan_id,
            claim.attempt,
        )
        return bool(mine == outcome_id)

    async def end(
        self,
        plan_id: UUID,
        user_id: UUID,
        ended_as: str,
        code: ErrorCode | None,
        *,
        only_unowned: bool,
        weeks: int | None = None,
    ) -> PlanView | None:
        """End a plan that runs elsewhere or nowhere; a tombstone, of `weeks` weeks, when nobody has claimed it.

        Returns the row as it is then, which an earlier outcome may have written; None when `only_unowned` and an
        owner's lease runs.
        """
        row = await self._database.fetchrow(_END, plan_id, user_id, ended_as, code, only_unowned, weeks or USUAL_WEEKS)
        if row is not None and not only_unowned:
            # Only so that a fenced owner looks at once: it would find out with its next save.
            await self._database.execute("SELECT pg_notify($1, $2)", ENDED_CHANNEL, str(plan_id))
        if row is None:
            row = await self._database.fetchrow(
                f"SELECT {COLUMNS} FROM generator.monthly_plans WHERE plan_id = $1"  # noqa: S608 - constant
                " AND (status <> 'generating' OR NOT $2::bool)",
                plan_id,
                only_unowned,
            )
        return None if row is None else to_view(row)

    async def give_back(self, claim: Claim) -> None:
        """Let the lease expire now, so that another generator takes the plan at once."""
        await self._database.execute(
            "UPDATE generator.monthly_plans SET owner = NULL, lease_until = NULL"
            " WHERE plan_id = $1 AND attempt = $2 AND owner = $3 AND status = 'generating'",
            claim.plan_id,
            claim.attempt,
            self._owner,
        )

    async def erase(self, plan_id: UUID) -> None:
        """Delete the content for good; the row stays as a tombstone that claims refuse."""
        await self._database.execute(
            "UPDATE generator.monthly_plans SET content = NULL, partial_content = NULL, deleted_at = now()"
            " WHERE plan_id = $1",
            plan_id,
        )

    async def mark_announced(self, plan_ids: Sequence[UUID]) -> None:
        """The outcomes of these plans have reached the outcomes stream."""
        await self._database.execute(_MARK_ANNOUNCED, plan_ids)
