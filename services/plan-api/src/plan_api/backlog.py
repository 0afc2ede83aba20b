"""What lies there and should not lie long, for those who watch the system: unpublished jobs, open reservations."""

import asyncio

from common.postgres import Database
from plan_api import metrics

PAUSE_SECONDS = 5.0

# Over the two partial indexes that the relay and the reconciler use as well.
_LOOK = """
SELECT o.n AS outbox_rows, o.age AS outbox_age, r.n AS unsettled, r.age AS unsettled_age
FROM (SELECT count(*) AS n, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
      FROM plan_api.outbox) o,
     (SELECT count(*) AS n, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
      FROM plan_api.generations WHERE quota_state = 'reserved') r
"""


class Backlog:
    """Looks now and then. Every replica says the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Look for ever.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away; run again. Until then the last figures stand.
        """
        while True:
            row = await self._database.fetchrow(_LOOK)
            assert row is not None, "aggregates have a row"
            metrics.OUTBOX_ROWS.set(row["outbox_rows"])
            metrics.OUTBOX_AGE.set(row["outbox_age"])
            metrics.UNSETTLED.set(row["unsettled"])
            metrics.UNSETTLED_AGE.set(row["unsettled_age"])
            await asyncio.sleep(PAUSE_SECONDS)
