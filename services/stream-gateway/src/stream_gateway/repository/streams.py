"""What the gateway records of streams and cancellations, whose plans are, and cancellations that nobody works on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from common.postgres import Database


class PlanSeen(NamedTuple):
    """Whose a plan is."""

    plan_id: UUID
    user_id: UUID


class SessionOpened(NamedTuple):
    """A stream has begun."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    opened_at: datetime


class SessionClosed(NamedTuple):
    """A stream has ended; where, and why."""

    id: UUID
    closed_at: datetime
    last_event_id: str | None
    reason: str | None


class CancelAsked(NamedTuple):
    """A cancellation was asked for."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    requested_at: datetime


class CancelAnswered(NamedTuple):
    """The plan has ended, which answers everybody who asked for it."""

    plan_id: UUID
    result: str
    answered_at: datetime


class PlanErased(NamedTuple):
    """The plan was deleted: nothing of it stays."""

    plan_id: UUID


Record = PlanSeen | SessionOpened | SessionClosed | CancelAsked | CancelAnswered | PlanErased

# All records of a kind in one statement, which takes a column of theirs in each array; in the order of writing. Of a
# plan that was erased nothing begins again, whichever gateway says it; a row that is written at the very moment of the
# erasure is found by `erase_again`. Ends only change what is there: a row that was erased does not come back with its
# end.
_WRITE: dict[type[Record], tuple[str, ...]] = {
    PlanSeen: (
        """
        INSERT INTO stream_gateway.plan_streams (plan_id, user_id)
        SELECT plan_id, user_id FROM unnest($1::uuid[], $2::uuid[]) AS seen (plan_id, user_id)
        WHERE NOT EXISTS (SELECT FROM stream_gateway.erased_plans erased WHERE erased.plan_id = seen.plan_id)
        ON CONFLICT (plan_id) DO NOTHING
        """,
    ),
    SessionOpened: (
        """
        INSERT INTO stream_gateway.stream_sessions (id, plan_id, user_id, opened_at)
        SELECT id, plan_id, user_id, opened_at
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) AS opened (id, plan_id, user_id, opened_at)
        WHERE NOT EXISTS (SELECT FROM stream_gateway.erased_plans erased WHERE erased.plan_id = opened.plan_id)
        ON CONFLICT (id) DO NOTHING
        """,
    ),
    SessionClosed: (
        """
        UPDATE stream_gateway.stream_sessions session
        SET closed_at = closed.closed_at, last_event_id = closed.last_event_id, reason = closed.reason
        FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[])
            AS closed (id, closed_at, last_event_id, reason)
        WHERE session.id = closed.id AND session.closed_at IS NULL
        """,
    ),
    CancelAsked: (
        """
        INSERT INTO stream_gateway.cancel_requests (id, plan_id, user_id, requested_at)
        SELECT id, plan_id, user_id, requested_at
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) AS asked (id, plan_id, user_id, requested_at)
        WHERE NOT EXISTS (SELECT FROM stream_gateway.erased_plans erased WHERE erased.plan_id = asked.plan_id)
        ON CONFLICT (id) DO NOTHING
        """,
    ),
    CancelAnswered: (
        """
        UPDATE stream_gateway.cancel_requests request
        SET result = answered.result, answered_at = answered.answered_at
        FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS answered (plan_id, result, answered_at)
        WHERE request.plan_id = answered.plan_id AND request.answered_at IS NULL
        """,
    ),
    PlanErased: (
        """
        INSERT INTO stream_gateway.erased_plans (plan_id) SELECT unnest($1::uuid[]) ON CONFLICT (plan_id) DO NOTHING
        """,
        "DELETE FROM stream_gateway.plan_streams WHERE plan_id = ANY($1::uuid[])",
        "DELETE FROM stream_gateway.stream_sessions WHERE plan_id = ANY($1::uuid[])",
        "DELETE FROM stream_gateway.cancel_requests WHERE plan_id = ANY($1::uuid[])",
    ),
}

# Only of late: what was being written while a plan was erased is written soon, and all later writes look themselves.
_ERASE_AGAIN = (
    *(
        f"DELETE FROM stream_gateway.{table} t USING stream_gateway.erased_plans e"  # noqa: S608 - constants
        " WHERE t.plan_id = e.plan_id AND e.erased_at > now() - interval '10 minutes'"
        for table in ("plan_streams", "stream_sessions", "cancel_requests")
    ),
    # Nobody's journal waits so long.
    "DELETE FROM stream_gateway.erased_plans WHERE erased_at < now() - interval '1 day'",
)

# Neither waits for a row that another gateway or a write has locked just now: it comes round again.
_HOLD = """
UPDATE stream_gateway.cancel_requests SET held_until = now() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM stream_gateway.cancel_requests WHERE plan_id = ANY($1::uuid[]) AND answered_at IS NULL
    FOR UPDATE SKIP LOCKED
)
"""
_TAKE_UP = """
UPDATE stream_gateway.cancel_requests SET held_until = now() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM stream_gateway.cancel_requests WHERE answered_at IS NULL AND held_until < now()
    ORDER BY held_until LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING plan_id, user_id
"""


@dataclass(frozen=True, slots=True)
class OpenCancel:
    """A cancellation that nobody works on any more."""

    plan_id: UUID
    user_id: UUID


class Repository:
    """Every method raises one of `common.postgres.UNAVAILABLE` when Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owner_of(self, plan_id: UUID) -> UUID | None:
        """Whose a plan is, when we have seen it before."""
        query = "SELECT user_id FROM stream_gateway.plan_streams WHERE plan_id = $1"
        owner: UUID | None = await self._database.fetchval(query, plan_id)
        return owner

    async def write(self, records: Sequence[Record]) -> None:
        """Write a batch in one transaction."""
        async with self._database.transaction() as transaction:
            for kind, statements in _WRITE.items():
                # In one order everywhere: two gateways that write of the same plans would else wait for each other.
                rows = sorted((record for record in records if type(record) is kind), key=itemgetter(0))
                for statement in statements if rows else ():
                    await transaction.execute(statement, *zip(*rows, strict=True))

    async def erase_again(self) -> None:
        """Delete what has come back of plans that were erased lately, and forget those of long ago."""
        for statement in _ERASE_AGAIN:
            await self._database.execute(statement)

    async def hold(self, plan_ids: Collection[UUID], seconds: float) -> None:
        """Keep the cancellations of these plans from other gateways for so long."""
        if plan_ids:
            await self._database.execute(_HOLD, list(plan_ids), seconds)

    async def take_up(self, limit: int, seconds: float) -> list[OpenCancel]:
        """Take cancellations that nobody holds, the longest forgotten first, and hold them for so long."""
        if limit <= 0:
            return []
        rows = await self._database.fetch(_TAKE_UP, limit, seconds)
        return [OpenCancel(row["plan_id"], row["user_id"]) for row in rows]
