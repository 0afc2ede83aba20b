"""Table `generations`: admission, reading, deletion."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.contracts.errors import ErrorCode
from common.contracts.events import PlanStatus
from common.contracts.inputs import Preferences
from common.contracts.messages import GenerateJob, Mode, OnDisconnect
from common.postgres import Connection

_COLUMNS = (
    "plan_id, user_id, preference_id, mode, weeks, preferences, on_disconnect, watched, status, code, quota_state,"
    " created_at, ended_at"
)

_COUNT_RUNNING = "SELECT count(*) FROM plan_api.generations WHERE user_id = $1 AND quota_state = 'reserved'"

# One statement: the plan, its reservation in the account, and the ledger's entry.
_RESERVE = f"""
WITH generation AS (
    INSERT INTO plan_api.generations (plan_id, user_id, preference_id, mode, weeks, preferences, on_disconnect, period,
                                      dispatches, next_dispatch_at, watched)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10), $11)
    RETURNING {_COLUMNS}
), account AS (
    UPDATE plan_api.quota_accounts SET reserved = reserved + 1 WHERE user_id = $2 AND period = $8
), entry AS (
    INSERT INTO plan_api.quota_ledger (plan_id, user_id, period, kind, used_delta, reserved_delta)
    VALUES ($1, $2, $8, 'reserved', 0, 1)
)
SELECT {_COLUMNS} FROM generation
"""  # noqa: S608 - constants

_FIND = f"SELECT {_COLUMNS} FROM plan_api.generations WHERE plan_id = $1 AND deleted_at IS NULL"  # noqa: S608

_PAGE = f"""
SELECT {_COLUMNS} FROM plan_api.generations
WHERE user_id = $1 AND deleted_at IS NULL AND ($2::timestamptz IS NULL OR (created_at, plan_id) < ($2, $3::uuid))
ORDER BY created_at DESC, plan_id DESC LIMIT $4
"""  # noqa: S608 - constants

# The plan's copy of the inputs goes with it.
_SOFT_DELETE = """
UPDATE plan_api.generations SET deleted_at = now(), preferences = '{}'
WHERE plan_id = $1 AND deleted_at IS NULL AND quota_state <> 'reserved' RETURNING true
"""

_TO_ERASE = """
SELECT plan_id FROM plan_api.generations
WHERE deleted_at IS NOT NULL AND erased_at IS NULL ORDER BY deleted_at LIMIT $1
"""

_MARK_ERASED = "UPDATE plan_api.generations SET erased_at = now() WHERE plan_id = $1"


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What admission decided about a plan."""

    plan_id: UUID
    user_id: UUID
    preference_id: UUID
    mode: Mode
    preferences: Preferences
    on_disconnect: OnDisconnect
    watched: bool
    period: date


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One plan as plan-api knows it."""

    plan_id: UUID
    user_id: UUID
    preference_id: UUID
    mode: Mode
    weeks: int
    preferences: dict[str, Any]
    on_disconnect: OnDisconnect
    watched: bool
    status: PlanStatus
    code: ErrorCode | None
    reserved: bool
    created_at: datetime
    ended_at: datetime | None

    def job(self) -> GenerateJob:
        """The job that has this plan written."""
        return GenerateJob(
            plan_id=self.plan_id,
            user_id=self.user_id,
            preference_id=self.preference_id,
            preferences=Preferences.model_validate(self.preferences, extra="ignore"),
            mode=self.mode,
            on_disconnect=self.on_disconnect,
            watched=self.watched,
            accepted_at=self.created_at,
        )


def generation_of(row: asyncpg.Record) -> GenerationRow:
    """A record that holds the columns of `GenerationRow`."""
    return GenerationRow(
        plan_id=row["plan_id"],
        user_id=row["user_id"],
        preference_id=row["preference_id"],
        mode=row["mode"],
        weeks=row["weeks"],
        preferences=row["preferences"],
        on_disconnect=row["on_disconnect"],
        watched=row["watched"],
        status=row["status"],
        code=None if row["code"] is None else ErrorCode(row["code"]),
        reserved=row["quota_state"] == "reserved",
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )


async def count_running(connection: Connection, user_id: UUID) -> int:
    """The user's plans that have not ended; exact under the lock of the user's account."""
    count: int = await connection.fetchval(_COUNT_RUNNING, user_id)
    return count


async def reserve(connection: Connection, new: NewGeneration, redispatch_seconds: float) -> GenerationRow:
    """Store an admitted plan with its quota reservation.

    Args:
        connection: in the transaction that holds the account's lock.
        new: the plan.
        redispatch_seconds: when, at the earliest, its job may be published a second time.
    """
    row = await connection.fetchrow(
        _RESERVE,
        new.plan_id,
        new.user_id,
        new.preference_id,
        new.mode,
        new.preferences.weeks,
        new.preferences.model_dump(mode="json", by_alias=True),
        new.on_disconnect,
        new.period,
        1 if new.mode == "stream" else 0,
        redispatch_seconds,
        new.watched,
    )
    assert row is not None
    return generation_of(row)


async def find(connection: Connection, plan_id: UUID) -> GenerationRow | None:
    """A plan that has not been deleted."""
    row = await connection.fetchrow(_FIND, plan_id)
    return None if row is None else generation_of(row)


async def page(
    connection: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[GenerationRow]:
    """A user's plans, newest first, that come after the one with this time and id."""
    created_at, plan_id = after or (None, None)
    return [generation_of(row) for row in await connection.fetch(_PAGE, user_id, created_at, plan_id, limit)]


async def soft_delete(connection: Connection, plan_id: UUID) -> bool:
    """Hide a settled plan for good; False when it is gone already, or not settled."""
    return bool(await connection.fetchval(_SOFT_DELETE, plan_id))


async def to_erase(connection: Connection, limit: int) -> list[UUID]:
    """Deleted plans whose content the generator may still hold."""
    return [row["plan_id"] for row in await connection.fetch(_TO_ERASE, limit)]


async def mark_erased(connection: Connection, plan_id: UUID) -> None:
    """The generator has erased the plan's content."""
    await connection.execute(_MARK_ERASED, plan_id)
