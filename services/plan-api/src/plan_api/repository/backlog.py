"""How much lies in the outbox and in open reservations, and for how long."""

from typing import NamedTuple

from common.postgres import Database

# The outbox is small unless something is wrong; of the generations a partial index holds the reserved ones.
_LOOK = """
SELECT o.n AS outbox_rows, o.age AS outbox_age, r.n AS unsettled, r.age AS unsettled_age
FROM (SELECT count(*) AS n, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
      FROM plan_api.outbox) o,
     (SELECT count(*) AS n, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
      FROM plan_api.generations WHERE quota_state = 'reserved') r
"""


class Waiting(NamedTuple):
    """Rows, and the age of the oldest in seconds; 0 where there is none."""

    outbox_rows: int
    outbox_age: float
    unsettled: int
    unsettled_age: float


async def waiting(database: Database) -> Waiting:
    """What lies there now."""
    row = await database.fetchrow(_LOOK)
    assert row is not None, "aggregates have a row"
    return Waiting(*row)
