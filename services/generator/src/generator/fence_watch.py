"""Hear at once that a plan of ours was ended elsewhere, instead of with the next save. Works without NATS.

Only a hint over Postgres' NOTIFY: what counts is the fenced save that it brings forward. Without it (a pooler that
does not pass LISTEN on, a lost connection) the save comes all the same, within its interval.
"""

from collections.abc import Callable
from uuid import UUID

import structlog

from common.ids import parse_uuid
from common.postgres import UNAVAILABLE, Database
from generator.repository.plans import ENDED_CHANNEL
from generator.run import Run

_log = structlog.get_logger(__name__)


class FenceWatch:
    """Listens for as long as the service runs."""

    def __init__(self, database: Database, find: Callable[[UUID], Run | None], save_soon: Callable[[], None]) -> None:
        self._database = database
        self._find = find
        self._save_soon = save_soon

    async def run(self) -> None:
        """Listen until the connection is lost; whoever keeps this running begins again."""
        try:
            await self._database.listen(ENDED_CHANNEL, self._hear)
        except UNAVAILABLE as error:
            _log.info("fence_watch.lost", error=repr(error))

    def _hear(self, payload: str) -> None:
        plan_id = parse_uuid(payload)
        run = None if plan_id is None else self._find(plan_id)
        if run is not None:
            _log.debug("fence.looked_at", plan_id=payload)
            run.plan.save_asked = True
            self._save_soon()
