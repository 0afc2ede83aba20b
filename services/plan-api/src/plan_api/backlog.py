"""What lies there and should not lie long, for those who watch the system: unpublished jobs, open reservations."""

import asyncio

from common.postgres import Database
from plan_api import metrics
from plan_api.repository import backlog

PAUSE_SECONDS = 5.0


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
            waiting = await backlog.waiting(self._database)
            metrics.OUTBOX_ROWS.set(waiting.outbox_rows)
            metrics.OUTBOX_AGE.set(waiting.outbox_age)
            metrics.UNSETTLED.set(waiting.unsettled)
            metrics.UNSETTLED_AGE.set(waiting.unsettled_age)
            await asyncio.sleep(PAUSE_SECONDS)
