"""All SQL of the gateway's slice."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg


@dataclass(frozen=True, slots=True)
class PlanSeen:
    """Whose a plan is."""

    plan_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A stream as it stands: written when it opens, and again when it closes."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    opened_at: datetime
    closed_at: datetime | None = None
    last_event_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """A cancellation as it stands: written when it is asked for, and again when it is answered."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    requested_at: datetime
    result: str | None = None
    answered_at: datetime | None = None


Record = PlanSeen | SessionRecord | CancelRecord

_WRITE: dict[type[Record], str] = {
    PlanSeen: """
        INSERT INTO stream_gateway.plan_streams (plan_id, user_id) VALUES ($1, $2) ON CONFLICT (plan_id) DO NOTHING""",
    SessionRecord: """
        INSERT INTO stream_gateway.stream_sessions
            (id, plan_id, user_id, opened_at, closed_at, last_event_id, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at, last_event_id = excluded.last_event_id,
            reason = excluded.reason
        WHERE stream_sessions.closed_at IS NULL""",
    CancelRecord: """
        INSERT INTO stream_gateway.cancel_requests (id, plan_id, user_id, requested_at, result, answered_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (id) DO UPDATE SET result = excluded.result, answered_at = excluded.answered_at
        WHERE cancel_requests.answered_at IS NULL""",
}


class Repository:
    """Every method raises one of `common.postgres.UNAVAILABLE` when Postgres is away."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def owner_of(self, plan_id: UUID) -> UUID | None:
        """Whose a plan is, when we have seen it before."""
        query = "SELECT user_id FROM stream_gateway.plan_streams WHERE plan_id = $1"
        owner: UUID | None = await self._pool.fetchval(query, plan_id)
        return owner

    async def write(self, records: Sequence[Record]) -> None:
        """Write a batch in one transaction, in order."""
        async with self._pool.acquire() as connection, connection.transaction():
            for kind, statement in _WRITE.items():
                rows = [astuple(record) for record in records if type(record) is kind]
                if rows:
                    await connection.executemany(statement, rows)
