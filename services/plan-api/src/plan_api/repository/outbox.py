"""Table `outbox`: jobs that JetStream does not have yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from common.postgres import Connection

# The one who committed a row publishes it right away; what is older was left behind.
_PENDING = "created_at < now() - interval '1 second'"

_INSERT = "INSERT INTO plan_api.outbox (plan_id, n, payload) VALUES ($1, $2, $3) RETURNING id"

_ANY = f"SELECT EXISTS (SELECT 1 FROM plan_api.outbox WHERE {_PENDING})"  # noqa: S608 - a constant

_CLAIM = f"""
SELECT id, plan_id, n, payload FROM plan_api.outbox WHERE {_PENDING} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant

_DELETE = "DELETE FROM plan_api.outbox WHERE id = ANY($1::bigint[])"

_DELETE_OF_PLAN = "DELETE FROM plan_api.outbox WHERE plan_id = $1"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One job, encoded; it is published under the id `<planId>.<n>`."""

    id: int
    plan_id: UUID
    n: int
    payload: bytes


async def insert(connection: Connection, plan_id: UUID, n: int, payload: bytes) -> OutboxRow:
    """Put a job into the outbox."""
    return OutboxRow(await connection.fetchval(_INSERT, plan_id, n, payload), plan_id, n, payload)


async def any_pending(connection: Connection) -> bool:
    """Whether something was left behind."""
    return bool(await connection.fetchval(_ANY))


async def claim(connection: Connection, limit: int) -> list[OutboxRow]:
    """Lock the oldest rows that were left behind and that no other relay holds."""
    rows = await connection.fetch(_CLAIM, limit)
    return [OutboxRow(row["id"], row["plan_id"], row["n"], row["payload"]) for row in rows]


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    """Drop published rows."""
    await connection.execute(_DELETE, ids)


async def delete_of_plan(connection: Connection, plan_id: UUID) -> None:
    """Drop what is still to be published of a plan."""
    await connection.execute(_DELETE_OF_PLAN, plan_id)
