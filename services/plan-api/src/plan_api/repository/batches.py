"""Table `batches`."""

from uuid import UUID

from common.contracts.public import Batch
from common.postgres import Connection

_INSERT = "INSERT INTO plan_api.batches (batch_id, user_id, items) VALUES ($1, $2, $3)"

_PURGE = """
DELETE FROM plan_api.batches WHERE batch_id IN (
    SELECT batch_id FROM plan_api.batches WHERE created_at < now() - interval '30 days'
    LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""

_FIND = "SELECT batch_id, user_id, items FROM plan_api.batches WHERE batch_id = $1"


async def insert(connection: Connection, batch: Batch) -> None:
    """Store a batch as it was admitted."""
    items = [item.model_dump(mode="json", by_alias=True) for item in batch.items]
    await connection.execute(_INSERT, batch.batch_id, batch.user_id, items)


async def find(connection: Connection, batch_id: UUID) -> Batch | None:
    """A batch, whoever it belongs to."""
    row = await connection.fetchrow(_FIND, batch_id)
    return None if row is None else Batch.model_validate(dict(row))


async def purge(connection: Connection) -> None:
    """Forget batches older than 30 days, up to 1000 at once; their plans stay."""
    await connection.execute(_PURGE)
