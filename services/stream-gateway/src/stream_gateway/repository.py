"""All SQL of the gateway's slice."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

from common.postgres import Database


@dataclass(frozen=True, slots=True)
class PlanSeen:
    """Whose a plan is."""

    plan_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A stream has begun."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A stream has ended; where, and why."""

    id: UUID
    closed_at: datetime
    last_event_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A cancellation was asked for."""

    id: UUID
    plan_id: UUID
    user_id: UUID
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class CancelAnswered:
    """The plan has ended, which answers everybody who asked for it."""

    plan_id: UUID
    result: str
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class PlanErased:
    """The plan was deleted: nothing of it stays."""

    plan_id: UUID


Record = PlanSeen | SessionOpened | SessionClosed | CancelAsked | CancelAnswered | PlanErased

# Of a plan that was erased nothing begins again, whichever gateway says it. A row that is written at the very moment of
# the erasure is found by `erase_again`.
_UNLESS_ERASED = "WHERE NOT EXISTS (SELECT FROM stream_gateway.erased_plans e WHERE e.plan_id = {}::uuid)"

# In the order of writing. Ends only change what is there: a row that was erased does not come back with its end.
_WRITE: dict[type[Record], tuple[str, ...]] = {
    PlanSeen: (
        "INSERT INTO stream_gateway.plan_streams (plan_id, user_id) SELECT $1, $2"
        f" {_UNLESS_ERASED.format('$1')} ON CONFLICT (plan_id) DO NOTHING",
    ),
    SessionOpened: (
        "INSERT INTO stream_gateway.stream_sessions (id, plan_id, user_id, opened_at) SELECT $1, $2, $3, $4"
        f" {_UNLESS_ERASED.format('$2')} ON CONFLICT (id) DO NOTHING",
    ),
    SessionClosed: (
        "UPDATE stream_gateway.stream_sessions SET closed_at = $2, last_event_id = $3, reason = $4"
        " WHERE id = $1 AND closed_at IS NULL",
    ),
    CancelAsked: (
        "INSERT INTO stream_gateway.cancel_requests (id, plan_id, user_id, requested_at) SELECT $1, $2, $3, $4"
        f" {_UNLESS_ERASED.format('$2')} ON CONFLICT (id) DO NOTHING",
    ),
    CancelAnswered: (
        "UPDATE stream_gateway.cancel_requests SET result = $2, answered_at = $3"
        " WHERE plan_id = $1 AND answered_at IS NULL",
    ),
    PlanErased: (
        "INSERT INTO stream_gateway.erased_plans (plan_id) VALUES ($1) ON CONFLICT (plan_id) DO NOTHING",
        "DELETE FROM stream_gateway.plan_streams WHERE plan_id = $1",
        "DELETE FROM stream_gateway.stream_sessions WHERE plan_id = $1",
        "DELETE FROM stream_gateway.cancel_requests WHERE plan_id = $1",
    ),
}

_ERASE_AGAIN = (
    *(
        f"DELETE FROM stream_gateway.{table} t USING stream_gateway.erased_plans e WHERE t.plan_id = e.plan_id"  # noqa: S608 - constants
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
                rows = [astuple(record) for record in records if type(record) is kind]
                for statement in statements if rows else ():
                    await transaction.executemany(statement, rows)

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
