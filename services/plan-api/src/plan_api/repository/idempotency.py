"""Table `idempotency_keys`: what a keyed request made, remembered in the transaction that made it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from common.contracts.errors import ErrorCode
from common.postgres import Connection
from common.problems import ApiError

# A concurrent twin waits here for the first one's transaction: its commit makes this do nothing, its rollback insert.
_INSERT = """
INSERT INTO plan_api.idempotency_keys (user_id, route, key, body_hash, status, response, plan_id)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, route, key) DO NOTHING RETURNING true
"""

_FIND = """
SELECT body_hash, response, plan_id FROM plan_api.idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3
"""

_FORGET = "DELETE FROM plan_api.idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3"

# Bounded: a statement that fails for its length would fail again, with more to do.
_PURGE = """
DELETE FROM plan_api.idempotency_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM plan_api.idempotency_keys WHERE created_at < now() - interval '24 hours'
    LIMIT 5000 FOR UPDATE SKIP LOCKED))
"""

# The key may be forgotten between the two statements, which happens once.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key, for one user and route, bound to what the body says."""

    user_id: UUID
    route: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the first request with this key made."""

    response: Any
    plan_id: UUID | None


async def remember(
    connection: Connection, key: IdempotencyKey, status: int, *, response: Any = None, plan_id: UUID | None = None
) -> Remembered | None:
    """Bind the key to what this transaction makes; or answer with what an earlier one made.

    Raises:
        ApiError: idempotency_conflict, when the key came with another body before.
    """
    for _ in range(_TRIES):
        values = (key.user_id, key.route, key.key)
        if await connection.fetchval(_INSERT, *values, key.body_hash, status, response, plan_id):
            return None
        row = await connection.fetchrow(_FIND, *values)
        if row is None:
            continue
        if row["body_hash"] != key.body_hash:
            detail = "This Idempotency-Key came with another body before. Use a new key for a new request."
            raise ApiError(ErrorCode.IDEMPOTENCY_CONFLICT, detail)
        return Remembered(row["response"], row["plan_id"])
    raise ApiError(ErrorCode.UNAVAILABLE, "The Idempotency-Key is in use just now. Try again.", retry_after=1)


async def forget(connection: Connection, key: IdempotencyKey) -> None:
    """Unbind the key in the transaction that bound it: what it asked for was refused."""
    await connection.execute(_FORGET, key.user_id, key.route, key.key)


async def purge(connection: Connection) -> None:
    """Forget keys older than 24 hours, up to 5000 at once."""
    await connection.execute(_PURGE)
