"""One row for each upstream call: what it cost."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from generator.openrouter import UpstreamCall
from generator.recovery import Purpose


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that has ended, and for which plan it was made."""

    plan_id: UUID
    attempt: int
    purpose: Purpose
    started_at: datetime
    call: UpstreamCall
    error_code: str | None


class CallRepository:
    """Writes upstream calls."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def insert(self, record: CallRecord) -> None:
        """Store one call."""
        call = record.call
        await self._pool.execute(
            "INSERT INTO generator.upstream_calls (plan_id, attempt, purpose, generation_id, provider, model,"
            " prompt_tokens, completion_tokens, cost, source, finish_reason, error_code, started_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            record.plan_id,
            record.attempt,
            record.purpose,
            call.generation_id,
            call.provider,
            call.model,
            call.prompt_tokens,
            call.completion_tokens,
            call.cost,
            call.source,
            call.finish_reason,
            record.error_code,
            record.started_at,
        )
