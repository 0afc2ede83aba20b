"""One row for each upstream call: what it cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from common.postgres import Database
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


def call_of(row: Mapping[str, Any]) -> UpstreamCall:
    """What a stored call brought to the bill."""
    return UpstreamCall(
        generation_id=row["generation_id"],
        provider=row["provider"],
        model=row["model"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cost=row["cost"],
        finish_reason=row["finish_reason"],
        source=row["source"],
    )


RecordCall = Callable[[CallRecord], None]


class CallRepository:
    """Writes upstream calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, record: CallRecord) -> int:
        """Store one call; the answer is the row's id."""
        call = record.call
        row_id: int = await self._database.fetchval(
            "INSERT INTO generator.upstream_calls (plan_id, attempt, purpose, generation_id, provider, model,"
            " prompt_tokens, completion_tokens, cost, source, finish_reason, error_code, started_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
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
        return row_id

    async def correct(self, row_id: int, found: UpstreamCall) -> None:
        """Put the provider's own figures in the place of an estimate."""
        await self._database.execute(
            "UPDATE generator.upstream_calls SET prompt_tokens = $2, completion_tokens = $3, cost = $4,"
            " provider = coalesce($5, provider), model = coalesce($6, model), source = 'provider' WHERE id = $1",
            row_id,
            found.prompt_tokens,
            found.completion_tokens,
            found.cost,
            found.provider,
            found.model,
        )
