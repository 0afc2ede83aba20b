"""One row for each upstream call: what it cost."""

from collections.abc import Callable, Mapping, Sequence
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
    ended_at: datetime
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


# A plan's owner makes its calls one after the other, so (plan, attempt, start) tells them apart: what is written again
# because the answer was lost is there already.
_INSERT = """
    INSERT INTO generator.upstream_calls (plan_id, attempt, purpose, generation_id, provider, model, prompt_tokens,
        completion_tokens, cost, source, finish_reason, error_code, started_at, ended_at)
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[],
        $9::float8[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[])
        AS made (plan_id, attempt, purpose, generation_id, provider, model, prompt_tokens, completion_tokens, cost,
            source, finish_reason, error_code, started_at, ended_at)
    WHERE NOT EXISTS (
        SELECT FROM generator.upstream_calls stored
        WHERE (stored.plan_id, stored.attempt, stored.started_at) = (made.plan_id, made.attempt, made.started_at)
    )
    """


def _row(record: CallRecord) -> tuple[object, ...]:
    """In the order of `_INSERT`."""
    call = record.call
    return (
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
        record.ended_at,
    )


class CallRepository:
    """Writes upstream calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, records: Sequence[CallRecord]) -> None:
        """Store calls that have ended, all or none; those that are stored already stay as they are."""
        await self._database.execute(_INSERT, *zip(*map(_row, records), strict=True))

    async def correct(self, plan_id: UUID, generation_id: str, found: UpstreamCall) -> None:
        """Put the provider's own figures in the place of an estimate."""
        await self._database.execute(
            "UPDATE generator.upstream_calls SET prompt_tokens = $3, completion_tokens = $4, cost = $5,"
            " provider = coalesce($6, provider), model = coalesce($7, model), source = 'provider'"
            " WHERE plan_id = $1 AND generation_id = $2 AND source = 'estimated'",
            plan_id,
            generation_id,
            found.prompt_tokens,
            found.completion_tokens,
            found.cost,
            found.provider,
            found.model,
        )
